"The command as a user types it: what goes right, what goes wrong, and what happens when it is killed"
import json,os,pickle,shutil,signal,subprocess,sys,time
from pathlib import Path
from types import SimpleNamespace

import numpy as np, pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from galfast.cli import app
from galfast.sim.galaxies import sim_survey

exe = Path(sys.executable).parent/'galfast'
tiny = ['--epochs', '2', '--members', '2', '--size', '32', '--device', 'cpu']

def process(*args): return subprocess.run([exe, *map(str, args)], capture_output=True, text=True)

def galfast(*args):
    "The command within this process: a new one takes seconds to load torch"
    r = CliRunner().invoke(app, [str(o) for o in args])
    return SimpleNamespace(returncode=r.exit_code, stdout=r.stdout, stderr=r.stderr)

@pytest.fixture(scope='module')
def survey(tmp_path_factory):
    d = tmp_path_factory.mktemp('survey')
    return d,sim_survey(d, 40, size=48)

@pytest.fixture(scope='module')
def trained(survey):
    d,_ = survey
    r = process('train', d/'catalog.csv', '--images', d/'images', '--target', 'metallicity', '--out', d/'run', *tiny)
    assert r.returncode==0, r.stderr
    return d/'run'

def test_train_says_where_everything_is(survey, trained):
    files = {o.name for o in trained.iterdir()}
    assert files>={'model.safetensors', 'config.json', 'history.csv', 'metrics.json', 'predictions.csv', 'losses.png', 'predictions.png', 'examples.png', 'worst.png'}
    cfg = json.loads((trained/'config.json').read_text())
    assert cfg['info']['job']['recipe']['why'] and cfg['info']['versions']['torch']
    p = pd.read_csv(trained/'predictions.csv', dtype={'objID': str})
    assert list(p.objID)==list(survey[1].objID) and p.metallicity_err.gt(0).all()

@pytest.mark.parametrize('suffix', ['.csv', '.parquet', '.fits', '.ecsv'])
def test_predict_keeps_rows_and_order(survey, trained, tmp_path, suffix):
    from galfast.base.tables import read_catalog
    d,df = survey
    todo = df[['objID']][::-1].copy()
    todo.to_csv(tmp_path/'todo.csv', index=False)
    r = galfast('predict', trained, tmp_path/'todo.csv', '--images', d/'images', '--out', tmp_path/f'p{suffix}', '--no-tta')
    assert r.returncode==0, r.stderr
    p = read_catalog(tmp_path/f'p{suffix}')
    assert list(p.objID)==list(todo.objID) and p.metallicity_pred.notna().all()

def test_a_run_can_be_moved(survey, trained, tmp_path):
    d,_ = survey
    moved = shutil.copytree(trained, tmp_path/'elsewhere'/'renamed')
    a,b = tmp_path/'a.csv',tmp_path/'b.csv'
    for run,out in ((trained, a), (moved, b)): assert process('predict', run, d/'catalog.csv', '--images', d/'images', '--out', out).returncode==0
    assert a.read_bytes()==b.read_bytes()

def test_one_seed_gives_one_answer(survey, trained, tmp_path):
    d,_ = survey
    r = process('train', d/'catalog.csv', '--images', d/'images', '--target', 'metallicity', '--out', tmp_path/'again', *tiny)
    assert r.returncode==0
    assert (tmp_path/'again/predictions.csv').read_bytes()==(trained/'predictions.csv').read_bytes()

def test_quick_trains_no_network_for_numbers(survey, tmp_path):
    d,df = survey
    args = ['train', d/'catalog.csv', '--images', d/'images', '--target', 'metallicity', '--quick', '--device', 'cpu']
    r = galfast(*args, '--out', tmp_path/'q')
    assert r.returncode==0 and 'leave-one-out' in r.stdout and 'history.csv' not in r.stdout and 'losses.png' not in r.stdout, r.stderr
    assert galfast('predict', tmp_path/'q', d/'catalog.csv', '--images', d/'images', '--out', tmp_path/'p.csv').returncode==0
    assert pd.read_csv(tmp_path/'p.csv').metallicity_err.gt(0).all()
    r = galfast(*args, '--epochs', 3, '--out', tmp_path/'r')
    assert r.returncode==2 and 'cannot go with --epochs' in r.stderr

def test_damaged_images_become_rows_with_a_status(survey, trained, tmp_path):
    d,df = survey
    images = shutil.copytree(d/'images', tmp_path/'images')
    ids = list(df.objID[:5])
    good = (images/f'{ids[4]}.jpg').read_bytes()
    for i,data in enumerate((b'', b'<!DOCTYPE html><html>503</html>', good[:700], None)):
        if data is None: Image.new('RGB', (60,60)).save(images/f'{ids[i]}.jpg')
        else: (images/f'{ids[i]}.jpg').write_bytes(data)
    r = galfast('predict', trained, d/'catalog.csv', '--images', images, '--out', tmp_path/'p.csv')
    assert r.returncode==0, r.stderr
    p = pd.read_csv(tmp_path/'p.csv', dtype={'objID': str})
    assert len(p)==40 and list(p.metallicity_pred.isna())==[True]*4+[False]*36
    for s,why in zip(p.status, ('empty', 'web page', 'damaged', '60 x 60 px')): assert why in s
    r = galfast('train', d/'catalog.csv', '--images', images, '--target', 'metallicity', '--out', tmp_path/'r', *tiny)
    assert r.returncode==2 and '--on-error skip' in r.stderr and 'Traceback' not in r.stderr
    r = galfast('train', d/'catalog.csv', '--images', images, '--target', 'metallicity', '--out', tmp_path/'s', '--on-error', 'skip', *tiny)
    assert r.returncode==0 and len(pd.read_csv(tmp_path/'s/skipped.csv'))==4

def test_nothing_predicted_is_no_success(survey, trained, tmp_path):
    d,df = survey
    df[['objID']].assign(objID='x'+df.objID).to_csv(tmp_path/'c.csv', index=False)
    r = galfast('predict', trained, tmp_path/'c.csv', '--images', d/'images', '--out', tmp_path/'p.csv')
    assert r.returncode==1 and '0 of 40 galaxies predicted' in r.stdout and '40 not: no image' in r.stdout and 'no image' in r.stderr
    assert f'the catalogue has x{df.objID[0]}, the folder ' in r.stderr and '.jpg' in r.stderr # an id beside a file
    assert pd.read_csv(tmp_path/'p.csv').metallicity_pred.isna().all()

def test_training_galaxies_are_named(survey, trained, tmp_path):
    d,_ = survey
    r = galfast('predict', trained, d/'catalog.csv', '--images', d/'images', '--out', tmp_path/'p.csv', '--no-tta')
    assert '40 of these 40 galaxies were learned from' in r.stdout
    before = (tmp_path/'p.csv').read_bytes()
    r = galfast('predict', trained, d/'catalog.csv', '--images', d/'images', '--out', tmp_path/'p.csv')
    assert r.returncode==2 and '--overwrite' in r.stderr and (tmp_path/'p.csv').read_bytes()==before

@pytest.mark.skipif(os.name!='posix', reason='signals')
@pytest.mark.parametrize('sig,code', [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_prediction_that_is_ended_leaves_nothing(survey, trained, tmp_path, sig, code):
    d,df = survey
    pd.concat([df[['objID']]]*400).to_csv(tmp_path/'c.csv', index=False)
    (tmp_path/'o').mkdir()
    p = subprocess.Popen([exe, 'predict', trained, tmp_path/'c.csv', '--images', d/'images', '--out', tmp_path/'o/p.csv'], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                         preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) # a process in the background may have been told to ignore it
    while not list((tmp_path/'o').glob('*partial-p.csv')) and p.poll() is None: time.sleep(.01)
    p.send_signal(sig)
    err = p.communicate()[1]
    assert p.returncode==code and f'--out {tmp_path}/o/p.csv' in err and 'Traceback' not in err, err
    assert not list((tmp_path/'o').iterdir())

def mistakes(d, run):
    cat,images = d/'catalog.csv',d/'images'
    train = lambda *a: ('train', *a, '--out', d/'never')
    return [(train(d/'no.csv', '--images', images, '--target', 'metallicity'), 'no such file'),
            (train(cat, '--images', d/'nothing', '--target', 'metallicity'), 'no such folder'),
            (train(cat, '--images', images, '--target', 'mass'), "no column 'mass'"),
            (train(cat, '--images', images, '--target', 'metallicity', '--id', 'specobjid'), "no column 'specobjid'"),
            (train(cat, '--images', images, '--target', 'metallicity', '--arch', 'vgg99'), "called 'vgg99'"),
            (train(cat, '--images', images, '--target', 'metallicity', '--task', 'ranking'), "'ranking'"),
            (train(cat, '--images', images, '--target', 'metallicity', '--valid', '3'), 'between 0 and 1'),
            (train(cat, '--images', images, '--target', 'metallicity', '--device', 'quantum'), 'not at hand'),
            (train(cat, '--images', images, '--target', 'metallicity', '--crop', '500'), 'smaller than the crop'),
            (('train', cat, '--images', images, '--target', 'metallicity', '--out', run), 'holds a run already'),
            (('predict', d, cat, '--images', images, '--out', d/'p.csv'), 'config.json'),
            (('evaluate', cat, cat, '--target', 'metallicity'), "no column 'metallicity_pred'"),
            (('train',), 'Missing argument')]

def test_mistakes_are_one_sentence_and_code_2(survey, trained):
    for args,msg in mistakes(survey[0], trained):
        r = galfast(*args)
        assert r.returncode==2 and msg in r.stderr and 'Traceback' not in r.stderr, (args, r.stderr)
        assert msg=='Missing argument' or len(r.stderr.splitlines()[-1])<500

def test_hostile_runs_are_refused(survey, trained, tmp_path):
    d,_ = survey
    class Evil:
        def __reduce__(self): return (os.system, (f'touch {tmp_path}/owned',))
    for name,data in (('model.safetensors', pickle.dumps(Evil())), ('config.json', pickle.dumps(Evil())),
                      ('config.json', json.dumps(json.loads((trained/'config.json').read_text())|{'hook': 'os.system'}).encode())):
        bad = shutil.copytree(trained, tmp_path/'bad', dirs_exist_ok=True)
        (bad/name).write_bytes(data)
        r = galfast('predict', bad, d/'catalog.csv', '--images', d/'images', '--out', tmp_path/'p.csv')
        assert r.returncode==2 and 'Traceback' not in r.stderr and name in r.stderr
    assert not (tmp_path/'owned').exists()

def test_killed_training_goes_on_and_ends_alike(survey, tmp_path):
    d,_ = survey
    args = ['train', d/'catalog.csv', '--images', d/'images', '--target', 'metallicity', '--size', 32, '--members', 2, '--epochs', 12, '--device', 'cpu']
    whole,cut = tmp_path/'whole',tmp_path/'cut'
    assert process(*args, '--out', whole).returncode==0
    p = subprocess.Popen([exe, *map(str, args), '--out', cut], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    file,t = cut/'checkpoint'/'network0.safetensors',time.time()
    while not file.exists() and p.poll() is None and time.time()-t<120: time.sleep(.002)
    p.send_signal(signal.SIGKILL); p.wait()
    assert file.exists() and not (cut/'config.json').exists()
    r = galfast(*args, '--out', cut)
    assert r.returncode==2 and '--resume' in r.stderr
    r = galfast(*args[:-4], '--epochs', 9, '--device', 'cpu', '--out', cut, '--resume')
    assert r.returncode==2 and 'begun with other recipe' in r.stderr
    assert process(*args, '--out', cut, '--resume').returncode==0
    a,b = (pd.read_csv(o/'predictions.csv').metallicity_pred for o in (whole, cut))
    np.testing.assert_allclose(a, b, atol=1e-5)
    assert len(pd.read_csv(cut/'history.csv'))==24
    assert galfast(*args, '--out', cut, '--resume').returncode==0 # a finished run stays as it is
    r = galfast(*args, '--seed', 7, '--out', cut, '--resume')
    assert r.returncode==2 and 'made with other seed' in r.stderr

@pytest.mark.parametrize('target,task,cols', [('morphology', 'auto', ['morphology_pred', 'morphology_prob_spiral']), ('a,b', 'auto', ['a_pred', 'b_pred']),
                                              ('v,w', 'votes', ['v_pred']), ('metallicity,redshift', 'auto', ['redshift_err'])])
def test_every_task(survey, tmp_path, target, task, cols):
    from galfast.train import train_galaxies
    d,df = survey
    rng = np.random.default_rng(0)
    df = df.assign(a=rng.integers(0, 2, 40), b=rng.integers(0, 2, 40), v=rng.random(40)).assign(w=lambda o: 1-o.v)
    run = train_galaxies(df, d/'images', target, tmp_path/'run', task=task, size=32, epochs=1, members=2, device='cpu')
    p = pd.read_csv(tmp_path/'run/predictions.csv')
    assert set(cols)<=set(p.columns) and p[[c for c in p if c.endswith('_pred')]].notna().all().all()
    if task=='votes': np.testing.assert_allclose(p.v_pred+p.w_pred, 1, atol=1e-5)
    assert run.info['metrics']

def test_fits_cubes_from_the_command_line(tmp_path):
    sim_survey(tmp_path, 24, size=40, formats=('fits',), bands='griz')
    images = next(o for o in tmp_path.iterdir() if o.is_dir())
    r = galfast('train', tmp_path/'catalog.csv', '--images', images, '--target', 'redshift', '--bands', 'zg', '--asinh', '.05', '--out', tmp_path/'run', *tiny)
    assert r.returncode==0, r.stderr
    r = galfast('predict', tmp_path/'run', tmp_path/'catalog.csv', '--images', images, '--out', tmp_path/'p.csv')
    assert r.returncode==0 and '24 of 24' in r.stdout
    jpg = sim_survey(tmp_path/'jpg', 4, size=40)
    r = galfast('predict', tmp_path/'run', tmp_path/'jpg/catalog.csv', '--images', tmp_path/'jpg/images', '--out', tmp_path/'q.csv')
    assert r.returncode==2 and 'learned from FITS' in r.stderr and len(jpg)==4
