"Measured features: the same in any unit, finite for any image, and a sentence for what is too small"
import numpy as np, pytest, torch

from galfast.base.core import ImageError
from galfast.images.photometry import *
from galfast.sim.galaxies import sim_catalog,sim_galaxy

@pytest.fixture(scope='module')
def imgs(): return torch.stack([torch.tensor(sim_galaxy(row, bands='gri', size=64)) for _,row in sim_catalog(8, seed=3).iterrows()]).float()

def test_a_power_of_two_changes_no_bit(imgs):
    full = imgs.quantile(.995).item()
    a = Photometry(full=full)(imgs)
    assert a.shape==(8,178)
    for k in (2.**-99, 2.**-30, 2.**40, 2.**90): assert torch.equal(Photometry(full=full*k)(imgs*k), a), k

@pytest.mark.parametrize('seed', range(3))
def test_any_unit(imgs, seed):
    "Single precision: a pixel at the edge of an annulus or of an isophote may change sides"
    full = imgs.quantile(.995).item()
    a = Photometry(full=full)(imgs)
    for k in 10**np.random.default_rng(seed).uniform(-30, 30, 4):
        for x in ((imgs.double()*k).float(), imgs.double()*k):
            b = Photometry(full=full*k)(x)
            assert torch.isclose(a, b, rtol=1e-3, atol=1e-3).float().mean()>.998, k

def test_float64_beyond_float32(imgs):
    full = imgs.quantile(.995).item()
    for k in (1e-100, 1e100): torch.testing.assert_close(Photometry(full=full*k)(imgs.double()*k).median(), Photometry(full=full)(imgs).median(), rtol=1e-3, atol=1e-3)

@pytest.mark.parametrize('x', [torch.zeros(2,3,40,40), torch.full((2,3,40,40), 7.), torch.full((2,3,40,40), -3.), torch.full((2,1,33,57), torch.nan), torch.full((1,3,40,40), torch.inf),
                               -torch.rand(2,3,64,64), torch.rand(1,5,300,300)*1e38, torch.rand(2,3,64,64)*1e-38, torch.zeros(0,3,64,64), torch.full((2,3,64,64), 255, dtype=torch.uint8)],
                         ids='zero flat negative_flat nan saturated negative huge tiny none white'.split())
def test_finite_for_any_image(x):
    for full in (1., 255., 1e-30):
        f = Photometry(full=full)(x)
        assert f.shape==(len(x),len(Photometry().names(x.shape[1]))) and torch.isfinite(f).all()

def test_too_small():
    for s in ((8,8), (64,8), (8,64), (1,1)):
        with pytest.raises(ImageError, match=f'images of {s[1]} x {s[0]} px .* too small to be measured; 9 px are the least'): Photometry()(torch.rand(2,3,*s))
    with pytest.raises(ImageError, match='images of 8 px are too small to be measured'): Photometry(size=8)
    x = torch.rand(4,3,9,9)
    for size in (9,10,15,64): assert torch.isfinite(Photometry(size=size)(x)).all()

class Failing(Photometry):
    "Cannot measure images whose first pixel is 7"
    def measure(self, x):
        if (x[:,0,0,0]==7).any(): raise RuntimeError('no ellipse')
        return super().measure(x)

def test_one_that_cannot_be_measured_costs_none_of_the_others(imgs):
    from galfast.data.heads import NumberHead
    from galfast.data.targets import TargetSpec
    from galfast.training.gp import GaussianProcess,fit_photometry_gp
    from galfast.training.members import GalaxyModel
    from galfast.training.run import prediction_table
    x = torch.cat([imgs]*10)
    y = np.arange(80.)
    bad = [3,4,70]
    x[bad,0,0,0] = 7
    f,want = Failing()(x),torch.cat([Photometry()(o[None]) for o in x])
    ok = np.setdiff1d(range(80), bad)
    assert f[bad].isnan().all() and torch.isfinite(f[ok]).all()
    torch.testing.assert_close(f[ok], want[ok], rtol=1e-4, atol=1e-4)
    gp,loo = fit_photometry_gp(f, y) # of 77
    assert gp.config['n']==77 and np.isfinite(loo).all() and np.allclose(loo[bad], y[ok].mean())
    gp.measure = Failing()
    spec = TargetSpec([NumberHead(['z'])])
    p = GalaxyModel([GaussianProcess(gp)], spec)(x)[0].numpy()
    t = prediction_table(range(80), p, None, spec)
    assert np.flatnonzero(t.status!='ok').tolist()==bad and np.isnan(p[bad]).all()

def test_none_can_be_measured(imgs):
    from galfast.base.core import GalfastError
    from galfast.training.gp import fit_photometry_gp
    x = imgs.clone(); x[:,0,0,0] = 7
    with pytest.raises(GalfastError, match='could be measured'): fit_photometry_gp(Failing()(x), np.arange(8.))
