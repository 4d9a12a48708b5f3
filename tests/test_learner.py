"Seeds, shapes and losses of a `Learner`; what fastai promises of one is in test_contracts.py"
import random
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np, pandas as pd
import pytest
import torch
from fastai.vision.all import AvgMetric,Learner,MSELossFlat,PILImage,TensorBase
from PIL import Image

from galfast.networks.archs import build_model
from galfast.data.targets import MultiLoss,TargetSpec,fit_spec,target_spec
from galfast.base.core import GalfastError
from galfast.data.loaders import GalaxyDataLoaders
from galfast.training.learner import SeedEpochs,epoch_seeds,galaxy_learner
from galfast.data.losses import BinaryLoss,OneVsRest,ScaledMSE,ScaledRMSE,VoteLoss,rmse_loss
from galfast.data.metrics import root_mse
from galfast.results.plot import plot_predictions

n = 24

def first_of(o): return o[0] if isinstance(o, tuple) else o

@pytest.fixture(scope='module')
def sky(tmp_path_factory):
    "A folder of PNGs and a catalogue with labels of every kind"
    d,rng = tmp_path_factory.mktemp('sky'),np.random.default_rng(0)
    y,x = np.mgrid[:24,:24]-11.5
    r = rng.uniform(2, 6, n)
    for i in range(n):
        f = 200*np.exp(-np.hypot(x, y)/r[i])[...,None]*[1,.8,.6]+rng.uniform(5, 15, (24,24,3))
        Image.fromarray(f.clip(0, 255).astype('u1')).save(d/f'g{i}.png')
    u = rng.random(n)
    df = pd.DataFrame(dict(objID=[f'g{i}' for i in range(n)], oh=8+r/4, z=u, kind=np.where(r>4, 'large', 'small'), bar=(r>3).astype(int), arm=(u>.5).astype(int),
                           smooth=u, disc=1-u, odd=u**2, err=.1, mag=20-r))
    return d,df.assign(some=df.oh.where(df.index%3>0), type=df.kind.where(df.index%4>0))

def learner(sky, **kw):
    d,df = sky
    dls = GalaxyDataLoaders.from_catalog(df, d, size=24, bs=8, valid=[*range(4,10)], device='cpu', **kw)
    return galaxy_learner(dls, 'galnet', seed=0, arch_kw=dict(width=4), path=d)

@pytest.fixture(scope='module')
def one(sky): return learner(sky, target='oh')

def test_differences_are_item_by_item(one):
    "What a user writes without thinking of shapes"
    one.metrics = [AvgMetric(lambda p,y: (p-y).abs().mean())]
    with one.no_bar():
        (p,y),(q,z) = one.get_preds(),one.tta8()
        assert (p-y).shape==(q-z).shape==(6,) and np.isclose(one.validate()[1], (p-y).abs().mean().item(), rtol=1e-6)
        plot_predictions(z, q)
        plt.close('all')
        assert np.isclose(one.loss_func(p, y).item(), one.validate()[0], rtol=1e-5)

def test_predict_takes_what_a_user_has(one, sky):
    "A row, a path, an image"
    d,df = sky
    with one.no_bar(): res = [one.predict(o)[0] for o in (df.iloc[3], d/'g3.png', PILImage.create(d/'g3.png'))]
    assert np.allclose(res, res[0], rtol=1e-5)

def test_one_galaxy_in_the_validation_set(sky):
    d,df = sky
    for kw in (dict(target='oh'), dict(target='kind'), dict(target='oh', err='err')):
        dls = GalaxyDataLoaders.from_catalog(df, d, size=24, bs=8, valid=[3], device='cpu', **kw)
        learn = galaxy_learner(dls, 'galnet', seed=0, arch_kw=dict(width=4))
        with learn.no_bar(): p,y,l = learn.get_preds(with_loss=True)
        assert len(p)==len(first_of(y))==len(l)==1

@pytest.mark.parametrize('loss', (rmse_loss, MSELossFlat()))
def test_a_plain_learner_takes_networks_that_scale(one, loss):
    "fastai's own Learner, with a network of galfast's that answers in float64"
    learn = Learner(one.dls, build_model('galnet', 3, 1, width=4, y_mean=8.9, y_std=.3), loss_func=loss)
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
    assert np.isfinite(learn.recorder.log[1:-1]).all()

def losses():
    df = pd.DataFrame(dict(a=[.1,.2,np.nan,.4], kind=['a',None,'b','c']))
    spec = fit_spec(target_spec(df, ['a','kind'], partial=True), df)
    z,c = torch.randn(4, 3),torch.tensor([0,2,1,1])
    v = torch.rand(4, 3); v = v/v.sum(1, keepdim=True)
    return dict(rmse=(rmse_loss, z[:,:1], v[:,0]), mse=(ScaledMSE(.5), z[:,:1], v[:,0]), mse2=(ScaledMSE([.5,2.,1.]), z, v), root=(ScaledRMSE(.5), z[:,0], v[:,0]),
                votes=(VoteLoss(), z, v), questions=(VoteLoss(False), z, v), binary=(BinaryLoss(3., 1.), z[:,:2], c>1), rest=(OneVsRest(), z, c),
                multi=(MultiLoss(spec), torch.randn(4, spec.n_out), spec.tensors(df)[0]))

@pytest.mark.parametrize('name', losses())
def test_reductions(name):
    "'none' gives a loss a galaxy; its sum is 'sum', its mean is 'mean' but for roots and missing labels"
    f,z,y = losses()[name]
    def of(how):
        if not hasattr(f, 'reduction'): return f(z, y, reduction=how)
        f.reduction = how
        return f(z, y)
    mean,total,each = map(of, ('mean','sum','none'))
    assert each.shape==(4,) and mean.ndim==total.ndim==0
    alone = torch.stack([f(z[[i]], y[[i]]) for i in range(4)]) if hasattr(f, 'reduction') else torch.stack([f(z[[i]], y[[i]], reduction='none') for i in range(4)])
    assert torch.allclose(alone.flatten(), each, rtol=1e-5)
    if name not in ('mse2','questions'): assert torch.isclose(each.sum(), total, rtol=1e-5) # there 'sum' is over all labels
    if name not in ('rmse','root','multi'): assert torch.isclose(each.mean(), mean, rtol=1e-5)
    with pytest.raises(GalfastError, match="'most'"): of('most')

def draws(seed, epoch):
    "The first random numbers of an epoch: of torch, Python and NumPy"
    cb = SeedEpochs(seed)
    cb.learn = SimpleNamespace(dls=SimpleNamespace(train=None), epoch=epoch)
    cb.before_epoch()
    return torch.randint(2**62, (2,)).tolist(),[random.getrandbits(62) for _ in range(2)],np.random.randint(2**62, size=2).tolist() # noqa: NPY002

def unlike(streams): return all(len({str(o) for o in s})==len(s) for s in streams)

@pytest.mark.parametrize('seeds', (range(51), range(1000,1051), (-1,-42,2**31,2**32,2**32+1,2**63,2**80)))
def test_no_two_epochs_start_alike(seeds):
    got = [epoch_seeds(s, e) for s in seeds for e in range(100)]
    assert unlike([[o['torch']%2**32 for o in got], [o['python'] for o in got], [o['numpy'] for o in got]]) # torch's generator on a CPU takes 32 bits

@pytest.mark.parametrize('seed', (42, 1000, -1, 2**80))
def test_no_two_epochs_are_alike(seed):
    got = [draws(seed, e) for e in range(25)]
    assert unlike(zip(*got)) and unlike(got) and draws(seed, 7)==got[7]

def test_orders_of_epochs(one):
    dl,seen = one.dls.train,set()
    was = dl.order_seed,dl.epoch
    for s in (0, 1, 42, 1000, 1001, -1, 2**40):
        for e in range(100):
            dl.order_seed,dl.epoch = s,e
            seen.add(tuple(dl.shuffle_fn(list(range(18)))))
    dl.order_seed,dl.epoch = was
    assert len(seen)==700

@pytest.mark.parametrize('seed', (42, -3, 2**70))
def test_random_state_is_put_back(sky, seed):
    d,df = sky
    dls = GalaxyDataLoaders.from_catalog(df, d, 'oh', size=24, bs=8, device='cpu')
    two = [galaxy_learner(dls, 'galnet', seed=seed, arch_kw=dict(width=4)) for _ in range(2)]
    def state(): return torch.get_rng_state().tolist(),random.getstate(),[np.asarray(o).tolist() for o in np.random.get_state()] # noqa: NPY002
    before = state()
    for l in two:
        with l.no_bar(), l.no_logging(): l.fit(2, 1e-3)
    assert state()==before
    for p,q in zip(*[l.model.parameters() for l in two]): assert torch.equal(p, q)

def test_metrics_are_those_of_the_labels_unit(one):
    with one.no_bar():
        one.metrics = [rmse_loss]
        p,y = one.get_preds()
        assert np.isclose(one.validate()[1], root_mse(p, y), rtol=1e-5)
    assert isinstance(p, (torch.Tensor,TensorBase)) and p.dtype==torch.float64 and isinstance(one.spec, TargetSpec)
