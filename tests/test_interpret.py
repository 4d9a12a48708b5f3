"Occlusion maps against closed forms and a plain loop, and what they must leave alone"
import copy

import numpy as np,pytest,torch
from fastai.vision.all import CrossEntropyLossFlat,nn,random
from scipy.ndimage import convolve

from galfast.base.core import GalfastError
from galfast.data.loaders import GalaxyDataLoaders
from galfast.results.interpret import *
from galfast.training.learner import galaxy_learner
from galfast.training.run import GalaxyRun,save_run

def stack(*shape, seed=0): return np.random.default_rng(seed).normal(2, 1, shape).astype(np.float32)
def before(ax): return (slice(None),)*ax # the axes before y

def naive(f, x, ax, k, stride, fill):
    "One image, one patch, one band at a time; the mean over the patches that covered a pixel, by counting"
    n,h,w = len(x),x.shape[ax],x.shape[ax+1]
    base,tot,cnt,direct = f(x),np.zeros((n,h,w)),np.zeros((h,w)),np.zeros((n,h,w))
    for cy in range((h-1)%stride//2, h, stride):
        for cx in range((w-1)%stride//2, w, stride):
            ys,xs = [range(max(c-(k-1)//2, 0), min(c-(k-1)//2+k, m)) for c,m in ((cy,h),(cx,w))]
            box = before(ax)+(slice(ys[0], ys[-1]+1),slice(xs[0], xs[-1]+1))
            o = x.copy()
            v = dict(mean=np.mean, median=np.median, zero=lambda x, *_, **__: np.zeros(1))[fill](x, axis=(ax,ax+1), keepdims=True)
            o[box] = np.broadcast_to(v, [1 if i in (ax,ax+1) else s for i,s in enumerate(x.shape)])
            d = f(o)-base
            direct[:,cy,cx] = d
            tot[:,ys[0]:ys[-1]+1,xs[0]:xs[-1]+1] += d[:,None,None]
            cnt[ys[0]:ys[-1]+1,xs[0]:xs[-1]+1] += 1
    return direct if stride==1 else np.where(cnt>0, tot/np.maximum(cnt, 1), np.nan)

shapes = {'(n, y, x)': ((2,9,12),1), '(n, band, y, x)': ((2,3,9,12),2), '(n, y, x, band)': ((2,9,12,3),1)}

@pytest.mark.parametrize('fill', ['mean','median','zero'])
@pytest.mark.parametrize('k,stride', [(1,1),(3,1),(4,1),(9,1),(3,2),(2,3),(4,3),(1,5),(3,20)])
@pytest.mark.parametrize('name', shapes)
def test_against_a_loop(name, k, stride, fill):
    shape,ax = shapes[name]
    x = stack(*shape).astype(float)
    w = np.random.default_rng(1).normal(size=shape[1:])
    f = lambda o: np.tanh((o*w).sum(tuple(range(1, o.ndim)))/20) # not linear, and no two pixels or bands alike
    m = occlusion_map(f, x, k, stride, fill, bs=50)
    assert (m.shape,m.dtype)==((2,9,12),np.float64)
    np.testing.assert_allclose(m, naive(f, x, ax, k, stride, fill), atol=1e-12)
    assert np.isnan(m).any()==(stride>k)

@pytest.mark.parametrize('k', [1,2,3,4,5])
def test_a_model_that_reads_one_pixel(k):
    x = stack(1,11,11)
    m = occlusion_map(lambda o: o[:,4,7], x, k, fill='zero')[0]
    lo,hi = (k-1)//2,k//2 # a patch centred on y hides y-lo to y+hi
    on = np.zeros((11,11), bool); on[4-hi:4+lo+1, 7-hi:7+lo+1] = True
    assert on.sum()==k*k
    np.testing.assert_allclose(m[on], -x[0,4,7], rtol=1e-6)
    assert (m[~on]==0).all()

def test_a_classifier_by_the_flux_in_the_centre():
    "Two classes by the sum of the central 5 x 5: the probability is a known function of what is left of it"
    x = np.zeros((1,21,21)); x[0,10,10] = 6.; x[0,2,2] = 50.
    def prob(o): p = 1/(1+np.exp(-(o[:,8:13,8:13].sum((1,2))-3))); return np.stack([1-p, p], 1)
    m = occlusion_map(prob, x, 3, fill='zero')[0]
    on = convolve((x[0]==6).astype(int), np.ones((3,3)), mode='constant')>0
    np.testing.assert_allclose(m[on], 1/(1+np.exp(3))-1/(1+np.exp(-3)))
    assert (m[~on]==0).all()
    np.testing.assert_allclose(occlusion_map(prob, x, 3, fill='zero', target=0)[0], -m, atol=1e-15)

def test_all_places_in_one_call():
    calls = []
    def f(o): calls.append(o.shape); return o.sum((1,2))
    occlusion_map(f, stack(1,21,21))
    assert calls==[(1,21,21),(441,21,21)]
    calls.clear(); occlusion_map(f, stack(3,21,21), bs=500)
    assert [o[0] for o in calls]==[3,500,500,323]

@pytest.mark.parametrize('bs', [1,7,80,81,82,1000])
def test_batches_do_not_matter(bs):
    x = stack(3,9,9)
    np.testing.assert_array_equal(occlusion_map(lambda o: o[:,4].prod(1), x, bs=bs), occlusion_map(lambda o: o[:,4].prod(1), x))

def test_normalised_after_hiding():
    x = stack(2,8,8)+100
    norm = lambda o: o/o.sum((1,2), keepdims=True)
    m = occlusion_map(lambda o: o[:,3,3], x, 1, fill='zero', normalize=norm)
    total = x.sum((1,2))[:,None,None]
    want = x[:,3,3,None,None]*(1/(total-x)-1/total); want[:,3,3] = -x[:,3,3]/total[:,0,0]
    np.testing.assert_allclose(m, want, rtol=1e-3)

def test_integers_are_filled_with_integers():
    x = np.random.default_rng(0).integers(0, 255, (1,3,8,8), dtype=np.uint8)
    seen = []
    occlusion_map(lambda o: seen.append(o) or o.sum((1,2,3), dtype=float), x, 8, stride=8)
    assert seen[1].dtype==np.uint8
    for b in range(3): assert (seen[1][0,b]==round(x[0,b].mean())).all() # the patch hides all
    with pytest.raises(GalfastError, match='fill=-5 does not fit into images of uint8'): occlusion_map(lambda o: o.sum((1,2,3)), x, fill=-5)

def test_nan_pixels_do_not_spoil_the_fill():
    x = stack(1,9,9).astype(float); x[0,0,0] = np.nan
    m = occlusion_map(lambda o: o[:,4,4], x)[0]
    np.testing.assert_allclose(m[4,4], np.nanmean(x)-x[0,4,4])

def test_input_is_not_written_to():
    x = stack(2,9,9); x.flags.writeable = False
    before = x.copy()
    occlusion_map(lambda o: o.sum((1,2)), x)
    assert (x==before).all()

def test_tensors_stay_tensors():
    x = stack(2,3,9,9)
    kinds = set()
    def f(o): kinds.add(type(o)); return o[:,:,4,4].sum(1)
    np.testing.assert_array_equal(occlusion_map(f, torch.tensor(x)), occlusion_map(f, x))
    assert kinds=={torch.Tensor,np.ndarray}

def learner(task='classification', x=None, n=24, arch='galnet', **kw):
    "Untrained, with batch norm that has seen data"
    x = np.random.default_rng(0).integers(0, 255, (n,3,16,16), dtype=np.uint8) if x is None else x
    y = np.array(['lens','no','odd'])[np.arange(n)%3] if task=='classification' else np.random.default_rng(1).normal(8.8, .2, (n,2) if task=='two' else n)
    dls = GalaxyDataLoaders.from_arrays(x, y, 'classification' if task=='classification' else 'regression', device='cpu', bs=8, seed=0)
    learn = galaxy_learner(dls, arch, arch_kw=dict(width=4) if arch=='galnet' else None, seed=0, fast=False, **kw)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, 1e-3)
    return learn,x

@pytest.mark.parametrize('task', ['classification','regression'])
@pytest.mark.parametrize('floats', [False,True])
def test_learner_against_its_own_predictions(task, floats, tmp_path):
    "fastai's own way for one hidden image: `test_dl` and `get_preds`"
    x = stack(24,16,16,3) if floats else None
    learn,x = learner(task, x)
    m = occlusion_map(learn, x[:2], 3, fill=0)
    run = GalaxyRun.from_learner(learn)
    for o in (run, save_run(run, tmp_path/'run')): np.testing.assert_allclose(occlusion_map(o, x[:2], 3, fill=0), m, atol=2e-5)
    o = x[:2].copy(); ax = 1 if floats else 2
    o[before(ax)+(slice(4,7),slice(8,11))] = 0
    raw = lambda z: run.predict(torch.tensor(z.transpose(0,3,1,2) if floats else z), tta=False, fast=False)[0]
    rows = np.arange(2); j = raw(x[:2]).argmax(1)
    np.testing.assert_allclose(m[:,5,9], raw(o)[rows,j]-raw(x[:2])[rows,j], atol=2e-5)

def test_learner_by_hand():
    "Bytes over 255, normalised with the training set's statistics, softmax"
    learn,x = learner()
    mean,std = [np.array(o)[:,None,None] for o in learn.dls.stats]
    def f(z):
        learn.model.eval()
        with torch.no_grad(): return learn.model(torch.tensor((z/255-mean)/std, dtype=torch.float32)).softmax(1).numpy()
    np.testing.assert_allclose(occlusion_map(learn, x[:2], 4, 2), occlusion_map(f, x[:2], 4, 2), atol=1e-5)
    assert isinstance(learn.loss_func, CrossEntropyLossFlat)
    m8 = occlusion_map(learn, x[:1], tta=True, target='odd')
    np.testing.assert_allclose(m8, occlusion_map(GalaxyRun.from_learner(learn), x[:1], tta=True, target=2), atol=1e-5)

def test_class_by_name_number_or_image():
    learn,x = learner()
    by = lambda t, n=2: occlusion_map(learn, x[:n], 5, 5, target=t)
    np.testing.assert_array_equal(by('no'), by(1))
    np.testing.assert_array_equal(by(['lens','no']), by(np.array([0,1])))
    np.testing.assert_array_equal(by(torch.tensor([0,1]))[1], by('no')[1])
    np.testing.assert_allclose(sum(by(i) for i in range(3)), 0, atol=1e-6) # probabilities add up to one
    for bad in ('star',3,-1,True,1.5):
        with pytest.raises(GalfastError, match='none of the model.s outputs: lens, no, odd, or 0 to 2'): by(bad)
    with pytest.raises(GalfastError, match='2 images, and 3 targets'): by([0,1,2])

def test_several_targets():
    learn,x = learner('two')
    with pytest.raises(GalfastError, match='2 outputs: say target='): occlusion_map(learn, x[:1], 5, 5)
    np.testing.assert_array_equal(occlusion_map(learn, x[:1], 5, 5, target='y1'), occlusion_map(learn, x[:1], 5, 5, target=1))

def test_model_and_loaders_are_left_alone():
    learn,x = learner()
    learn.model.train(); learn.model[0].eval() # a mixture, as of frozen batch norm
    modes = [m.training for m in learn.model.modules()]
    state,batch = copy.deepcopy(learn.model.state_dict()),learn.dls.valid.one_batch()[0]
    rand = torch.get_rng_state(),random.getstate()
    for o in (learn,learn.model): occlusion_map(o, x[:1], 4, 4)
    with pytest.raises(GalfastError): occlusion_map(learn, x[:1], 4, 4, target='star')
    assert [m.training for m in learn.model.modules()]==modes
    assert all((v==state[k]).all() for k,v in learn.model.state_dict().items())
    assert (torch.get_rng_state()==rand[0]).all() and random.getstate()==rand[1]
    assert (learn.dls.valid.one_batch()[0]==batch).all() and learn.dls.train.after_batch.split_idx==0
    np.testing.assert_array_equal(occlusion_map(learn, x[:2], 4, 4), occlusion_map(learn, x[:2], 4, 4))

def test_module_of_ones_own():
    x = stack(2,9,9)
    net = nn.Sequential(nn.Flatten(), nn.Linear(81, 2), nn.Dropout(.5), nn.Softmax(1))
    w,b = [o.detach().numpy() for o in net[1].parameters()]
    def f(o): e = np.exp(o.reshape(-1, 81)@w.T+b); return e/e.sum(1, keepdims=True)
    np.testing.assert_allclose(occlusion_map(net, x), occlusion_map(f, x), atol=1e-6)
    assert net.training

@pytest.mark.parametrize('x,kw,msg', [
    (stack(1,9,12), dict(k=10), 'patch of 10 px does not fit into images of 9 x 12'), (stack(1,9,9), dict(k=0), 'patch of 0 px'), (stack(1,9,9), dict(stride=0), 'stride is'),
    (stack(9,9), {}, r'shape \(9, 9\)'), (stack(0,9,9), {}, 'no images'), (stack(1,9,9), dict(fill='noise'), "not 'noise'"),
    (stack(1,3,9,3), {}, "channels='first'"), (np.array([['a']]), {}, 'images are numbers'), (stack(1,9,9), dict(model=3), 'not int'),
    (stack(1,9,9), dict(model=lambda o: o), r'model gave the shape \(1, 9, 9\) to 1 images'), (stack(2,9,9), dict(model=lambda o: o.sum()), r'shape \(\) to 2')])
def test_errors(x, kw, msg):
    with pytest.raises(GalfastError, match=msg): occlusion_map(kw.pop('model', lambda o: o.reshape(len(o), -1).sum(1)), x, **kw)
