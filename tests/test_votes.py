"Votes of volunteers: the likelihood of counts, from the catalogue to the command"
import json,re,sys
from pathlib import Path

import numpy as np, pandas as pd, pytest, torch
from fastai.vision.all import Interpretation
from scipy.stats import multinomial
from typer.testing import CliRunner

from galfast.base.core import CatalogError,GalfastError,RunError
from galfast.cli import app
from galfast.data.heads import head_kinds
from galfast.data.loaders import GalaxyDataLoaders
from galfast.data.targets import TargetSpec,fit_spec,target_spec
from galfast.data.votes import *
from galfast.results.predict import evaluate_predictions,predict_catalog
from galfast.sim.galaxies import sim_survey
from galfast.train import train_galaxies
from galfast.training.gp import fit_photometry_gp
from galfast.training.learner import galaxy_learner,is_error
from galfast.training.run import load_run,save_run

root = Path(__file__).parent.parent
sys.path.insert(0, str(root/'benchmarks'))
import votes as bench # noqa: E402
sys.path.remove(str(root/'benchmarks'))

tree = bench.tree

@pytest.fixture(scope='module')
def survey(tmp_path_factory):
    "Images, votes, and the simulated galaxies"
    d = tmp_path_factory.mktemp('votes')
    df = sim_survey(d, 60, size=32)
    return d/'images',bench.cast_votes(df, 1).assign(metallicity=df.metallicity, kind=df.morphology),df

def vote_columns():
    qs = {q: o['answers'] if isinstance(o, dict) else o for q,o in tree['questions'].items()}
    return [f'{q}_{a}' for q,o in qs.items() for a in [*o, 'total']]

# the likelihood

def test_the_loss_is_the_likelihood_of_scipy():
    rng = np.random.default_rng(0)
    k = np.c_[rng.multinomial(30, [.2,.3,.5], 50), rng.multinomial(12, [.6,.4], 50)].astype(float)
    k[::3,3:] = np.nan
    z = torch.from_numpy(rng.normal(size=(50,5)))
    loss = VoteCountLoss([3,2], reduction='none')
    a,b = (o.double().numpy() for o in loss.activation(z.float()).split([3,2], 1))
    flat = multinomial(30, [1/3]*3).logpmf(k[:,:3])-30*np.log(1/3) # the number of orders, which no model changes
    want = -(multinomial(30, a).logpmf(k[:,:3])-flat)
    asked = ~np.isnan(k[:,3])
    orders = multinomial(12, [.5,.5]).logpmf(k[asked,3:])-12*np.log(.5)
    want[asked] -= multinomial(12, b[asked]).logpmf(k[asked,3:])-orders
    np.testing.assert_allclose(loss(z, torch.from_numpy(k)), want, rtol=1e-5)
    np.testing.assert_allclose(VoteCountLoss([3,2], 30)(z, torch.from_numpy(k)), want.mean()/30, rtol=1e-5)
    np.testing.assert_allclose(VoteCountLoss([3,2], 30, 'sum')(z, torch.from_numpy(k)), want.sum()/30, rtol=1e-5)

def test_the_best_answer_is_the_share_of_all_votes():
    "Forty votes count ten times as much as four"
    k = torch.tensor([[30.,10.], [0.,4.]])
    z = torch.zeros(2, requires_grad=True)
    opt = torch.optim.LBFGS([z], max_iter=100)
    def step():
        opt.zero_grad()
        loss = VoteCountLoss([2])(z.expand(2, 2), k)
        loss.backward()
        return loss
    opt.step(step)
    assert torch.allclose(z.detach().softmax(0), torch.tensor([30/44,14/44]), atol=1e-4)

def test_who_was_not_asked_teaches_exactly_nothing():
    rng = np.random.default_rng(0)
    x,df = rng.random((24,8,8,1), dtype=np.float32),pd.DataFrame(dict(q_a=rng.integers(1, 9, 24), q_b=rng.integers(0, 9, 24), r_x=0, r_y=0))
    df.loc[::3,['r_x','r_y']] = rng.integers(1, 5, (8,2))
    schema = dict(q=dict(answers=['a','b'], leads=dict(a='r')), r=['x','y'])
    dls = GalaxyDataLoaders.from_arrays(x, df, votes=schema, bs=8, device='cpu', valid=[3,4], augment=[])
    learn = galaxy_learner(dls, 'cnn', seed=0, arch_kw=dict(filters=[4], hidden=[]))
    xb,yb = dls.one_batch()
    z = learn.model(xb).detach().requires_grad_()
    learn.loss_func(z, yb).backward()
    none = torch.isnan(yb)
    assert 0<none.sum()<none.numel() and (z.grad[none]==0).all() and (z.grad[~none]!=0).all()
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
    assert all(torch.isfinite(p).all() for p in learn.model.parameters())
    assert [m.name for m in learn.metrics]==[f'{q}_{m}' for q in 'qr' for m in ('rmse','mae','deviance')]
    p,y = learn.get_preds()
    k = yb.new_tensor(df.iloc[[3,4]].to_numpy(float))
    q_rmse = np.sqrt(((p[:,:2]-k[:,:2]/k[:,:2].sum(1, keepdim=True))**2).mean(0)).mean()
    assert np.isclose(learn.validate()[1], q_rmse, rtol=1e-5)

def test_fastais_contracts(survey, tmp_path):
    images,df,_ = survey
    dls = GalaxyDataLoaders.from_catalog(df, images, votes=tree, size=32, bs=8, device='cpu')
    learn = galaxy_learner(dls, 'galnet', seed=0, arch_kw=dict(width=8))
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
    p,y,loss = learn.get_preds(with_loss=True)
    assert p.shape==y.shape==(12,8) and loss.shape==(12,)
    q,_ = learn.tta8()
    assert q.shape==p.shape
    for o in (p,q): assert torch.allclose(torch.stack([a.sum(1) for a in o.split([3,2,3], 1)]), torch.ones(3, 12), atol=1e-4)
    named,_,prob = learn.predict(dls.df.iloc[0])
    assert str(named[0]).startswith(('smooth','shape disk','artifact')) and len(prob)==8
    learn.export(tmp_path/'learner.pkl')
    learn.show_results(max_n=2)
    dls.show_batch(max_n=2)
    Interpretation.from_learner(learn).plot_top_losses(2)

def test_deviance_is_an_error(): assert is_error('bar_deviance') and is_error('valid_nll')

def test_a_process_of_a_question_that_nobody_was_asked():
    rng = np.random.default_rng(0)
    n = 40
    from galfast.images.photometry import Photometry
    d = len(Photometry(size=32).names(3))
    f,y = rng.normal(size=(n,d)),np.full((n,4), np.nan)
    y[:,0] = f[:,0]; y[[3],2] = .5 # one galaxy was asked
    gp,loo = fit_photometry_gp(torch.from_numpy(f), y, 3, 32)
    assert np.isfinite(loo).all() and (loo[:,1]==0).all() and all(torch.isfinite(o).all() for o in gp.buffers())

# from the catalogue to the run

def test_quick_run_of_votes_with_a_number_beside(survey, tmp_path):
    images,df,_ = survey
    df = df.assign(metallicity=df.metallicity.where(df.index%4>0))
    run = train_galaxies(df, images, 'metallicity', tmp_path/'run', votes=tree, partial=True, quick=True, device='cpu')
    assert run.spec.task=='mixed' and [o.task for o in run.spec.heads]==['regression','questions']
    assert len(run.info['metrics'])==4 and run.info['metrics']['metallicity']['rmse']['n']==45
    assert (tmp_path/'run/votes_questions.png').exists() and (tmp_path/'run/predictions_metallicity.png').exists()
    t = predict_catalog(load_run(tmp_path/'run', 'cpu'), df[['objID']][:5], images, device='cpu')
    assert t.status.eq('ok').all() and np.isclose(t.filter(regex='^edge_.*_pred$').sum(axis=1), 1).all()
    again = train_galaxies(df, images, 'metallicity', tmp_path/'run', votes=tree, partial=True, quick=True, device='cpu', resume=True)
    assert again.info['metrics']==run.info['metrics']

@pytest.mark.parametrize('asked', [1,3])
def test_a_question_asked_of_hardly_anybody(survey, tmp_path, asked):
    images,df,_ = survey
    few = df.index.isin(df.index[df.arms_total>0][:asked])
    df = df.assign(**{c: df[c].where(few, 0) for c in df if c.startswith('arms_')})
    run = train_galaxies(df, images, out=tmp_path/'run', votes=tree, members=2, epochs=1, size=32, device='cpu')
    assert run.info['metrics']['arms']['rmse']['n']==asked
    t = predict_catalog(run, df[:3], images, device='cpu')
    assert t.status.eq('ok').all() and np.allclose(t.filter(regex='^arms_.*_pred$').sum(axis=1), 1)

@pytest.fixture(scope='module')
def votes_run(survey, tmp_path_factory):
    images,df,_ = survey
    d = tmp_path_factory.mktemp('run')
    return d/'run',train_galaxies(df[:45], images, out=d/'run', votes=tree, members=2, epochs=2, size=32, device='cpu')

def test_a_run_comes_back(votes_run, survey, tmp_path):
    path,run = votes_run
    images,df,_ = survey
    a,b = (predict_catalog(o, df[45:], images, device='cpu') for o in (run, load_run(path, 'cpu')))
    pd.testing.assert_frame_equal(a, b)
    cfg = json.loads((path/'config.json').read_text())
    head, = cfg['heads']
    assert head['kind']=='questions' and head['config']['votes']['questions'][0]['name']=='shape' and head['config']['usual']>20
    assert TargetSpec.from_config(cfg)==run.spec
    assert {'votes.png','examples.png','worst.png','losses.png'}<={o.name for o in path.iterdir()}
    save_run(run, tmp_path/'copy')
    votes,columns = head['config']['votes'],head['config']['columns']
    for k,v in (('votes', 3), ('votes', dict(questions=[])), ('votes', votes|dict(kind='x')), ('usual', -1), ('columns', columns[:-1])):
        wrong = dict(head, config=head['config'] | {k: v})
        (tmp_path/'copy/config.json').write_text(json.dumps(cfg | dict(heads=[wrong])))
        with pytest.raises(RunError): load_run(tmp_path/'copy', 'cpu')

def test_evaluation_of_each_question(votes_run, survey):
    path,run = votes_run
    images,df,_ = survey
    t = predict_catalog(run, df, images, device='cpu')
    for o in (tree, path): # the run knows its questions
        e = evaluate_predictions(t, df, votes=o, n_boot=5)
        assert list(e.target.unique())==['shape','edge','arms'] and set(e.metric)=={'rmse','mae','deviance'}
        for q,k in tree['questions'].items():
            cols = [f'{q}_{a}' for a in (k['answers'] if isinstance(k, dict) else k)]
            new = ~t.in_training & (df[cols].sum(axis=1)>0)
            p,v = t[new][[f'{c}_pred' for c in cols]].to_numpy(),df[new][cols].to_numpy(float)
            f = v/v.sum(1, keepdims=True)
            mine = e[e.target==q].set_index('metric')
            assert np.isclose(mine.value.rmse, np.sqrt(((p-f)**2).mean(0)).mean()) and mine.n.rmse==new.sum()
            lost = [multinomial.logpmf(a, a.sum(), b)-multinomial.logpmf(a, a.sum(), c/c.sum()) for a,b,c in zip(v, f, p)]
            assert np.isclose(mine.value.deviance, 2*np.mean(lost), rtol=1e-5)
    one = evaluate_predictions(t, df[45:46], votes=tree, n_boot=5) # one galaxy
    assert one.n.eq(1).all()

def test_one_row_and_nobody_asked(survey):
    images,df,_ = survey
    spec = fit_spec(target_spec(df[:1], votes=dict(shape=tree['questions']['shape']['answers'])), df[:1])
    assert spec.heads[0].usual==df.shape_total[0] and spec.tensors(df[:1])[0].shape==(1,3)
    none = df.assign(arms_none=0, arms_tight=0, arms_loose=0, arms_total=0)
    assert [q.name for q in target_spec(none, votes=tree).heads[0].schema.questions]==['shape','edge']
    gone = none.assign(**{c: 0 for c in vote_columns()})
    with pytest.raises(CatalogError, match='no row has votes'): target_spec(gone, votes=tree)
    some = df.assign(**{c: df[c].where(df.index>2, np.nan) for c in vote_columns()})
    dls = GalaxyDataLoaders.from_catalog(some, images, votes=tree, size=32, on_error='missing', device='cpu')
    assert len(dls.skipped)==3 and dls.skipped.reason.eq('no label').all()

def test_what_votes_do_not_go_with(survey):
    _,df,_ = survey
    with pytest.raises(GalfastError, match='err'): target_spec(df, votes=tree, err='metallicity')
    with pytest.raises(GalfastError, match='task'): target_spec(df, votes=tree, task='regression')
    with pytest.raises(GalfastError, match='no target is named'): target_spec(df, [])
    assert target_spec(df, 'kind', votes=tree).task=='mixed' and head_kinds['questions'] is QuestionHead

# the command

def galfast(*args, code=0):
    r = CliRunner().invoke(app, [str(o) for o in args])
    assert r.exit_code==code, r.output
    return r.output

def test_the_command(survey, tmp_path):
    images,df,_ = survey
    df.to_csv(tmp_path/'a.csv', index=False)
    (tmp_path/'tree.toml').write_text('total = "{question}_total"\n[questions.shape]\nanswers = ["smooth","disk","artifact"]\nleads = {disk = "edge"}\n'
                                      '[questions.edge]\nanswers = ["yes","no"]\nleads.no = "arms"\n[questions]\narms = ["none","tight","loose"]\n')
    out,pred = tmp_path/'run',tmp_path/'p.csv'
    said = galfast('train', tmp_path/'a.csv', '--images', images, '--votes', tmp_path/'tree.toml', '--out', out, '--quick', '--device', 'cpu')
    assert 'questions of shape, edge, arms: 60 galaxies' in said and 'were asked' in said and 'mean share' in said
    assert all(re.search(rf'^{q} +\d+ ', said, re.M) for q in tree['questions'])
    galfast('predict', out, tmp_path/'a.csv', '--images', images, '--out', pred, '--device', 'cpu')
    p = pd.read_csv(pred)
    assert list(p)[1:9]==[f'{c}_pred' for c in vote_columns() if not c.endswith('total')]
    for o in (out, tmp_path/'tree.toml'):
        said = galfast('evaluate', pred, tmp_path/'a.csv', '--votes', o, '--with-training')
        assert all(re.search(rf'^{q} +\d+ ', said, re.M) for q in tree['questions']) and 'deviance' in said
    assert 'no target is named' in galfast('train', tmp_path/'a.csv', '--images', images, '--out', tmp_path/'b', code=2)
    assert "did you mean 'auto'" in galfast('train', tmp_path/'a.csv', '--images', images, '--votes', 'autos', '--out', tmp_path/'b', code=2)
    one = galfast('train', tmp_path/'a.csv', '--images', images, '--votes', 'edge_yes,edge_no', '--out', tmp_path/'c', '--quick', '--device', 'cpu')
    assert 'questions of edge: ' in one and (tmp_path/'c/votes.png').exists()

def test_the_benchmark_learns():
    "Three questions with known truth, one asked of a third: better than the mean for each"
    t,run = bench.run(160, seed=3, say=lambda s: None, quick=True, device='cpu')
    assert list(t.question)==['shape','edge','arms'] and t.asked.iloc[2]<t.asked.iloc[0]/2
    assert (t.truth<.75*t.truth_guess).iloc[:2].all() and (t.truth<t.truth_guess).all() and (t.noise<t.votes_guess).all()
