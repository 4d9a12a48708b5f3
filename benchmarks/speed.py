"""galfast beside plain fastai, the blog's way, on the same images in the same run

    python benchmarks/speed.py [NAME ...] [--n 2000] [--device cuda]

Each benchmark prints a row of Markdown and writes benchmarks/results/NAME.json. A ratio above one: so many times faster (`import`: the inverse of its time)."""
import argparse,io,json,subprocess,sys,tempfile,time
from pathlib import Path

from fastai.vision.all import *
from PIL import Image as PILimage

from galfast.augment import GalaxyAugment
from galfast.data import GalaxyDataLoaders
from galfast.image import read_fits
from galfast.learner import galaxy_learner
from galfast.pack import pack_images
from galfast.reader import ImageReader
from galfast.sim import sim_catalog,sim_galaxy,sim_rgb

results = Path(__file__).parent/'results'

class Sky:
    "`n` JPEGs of 224 px and as many FITS cubes, drawn from 64 simulated galaxies in random orientations"
    def __init__(self, n, device, root):
        self.n,self.device,self.root,rng = n,torch.device(device),Path(root),np.random.default_rng(0)
        gals = sim_catalog(64, seed=1)
        flux = [sim_galaxy(r, size=224) for r in gals.to_dict('records')]
        pics = [np.maximum(sim_rgb(o), 6) for o in flux]
        (self.root/'images').mkdir(); (self.root/'fits').mkdir()
        which = rng.integers(0, 64, n)
        for i,k in enumerate(which):
            out = io.BytesIO()
            PILimage.fromarray(np.rot90(pics[k], rng.integers(4))).save(out, 'JPEG', quality=85)
            (self.root/'images'/f'{i}.jpg').write_bytes(out.getvalue())
        self.flux = flux
        self.df = pd.DataFrame(dict(objID=[str(i) for i in range(n)], metallicity=gals.metallicity.to_numpy()[which], logmass=gals.logmass.to_numpy()[which]))
        self.files = [self.root/'images'/f'{i}.jpg' for i in range(n)]
    def fits(self, k=400):
        from astropy.io import fits
        files = [self.root/'fits'/f'{i}.fits' for i in range(k)]
        for i,f in enumerate(files):
            if not f.exists(): fits.PrimaryHDU(self.flux[i%64], fits.Header(dict(BANDS='gri'))).writeto(f)
        return files
    def plain(self, bs=128, rotate=10., size=112, valid=.2):
        "The blog's DataLoaders"
        tfms = aug_transforms(max_zoom=1., flip_vert=True, max_lighting=0., max_warp=0., max_rotate=rotate)
        block = DataBlock((ImageBlock, RegressionBlock), get_x=ColReader('objID', pref=f'{self.root}/images/', suff='.jpg'), get_y=ColReader('metallicity'), splitter=RandomSplitter(valid, seed=0),
                          item_tfms=[CropPad(144), RandomCrop(size)], batch_tfms=[*tfms, Normalize.from_stats([.1]*3, [.1]*3)])
        return block.dataloaders(self.df, bs=bs, device=self.device)
    def galfast(self, bs=128, rotate=10., size=112):
        "The same images and augmentation through a pack"
        return GalaxyDataLoaders.from_catalog(self.df, self.root/'images', 'metallicity', reader=ImageReader(size=144, crop=144), bs=bs, device=self.device, pack=self.root/'pack',
                                              augment=GalaxyAugment(crop=size, max_deg=rotate))

def seconds(f, device=None):
    "Time of `f()`, and what it gives"
    t0 = time.perf_counter()
    res = f()
    if device is not None and device.type=='cuda': torch.cuda.synchronize()
    return time.perf_counter()-t0,res

def paired(a, b, times=3):
    "Medians of the times of `a` and `b`, taken in turns"
    t = np.array([(seconds(a)[0], seconds(b)[0]) for _ in range(times)])
    return np.median(t, 0)

def _epoch(dl): return sum(len(b[0]) for b in dl)

def loading(sky, rotate):
    g,p = sky.galfast(rotate=rotate).train,sky.plain(rotate=rotate).train
    _epoch(g)
    k = len(g)*g.bs
    a,b = paired(lambda: _epoch(g), lambda: _epoch(p))
    return k/a,k/b,'images/s'

def packing(sky):
    "Images of 224 px into a pack on disk; beside it decoding alone, fastai's way, in one thread"
    read = ImageReader('rgb')
    def fresh():
        d = tempfile.mkdtemp(dir=sky.root)
        pack_images(sky.files, d, read)
        shutil.rmtree(d)
    def plain():
        for f in sky.files: image2tensor(PILImage.create(f))
    a,b = paired(fresh, plain)
    return sky.n/a,sky.n/b,'images/s'

def fits_reading(sky):
    from astropy.io import fits
    files = sky.fits()
    def plain(): # the shortest way there is with astropy
        for f in files: torch.from_numpy(fits.getdata(f).astype(np.float32))
    def ours():
        for f in files: read_fits(f)
    a,b = paired(ours, plain, 5)
    return len(files)/a,len(files)/b,'files/s'

def predicting(sky):
    "A galaxy's eight views; plain fastai's `tta` has four looks and one more, counted as five views"
    g,p = sky.galfast(rotate=0.),sky.plain(rotate=0.)
    l1 = galaxy_learner(g, 'xresnet18', dict(sa=False), seed=0)
    l2 = Learner(p, xresnet18(n_out=1, act_cls=nn.Mish), loss_func=MSELossFlat())
    def ours():
        with l1.no_bar(): l1.tta8()
    def plain():
        with l2.no_bar(): l2.tta(n=4)
    a,b = paired(ours, plain)
    return 8*len(g.valid_ds)/a,5*len(p.valid_ds)/b,'views/s'

def training(sky, arch):
    "An epoch with loading; plain fastai with its own network"
    g,p = sky.galfast(bs=64),sky.plain(bs=64)
    sa = dict(sa=arch=='xresnet34', act_cls=nn.Mish)
    l1 = galaxy_learner(g, arch, dict(sa=sa['sa']), seed=0)
    l2 = Learner(p, dict(xresnet18=xresnet18, xresnet34=xresnet34)[arch](n_out=1, **sa), loss_func=MSELossFlat(), opt_func=ranger)
    def fit(l):
        with l.no_bar(), l.no_logging(): l.fit(1, 1e-3)
    a,b = paired(partial(fit, l1), partial(fit, l2), 1)
    return len(g.train_ds)/a,len(p.train_ds)/b,'images/s'

def importing(sky):
    def t(code): return np.median([seconds(lambda: subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True))[0] for _ in range(5)])
    base = t('pass')
    return 1/(t('import galfast')-base),1/(t('from fastai.vision.all import *')-base),'1/s'

benchmarks = {'import': importing, 'fits-reading': fits_reading, 'packing': packing, 'loading-augmented': partial(loading, rotate=10.), 'loading-crops': partial(loading, rotate=0.),
              'predicting-tta': predicting, 'training-xresnet18': partial(training, arch='xresnet18'), 'training-xresnet34-sa': partial(training, arch='xresnet34')}

def run(name, sky):
    a,b,unit = benchmarks[name](sky)
    row = dict(name=name, galfast=round(a, 2), baseline=round(b, 2), ratio=round(a/b, 2), unit=unit, n=sky.n, device=str(sky.device), threads=torch.get_num_threads())
    (results/f'{name}.json').write_text(json.dumps(row, indent=1)+'\n')
    print(f"| {name} | {a:,.1f} {unit} | {b:,.1f} {unit} | {a/b:.1f} |", flush=True)

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('names', nargs='*', choices=[[], *benchmarks], help=', '.join(benchmarks))
    p.add_argument('--n', type=int, default=2000, help='images')
    p.add_argument('--device', default='cpu')
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as d:
        sky = Sky(o.n, o.device, d)
        print('| benchmark | galfast | plain fastai | ratio |\n|---|---|---|---|')
        for k in o.names or benchmarks: run(k, sky)
