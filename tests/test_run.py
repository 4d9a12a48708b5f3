"Runs: what they remember, what they state, what they say of what they cannot do"
import hashlib,json,shutil

import numpy as np, pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file,save_file

from galfast.data.heads import ClassHead,NumberHead
from galfast.data.targets import TargetSpec
from galfast.base.core import GalfastError,RunError
from galfast.data.loaders import GalaxyDataLoaders
from galfast.training.answers import held_err
from galfast.training.gp import GaussianProcess,fit_photometry_gp
from galfast.training.learner import galaxy_learner
from galfast.images.photometry import Photometry
from galfast.results.predict import predict_catalog
from galfast.images.reader import ImageReader
from galfast.training.members import GalaxyModel
from galfast.training.nets import Network
from galfast.training.run import GalaxyRun,id_hashes,load_run,pick_device,prediction_table,save_run

n = 40

@pytest.fixture(scope='module')
def sky(tmp_path_factory):
    "A folder of PNGs and a catalogue whose label is the size"
    d,rng = tmp_path_factory.mktemp('sky'),np.random.default_rng(0)
    y,x = np.mgrid[:24,:24]-11.5
    r = rng.uniform(2, 6, n)
    for i in range(n):
        f = 200*np.exp(-np.hypot(x, y)/r[i])[...,None]*[1,.8,.6]+rng.uniform(5, 15, (24,24,3))
        Image.fromarray(f.clip(0, 255).astype('u1')).save(d/f'{10**18+i}.png')
    return d,pd.DataFrame(dict(objID=[str(10**18+i) for i in range(n)], size=r, kind=np.where(r>4, 'large', 'small')))

def learner(sky, target='size', **kw):
    d,df = sky
    dls = GalaxyDataLoaders.from_catalog(df, d, target, size=24, bs=8, device='cpu', **kw)
    learn = galaxy_learner(dls, 'galnet', seed=0, arch_kw=dict(width=4), fast=False)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(2, 4e-3)
    return learn

@pytest.fixture(scope='module')
def learn(sky): return learner(sky, valid=list(range(30)))

def a_run(arch='galnet', k=1, gp=False, **kw):
    net,view = dict(arch=arch, n_in=3, n_out=1, y_mean=[0.], y_std=[1.]),dict(mean=[0.]*3, std=[1.]*3)
    members = [Network.from_config(dict(net=net, view=view)) for _ in range(k)]
    spec = TargetSpec([NumberHead(['z'], mean=[0.], std=[1.])])
    x = torch.rand(12, 3, 24, 24)
    if gp: members.append(GaussianProcess(fit_photometry_gp(Photometry(24)(x), np.arange(12.), size=24)[0]))
    return GalaxyRun(GalaxyModel(members, spec).eval(), ImageReader(size=24), **kw)

@pytest.mark.parametrize('k,gp,want', [(0,True,'Gaussian process'), (2,False,'2 x galnet'), (1,True,'1 x galnet + Gaussian process')])
def test_every_run_can_be_printed(k, gp, want, tmp_path):
    run = a_run(k=k, gp=gp, info=dict(units=dict(z='dex'), n_train=1200, n_valid=300, metrics=dict(z=dict(rmse=dict(value=.0957, err=.0025)))))
    again = load_run(save_run(run, tmp_path/'run'), 'cpu')
    assert again.path==tmp_path/'run' and f'run        {tmp_path}/run' in repr(again)
    again.path = None
    lines = dict(o.split(maxsplit=1) for o in repr(run).splitlines())
    assert repr(again)==repr(run) and len(lines)<24 and lines['members']==want and lines['predicts']=='regression of z [dex]'
    assert lines['learned']=='from 1,200 galaxies' and lines['scores']=='z rmse 0.0957 ± 0.003'
    assert ('gaussian process 50%' in repr(run))==(k>0 and gp)

def test_a_run_of_several_targets_fits_a_screen():
    heads = [NumberHead([f'z{i}'], mean=[0.], std=[1.]) for i in range(40)]
    net = Network.from_config(dict(net=dict(arch='galnet', n_in=3, n_out=40), view={}))
    lines = repr(GalaxyRun(GalaxyModel([net], TargetSpec(heads)), ImageReader())).splitlines()
    assert len(lines)<24 and max(map(len, lines))<200

def test_hashes_of_ids():
    want = int.from_bytes(hashlib.sha256(b'1237648720693755918').digest()[:8], 'big')
    assert id_hashes(['1237648720693755918', 1237648720693755918]).tolist()==[want]*2
    h = id_hashes(range(10**5))
    assert h.dtype==np.uint64 and len(np.unique(h))==10**5 and id_hashes([]).shape==(0,)
    assert id_hashes(pd.Series(['é', 'a b', ''])).shape==(3,)

def test_a_run_knows_what_it_learned_from(learn, sky, tmp_path):
    d,df = sky
    run = load_run(save_run(learn, tmp_path/'run'), 'cpu')
    assert run.knows_its_galaxies and run.saw(df.objID).tolist()==[False]*30+[True]*10
    assert not run.saw(['1', *range(10**18+30,10**18+40)])[0] and run.saw(range(10**18+30,10**18+40)).all() and run.saw([]).shape==(0,)
    assert '1000000000000000031' not in (tmp_path/'run/config.json').read_text() # nobody is named
    old = a_run()
    assert not old.knows_its_galaxies and old.saw(df.objID).tolist()==[False]*n

def test_row_numbers_are_no_names():
    x = np.random.default_rng(0).random((20,12,12,1), dtype=np.float32)
    learn = galaxy_learner(GalaxyDataLoaders.from_arrays(x, np.arange(20.), bs=4, device='cpu'), 'cnn', seed=0)
    assert not GalaxyRun.from_learner(learn).knows_its_galaxies

def test_a_learner_states_honest_errors(learn, sky, tmp_path):
    "One sigma comes from the galaxies that were held back, and is kept"
    d,df = sky
    a = predict_catalog(learn, df, d, device='cpu', fast=False)
    b = predict_catalog(save_run(learn, tmp_path/'run'), df, d, device='cpu', fast=False)
    assert a.equals(b) and a.status.eq('ok').all() and (a.size_err>0).all()
    resid = (a.size_pred-df['size'])[:30]
    rms = np.sqrt((resid**2).mean())
    assert .5*rms<a.size_err.median()<1.6*rms and .45<(resid.abs()<a.size_err[:30]).mean()<.9
    info = json.loads((tmp_path/'run/config.json').read_text())['info']
    assert (info['n_train'],info['n_valid'],info['validation'])==(10,30,'held back')

def test_errors_of_numbers_only(sky, tmp_path):
    "A class has no one sigma; beside it a number keeps its own"
    d,df = sky
    t = predict_catalog(learner(sky, 'kind'), df[:2], d, device='cpu')
    assert not [c for c in t if c.endswith('_err')]
    run = load_run(save_run(learner(sky, 'size,kind'), tmp_path/'run'), 'cpu')
    t = predict_catalog(run, df[:2], d, device='cpu')
    assert [c for c in t if c.endswith('_err')]==['size_err'] and np.isfinite(t.size_err).all() and run.calibration.err[1:]==[None,None]

def test_a_run_without_errors_leaves_them_out(sky):
    d,df = sky
    run = a_run()
    assert run.predict(torch.rand(2,3,24,24))[1] is None
    assert list(predict_catalog(run, df[:2], d, device='cpu'))==['objID','z_pred','status']

def test_few_residuals_are_not_trusted():
    from scipy.stats import norm,t
    r = np.array([.1,-.2,.1])
    want = np.sqrt((r**2).mean())*t.ppf(norm.cdf(1), 3)
    assert np.isclose(held_err(r, r*0, 1.)[0], want) and held_err([], [], .3)==[.3,0.]

def test_what_is_not_finite_is_never_ok():
    spec = TargetSpec([NumberHead(['z'])])
    t = prediction_table(list('abcd'), np.array([[1.],[np.nan],[np.inf],[np.nan]]), None, spec, status=['ok','ok','ok','no image'], seen=[True,False,False,False])
    assert list(t.status)==['ok','no finite prediction','no finite prediction','no image'] and list(t)==['objID','z_pred','in_training','status']
    assert t.in_training.dtype==bool and t.in_training.tolist()==[True,False,False,False]
    kinds = prediction_table(['a'], np.array([[np.nan,.2]]), None, TargetSpec([ClassHead(['k'], classes=['E','S'])]))
    assert kinds.status[0]=='no finite prediction' and kinds.k_pred[0] is None

def test_runs_of_float32_are_read(learn, sky, tmp_path):
    "What older versions saved: the scale of the answers in float32, no marks of galaxies"
    d,df = sky
    run = load_run(save_run(learn, tmp_path/'run'), 'cpu')
    w = load_file(tmp_path/'run/model.safetensors')
    save_file({k: v.float() if v.dtype==torch.float64 else v for k,v in w.items()}, tmp_path/'run/model.safetensors')
    cfg = json.loads((tmp_path/'run/config.json').read_text())
    del cfg['files'] # they had no hashes either
    (tmp_path/'run/config.json').write_text(json.dumps(cfg|dict(info={}, ids=dict(column='objID'))))
    old = load_run(tmp_path/'run', 'cpu')
    a,b = (predict_catalog(o, df, d, device='cpu', fast=False) for o in (run, old))
    assert np.allclose(a.size_pred, b.size_pred, rtol=1e-6) and np.allclose(a.size_err, b.size_err, rtol=1e-5) and not old.knows_its_galaxies

def test_weights_of_another_run_are_refused(tmp_path):
    a,b = (save_run(a_run(k=2), tmp_path/o) for o in 'ab')
    shutil.copy(b/'model.safetensors', a/'model.safetensors')
    with pytest.raises(RunError, match='not the weights that were saved with this config.json'): load_run(a, 'cpu')
    cfg = json.loads((b/'config.json').read_text())
    assert cfg['files']=={'model.safetensors': hashlib.sha256((b/'model.safetensors').read_bytes()).hexdigest()}
    (a/'config.json').write_text(json.dumps({k: v for k,v in cfg.items() if k!='files'})) # of an older version
    load_run(a, 'cpu')
    (a/'config.json').write_text(json.dumps(cfg|dict(files={})))
    with pytest.raises(RunError, match='not the weights'): load_run(a, 'cpu')

@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize('name', ['members.0.0.0.0.weight', 'members.1.alpha', 'members.1.f_std'])
def test_weights_that_are_no_numbers_are_refused(name, value, tmp_path):
    path = save_run(a_run(k=1, gp=True), tmp_path/'run')
    w = load_file(path/'model.safetensors')
    w[name] = w[name].clone(); w[name].view(-1)[-1] = value
    save_file(w, path/'model.safetensors')
    cfg = json.loads((path/'config.json').read_text())
    (path/'config.json').write_text(json.dumps({k: v for k,v in cfg.items() if k!='files'}))
    with pytest.raises(RunError, match=f"NaN or infinity, such as '{name}'"): load_run(path, 'cpu')

def test_files_that_are_links_out_of_the_run_are_refused(tmp_path):
    path = save_run(a_run(), tmp_path/'run')
    (path/'model.safetensors').rename(tmp_path/'w'); (path/'model.safetensors').symlink_to(tmp_path/'w')
    with pytest.raises(RunError, match='leads out of'): load_run(path, 'cpu')
    (tmp_path/'other').symlink_to(path) # a run may be a link itself
    (path/'model.safetensors').unlink(); (tmp_path/'w').rename(path/'model.safetensors')
    load_run(tmp_path/'other', 'cpu')

def test_images_that_a_model_cannot_take(tmp_path):
    run = a_run('mlp')
    with pytest.raises(GalfastError, match='21'): run.predict(torch.rand(2,3,24,24))
    with pytest.raises(RunError, match='cannot predict 3 x 24 pixels'): a_run().predict(torch.rand(2,3,24), tta=False)

@pytest.mark.parametrize('k,gp', [(0,True), (1,True), (2,False)])
def test_a_galaxy_that_is_turned_gets_the_same_answer(k, gp, sky):
    "In each of its eight orientations, bytes with their many equal pixels, too; with one view the answer is that of the image as it is"
    read,(d,df) = ImageReader(),sky
    x = torch.stack([read(d/f'{i}.png').as_subclass(torch.Tensor) for i in df.objID])
    run = a_run(k=k, gp=gp)
    if gp: run.model.members[k] = GaussianProcess(fit_photometry_gp(Photometry(24)(x/255), df['size'].to_numpy(), size=24)[0])
    for o in (x[:12], torch.rand(12,3,24,24)):
        views = [v for a in (o, o.transpose(-1, -2)) for v in (a, a.flip(-1), a.flip(-2), a.flip(-1, -2))]
        p,q = (np.stack([run.predict(v, tta=t, fast=False)[0] for v in views]) for t in (True,False))
        assert np.abs(p-p[0]).max()<2e-6*np.abs(p).max() and (k or (p==p[0]).all())
        assert np.abs(q-q[0]).max()>1e-5 # with one view they differ

def test_names_and_units():
    run = a_run(info=dict(names=dict(z='redshift'), units=None))
    assert run.names=={'z': 'redshift'} and run.units=={'z': ''} and a_run().names=={'z': 'z'}

def test_what_cannot_be_a_run(learn, tmp_path):
    from fastai.learner import load_learner
    learn.export(tmp_path/'e.pkl')
    again = load_learner(tmp_path/'e.pkl')
    with pytest.raises(GalfastError, match='save_run'): GalaxyRun.from_learner(again)
    with pytest.raises(GalfastError, match='not at hand'): pick_device('mps')

def test_the_ten_lines_of_the_readme(sky, tmp_path, monkeypatch):
    import galfast as gf
    from galfast.results.plot import plot_predictions
    import matplotlib.pyplot as plt
    d,df = sky
    monkeypatch.chdir(tmp_path)
    df[:30].to_csv('catalog.csv', index=False)
    df[30:].to_csv('new.csv', index=False)
    dls = gf.GalaxyDataLoaders.from_csv('catalog.csv', d, target='size', size=64)
    learn = gf.galaxy_learner(dls, 'galnet', seed=1)
    with learn.no_bar(), learn.no_logging():
        learn.lr_find(num_it=5, show_plot=False)
        learn.fit_one_cycle(1, 1e-2)
        preds,trues = learn.tta8()
    plot_predictions(trues, preds, name='size', unit='px')
    plt.close('all')
    save_run(learn, 'run')
    table = predict_catalog('run', 'new.csv', d)
    assert preds.shape==trues.shape==(6,) and table.status.eq('ok').all() and (table.size_err>0).all() and not table.in_training.any()
    assert predict_catalog('run', 'catalog.csv', d).in_training.sum()==24
