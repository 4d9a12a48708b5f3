"The run folder: who may write into it, what it holds, and that nothing in it is lost"
import json,shutil
from pathlib import Path

import pandas as pd
import pytest

from galfast.base.core import GalfastError
from galfast.sim.galaxies import sim_survey

folder = pytest.importorskip('galfast.results.folder')
from galfast.train import train_galaxies
from galfast.training.run import load_run

quick = dict(quick=True, device='cpu')
tiny = dict(size=24, epochs=1, members=2, device='cpu')

@pytest.fixture(scope='module')
def survey(tmp_path_factory):
    d = tmp_path_factory.mktemp('folder')
    df = sim_survey(d, 30, size=40, seed=3)
    return d/'images',df.assign(split=['train']*18+['valid']*6+['test']*6)

def test_a_folder_is_one_training_s(survey, tmp_path):
    images,df = survey
    args = (df, images, 'metallicity', tmp_path/'r')
    with folder.run_lock(tmp_path/'r'), pytest.raises(GalfastError, match='another process'): train_galaxies(*args, **quick)
    run = train_galaxies(*args, valid='split', epochs=1, members=1, size=24, device='cpu')
    assert (run.path/'history.csv').exists()
    with pytest.raises(GalfastError, match='overwrite=True replaces it'): train_galaxies(*args, **quick)
    train_galaxies(*args, overwrite=True, **quick)
    assert not (run.path/'history.csv').exists() and not (run.path/'checkpoint').exists() and load_run(run.path, 'cpu').model.kinds==['gaussian process']

def test_a_figure_or_a_score_that_fails_costs_nothing(survey, tmp_path, monkeypatch):
    images,df = survey
    def boom(*args, **kwargs): raise RuntimeError('no ink [/red]')
    monkeypatch.setattr(folder, 'plot_predictions', boom)
    lines = []
    run = train_galaxies(df, images, 'metallicity', tmp_path/'r', say=lines.append, **quick)
    assert any('no ink [/red]' in o for o in lines) and (run.path/'examples.png').exists() and (run.path/'metrics.json').exists() and not (run.path/'predictions.png').exists()
    monkeypatch.setattr(folder, 'score_table', boom)
    run = train_galaxies(df, images, 'metallicity', tmp_path/'s', say=lines.append, **quick)
    assert any('could not be scored (RuntimeError: no ink [/red])' in o for o in lines) and load_run(tmp_path/'s', 'cpu').info['metrics']=={}
    assert len(pd.read_csv(run.path/'predictions.csv'))==30

@pytest.mark.parametrize('fails', ['write_json', 'write_table', 'save_run'])
def test_the_run_that_is_there_stays_whole_until_another_takes_its_place(survey, tmp_path, monkeypatch, fails):
    "A disk that is full while the new one is written costs neither"
    images,df = survey
    run = train_galaxies(df, images, 'metallicity', tmp_path/'r', **tiny)
    before = {o.name: o.read_bytes() for o in run.path.iterdir()}
    def full(path, *args): raise OSError(28, 'No space left on device')
    was = getattr(folder, fails)
    monkeypatch.setattr(folder, fails, lambda a, b: was(a, b) if 'job.json' in str(a) else full(a))
    again = (df.assign(metallicity=df.metallicity+.1), images, 'metallicity', tmp_path/'r')
    with pytest.raises(OSError, match='No space left'): train_galaxies(*again, overwrite=True, **tiny)
    assert {o.name: o.read_bytes() for o in run.path.iterdir() if o.name!='checkpoint'}==before
    monkeypatch.undo()
    new = train_galaxies(*again, resume=True, **tiny)
    assert json.loads((new.path/'config.json').read_text())['info']['job']['catalog_sha256']!=json.loads(before['config.json'])['info']['job']['catalog_sha256'] and set(before)=={o.name for o in new.path.iterdir()}

def test_a_table_of_the_user_s_is_not_replaced(survey, tmp_path):
    images,df = survey
    (tmp_path/'predictions.csv').write_text('mine')
    with pytest.raises(GalfastError, match='holds predictions.csv, which a run would replace'): train_galaxies(df, images, 'metallicity', tmp_path, **quick)
    assert (tmp_path/'predictions.csv').read_text()=='mine' and [o.name for o in tmp_path.iterdir()]==['predictions.csv']

@pytest.mark.parametrize('what', ['checkpoint', 'checkpoint/network0.safetensors'])
def test_links_out_of_a_run_are_not_followed(survey, tmp_path, what):
    images,df = survey
    mine = tmp_path/'mine'
    (mine/'checkpoint').mkdir(parents=True); (mine/'checkpoint/network0.safetensors').write_text('precious')
    (tmp_path/'r'/what).parent.mkdir(parents=True)
    (tmp_path/'r'/what).symlink_to(mine/what)
    for kw in (dict(resume=True), dict(overwrite=True)):
        with pytest.raises(GalfastError, match='leads out of'): train_galaxies(df, images, 'metallicity', tmp_path/'r', **kw, **quick)
    assert (mine/'checkpoint/network0.safetensors').read_text()=='precious'

def test_reasons_tell_no_path(survey, tmp_path):
    images,df = survey
    mine = Path(shutil.copytree(images, tmp_path/'images'))
    (mine/f'{df.objID[3]}.jpg').write_text('<html>')
    run = train_galaxies(df, mine, 'metallicity', tmp_path/'r', on_error='skip', **quick)
    text = (run.path/'skipped.csv').read_text()
    assert 'web page' in text and str(tmp_path) not in text
