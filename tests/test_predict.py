"What is predicted of which galaxies, and which of them are judged"
import shutil
from pathlib import Path

import numpy as np, pandas as pd
import pytest

from galfast.base.core import CatalogError,GalfastError
from galfast.sim.galaxies import sim_survey

predict = pytest.importorskip('galfast.results.predict')
from galfast.data.loaders import GalaxyDataLoaders
from galfast.training.learner import galaxy_learner
from galfast.training.run import save_run
from galfast.train import train_galaxies

@pytest.fixture(scope='module')
def survey(tmp_path_factory):
    d = tmp_path_factory.mktemp('predict')
    return d/'images',sim_survey(d, 40, size=40, seed=5)

@pytest.fixture(scope='module')
def run(survey, tmp_path_factory):
    images,df = survey
    return train_galaxies(df[:30], images, 'metallicity', tmp_path_factory.mktemp('run')/'r', quick=True, device='cpu')

def test_galaxies_that_were_learned_from_are_marked_and_left_out(survey, run, tmp_path):
    images,df = survey
    p = predict.predict_catalog(run.path, df, images, device='cpu')
    assert list(p.in_training)==[True]*30+[False]*10
    e = predict.evaluate_predictions(p, df, 'metallicity')
    d = (p.metallicity_pred-df.metallicity)[30:]
    e1 = e.set_index('metric')
    assert e.n.eq(10).all() and e.attrs['in_training']==30 and e1.value['rmse']==pytest.approx(np.sqrt((d**2).mean()))
    assert e1.baseline['rmse']==pytest.approx(np.sqrt(((df.metallicity[30:]-df.metallicity[:30].mean())**2).mean())) # the mean of the training labels
    assert e1.value['coverage']==(d.abs()<=p.metallicity_err[30:]).mean()
    assert predict.evaluate_predictions(p, df, 'metallicity', with_training=True).n.eq(40).all()
    with pytest.raises(CatalogError, match='learned from all 30'): predict.evaluate_predictions(p, df[:30], 'metallicity')
    for f in ('p.csv', 'p.fits', 'p.parquet', 'p.ecsv'): # the mark outlives each format
        from galfast.base.tables import write_table
        assert predict.evaluate_predictions(write_table(p, tmp_path/f), df, 'metallicity').n.eq(10).all()

def test_held_back_predictions_are_judged(survey, run):
    e = predict.evaluate_predictions(run.path/'predictions.csv', survey[1], 'metallicity').set_index('metric')
    assert e.n.eq(30).all() and e.value['rmse']==pytest.approx(run.info['metrics']['metallicity']['rmse']['value'])

def test_a_learner_states_its_errors(survey, tmp_path):
    "README's ten lines: no NaN goes with ok"
    images,df = survey
    dls = GalaxyDataLoaders.from_catalog(df, images, target='metallicity', size=24, bs=8, device='cpu')
    learn = galaxy_learner(dls, 'galnet', seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, 1e-2)
    save_run(learn, tmp_path/'run')
    t = predict.predict_catalog(tmp_path/'run', df, images, device='cpu')
    ok = t[t.status=='ok']
    assert len(ok)==40 and ok.select_dtypes('number').notna().all().all() and 'metallicity_err' in t
    assert t.in_training.sum()==len(dls.splits[0])

def table(ids, z): return pd.DataFrame({'objID': ids, 'z_pred': z, 'z_err': .1})

def test_ids_of_any_type_meet():
    ids = np.arange(5)+1237648674532688000
    true = pd.DataFrame({'objID': [str(o) for o in ids], 'z': [.1,.22,.3,.41,.5]})
    for o in (ids, ids.astype(str), pd.array([*ids], dtype='Int64')): assert predict.evaluate_predictions(table(o, true.z), true, 'z').n.eq(5).all()
    with pytest.raises(CatalogError, match='the predictions have .*; the catalogue has'): predict.evaluate_predictions(table(ids+5, true.z), true, 'z')

def test_a_galaxy_counts_once():
    true = pd.DataFrame({'objID': list('abcde'), 'z': [.1,.22,.3,.41,.5]})
    p = table(list('abcde'), true.z+.1)
    e = predict.evaluate_predictions(pd.concat([p, p[:2]]), pd.concat([true, true[3:]]), 'z')
    assert e.n.eq(5).all() and e.value[0]==pytest.approx(.1)
    with pytest.raises(CatalogError, match='more than once, such as a'): predict.evaluate_predictions(pd.concat([p, table(['a'], [.9])]), true, 'z')

def test_what_is_left_out_is_counted():
    true = pd.DataFrame({'objID': list('abcde'), 'z': [.1,.22,np.nan,.41,.5]})
    p = table(list('abcdx'), [.1,np.nan,.3,.4,.5])
    e = predict.evaluate_predictions(p, true, 'z')
    assert e.n.eq(2).all() and {k: e.attrs[k] for k in ('not_in_both','not_predicted','no_label')}==dict(not_in_both=1, not_predicted=1, no_label=1)

def test_a_status_tells_no_path(survey, run, tmp_path):
    images,df = survey
    mine = Path(shutil.copytree(images, tmp_path/'images'))
    (mine/f'{df.objID[0]}.jpg').write_bytes(b'')
    p = predict.predict_catalog(run, df[:3], mine, device='cpu')
    assert p.status[0].startswith(f'{df.objID[0]}.jpg: ') and 'empty' in p.status[0] and np.isnan(p.metallicity_pred[0])

def test_names_with_commas(survey, tmp_path):
    images,df = survey
    name = '12+log(O/H), dex'
    df = df.rename(columns={'metallicity': name})
    r = train_galaxies(df, images, [name], tmp_path/'r', quick=True, device='cpu')
    p = pd.read_csv(r.path/'predictions.csv', dtype={'objID': str})
    assert predict.evaluate_predictions(p, df, name).target.eq(name).all()
    with pytest.raises(GalfastError, match='12\\+log'): predict.evaluate_predictions(p, df.drop(columns=name), name)

@pytest.mark.parametrize('order', ['yxc', 'cyx', 'float'])
def test_pixels_of_a_jpeg_run_give_what_the_files_give(survey, run, order):
    from PIL import Image
    images,df = survey
    x = np.stack([np.asarray(Image.open(images/f'{o}.jpg').convert('RGB')) for o in df.objID[:6]])
    if order!='yxc': x = x.transpose(0,3,1,2)
    got = predict.predict_arrays(run, x.astype('f4') if order=='float' else x)
    files = predict.predict_catalog(run, df[:6], images, device='cpu')
    np.testing.assert_allclose(got.metallicity_pred, files.metallicity_pred, atol=1e-6)
    np.testing.assert_allclose(got.metallicity_err, files.metallicity_err, atol=1e-6)

@pytest.mark.parametrize('x,words', [(np.random.rand(2,40,40,3), 'from 0 to 255'), (np.zeros((2,40,40,5), 'u1'), '5 bands'), (np.random.randint(0, 255, (2,33,33,3), 'u1'), '40 x 40 is expected')], ids=['shares', 'bands', 'size']) # noqa: NPY002
def test_pixels_that_are_none_of_a_jpeg_are_refused(run, x, words):
    with pytest.raises(GalfastError, match=words): predict.predict_arrays(run, x)

def test_pixels_of_one_colour_are_grey_or_blank(survey, run):
    from PIL import Image
    images,df = survey
    x = np.stack([np.asarray(Image.open(images/f'{o}.jpg').convert('L')) for o in df.objID[:4]])
    x[2] = 9; x[2,3,3] = 10
    got,rgb = predict.predict_arrays(run, x),predict.predict_arrays(run, np.stack([x]*3, -1))
    assert got.equals(rgb) and list(got.status)==['ok', 'ok', 'blank, one colour all over', 'ok'] and got.metallicity_pred.isna()[2]

def test_a_fault_of_one_row_costs_one_row(survey, run, monkeypatch):
    "A measured feature that fails, whatever way, is told of its galaxy"
    images,df = survey
    whole = predict.predict_catalog(run, df, images, device='cpu')
    was = predict.GalaxyRun.answer
    def fails(self, x, *args, **kwargs):
        if (x.float().mean((1,2,3)).round(decimals=3)==sick).any(): raise ZeroDivisionError('no [light]')
        return was(self, x, *args, **kwargs)
    read = run.reader(images/f'{df.objID[5]}.jpg')
    sick = read.float().mean().round(decimals=3)
    monkeypatch.setattr(predict.GalaxyRun, 'answer', fails)
    p = predict.predict_catalog(run, df, images, device='cpu')
    assert p.status[5]=='cannot be predicted (ZeroDivisionError: no [light])' and np.isnan(p.metallicity_pred[5]) and p.status.drop(5).eq('ok').all()
    np.testing.assert_allclose(p.metallicity_pred.drop(5), whole.metallicity_pred.drop(5), atol=1e-3)
    with pytest.raises(ZeroDivisionError): predict.predict_catalog(run, df[5:6], images, device='cpu')
