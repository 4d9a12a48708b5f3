"Tables beside images, several heads and labels in part, from the catalogue to the saved run"
import json

import numpy as np, pandas as pd, pytest, torch
from sklearn.preprocessing import StandardScaler

from galfast.base.core import CatalogError,GalfastError
from galfast.data.columns import *
from galfast.data.targets import *
from galfast.data.loaders import GalaxyDataLoaders,StratifiedSplitter
from galfast.data.heads import TargetHead,head_kinds,register_head
from galfast.base.labels import label_words
from galfast.training.learner import galaxy_learner,galaxy_multimodal,is_error
from galfast.results.predict import evaluate_predictions,predict_arrays,predict_catalog
from galfast.training.run import load_run,save_run
from galfast.sim.galaxies import sim_survey

@pytest.fixture(scope='module')
def survey(tmp_path_factory):
    d = tmp_path_factory.mktemp('survey')
    df = sim_survey(d, 40, size=24)
    df['site'] = np.where(np.arange(40)%3, 'north', 'south')
    df.loc[[1,7], 'r_mag'] = np.nan
    return d/'images',df

def fit(learn, n=1):
    with learn.no_bar(), learn.no_logging(): learn.fit(n, 1e-3)
    return learn

@pytest.fixture(scope='module')
def with_table(survey):
    images,df = survey
    dls = GalaxyDataLoaders.from_catalog(df, images, 'metallicity', size=24, bs=8, table=['r_mag','site'], device='cpu')
    return fit(galaxy_multimodal(dls, 'galnet', seed=0, arch_kw=dict(width=8)))

def test_table_survives_saving(with_table, survey, tmp_path):
    images,df = survey
    run = load_run(save_run(with_table, tmp_path/'run'), 'cpu')
    a,b = (predict_catalog(o, df, images, device='cpu') for o in (run, with_table))
    assert a.equals(b) and a.status.eq('ok').all()
    cfg = json.loads((tmp_path/'run/config.json').read_text())
    assert cfg['table']['classes']==[['north','south']] and 'weights' not in cfg['members'][0]['config']['net']

def test_table_is_fitted_to_the_training_set(survey):
    images,df = survey
    dls = GalaxyDataLoaders.from_catalog(df, images, 'metallicity', size=24, table=['r_mag'], valid=[0,1,2], device='cpu')
    assert np.isclose(dls.table.mean[0], df.r_mag[3:].fillna(df.r_mag[3:].median()).mean(), rtol=1e-6)

def test_predicting_odd_tables(with_table, survey):
    images,df = survey
    p = predict_catalog(with_table, df[:1].assign(site='moon', r_mag=np.nan), images, device='cpu') # one row, nothing known
    assert np.isfinite(p.metallicity_pred).all()
    with pytest.raises(CatalogError, match="no column 'r_mag'"): predict_catalog(with_table, df[['objID','site']], images, device='cpu')
    p = predict_catalog(with_table, pd.concat([df[:3], df[:1].assign(objID='404')]), images, device='cpu')
    assert list(p.status)==['ok']*3+['no image'] and np.isnan(p.metallicity_pred[3])
    q = predict_catalog(with_table, df[1:3], images, device='cpu')
    assert np.allclose(p.metallicity_pred[1:3], q.metallicity_pred, atol=1e-5) # each row has its own columns

def test_the_table_matters(with_table, survey):
    images,df = survey
    a,b = (predict_catalog(with_table, df.assign(r_mag=df.r_mag+o), images, device='cpu').metallicity_pred for o in (0,5))
    assert not np.allclose(a, b)

def test_encoder_of_sklearn_is_used_but_not_saved(survey, tmp_path):
    images,df = survey
    spec = table_spec(df, ['redshift','g_mag'], encoder=StandardScaler())
    learn = fit(galaxy_learner(GalaxyDataLoaders.from_catalog(df, images, 'metallicity', size=24, bs=8, table=spec, device='cpu'), 'galnet', seed=0, arch_kw=dict(width=8)))
    assert predict_catalog(learn, df, images, device='cpu').status.eq('ok').all()
    with pytest.raises(GalfastError, match='would run code'): save_run(learn, tmp_path/'run')

def test_mixed_heads_from_catalog_to_run(survey, tmp_path):
    images,df = survey
    df = df.assign(metallicity=df.metallicity.where(df.index%3>0), morphology=df.morphology.where(df.index%4>0), e=.05)
    with pytest.raises(CatalogError, match='no label'): GalaxyDataLoaders.from_catalog(df, images, 'metallicity,morphology', partial=True)
    dls = GalaxyDataLoaders.from_catalog(df, images, 'metallicity,morphology', partial=True, err=dict(metallicity='e'), on_error='missing', size=24, bs=8, device='cpu')
    assert len(dls.skipped)==((df.index%12)==0).sum()
    learn = fit(galaxy_learner(dls, 'galnet', seed=0, arch_kw=dict(width=8)))
    assert all(torch.isfinite(p).all() for p in learn.model.parameters())
    t = predict_catalog(load_run(save_run(learn, tmp_path/'run'), 'cpu'), df, images, device='cpu')
    e = evaluate_predictions(t, survey[1], 'metallicity,morphology', n_boot=10) # each head by the metrics of its kind
    assert set(zip(e.target, e.metric))>={('metallicity','rmse'), ('morphology','accuracy')}
    new = ~t.in_training # what it learned from is no test
    rmse = np.sqrt(((t.metallicity_pred-survey[1].metallicity)[new]**2).mean())
    assert 0<new.sum()<len(t) and np.isclose(e.value[e.metric=='rmse'].iloc[0], rmse, rtol=1e-4)
    assert np.allclose(t.filter(like='_prob_').sum(axis=1), 1, atol=1e-5) and t.metallicity_pred.between(8, 10).all() and set(t.morphology_pred)<=set(df.morphology.dropna())

def test_missing_labels_teach_nothing():
    "A step with labels missing is the step of those that are there"
    x,rng = np.random.default_rng(0).random((24,8,8,1), dtype=np.float32),np.random.default_rng(1)
    y = rng.random((24,2))
    y[::3,0] = np.nan
    dls = GalaxyDataLoaders.from_arrays(x, y, bs=8, device='cpu', partial=True, valid=[3,4], augment=[])
    learn = galaxy_learner(dls, 'cnn', seed=0, arch_kw=dict(filters=[4], hidden=[]))
    xb,yb = dls.one_batch()
    learn.loss_func(learn.model(xb), yb).backward()
    got = [p.grad.clone() for p in learn.model.parameters()]
    learn.model.zero_grad()
    d,there = (learn.model(xb)-yb.nan_to_num())/torch.tensor(dls.spec.heads[0].std),~yb.isnan()
    d[there].square().mean().backward()
    assert 0<there.sum()<16
    for a,p in zip(got, learn.model.parameters()): assert torch.allclose(a, p.grad, rtol=1e-4, atol=1e-6)
    assert all(torch.isfinite(p).all() for p in fit(learn).model.parameters())

def test_weights_follow_errors():
    "A label of huge error changes a fit as one that is not there"
    rng = np.random.default_rng(0)
    x = rng.random((32,8,8,1), dtype=np.float32)
    y = pd.DataFrame(dict(y=rng.random(32), e=.01))
    wild = y.copy(); wild.loc[:3,'y'] = 50; wild.loc[:3,'e'] = 1e6
    res = []
    for lab in (y, wild):
        dls = GalaxyDataLoaders.from_arrays(x, lab, err='e', bs=16, device='cpu', valid=[30,31], augment=[], stats=False)
        spec = dls.spec
        w = spec.weights(dls.df)
        assert w.shape==(32,1) and 0<=w.min() and w.max()<=1
        res.append(w)
    assert (res[1][:4]<1e-6).all() and np.allclose(res[0][4:], res[1][4:])

@pytest.mark.parametrize('valid,test', [(.175,.125), (.1,.2), (.3,.3)])
@pytest.mark.parametrize('n', [7, 40, 1001])
def test_three_way_split(valid, test, n):
    y = np.random.default_rng(n).choice(['a','b','c'], n, p=[.6,.3,.1])
    tr,va,te = (np.array(o) for o in StratifiedSplitter(valid, test, y=y)(y))
    assert sorted([*tr,*va,*te])==list(range(n))
    assert abs(len(va)-valid*n)<=1 and abs(len(te)-test*n)<=1.5
    for c in 'abc': assert abs((y[va]==c).sum()-valid*(y==c).sum())<=2 and abs((y[te]==c).sum()-test*(y==c).sum())<=3
    assert StratifiedSplitter(valid, test, y=y)(y)==StratifiedSplitter(valid, test)(y, y)

def test_multiloss_of_one_head_is_the_plain_loss():
    df = pd.DataFrame(dict(a=[0,1,1,0.], b=[1,1,0,0.]))
    spec = fit_spec(target_spec(df, ['a','b'], partial=True), df)
    z = torch.randn(4, 2)
    assert torch.allclose(MultiLoss(spec)(z, spec.tensors(df)[0]), torch.nn.functional.binary_cross_entropy_with_logits(z, torch.tensor(df.to_numpy(), dtype=torch.float32)))

def test_one_image_and_arrays(survey):
    x = np.random.default_rng(0).random((20,12,12,2), dtype=np.float32)
    learn = fit(galaxy_learner(GalaxyDataLoaders.from_arrays(x, ['a','b']*10, bs=4, device='cpu'), 'cnn', seed=0))
    one,all_ = predict_arrays(learn, x[:1], device='cpu'),predict_arrays(learn, x, ids=list('abcdefghijklmnopqrst'), device='cpu')
    assert np.allclose(one.y_prob_a, all_.y_prob_a[:1], atol=1e-5) and list(all_.objID[:2])==['a','b']
    with pytest.raises(GalfastError, match='no images'): predict_arrays(learn, x[:0], device='cpu')
    with pytest.raises(GalfastError, match='bands'): predict_arrays(learn, x[...,:1], device='cpu')

@pytest.mark.parametrize('name,less', [('valid_loss',True), ('train_rmse',True), ('flux_outlier_fraction',True), ('accuracy',False), ('valid_f1',False), ('r2',False)])
def test_what_is_an_error(name, less): assert is_error(name)==less

@pytest.fixture
def log_head():
    "The kind of target of log_head.py, known while a test runs"
    import log_head
    register_head(log_head.LogHead)
    yield
    for o in (head_kinds, label_words): del o['log']

def test_a_new_head_from_the_command(survey, tmp_path, log_head):
    "One class in one file, and it trains, predicts, evaluates and plots"
    from typer.testing import CliRunner

    from galfast.cli import app
    images,df = survey
    df = df.assign(mass=10**(df.metallicity+1))
    df.loc[3, 'mass'] = -1.
    df.to_csv(tmp_path/'a.csv', index=False)
    def galfast(*args):
        r = CliRunner().invoke(app, [str(o) for o in args])
        assert r.exit_code==0, r.output
        return r.output
    out,pred = tmp_path/'run',tmp_path/'p.csv'
    said = galfast('train', tmp_path/'a.csv', '--images', images, '--target', 'mass', '--task', 'log', '--out', out, '--quick')
    assert 'log of mass: 39 galaxies, 1 left out' in said and (out/'predictions.png').exists()
    run = load_run(out, 'cpu')
    assert type(run.spec.heads[0]).__name__=='LogHead' and run.spec.task=='log'
    galfast('predict', out, tmp_path/'a.csv', '--images', images, '--out', pred)
    p = pd.read_csv(pred)
    assert (p.status=='ok').all() and p.mass_pred.between(8, 11).all() # logarithms
    scores = evaluate_predictions(p, df, 'mass', task='log', with_training=True).set_index('metric')
    ok = df.mass>0
    assert np.isclose(scores.value.rmse, np.sqrt(((p.mass_pred-np.log10(df.mass.where(ok)))[ok]**2).mean()))
    assert 'rmse' in galfast('evaluate', pred, tmp_path/'a.csv', '--target', 'mass', '--task', 'log', '--with-training')

def test_register_head_needs_a_name():
    with pytest.raises(GalfastError, match='`task`'): register_head(TargetHead)

def test_the_config_of_every_kind_comes_back():
    "What JSON holds of a spec is all of it"
    df = pd.DataFrame(dict(z=[.1,.2,.3,.4]*5, kind=list('ESES')*5, bar=[0,1,1,0]*5, ring=[1,0,1,0]*5, a=[.2,.3,.4,.6]*5, b=[.8,.7,.6,.4]*5, e=[.01]*20))
    for kwargs in (dict(target='z', err='e'), dict(target='z,a'), dict(target='kind'), dict(target='bar,ring'), dict(target='a,b', task='votes'),
                   dict(target='z,kind,bar', task='mixed', partial=True, err=dict(z='e'))):
        spec = fit_spec(target_spec(df, **kwargs), df)
        again = TargetSpec.from_config(json.loads(json.dumps(spec.config)))
        assert again==spec and again.n_out==spec.n_out and again.outputs==spec.outputs, kwargs
    with pytest.raises(GalfastError, match="'ranking' is not known"): TargetSpec.from_config(dict(heads=[dict(kind='ranking', config=dict(columns=['z']))]))
