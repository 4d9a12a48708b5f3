"What has to hold on every device: the same numbers as on a processor. `benchmarks/gpu.py` runs these on a GPU"
import numpy as np,pytest,torch
from fastai.torch_core import TensorImage
from torch.nn import functional as F

from galfast.images.augment import *
from galfast.images.augment import _look_up_windows
from galfast.data.loaders import GalaxyDataLoaders
from galfast.training.fast import *
from galfast.training.gp import fit_photometry_gp
from galfast.training.learner import galaxy_learner
from galfast.images.photometry import Photometry

devices = ['cpu', pytest.param('cuda', marks=pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU'))]
each_device = pytest.mark.parametrize('device', devices)

def pixels(n=12, px=20, seed=0): return torch.randint(0, 256, (n,3,px,px), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))

@each_device
@pytest.mark.parametrize('kw', [dict(), dict(crop=16), dict(crop=16, max_deg=0), dict(p_dihedral=.5, p_rotate=.5), dict(zoom=(.9,1.1), max_shift=2.)])
def test_augmentation(device, kw):
    x = pixels()
    a,b = (GalaxyAugment(seed=1, **kw)(TensorImage(o), split_idx=0) for o in (x, x.to(device)))
    assert b.device.type==device and b.dtype==a.dtype
    torch.testing.assert_close(torch.as_tensor(b.cpu()), torch.as_tensor(a), rtol=1e-4, atol=1e-4)

@each_device
def test_windows(device):
    x,at,k = pixels(),torch.arange(12)%5,torch.arange(12)%8
    assert torch.equal(_look_up_windows(x.to(device), at, at, k, (16,16)).cpu(), take_windows(x, at, at, k, (16,16)))

@each_device
def test_normalised(device):
    norm = BandNormalize([.1,.2,.3], [.5,.6,.7])
    x = pixels()
    want = (x.double()/255-torch.tensor([.1,.2,.3])[:,None,None])/torch.tensor([.5,.6,.7])[:,None,None]
    norm.mean,norm.std = norm.mean.to(device),norm.std.to(device)
    torch.testing.assert_close(torch.as_tensor(norm(TensorImage(x.to(device))).cpu()).double(), want, rtol=1e-4, atol=1e-5)

@each_device
def test_mish(device):
    x = torch.randn(4,3,5,5, device=device, requires_grad=True)
    y = LeanMish()(x)
    torch.testing.assert_close(y, F.mish(x), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(*(torch.autograd.grad(o.sum(), x)[0] for o in (y, F.mish(x))), rtol=1e-5, atol=1e-5)

@each_device
@pytest.mark.parametrize('pack', [True, False])
def test_a_training_learns(device, pack):
    y = np.linspace(-1, 1, 48)
    grain = np.random.default_rng(0).normal(0, 5, (48,3,24,24)) # images of one colour are refused
    x = (128+100*y[:,None,None,None]+grain).astype(np.uint8)
    dls = GalaxyDataLoaders.from_arrays(x, y, channels='first', bs=12, device=torch.device(device), pack=pack, augment=GalaxyAugment(crop=20), num_workers=0)
    learn = galaxy_learner(dls, 'galnet', dict(width=4), opt_func=adamw, seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(8, 1e-2)
    assert next(learn.model.parameters()).device.type==device
    p,t = learn.tta8()
    assert p.device.type=='cpu' and np.corrcoef(p.numpy().ravel(), t.numpy().ravel())[0,1]>.9

@each_device
def test_measured_features_and_their_gaussian_process(device):
    yy,xx = torch.meshgrid(*[torch.arange(32)-15.5]*2, indexing='ij')
    s = torch.linspace(2, 5, 40)[:,None,None]
    x = torch.exp(-(xx**2+yy**2)/(2*s**2))[:,None].expand(40,3,32,32).contiguous()
    here,there = Photometry(size=32),Photometry(size=32).to(device)
    f = here(x)
    torch.testing.assert_close(there(x.to(device)).cpu(), f, rtol=1e-2, atol=1e-2)
    gp,loo = fit_photometry_gp(f, s.ravel().numpy(), 3, 32)
    assert np.abs(loo[2:-2,0]-s.ravel().numpy()[2:-2]).max()<.3
    with torch.inference_mode(): torch.testing.assert_close(gp.to(device)(x.to(device))[0].cpu()[:,0], s.ravel().double(), atol=.2, rtol=0.)

@each_device
def test_number_formats(device):
    assert isinstance(has_fast_bf16(device), bool) and device in describe_math(device)
