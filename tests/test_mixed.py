"`galfast train` on targets of several kinds, on labels that are missing or uncertain, and with columns beside the image"
import json,shutil

import numpy as np, pandas as pd, pytest
from typer.testing import CliRunner

from galfast.cli import app
from galfast.base.core import CatalogError,GalfastError,RunError
from galfast.training.gp import fit_photometry_gp
from galfast.data.heads import ClassHead
from galfast.images.photometry import Photometry
from galfast.results.predict import evaluate_predictions,predict_catalog
from galfast.training.run import load_run
from galfast.base.configs import read_run_config
from galfast.sim.galaxies import sim_survey
from galfast.data.targets import target_spec
from galfast.train import TrainJob,missing_note,train_galaxies

n = 60
targets = ['metallicity','morphology','redshift']

@pytest.fixture(scope='module')
def survey(tmp_path_factory):
    d = tmp_path_factory.mktemp('survey')
    df = sim_survey(d, n, size=24, seed=1)
    rng = np.random.default_rng(0)
    df['oh_err'] = np.where(np.arange(n)%2, .02, .1)
    df['site'] = np.where(np.arange(n)%3, 'north', 'south')
    for c in targets: df[c] = df[c].mask(rng.random(n)<.3)
    df.loc[0, targets] = np.nan
    df.to_csv(d/'cat.csv', index=False)
    return d,df

def galfast(*args, code=0):
    r = CliRunner().invoke(app, [str(o) for o in args])
    assert r.exit_code==code, r.output
    return r.output

@pytest.fixture(scope='module')
def trained(survey):
    d,df = survey
    said = galfast('train', d/'cat.csv', '--images', d/'images', '--target', ','.join(targets), '--partial', '--err', 'metallicity=oh_err',
                   '--table', 'r_mag,site', '--epochs', 2, '--members', 2, '--out', d/'run')
    return d/'run',said

def test_the_summary_has_each_target(trained, survey):
    run,said = trained
    df = survey[1]
    told = json.loads((run/'metrics.json').read_text())['metrics']
    some = int(df[targets].notna().any(axis=1).sum())
    assert list(told)==targets and f'{some} galaxies, {n-some} left out' in said
    for t in targets:
        known = int(df[t].notna().sum())
        assert f'{n-known} lack {t!r}' in said and f'{t}: {known} galaxies' in said
        assert told[t]['rmse' if t!='morphology' else 'accuracy']['n']==known
    assert 'commonest class in training' in said and 'training mean' in said

def test_each_target_has_its_figures(trained):
    "In the file system and in the summary"
    run,said = trained
    names = ['predictions_metallicity.png', 'confusion_morphology.png', 'predictions_redshift.png', 'losses.png',
             *(f'{o}_{t}.png' for o in ('examples','worst') for t in targets if o=='examples' or t!='morphology')]
    for o in names: assert (run/o).exists() and o in said, o

def test_what_was_held_back_is_scored_where_it_is_known(trained, survey):
    run,df = trained[0],survey[1]
    p = pd.read_csv(run/'predictions.csv')
    told = json.loads((run/'metrics.json').read_text())['metrics']
    for t in ('metallicity','redshift'):
        ok = p[t].notna()
        assert np.isclose(told[t]['rmse']['value'], np.sqrt(((p[f'{t}_pred']-p[t])[ok]**2).mean()))
        assert np.isclose(told[t]['coverage']['value'], ((p[f'{t}_pred']-p[t]).abs()<=p[f'{t}_err'])[ok].mean())
    ok = p.morphology.notna()
    assert np.isclose(told['morphology']['accuracy']['value'], (p.morphology_pred==p.morphology)[ok].mean())
    assert 'morphology_err' not in p and len(p)==df[targets].notna().any(axis=1).sum()

def test_the_run_is_saved_whole(trained, survey):
    "Weights of the blend for each output, columns beside the image, errors; it predicts what the command predicts"
    run,(d,df) = load_run(trained[0], 'cpu'),survey
    assert [type(o).__name__ for o in run.spec.heads]==['NumberHead','ClassHead','NumberHead'] and run.spec.err=={'metallicity': 'oh_err'}
    w = run.model.share('gaussian process')
    assert len(w)==run.spec.n_out==5 and w[1]==w[2]==w[3] and len(set(w))>1
    assert run.table.columns==['r_mag','site'] and [o is None for o in run.calibration.err]==[False,True,True,True,False]
    galfast('predict', trained[0], d/'cat.csv', '--images', d/'images', '--out', d/'p.csv', '--overwrite')
    a,b = pd.read_csv(d/'p.csv', dtype=dict(objID=str)),predict_catalog(run, df, d/'images', device='cpu')
    assert (a.status=='ok').all() and np.allclose(a.redshift_pred, b.redshift_pred, rtol=1e-6)
    without = predict_catalog(run, df.assign(r_mag=df.r_mag.mean()+9, site='south'), d/'images', device='cpu')
    assert not np.allclose(without.redshift_pred, b.redshift_pred, rtol=1e-3) # the columns are seen
    s = evaluate_predictions(d/'p.csv', d/'cat.csv', targets, with_training=True).set_index(['target','metric']).n
    assert all(s[t].iloc[0]==df[t].notna().sum() for t in targets)

def test_a_weight_for_another_number_of_outputs_is_refused(trained, tmp_path):
    cfg = read_run_config(trained[0])
    del cfg['files']
    shutil.copy(trained[0]/'model.safetensors', tmp_path)
    (tmp_path/'config.json').write_text(json.dumps(cfg|dict(blend=dict(kind='shares', config=dict(shares={'gaussian process': [.5,.5]})))))
    with pytest.raises(RunError, match='a share has 2 entries for 5 outputs'): load_run(tmp_path, 'cpu')

def test_without_partial_a_galaxy_needs_all(survey, tmp_path):
    d,df = survey
    said = []
    run = train_galaxies(df, d/'images', targets, tmp_path/'run', 'cpu', say=said.append, members=0)
    both = int(df[targets].notna().all(axis=1).sum())
    assert run.info['n_train']==both and any('learns from those that have some' in o for o in said)
    assert run.spec.task=='mixed' and run.calibration.err[1] is None and not (tmp_path/'run/losses.png').exists()

def test_missing_note(survey):
    df = survey[1]
    note = missing_note(target_spec(df, ['metallicity','redshift']), df)
    assert note.startswith(f"of {n} galaxies {df.metallicity.isna().sum()} lack 'metallicity', {df.redshift.isna().sum()} lack 'redshift'")
    assert missing_note(target_spec(df, 'metallicity'), df)==''

def test_resume_needs_the_same_columns(survey, tmp_path):
    d,df = survey
    kw = dict(members=1, folds=False, epochs=1, gp_weight=0.)
    train_galaxies(df, d/'images', 'redshift', tmp_path/'run', 'cpu', table=['r_mag'], **kw)
    train_galaxies(df, d/'images', 'redshift', tmp_path/'run', 'cpu', table=['r_mag'], resume=True, **kw)
    with pytest.raises(RunError, match='other.*table'): train_galaxies(df, d/'images', 'redshift', tmp_path/'run', 'cpu', table=['site'], resume=True, **kw)
    other = df.assign(r_mag=df.r_mag+1)
    with pytest.raises(RunError, match='other catalog'): train_galaxies(other, d/'images', 'redshift', tmp_path/'run', 'cpu', table=['r_mag'], resume=True, **kw)

mistakes = [(('--table', 'nope'), "no column 'nope'"), (('--err', 'nope'), "no column 'nope'"), (('--table', 'redshift'), 'is a target'),
            (('--partial',), '--partial is for several targets'), (('--table', 'r_mag', '--quick'), '--table is seen by networks')]

@pytest.mark.parametrize('args,words', mistakes, ids=lambda o: '-'.join(o) if isinstance(o, tuple) else None)
def test_mistakes(args, words, survey, tmp_path):
    d = survey[0]
    assert words in galfast('train', d/'cat.csv', '--images', d/'images', '--target', 'redshift', '--out', tmp_path/'run', *args, code=2)

def test_the_process_learns_each_output_from_what_is_known():
    "As if the others were not in the table"
    rng = np.random.default_rng(0)
    f = rng.normal(size=(50, len(Photometry(size=24).names(3))))
    y = np.stack([f[:,0]+.1*rng.normal(size=50), f[:,1]+.1*rng.normal(size=50)], 1)
    some = y.copy()
    some[30:,1] = np.nan
    gp,loo = fit_photometry_gp(f, some, 3, 24)
    alone,l1 = fit_photometry_gp(f, y[:,:1], 3, 24)
    assert np.array_equal(loo[:,0], l1[:,0]) # a gap in one changes nothing in the other
    assert np.isfinite(loo).all() and (gp.alpha[30:,1]==0).all() and (gp.alpha[:30,1]!=0).all()
    assert gp.y_mean[1].item()==pytest.approx(some[:30,1].mean(), rel=1e-12)

def test_the_matrix_of_missing_classes():
    head = ClassHead(['k'], classes=['a','b'])
    assert np.array_equal(head.matrix(pd.DataFrame(dict(k=['b',None,'a']))), [[0,1],[np.nan,np.nan],[1,0]], equal_nan=True)

def test_columns_of_a_job():
    assert TrainJob(['z','oh'], err=dict(z='e'), table=['e','m']).columns==['z','oh','e','m']
    assert TrainJob(['z'], err='e').columns==['z','e'] and TrainJob(['z']).columns==['z']
    with pytest.raises(CatalogError): target_spec(pd.DataFrame(dict(z=[.1,.2], e=[-1.,'x'])), 'z', err='e')
    with pytest.raises(GalfastError, match='which target has its errors'): target_spec(pd.DataFrame(dict(a=[1.], b=[2.], e=[1.])), 'a,b', err='e')

def test_a_folder_without_a_catalogue(trained, survey, tmp_path):
    "A row a file, whose id is its name; the command and the library say the same"
    d,df = survey
    run = tmp_path/'run'
    galfast('train', d/'cat.csv', '--images', d/'images', '--target', 'redshift', '--quick', '--out', run)
    galfast('predict', run, '--images', d/'images', '--out', tmp_path/'all.csv')
    a = pd.read_csv(tmp_path/'all.csv', dtype=dict(objID=str))
    assert a.objID.tolist()==sorted(df.objID) and (a.status=='ok').all()
    b = predict_catalog(run, df, d/'images', device='cpu').set_index('objID').redshift_pred
    assert np.allclose(a.redshift_pred, b[a.objID], rtol=1e-12)
    assert np.allclose(predict_catalog(run, None, d/'images', device='cpu').redshift_pred, a.redshift_pred, rtol=1e-12)
    r = CliRunner().invoke(app, [str(o) for o in ('predict', trained[0], '--images', d/'images', '--out', tmp_path/'no.csv')])
    assert r.exit_code==2 and "no column" in r.output # this run sees columns beside the image

def test_files_of_others_stay(survey, tmp_path):
    "What only looks like a figure of a run is neither refused nor removed; figures of other targets go with their run"
    d,df = survey
    out = tmp_path/'run'
    out.mkdir()
    mine = [out/o for o in ('predictions_of_mine.png', 'ranked_by_me.csv', 'examples_old.png')]
    for o in mine: o.write_text('mine')
    kw = dict(device='cpu', members=0)
    train_galaxies(df, d/'images', ['metallicity','morphology'], out, **kw)
    assert (out/'confusion_morphology.png').exists()
    train_galaxies(df, d/'images', ['metallicity'], out, overwrite=True, **kw)
    assert all(o.read_text()=='mine' for o in mine)
    assert (out/'predictions.png').exists() and not (out/'confusion_morphology.png').exists()
