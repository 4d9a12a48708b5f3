"What the benchmarks share: simulated galaxies, the blog's pipeline and galfast's on the same images, and timing in turns"
import io,time
from pathlib import Path

from fastai.vision.all import *
from PIL import Image as PILimage

from galfast.images.augment import GalaxyAugment
from galfast.data.loaders import GalaxyDataLoaders
from galfast.training.learner import galaxy_learner
from galfast.data.losses import rmse_loss
from galfast.networks.xresnets import ScaleOutput
from galfast.images.reader import ImageReader

window,size = 144,112 # The blog's: the central part that is kept of an image, the random crop of it that a network sees
shares = dict(p_dihedral=.5, p_rotate=.75) # Of the images that fastai's `aug_transforms(flip_vert=True)` flips, quarter turns and rotates

def describe_augment(rotate=10.): return f"both: random crop, one of eight orientations with p={shares['p_dihedral']}" + (f", rotation to {rotate:.0f} degrees with p={shares['p_rotate']}" if rotate else '')

class Galaxies:
    "A catalogue and a folder of 224 px JPEGs, and the two ways from them to batches and learners"
    def __init__(self, df, root, device, window=window, size=size): self.df,self.root,self.device,self.window,self.size = df,Path(root),torch.device(device),window,size
    @property
    def files(self): return [self.root/'images'/f'{o}.jpg' for o in self.df.objID]
    def plain_dls(self, bs=128, rotate=10., workers=None):
        "The blog's `DataLoaders`"
        tfms = aug_transforms(max_zoom=1., flip_vert=True, max_lighting=0., max_warp=0., max_rotate=rotate)
        block = DataBlock((ImageBlock, RegressionBlock), get_x=ColReader('objID', pref=f'{self.root}/images/', suff='.jpg'), get_y=ColReader('metallicity'),
                          splitter=IndexSplitter(range(int(.8*len(self.df)), len(self.df))), item_tfms=[CropPad(self.window), RandomCrop(self.size)], batch_tfms=[*tfms, Normalize])
        return block.dataloaders(self.df, bs=bs, device=self.device, num_workers=workers)
    def galfast_dls(self, bs=128, rotate=10.):
        "The same images, split and augmentation, with the same probabilities, from a pack"
        return GalaxyDataLoaders.from_catalog(self.df, self.root/'images', 'metallicity', reader=ImageReader(size=self.window, crop=self.window), bs=bs, device=self.device, pack=self.root/'pack',
                                              valid=list(range(int(.8*len(self.df)), len(self.df))), augment=GalaxyAugment(crop=self.size, max_deg=rotate, **shares))
    def plain_learner(self, depth, sa, bs=128, rotate=10., scaled=False, workers=None):
        "The blog's learner, on fastai as installed; `scaled` starts it at the mean and scatter of the targets, as galfast's"
        net = dict(xresnet18=xresnet18, xresnet34=xresnet34)[depth](n_out=1, sa=sa, act_cls=nn.Mish)
        y = self.df.metallicity[:int(.8*len(self.df))]
        if scaled: net = nn.Sequential(net, ScaleOutput(y.mean(), y.std(ddof=0)))
        return Learner(self.plain_dls(bs, rotate, workers), net, opt_func=ranger, loss_func=rmse_loss, metrics=rmse)
    def galfast_learner(self, depth, sa, bs=128, rotate=10., seed=0, **kwargs):
        return galaxy_learner(self.galfast_dls(bs, rotate), depth, dict(sa=sa), seed=seed, **kwargs)

def few_galaxies(n, root, device)->Galaxies:
    "`n` JPEGs in a moment: 64 simulated galaxies over and over, in random orientations"
    from galfast.sim.galaxies import sim_catalog,sim_galaxy,sim_rgb
    root,rng,gals = Path(root),np.random.default_rng(0),sim_catalog(64, seed=1)
    pics = [np.maximum(sim_rgb(sim_galaxy(r, size=224)), 6) for r in gals.to_dict('records')]
    (root/'images').mkdir(parents=True)
    which = rng.integers(0, 64, n)
    for i,k in enumerate(which):
        out = io.BytesIO()
        PILimage.fromarray(np.rot90(pics[k], rng.integers(4))).save(out, 'JPEG', quality=85)
        (root/'images'/f'{i}.jpg').write_bytes(out.getvalue())
    return Galaxies(pd.DataFrame(dict(objID=[str(i) for i in range(n)], metallicity=gals.metallicity.to_numpy()[which])), root, device)

def many_galaxies(n, root, device)->Galaxies:
    "`n` simulated galaxies, each another"
    from galfast.sim.galaxies import sim_survey
    return Galaxies(sim_survey(Path(root), n, seed=5, size=224)[['objID','metallicity']], root, device)

def seconds(f, device='cpu'):
    "Time of `f()`, and what it gives"
    sync = torch.cuda.synchronize if torch.device(device).type=='cuda' else noop
    sync(); t0 = time.perf_counter()
    res = f()
    sync()
    return time.perf_counter()-t0,res

def in_turns(a, b, device='cpu', times=3):
    "Medians of the times of `a` and `b`"
    t = np.array([(seconds(a, device)[0], seconds(b, device)[0]) for _ in range(times)])
    return np.median(t, 0)

def fit(learn, epochs, lr=1e-2):
    "Train quietly"
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, lr)

def result(galfast, baseline, unit, n, device, less_is_better=False, **more)->dict:
    "What a benchmark found; a ratio above one is in favour of galfast"
    res = dict(galfast=galfast, baseline=baseline, ratio=baseline/galfast if less_is_better else galfast/baseline, unit=unit, n=n, device=device_name(device), threads=torch.get_num_threads(), **more)
    return {k: float(f'{v:.4g}') if isinstance(v, float) else v for k,v in res.items()}

def device_name(device): return torch.cuda.get_device_name() if torch.device(device).type=='cuda' else 'cpu'
