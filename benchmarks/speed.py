"""galfast beside plain fastai, the blog's way, on the same images in the same run

    python benchmarks/speed.py [NAME ...] [--n 2560] [--device cuda]

Each benchmark prints a row of Markdown and writes benchmarks/results/NAME.json. A ratio above one: galfast is so many times
faster, or takes so many times less. `full-story` is the whole of the blog's story; give it --n 130000 on a GPU. Time on a machine that does nothing else."""
import argparse,json,shutil,subprocess,sys,tempfile

from astropy.io import fits

from time_to_accuracy import time_to_accuracy
from common import *
from galfast.training.fast import describe_math
from galfast.images.fits import read_fits
from galfast.images.pack import pack_images
from galfast.sim.galaxies import sim_catalog,sim_galaxy
from story import full_story

def loading(n, root, device, rotate):
    "An epoch of training batches"
    sky = few_galaxies(n, root, device)
    g,p = sky.galfast_dls(rotate=rotate).train,sky.plain_dls(rotate=rotate).train
    epoch = lambda dl: sum(len(b[0]) for b in dl)
    k = epoch(g)
    a,b = in_turns(lambda: epoch(g), lambda: epoch(p), device)
    return result(k/a, k/b, 'images/s', n, device, plain_workers=p.num_workers, augment=describe_augment(rotate))

def packing(n, root, device):
    "Whole images of 224 px into a pack on disk; beside it decoding alone, fastai's way, in one thread"
    sky,read = few_galaxies(n, root, device),ImageReader()
    def fresh():
        d = tempfile.mkdtemp(dir=root)
        pack_images(sky.files, d, read)
        shutil.rmtree(d)
    def plain():
        for f in sky.files: image2tensor(PILImage.create(f))
    fresh()
    a,b = in_turns(fresh, plain)
    return result(n/a, n/b, 'images/s', n, device)

def blog_fits(fn):
    "The tensor of the blog's `FITSImage.create`, in the words of NumPy 2"
    data = fits.getdata(fn).byteswap()
    return TensorImage(torch.from_numpy(data.view(data.dtype.newbyteorder())).flip(0).float())

def fits_reading(n, root, device):
    "Cubes of 3 x 224 x 224 float32, one at a time; beside the blog's snippet the shortest way through astropy, galfast's own way through it, and fitsio where it is installed"
    k = min(n, 400)
    flux = [sim_galaxy(r, size=224) for r in sim_catalog(16, seed=1).to_dict('records')]
    files = [Path(root)/f'{i}.fits' for i in range(k)]
    for i,f in enumerate(files): fits.PrimaryHDU(flux[i%16], fits.Header(dict(BANDS='gri'))).writeto(f)
    ways = dict(galfast=read_fits, blog=blog_fits, getdata=lambda f: torch.from_numpy(fits.getdata(f).astype(np.float32)), astropy=partial(read_fits, hdu=[0])) # a list of HDUs goes through astropy's
    try:
        import fitsio
        ways['fitsio'] = lambda f: torch.from_numpy(fitsio.read(f).astype(np.float32))
    except ImportError: pass
    def every(read):
        for f in files: read(f)
    rate = {m: k/np.median(t) for m,t in zip(ways, np.array([[seconds(partial(every, w))[0] for w in ways.values()] for _ in range(5)]).T)}
    return result(rate['galfast'], rate['blog'], 'files/s', k, device, **{f'{m}_files_per_s': v for m,v in rate.items() if m not in ('galfast','blog')})

def predicting(n, root, device):
    "A view of a galaxy by xresnet18. Plain fastai's `tta` takes five views, galfast's eight; beside them views one at a time, by `get_preds` for plain fastai"
    sky = few_galaxies(n, root, device)
    ours,plain = sky.galfast_learner('xresnet18', False, rotate=0.),sky.plain_learner('xresnet18', False, rotate=0.)
    k = len(ours.dls.valid_ds)
    def quiet(l, f, times=1):
        with l.no_bar():
            for _ in range(times): f(l)
    ways = partial(quiet, ours, lambda l: l.tta8()),partial(quiet, ours, lambda l: l.tta8(views=1), 8),partial(quiet, plain, lambda l: l.tta()),partial(quiet, plain, lambda l: l.get_preds())
    for w in ways[:2]: w()
    eight,ones,five,single = (float(o) for o in np.median([[seconds(w, device)[0] for w in ways] for _ in range(3)], 0))
    return result(8*k/eight, 5*k/five, 'views/s', k, device, one_view=8*k/ones, plain_one_view=k/single, eight_views_cost_single=8*eight/ones)

def training(n, root, device, arch, sa, epochs, seeds, lr=1e-2):
    "Training with loading and validation: the same network, first answers, optimizer, schedule and augmentation for both; RMSE on simulated galaxies that were held back, mean over seeds"
    sky,bs = many_galaxies(n, root, device),64
    rows = []
    for s in range(seeds):
        ours = sky.galfast_learner(arch, sa, bs=bs, seed=s)
        set_seed(s)
        plain = sky.plain_learner(arch, sa, bs=bs, scaled=True)
        t = [seconds(partial(fit, l, epochs, lr), device)[0] for l in (ours, plain)]
        rows.append((*t, *(l.recorder.values[-1][-1 if l is plain else l.recorder.metric_names.index('rmse')-1] for l in (ours, plain))))
    a,b,ea,eb = np.mean(rows, 0)
    k = epochs*len(ours.dls.train_ds)
    return result(k/a, k/b, 'images/s', n, device, epochs=epochs, seeds=seeds, rmse=float(ea), baseline_rmse=float(eb), rmse_ratio=float(ea/eb), math=describe_math(device, side=size), augment=describe_augment())

def memory(n, root, device):
    "The most memory of its own that a process takes to train on `n` and on 4 `n` galaxies of 144 px; plain fastai with no workers"
    few_galaxies(4*n, root, device)
    def peak(way, k):
        code = Path(__file__).with_name('memory.py')
        return float(subprocess.run([sys.executable, '-W', 'ignore', code, way, root, str(k), device], check=True, capture_output=True, text=True).stdout.split()[-1])
    a,b,c,d = peak('galfast', n),peak('galfast', 4*n),peak('plain', n),peak('plain', 4*n)
    return result(b, d, 'MB', 4*n, device, less_is_better=True, growth_from_a_quarter=b-a, baseline_growth=d-c)

def importing(n, root, device):
    "Until galfast, or fastai, is there, in a Python that has just started"
    def t(code):
        clock = f"import time; t = time.perf_counter(); exec({code!r}); print(time.perf_counter()-t)"
        return float(np.median([float(subprocess.run([sys.executable, '-W', 'ignore', '-c', clock], check=True, capture_output=True, text=True).stdout.split()[-1]) for _ in range(5)]))
    return result(t('import galfast'), t('from fastai.vision.all import *'), 's', 5, device, less_is_better=True, all_of_galfast=t('from galfast import *'), command=t('from galfast.cli import app'))

benchmarks = {'import': importing, 'fits-reading': fits_reading, 'packing': packing,
    'loading-augmented': partial(loading, rotate=10.), 'loading-crops': partial(loading, rotate=0.), 'predicting-tta': predicting,
    'training-xresnet18': partial(training, arch='xresnet18', sa=False, epochs=4, seeds=3), 'training-xresnet34-sa': partial(training, arch='xresnet34', sa=True, epochs=1, seeds=1),
    'memory': memory,
    'time-to-accuracy-metallicity': partial(time_to_accuracy, data='metallicity'), 'time-to-accuracy-morphology': partial(time_to_accuracy, data='morphology', folds=2),
    'full-story': full_story}

def write(name, res, out):
    "A row of Markdown, and a JSON file"
    out.mkdir(parents=True, exist_ok=True)
    (out/f'{name}.json').write_text(json.dumps(dict(name=name, **res), indent=1)+'\n')
    notes = ', '.join(f"{k.replace('_', ' ')} {v}" for k,v in list(res.items())[4:])
    print(f"| {name} | {res['galfast']:,} {res['unit']} | {res['baseline']:,} {res['unit']} | {res['ratio']:.3g} | {notes} |", flush=True)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('names', nargs='*', help=', '.join(benchmarks)+'; by default all')
    p.add_argument('--n', type=int, default=2560, help='images')
    p.add_argument('--device', default='cpu')
    p.add_argument('--out', type=Path, default=Path(__file__).parent/'results', help='folder of the JSON files')
    o = p.parse_args()
    if bad := set(o.names)-set(benchmarks): p.error(f"no benchmark is called {', '.join(bad)}")
    print('| benchmark | galfast | plain fastai | ratio | |\n|---|---|---|---|---|')
    for k in o.names or benchmarks:
        with tempfile.TemporaryDirectory() as d: write(k, benchmarks[k](o.n, d, o.device), o.out)

if __name__=='__main__': main()
