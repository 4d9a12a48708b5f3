"Training, validation and test in columns: what is set apart is neither learned from nor judged by"
import json

import numpy as np, pandas as pd, pytest
from sklearn.metrics import accuracy_score
from typer.testing import CliRunner

from galfast.base.core import GalfastError
from galfast.cli import app
from galfast.data.loaders import column_sets
from galfast.sim.galaxies import sim_survey
from galfast.train import train_galaxies
from galfast.training.run import load_run

nets = dict(size=24, epochs=1, members=2, device='cpu')
quick = dict(quick=True, device='cpu')

@pytest.fixture(scope='module')
def survey(tmp_path_factory):
    d = tmp_path_factory.mktemp('apart')
    df = sim_survey(d, 30, size=32, seed=3)
    sets = np.array(['Train','VALID','test'])[np.repeat([0,1,2], [18,6,6])]
    df = df.assign(split=sets, is_test=np.arange(30)>=24, held=(np.arange(30)//6==3).astype(int))
    df['kind'] = np.where(df.redshift>df.redshift.median(), 'far', 'near')
    df.to_csv(d/'cat.csv', index=False)
    return d,df

def trained(survey, out, target='metallicity', **kw):
    d,df = survey
    return train_galaxies(df, d/'images', target, out, **kw)

@pytest.mark.parametrize('how', [nets, quick], ids=['nets','quick'])
@pytest.mark.parametrize('cols', [dict(test_col='split'), dict(valid_col='split'), dict(valid_col='held', test_col='is_test')],
                         ids=lambda o: '-'.join(o))
def test_three_sets_in_one_column_or_in_two(survey, tmp_path, how, cols):
    d,df = survey
    run = trained(survey, tmp_path/'r', **how, **cols)
    p,t = (pd.read_csv(run.path/o, dtype=dict(objID=str)) for o in ('predictions.csv','test_predictions.csv'))
    assert list(p.objID)==list(df.objID[18:24]) and list(t.objID)==list(df.objID[24:])
    told = json.loads((run.path/'metrics.json').read_text())
    assert (told['n_valid'],told['n_test'],run.info['n_train'])==(6, 6, 18)
    got,y = told['test']['metallicity']['rmse'],df.metallicity[24:].to_numpy()
    assert got['value']==pytest.approx(np.sqrt(((t.metallicity_pred-y)**2).mean()))
    assert got['baseline']==pytest.approx(np.sqrt(((df.metallicity[:18].mean()-y)**2).mean())) # the training mean
    assert list(load_run(run.path, 'cpu').saw(df.objID))==[True]*18+[False]*12

@pytest.mark.parametrize('how', [nets, quick], ids=['nets','quick'])
def test_nothing_depends_on_the_labels_of_the_test(survey, tmp_path, how):
    "Without a validation set the others are folds: weights, blend, errors and scores are the same whatever the test set says"
    d,df = survey
    other = df.assign(metallicity=df.metallicity.where(~df.is_test, 5.))
    a,b = (trained((d,o), tmp_path/k, test_col='is_test', **how) for k,o in (('a',df), ('b',other)))
    for o in ('model.safetensors','predictions.csv'): assert (a.path/o).read_bytes()==(b.path/o).read_bytes()
    assert a.calibration==b.calibration and a.info['metrics']==b.info['metrics'] and a.info['test']!=b.info['test']
    assert len(pd.read_csv(a.path/'predictions.csv'))==24 and a.info['n_apart']==6
    without = trained((d,df[~df.is_test].reset_index(drop=True)), tmp_path/'c', **how) # as if they were not there
    assert (without.path/'model.safetensors').read_bytes()==(a.path/'model.safetensors').read_bytes()

def test_classes(survey, tmp_path):
    d,df = survey
    run = trained(survey, tmp_path/'r', 'kind', test_col='split', **quick)
    t,m = pd.read_csv(run.path/'test_predictions.csv'),run.info['test']['kind']['accuracy']
    assert m['value']==pytest.approx(accuracy_score(t.kind, t.kind_pred))
    common = df.kind[:18].mode()[0]
    assert m['baseline']==pytest.approx((df.kind[24:]==common).mean()) # the commonest class of the training set

def test_rows_of_a_list_are_those_of_the_catalogue(survey, tmp_path):
    d,df = survey
    run = trained(survey, tmp_path/'r', test_col='is_test', valid=[20,21,22], **quick)
    p = pd.read_csv(run.path/'predictions.csv', dtype=dict(objID=str))
    assert list(p.objID)==list(df.objID[20:23]) and run.info['n_train']==21
    with pytest.raises(GalfastError, match='2 rows of valid are in the test set'): trained(survey, tmp_path/'s', test_col='is_test', valid=[20,28,29], **quick)

@pytest.mark.parametrize('words,true_is,want', [(['TRAIN','Valid','tEst'], 'valid', ['train','valid','test']), ([True,False], 'test', ['test','train']),
                                                ([0,1], 'valid', ['train','valid']), (['0','1','test'], 'test', ['train','test','test'])])
def test_words(words, true_is, want): assert list(column_sets(pd.DataFrame(dict(s=words)), 's', true_is))==want

mistakes = [(dict(test_col='split2'), "says 'tset' \\(6 rows\\)"), (dict(test_col='nope'), "no column 'nope'"),
            (dict(test_col='is_test', valid_col='is_test'), '6 rows are both for validation and for the test'),
            (dict(test_col='none'), 'no row with a label is for the test'), (dict(test_col='all'), 'no row with a label is left'),
            (dict(valid_col='none'), 'no row with a label is for validation'),
            (dict(valid_col='held', valid=.2), 'give one'), (dict(test_col='split', valid=.2), 'so does valid'),
            (dict(valid_col='held', folds=True), 'with valid_col there are no folds')]

@pytest.mark.parametrize('kw,says', mistakes)
def test_what_columns_cannot_say(survey, tmp_path, kw, says):
    d,df = survey
    df = df.assign(split2=df.split.str.replace('test', 'tset'), none=0, all=1)
    with pytest.raises(GalfastError, match=says): trained((d,df), tmp_path/'r', device='cpu', **kw)
    assert not (tmp_path/'r').exists()

def test_the_command_prints_the_scores_of_the_test(survey, tmp_path):
    d,df = survey
    args = ['train', d/'cat.csv', '--images', d/'images', '--target', 'metallicity', '--out', tmp_path/'r', '--quick', '--test-col', 'split']
    r = CliRunner().invoke(app, [str(o) for o in args])
    assert r.exit_code==0, r.output
    assert 'metallicity: 6 galaxies, held back from training' in r.output
    assert 'metallicity: 6 galaxies, kept for the test, of which nothing was learned' in r.output
    assert '6 kept for the test' in r.output and 'test_predictions.csv' in r.output
