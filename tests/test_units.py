"A unit carries no information: labels and pixels of any size teach the same, and come back in their unit"
import math

import numpy as np, pandas as pd
import pytest
import torch

from galfast.data.targets import target_spec
from galfast.data.loaders import GalaxyDataLoaders,GalaxyStack
from galfast.training.learner import galaxy_learner
from galfast.data.losses import ScaledMSE,ScaledRMSE,rmse_loss
from galfast.data.heads import scores
from galfast.networks.xresnets import ScaleOutput
from galfast.images.reader import ImageReader
from galfast.training.run import GalaxyRun,apply_err,fit_err,load_run,save_run
from galfast.train import choose_recipe
from galfast.training.answers import best_weight
from galfast.training.fitting import fit_recipe

units = (1e-30, 1e-17, 1e-10, 1e10, 1e30)
n,side = 48,24

def discs(seed=0):
    "Discs of different size with noise, float32 (n, side, side, 2), and the size"
    rng = np.random.default_rng(seed)
    r = rng.uniform(2, 6, n)
    y,x = np.mgrid[:side,:side]-(side-1)/2
    f = np.exp(-np.hypot(x, y)/r[:,None,None])[...,None]*[1,.6]
    return (f+rng.normal(0, .02, f.shape)).astype(np.float32),r+rng.normal(0, .05, n)

x,y = discs()

def answers(x, labels, task='auto', **kw):
    "Predictions (n,), one sigma, and the metrics of a small network of two epochs, on galaxies that it did not see"
    dls = GalaxyDataLoaders.from_arrays(x, labels, task=task, bs=8, device='cpu', valid=list(range(12)), ids=[f'g{i}' for i in range(n)])
    learn = galaxy_learner(dls, 'galnet', seed=1, arch_kw=dict(width=4), fast=False, **kw)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(2, 4e-3)
    run = GalaxyRun.from_learner(learn)
    pred,err = run.predict(dls.train.images, fast=False)
    return pred,err,dict(zip(learn.recorder.metric_names[1:], learn.recorder.log[1:]))

def alike(got, want, k=1., c=0., rtol=1e-3):
    "Are predictions, errors and metrics those of the labels before they became `k` times as large and `c` larger?"
    (p,e,m),(p0,e0,m0) = got,want
    scatter = p0.std()
    assert p.dtype==np.float64 and np.isfinite(p).all()
    assert np.abs((p-c)/k-p0).max()<rtol*scatter
    if e0 is not None: assert np.allclose(e/k, e0, rtol=rtol)
    for o in ('train_loss','valid_loss','r2','outlier_fraction'): # losses are in units of the scatter
        if o in m0: assert np.isclose(m[o], m0[o], rtol=rtol, atol=rtol), o
    for o in ('rmse','mae','nmad'): assert np.isclose(m[o]/k, m0[o], rtol=rtol), o

@pytest.fixture(scope='module')
def plain(): return answers(x, y)

@pytest.mark.parametrize('k', units+(1e41,))
def test_labels_of_a_network(plain, k): alike(answers(x, k*y), plain, k)

@pytest.mark.parametrize('k', (2.**-90, 2.**100))
def test_powers_of_two_change_no_bit(plain, k):
    p,e,m = answers(x, k*y)
    assert (p/k==plain[0]).all() and (e/k==plain[1]).all() and m['valid_loss']==plain[2]['valid_loss']

@pytest.mark.parametrize('k', (1e-3, 1., 10.))
def test_julian_dates(plain, k):
    "Days since the year -4712, with a scatter from minutes to days"
    alike(answers(x, 2459000.75+k*y), plain, k, 2459000.75)

@pytest.mark.parametrize('k', units)
def test_pixels_of_a_network(plain, k): alike(answers((k*x.astype(np.float64)).astype(np.float32), y), plain)

def test_the_unit_of_one_target_of_two(plain):
    two = np.stack([y, y**2], 1)
    p,e,_ = answers(x, two)
    q,f,_ = answers(x, two*[1e-30,1e30])
    assert np.allclose(q/[1e-30,1e30], p, rtol=1e-3) and np.allclose(f/[1e-30,1e30], e, rtol=1e-3)

def test_the_unit_of_a_number_beside_a_class():
    lab = pd.DataFrame(dict(a=y, kind=np.where(y>4, 'big', 'small')))
    (p,e,_),(q,f,_) = answers(x, lab),answers(x, lab.assign(a=1e-30*y))
    assert np.allclose(q[:,0]/1e-30, p[:,0], rtol=1e-3) and np.allclose(q[:,1:], p[:,1:], atol=1e-3)
    assert np.allclose(f[:,0]/1e-30, e[:,0], rtol=1e-3) and np.isnan(f[:,1:]).all()

def test_a_mean_square_and_ranger_are_neutral_too():
    one = lambda k: answers(x, k*y, loss_func=ScaledMSE((k*y[12:]).std()))
    alike(one(1e-17), one(1.), 1e-17)

def recipe(x, labels, k, seed=0, **kw):
    "What a recipe says of the galaxies that it held back, and its run"
    df = pd.DataFrame(dict(objID=[f'g{i}' for i in range(n)], y=labels))
    stack = GalaxyStack(df, torch.from_numpy(np.ascontiguousarray(x.transpose(0,3,1,2))), None, ImageReader('array'), 'objID', df[:0])
    run,held = fit_recipe(stack, target_spec(df, 'y', 'regression'), choose_recipe(n, 'regression', **kw), seed=seed, device='cpu')
    return run,held

@pytest.fixture(scope='module')
def quick(): return recipe(x, y, 1., quick=True)

def same_recipe(got, want, k=1., c=0., rtol=1e-3):
    (run,held),(run0,held0) = got,want
    assert np.abs((held.answer.mean-c)/k-held0.answer.mean).max()<rtol*held0.answer.mean.std()
    errs = [o.calibration.err[0][0] for o in (run, run0)]
    shares = [o.model.share('gaussian process') for o in (run, run0)]
    assert np.allclose(errs[0]/k, errs[1], rtol=rtol) and np.isclose(*shares, atol=rtol)

@pytest.mark.parametrize('k,c', [*((k,0.) for k in units+(1e41,)), (1.,2459000.75), (1e-3,2459000.75)])
def test_labels_of_the_quick_recipe(quick, k, c): same_recipe(recipe(x, k*y+c, k, quick=True), quick, k, c)

@pytest.mark.parametrize('k', units)
def test_pixels_of_the_quick_recipe(quick, k): same_recipe(recipe((k*x.astype(np.float64)).astype(np.float32), y, 1., quick=True), quick, rtol=1e-2)

def test_labels_of_the_whole_recipe(tmp_path):
    "Networks and Gaussian process, from training to the run on disk"
    want,got = (recipe(x, k*y, k, members=2, epochs=2, fast=False) for k in (1., 1e-30))
    same_recipe(got, want, 1e-30)
    stack = torch.from_numpy(np.ascontiguousarray(x.transpose(0,3,1,2)))
    (p,e),(q,f) = (load_run(save_run(o[0], tmp_path/str(i)), 'cpu').predict(stack, fast=False) for i,o in enumerate((want, got)))
    assert np.allclose(q/1e-30, p, rtol=1e-3) and np.allclose(f/1e-30, e, rtol=1e-3)

@pytest.mark.parametrize('k', (1., *units))
@pytest.mark.parametrize('loss', (ScaledMSE, ScaledRMSE))
def test_scaled_losses(loss, k):
    "A loss in units of the scatter is the same in any unit, and so is its slope before the output is scaled"
    rng = np.random.default_rng(0)
    for m in (2, 3, 20):
        p,t = rng.normal(size=(2,m))+rng.uniform(-3, 3)
        got = []
        for s in (1., k):
            z = torch.tensor(p, dtype=torch.float32, requires_grad=True)
            l = loss(s)(ScaleOutput(0., s)(z), torch.tensor(s*t))
            l.backward()
            got.append((l, z.grad))
        (a,g),(b,h) = got
        assert torch.isclose(a, b, rtol=1e-5) and torch.allclose(g, h, rtol=1e-4) and b.dtype==torch.float32

@pytest.mark.parametrize('k', (1., *units))
@pytest.mark.parametrize('m,missing', [(1,False), (2,True), (8,False), (8,True)])
def test_rmse_has_a_slope_everywhere(k, m, missing):
    "At the solution, beside missing labels, in any unit: finite, and that of the formula"
    inp = torch.full((m,1), k, dtype=torch.float32, requires_grad=True)
    targ = torch.full((m,), float(inp[0].detach()), dtype=torch.float64)
    if missing: targ[0] = math.nan
    rmse_loss(inp, targ).backward()
    assert (inp.grad==0).all()
    inp.grad = None
    loss = rmse_loss(inp, targ-k)
    loss.backward()
    known = m-missing
    assert torch.isfinite(inp.grad).all() and np.isclose(inp.grad.sum().item(), float(known>0), rtol=1e-4)

def test_rmse_is_the_formula():
    p,t = torch.randn(9, 1),torch.randn(9)
    def slope(f):
        q = p.clone().requires_grad_()
        f(q, t).backward()
        return q.grad
    assert torch.allclose(slope(rmse_loss), slope(lambda a,b: ((a[:,0]-b)**2).mean().sqrt()), atol=1e-6)

@pytest.mark.parametrize('k', units)
def test_one_sigma_in_any_unit(k):
    rng = np.random.default_rng(0)
    s = rng.uniform(.01, .1, 200)
    r = rng.normal(0, np.hypot(.05, s))
    (a,b),(c,d) = fit_err(r, s),fit_err(k*r, k*s)
    assert np.isclose(c/k, a, rtol=1e-9) and b==d and np.allclose(apply_err(k*s, (c,d))/k, apply_err(s, (a,b)))

@pytest.mark.parametrize('k', units)
def test_metrics_in_any_unit(k):
    p,t = torch.tensor(y+.1),torch.tensor(y)
    a,b = scores('regression', p, t),scores('regression', k*p, k*t)
    for o in ('rmse','mae','bias'): assert np.isclose(b[o]/k, a[o])
    assert np.isclose(a['r2'], b['r2'])

@pytest.mark.parametrize('k', units)
def test_weight_of_the_gaussian_process_in_any_unit(k):
    w = [best_weight(torch.tensor(s*np.stack([y+.1, y], 1)), torch.tensor(s*np.stack([y, y-.1], 1)), torch.tensor(s*np.stack([y, y], 1))) for s in (1, k)]
    assert w[0]==w[1]
