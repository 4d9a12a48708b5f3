"Training as a whole: what is learned from, what is judged, how honestly, and that nothing is lost"
import json

import numpy as np, pandas as pd
import pytest

from galfast.training import nets
from galfast.base.core import GalfastError
from galfast.sim.galaxies import sim_survey

train = pytest.importorskip('galfast.train')
from galfast.training.run import load_run

quick = dict(quick=True, device='cpu')
tiny = dict(size=24, epochs=1, members=2, device='cpu')

@pytest.fixture(scope='module')
def survey(tmp_path_factory):
    d = tmp_path_factory.mktemp('train')
    df = sim_survey(d, 30, size=40, seed=3)
    return d/'images',df.assign(split=['train']*18+['valid']*6+['test']*6, morph=np.where(np.arange(30)<20, 'S', 'E'))

@pytest.mark.parametrize('kw', [quick, tiny], ids=['quick', 'nets'])
def test_three_sets(survey, tmp_path, kw):
    images,df = survey
    run = train.train_galaxies(df, images, 'metallicity', tmp_path/'r', valid='split', **kw)
    p = pd.read_csv(run.path/'predictions.csv', dtype={'objID': str})
    assert (run.info['n_train'], run.info['n_valid'], run.info['n_apart'])==(18, 6, 6)
    assert list(p.objID)==list(df.objID[18:24]) and p.metallicity_err.gt(0).all()
    assert list(load_run(run.path, 'cpu').saw(df.objID))==[True]*18+[False]*12
    other = df.assign(metallicity=df.metallicity.where(df.split!='test', 5.)) # labels of the test set change nothing
    again = train.train_galaxies(other, images, 'metallicity', tmp_path/'s', valid='split', **kw)
    assert (again.path/'predictions.csv').read_bytes()==(run.path/'predictions.csv').read_bytes()

def test_the_guess_is_of_the_training_labels(survey, tmp_path):
    images,df = survey
    t,v = df.metallicity[:18],df.metallicity[18:24]
    run = train.train_galaxies(df, images, 'metallicity', tmp_path/'r', valid='split', **quick)
    assert run.info['metrics']['metallicity']['rmse']['baseline']==pytest.approx(np.sqrt(((v-t.mean())**2).mean()))
    y = df.metallicity.to_numpy()
    others = (y.sum()-y)/(len(y)-1) # leave-one-out: the mean of all others
    run = train.train_galaxies(df, images, 'metallicity', tmp_path/'loo', **quick)
    assert run.info['metrics']['metallicity']['rmse']['baseline']==pytest.approx(np.sqrt(((y-others)**2).mean()))
    mixed = df.assign(morph=['S']*13+['E']+['S']+['E']*15) # the commonest class of the 14 that are learned from is that of one of the 16
    run = train.train_galaxies(mixed, images, 'morph', tmp_path/'c', valid=list(range(14, 30)), epochs=1, members=1, size=24, device='cpu')
    assert run.info['metrics']['morph']['accuracy']['baseline']==pytest.approx(1/16)

def test_the_recipe_says_what_was_done(survey, tmp_path):
    images,df = survey
    lines = []
    run = train.train_galaxies(df, images, 'metallicity', tmp_path/'r', size=200, epochs=1, members=1, arch='galnet', valid='split', device='cpu', say=lines.append)
    r = run.info['job']['recipe']
    assert (r['size'], r['folds'], r['members'])==(40, False, 1) and r['bs']<=18 and any('not 200' in o for o in lines)
    assert train.open_run(tmp_path/'r', json.loads(json.dumps(run.info['job'] | dict(recipe=run.info['asked']))), resume=True)
    run = train.train_galaxies(df, images, 'metallicity', tmp_path/'q', **quick)
    assert run.info['recipe']['epochs'] is None and run.info['recipe']['gp_weight']==1

@pytest.mark.parametrize('cols,target', [(['status'], 'status'), (['objID'], 'objID'), (['in_training'], 'in_training'), (['a', 'a_err'], 'a,a_err'), (['a'], 'a,a')])
def test_names_that_collide_are_refused_before_the_work(survey, tmp_path, cols, target):
    images,df = survey
    df = df.assign(**{c: np.linspace(0, 1, 30) for c in cols if c!='objID'})
    with pytest.raises(GalfastError): train.train_galaxies(df, tmp_path/'nothing', target, tmp_path/'r')
    assert not (tmp_path/'r').exists()

def test_names_and_units_are_kept(survey, tmp_path):
    images,df = survey
    run = train.train_galaxies(df, images, 'metallicity', tmp_path/'r', names='12 + log(O/H)', units=dict(metallicity='dex'), **quick)
    info = load_run(run.path, 'cpu').info
    assert info['names']=={'metallicity': '12 + log(O/H)'} and info['units']=={'metallicity': 'dex'}
    with pytest.raises(GalfastError, match='oxygen'): train.train_galaxies(df, images, 'metallicity', tmp_path/'s', units=dict(oxygen='dex'), **quick)

def test_options_of_fits_are_refused_for_pictures(survey, tmp_path):
    images,df = survey
    for o in (dict(bands='gri'), dict(hdu=1), dict(pad=True)):
        with pytest.raises(GalfastError): train.train_galaxies(df, images, 'metallicity', tmp_path/'r', reader=o, **quick)

def test_a_run_stopped_between_two_networks_goes_on(survey, tmp_path, monkeypatch):
    images,df = survey
    whole = train.train_galaxies(df, images, 'metallicity', tmp_path/'a', **tiny)
    fit = nets._fit_one
    def stop(i, *args):
        if i==1: raise KeyboardInterrupt
        return fit(i, *args)
    monkeypatch.setattr(nets, '_fit_one', stop)
    with pytest.raises(KeyboardInterrupt): train.train_galaxies(df, images, 'metallicity', tmp_path/'b', **tiny)
    monkeypatch.setattr(nets, '_fit_one', fit)
    run = train.train_galaxies(df, images, 'metallicity', tmp_path/'b', resume=True, **tiny) # network 0 is done, and is not fitted again
    a,b = (pd.read_csv(o.path/'history.csv') for o in (whole, run))
    assert list(a)==list(b) and len(a)==len(b)
    a,b = (pd.read_csv(o.path/'predictions.csv').metallicity_pred for o in (whole, run))
    np.testing.assert_allclose(a, b, atol=1e-5)

def test_names_that_no_table_holds_are_told_before_an_image_is_read(survey, tmp_path):
    images,df = survey
    df = df.assign(**{'x\ty': df.metallicity}, kind=df.morph.map({'S': 'a\nb', 'E': 'c'}))
    for t in ('x\ty', 'kind'):
        said = []
        with pytest.raises(GalfastError, match='not a name for a column'): train.train_galaxies(df, images, t, tmp_path/'r', say=said.append, **quick)
        assert not said and not (tmp_path/'r').exists()

def test_a_seed_below_zero_and_the_folder_of_the_images(survey, tmp_path):
    images,df = survey
    with pytest.raises(GalfastError, match='seed is a whole number'): train.train_galaxies(df, images, 'metallicity', tmp_path/'r', seed=-1, **quick)
    there = sorted(images.iterdir())
    with pytest.raises(GalfastError, match='folder of the images'): train.train_galaxies(df, images, 'metallicity', images, **quick)
    assert sorted(images.iterdir())==there

def test_labels_that_do_not_vary_warn_of_nothing(recwarn):
    from galfast.data.metrics import bootstrap_err,r2
    assert np.isnan(bootstrap_err(r2, np.zeros((5, 1)), np.ones((5, 1)), n=9)) and not recwarn.list
