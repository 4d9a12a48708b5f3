"A share of the images is turned; what is not resampled stays as it is to the bit; pixels may be in any unit"
import pickle

import numpy as np,pytest,torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders,Pipeline,TfmdDL
from fastai.learner import Learner
from fastai.losses import MSELossFlat
from fastai.torch_core import TensorImage,TensorMask
from fastai.vision.augment import aug_transforms
from torch import nn

from galfast.images.augment import *
from galfast.base.core import GalfastError

def images(n=60, c=3, h=12, w=12, dtype=torch.float32, seed=0, layout=torch.contiguous_format):
    x = torch.rand(n, c, h, w, generator=torch.Generator().manual_seed(seed))
    x = (x*256).to(dtype) if dtype==torch.uint8 else x
    return TensorImage(x.contiguous(memory_format=layout))

def go(aug, x): return aug(x, split_idx=0)
def same(a, b): return (a==b).flatten(1).all(1)
def numbers(x): return torch.as_tensor(x).float()/255 if x.dtype==torch.uint8 else torch.as_tensor(x)

layouts = torch.contiguous_format,torch.channels_last

@pytest.mark.parametrize('layout', layouts)
@pytest.mark.parametrize('dtype', [torch.float32, torch.uint8])
def test_nothing_turned_is_the_image_to_the_bit(dtype, layout):
    x = images(dtype=dtype, layout=layout)
    y = go(GalaxyAugment(p_dihedral=0, p_rotate=0), x)
    assert y.dtype==dtype and torch.equal(y, x) and type(y) is TensorImage

@pytest.mark.parametrize('crop', [None, 5, 6, 11])
@pytest.mark.parametrize('layout', layouts)
@pytest.mark.parametrize('dtype', [torch.float32, torch.uint8])
def test_in_a_mixed_batch_those_at_rest_are_pixels_of_the_image(dtype, layout, crop):
    x = images(dtype=dtype, layout=layout)
    aug = GalaxyAugment(crop=crop, p_dihedral=0, p_rotate=.5, seed=4)
    y = go(aug, x)
    mat,_,(y0,x0,k,_) = aug.drawn
    moved = (mat!=torch.eye(2)).flatten(1).any(1)
    side = crop or 12
    assert y.dtype==torch.float32 and 15<moved.sum()<45 and not k.any()
    for i in torch.nonzero(~moved)[:,0]: assert torch.equal(torch.as_tensor(y[i]), numbers(x)[i, :, y0[i]:y0[i]+side, x0[i]:x0[i]+side])
    assert not same(y[moved], torch.stack([numbers(x)[i, :, y0[i]:y0[i]+side, x0[i]:x0[i]+side] for i in torch.nonzero(moved)[:,0]])).any()

def test_quarter_turns_and_flips_of_those_at_rest_are_exact():
    x = images(400)
    y = go(GalaxyAugment(p_dihedral=.5, p_rotate=.3, seed=2), x)
    found = [[k for k in range(8) if torch.equal(torch.as_tensor(b), torch.as_tensor(dihedral_view(a, k)))] for a,b in zip(x, y)]
    at_rest = [o[0] for o in found if o]
    assert abs(len(at_rest)/400-.7)<.07 and all(len(o)<2 for o in found)
    assert abs(at_rest.count(0)/len(at_rest)-(.5+.5/8))<.08 and min(at_rest.count(k) for k in range(1, 8))>3

def test_the_share_is_that_of_fastai():
    "fastai's `Dihedral(p=.5)` draws one of eight, the first among them; `Rotate(p=.75)`"
    x = images(3000, 1, 5, 5)
    tfms = aug_transforms(max_zoom=1., flip_vert=True, max_lighting=0., max_warp=0., max_rotate=10.)
    torch.manual_seed(0)
    fa = Pipeline(tfms, split_idx=0)(TensorImage(x.clone()))
    moved = ((torch.as_tensor(fa)-torch.as_tensor(x)).abs().flatten(1).amax(1)>1e-4).float().mean()
    ours = (~same(go(GalaxyAugment(max_deg=10, p_dihedral=.5, p_rotate=.75, seed=1), x), x)).float().mean()
    assert abs(moved-ours)<.03 and abs(ours-(1-.25*(.5+.5/8)))<.03

def test_all_are_turned_by_default_and_take_the_numbers_they_took_before():
    x = images()
    y = go(GalaxyAugment(seed=5), x)
    g = torch.Generator().manual_seed(5)
    y0,x0 = (torch.randint(0, 1, (60,), generator=g) for _ in range(2))
    k = draw_orientations(60, True, gen=g)
    mat,shift = draw_affine(60, gen=g)
    assert torch.equal(torch.as_tensor(y), resample(torch.as_tensor(x), mat@dihedral_matrices(k), shift)) and not y0.any() and not x0.any()

def test_seeds():
    x = images()
    make = lambda s: GalaxyAugment(crop=8, p_dihedral=.5, p_rotate=.5, seed=s)
    a,copy = make(1),pickle.loads(pickle.dumps(make(1)))
    first = go(a, x)
    assert torch.equal(go(copy, x), first) and not torch.equal(go(a, x), first) and not torch.equal(go(make(2), x), first)
    torch.manual_seed(7); b = go(make(None), x)
    torch.manual_seed(7); assert torch.equal(go(make(None), x), b)

@pytest.mark.parametrize('kw', [dict(p_dihedral=.5, p_rotate=.5), dict(p_dihedral=0, p_rotate=.5, crop=16), dict(p_rotate=.5, zoom=(.8,1.2)), dict(p_dihedral=.5, max_deg=0)])
def test_masks_move_with_their_images(kw):
    im = torch.zeros(40, 1, 24, 24)
    im[:,:,6:12,4:17] = 1.
    for dtype in (torch.uint8, torch.long, torch.bool):
        i,m = Pipeline(GalaxyAugment(seed=3, **kw), split_idx=0)((TensorImage(im), TensorMask(im[:,0].to(dtype))))
        assert type(m) is TensorMask and m.dtype==dtype and m.any() and ((i[:,0]>.5)==(m>0)).float().mean()>.98

@pytest.mark.parametrize('fill', ['reflect','nearest','constant','wrap'])
def test_fills_leave_those_at_rest_alone(fill):
    x = images()
    y = go(GalaxyAugment(p_dihedral=0, p_rotate=.4, fill=fill, cval=7., seed=1), x)
    assert 20<same(y, x).sum()<55

def test_a_zoom_resamples_all_whatever_is_rotated():
    x = images()
    assert not same(go(GalaxyAugment(p_dihedral=0, p_rotate=0, zoom=(1.1,1.3)), x), x).any() and GalaxyAugment(p_rotate=0, zoom=(1.1,1.3)).resamples and not GalaxyAugment(p_rotate=0).resamples

@pytest.mark.parametrize('n', [0, 1, 2])
def test_small_batches(n):
    for p in (0, .5, 1, (0,1)):
        for dtype in (torch.uint8, torch.float32):
            y = go(GalaxyAugment(crop=8, p_dihedral=p, p_rotate=p), images(n, dtype=dtype) if n else TensorImage(torch.zeros(0,3,12,12, dtype=dtype)))
            assert y.shape==(n,3,8,8)

def test_oblong_images():
    x = images(40, 2, 7, 9)
    y = go(GalaxyAugment(p_rotate=.5, seed=1), x)
    views = torch.stack([torch.as_tensor(dihedral_view(x, k)) for k in range(4)])
    assert y.shape==x.shape and 8<(views==torch.as_tensor(y)).flatten(2).all(2).any(0).sum()<32

def test_validation_is_never_turned():
    x = images()
    assert torch.equal(GalaxyAugment(p_dihedral=.5, p_rotate=.5)(x, split_idx=1), x)

@pytest.mark.parametrize('bad', [-.1, 1.1, 'half', (0,), (0,2), (0,.5,1), None, float('nan')])
def test_what_is_no_share(bad):
    for k in ('p_dihedral','p_rotate'):
        with pytest.raises(GalfastError, match=k): GalaxyAugment(**{k: bad})

class Seen(Callback):
    "The share that was turned in each epoch"
    order = -50
    def __init__(self, aug): self.aug,self.shares = aug,[]
    def before_epoch(self): self.shares.append(self.aug.share(self.aug.p_rotate))

def learner(aug):
    x,y = torch.rand(8, 1, 6, 6),torch.rand(8, 1)
    dl = TfmdDL([(TensorImage(a),b) for a,b in zip(x, y)], bs=4, num_workers=0, after_batch=[aug])
    return Learner(DataLoaders(dl, dl), nn.Sequential(nn.Flatten(), nn.Linear(36, 1)), loss_func=MSELossFlat())

def shares(aug, *args, **kwargs):
    learn = learner(aug)
    seen = Seen(learn.dls.train.after_batch.fs[0])
    with learn.no_bar(), learn.no_logging(): learn.fit(*args, cbs=[AugmentProgress(), seen], **kwargs)
    return seen.shares

def test_a_share_grows_with_the_epoch():
    assert shares(GalaxyAugment(p_rotate=(0,1)), 5)==[0., .25, .5, .75, 1.]
    assert shares(GalaxyAugment(p_rotate=(1,.5)), 3)==[1., .75, .5]
    assert shares(GalaxyAugment(p_rotate=.5), 3)==[.5]*3
    assert shares(GalaxyAugment(p_rotate=(0,1)), 1)==[0.]

def test_a_run_that_goes_on_has_the_shares_it_would_have_had():
    assert shares(GalaxyAugment(p_rotate=(0,1)), 5, start_epoch=3)[-2:]==[.75, 1.]

def test_without_a_training_loop_it_is_the_last():
    aug = GalaxyAugment(p_rotate=(0,1))
    assert aug.share(aug.p_rotate)==1.

units = [10.**k for k in range(-30, 31, 6)]

@pytest.mark.parametrize('unit', units)
def test_normalised_pixels_know_no_unit(unit):
    x = np.random.default_rng(0).normal(5, 3, (4,3,6,5))
    mean,std = x.mean((0,2,3)),x.std((0,2,3))
    want = (x-mean[:,None,None])/std[:,None,None]
    for layout in layouts:
        t = TensorImage(torch.from_numpy((x*unit).astype(np.float32)).contiguous(memory_format=layout))
        norm = BandNormalize(mean*unit, std*unit)
        y = norm(t)
        np.testing.assert_allclose(y.numpy(), want, atol=3e-6)
        np.testing.assert_allclose(norm.decode(y).numpy()/unit, x, rtol=1e-5, atol=1e-5)

def test_a_constant_band_is_zero():
    y = BandNormalize([3., 1.], [0., 2.])(TensorImage(torch.stack([torch.full((2,4,4), 3.), torch.ones(2,4,4)], 1)))
    assert torch.equal(torch.as_tensor(y), torch.zeros(2,2,4,4))

@pytest.mark.parametrize('unit', units)
def test_turned_pixels_know_no_unit(unit):
    x = images()
    make = lambda: GalaxyAugment(crop=8, p_dihedral=.5, p_rotate=.5, seed=1)
    a,b = go(make(), x),go(make(), TensorImage(torch.as_tensor(x)*unit))
    np.testing.assert_allclose((b.double()/unit).numpy(), a.double().numpy(), atol=1e-6)
