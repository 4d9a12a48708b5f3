"Two where one was meant, and what a killed process leaves: one is told at once, and nothing stays"
import os,signal,subprocess,sys,time
from contextlib import contextmanager

import pytest

from galfast.base import core
from galfast.base.core import GalfastError,atomic_path,check_unlocked,file_lock,folder_lock

hold = "import sys,time; from galfast.base.core import *; from pathlib import Path\nwith {lock}: print('held', flush=True); time.sleep(60)"

@pytest.fixture
def other(request):
    "A function that starts another process, which holds a lock"
    started = []
    def _start(lock, path):
        p = subprocess.Popen([sys.executable, '-c', hold.format(lock=f'{lock}({str(path)!r})')], stdout=subprocess.PIPE, text=True)
        started.append(p)
        assert p.stdout.readline()=='held\n'
        return p
    yield _start
    for p in started: p.kill(); p.wait(); p.stdout.close()

@pytest.mark.parametrize('lock,name', [(folder_lock, ''), (file_lock, 'p.csv')], ids=['folder', 'file'])
def test_another_process_is_named_and_a_killed_one_forgotten(tmp_path, other, lock, name):
    path = tmp_path/name
    p = other(lock.__name__, path)
    with pytest.raises(GalfastError, match=f'another process is at work in .*process {p.pid} on '), lock(path): pass
    p.send_signal(signal.SIGKILL); p.wait()
    with lock(path): assert len(os.listdir(tmp_path))==1
    assert os.listdir(tmp_path)==[]

def test_who_waits_comes_next(tmp_path, other):
    p = other('folder_lock', tmp_path)
    waits = subprocess.Popen([sys.executable, '-c', hold.format(lock=f'folder_lock({str(tmp_path)!r}, True)')], stdout=subprocess.PIPE, text=True)
    p.terminate(); p.wait()
    assert waits.stdout.readline()=='held\n'
    with pytest.raises(GalfastError, match=str(waits.pid)): check_unlocked(tmp_path)
    waits.kill(); waits.wait(); waits.stdout.close()

def test_many_take_turns(tmp_path):
    "No two at once, whoever removes the file"
    code = "import sys; from galfast.base.core import *; from pathlib import Path\nf = Path(sys.argv[1])/'n'\nfor _ in range(15):\n  with folder_lock(f.parent, True): f.write_text(str(int(f.read_text())+1))"
    (tmp_path/'n').write_text('0')
    ps = [subprocess.Popen([sys.executable, '-c', code, tmp_path]) for _ in range(3)]
    assert [p.wait() for p in ps]==[0,0,0] and (tmp_path/'n').read_text()=='45' and os.listdir(tmp_path)==['n']

def test_a_disk_that_knows_no_locks(tmp_path, monkeypatch):
    "There the process that the file names, and the time of its last sign of life, say whether it is held"
    monkeypatch.setattr(core, '_flock', lambda f: None)
    lock = tmp_path/'.lock'
    for text,free in ((f'{os.getppid()} {core._node()}\n', False), (f'99999999 {core._node()}\n', True), ('7 elsewhere\n', False), ('', True), ('no lock of ours', True)):
        lock.write_text(text)
        if free:
            with folder_lock(tmp_path): pass
        else:
            with pytest.raises(GalfastError, match='another process'), folder_lock(tmp_path): pass
            assert lock.read_text()==text
            os.utime(lock, (time.time()-1000,)*2)
            with folder_lock(tmp_path): pass

def test_a_lock_shows_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(core, 'lock_beat', .05)
    with folder_lock(tmp_path):
        os.utime(tmp_path/'.lock', (0, 0))
        for _ in range(100):
            if (tmp_path/'.lock').stat().st_mtime: break
            time.sleep(.05)
        assert time.time()-(tmp_path/'.lock').stat().st_mtime<60

@pytest.mark.parametrize('kind', ['link', 'folder'])
def test_a_lock_that_is_no_file_is_told_and_its_target_untouched(tmp_path, kind):
    there = tmp_path/'mine.txt'; there.write_text('precious')
    (tmp_path/'d').mkdir()
    if kind=='link': (tmp_path/'d/.lock').symlink_to(there)
    else: (tmp_path/'d/.lock').mkdir()
    with pytest.raises((GalfastError,IsADirectoryError)), folder_lock(tmp_path/'d'): pass
    assert there.read_text()=='precious'

def test_a_link_of_a_temporary_name_is_not_written_through(tmp_path):
    (tmp_path/'mine.txt').write_text('precious')
    with atomic_path(tmp_path/'a.csv') as p: name = p.name; p.write_text('old')
    (tmp_path/name).symlink_to(tmp_path/'mine.txt')
    with atomic_path(tmp_path/'a.csv') as p: p.write_text('new')
    assert (tmp_path/'mine.txt').read_text()=='precious' and (tmp_path/'a.csv').read_text()=='new'

def test_the_bootstrap_of_a_million_draws_a_part_of_them():
    "Errors as theory has them: of a mean s/sqrt(n), of an rms s/sqrt(2n), of a share sqrt(pq/n)"
    import numpy as np
    from galfast.data.metrics import balanced_accuracy,bootstrap_err,class_accuracy,mean_bias,root_mse
    rng,n = np.random.default_rng(0),10**6
    d,right = rng.normal(0, .1, n),rng.random(n)<.8
    for f,x,want in ((mean_bias, d, .1/n**.5), (root_mse, d, .1/(2*n)**.5), (class_accuracy, right.astype(int), (.16/n)**.5)):
        assert abs(bootstrap_err(f, x, np.ones(n, int) if f is class_accuracy else np.zeros(n), n=100)/want-1)<.25 # of 100 draws 0.07
    t = (np.arange(n)<200).astype(int) # a class of 200, four fifths of which are found
    assert abs(bootstrap_err(balanced_accuracy, np.where(right, t, 1-t), t, n=100)/((.16/200)**.5/2)-1)<.35

@pytest.mark.parametrize('given', ['{}', '{}/', '{}//', '{}/../images', 'link', 'relative'])
def test_no_table_tells_where_files_lie(tmp_path, monkeypatch, given):
    (tmp_path/'images').mkdir(); (tmp_path/'ln').symlink_to(tmp_path/'images')
    monkeypatch.chdir(tmp_path)
    folder = dict(link=str(tmp_path/'ln'), relative='images').get(given) or given.format(tmp_path/'images')
    told = core.without_folder(folder, [f'{tmp_path}/images/a/1.jpg: empty', f'{folder}/2.jpg: [Errno 5] {folder}/2.jpg', 'ok'])
    assert told==['a/1.jpg: empty', '2.jpg: [Errno 5] 2.jpg', 'ok']

@pytest.fixture(scope='module')
def run(tmp_path_factory):
    "A folder with simulated galaxies and a quick run"
    from galfast.sim.galaxies import sim_survey
    from galfast.train import train_galaxies
    d = tmp_path_factory.mktemp('life')
    train_galaxies(sim_survey(d, 20, size=32, seed=1), d/'images', 'metallicity', d/'run', quick=True, device='cpu')
    return d

def galfast(*args):
    from typer.testing import CliRunner
    from galfast.cli import app
    return CliRunner().invoke(app, [str(o) for o in args])

def predict(d, out, *args, catalog=None): return 'predict', d/'run', catalog or d/'catalog.csv', '--images', d/'images', '--out', out, '--device', 'cpu', *args

@contextmanager
def small_disk(n):
    "No file grows beyond `n` bytes"
    import resource
    soft,hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n, hard))
    try: yield
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

@pytest.mark.parametrize('name', ['p.csv', 'p.parquet', 'p.fits', 'p.ecsv', 'p.xlsx'])
def test_a_full_disk_costs_no_earlier_predictions(run, tmp_path, name):
    if name=='p.xlsx': pytest.importorskip('openpyxl')
    assert galfast(*predict(run, tmp_path/name)).exit_code==0
    before = (tmp_path/name).read_bytes()
    with small_disk(300): r = galfast(*predict(run, tmp_path/name, '--overwrite'))
    assert r.exit_code==2 and 'Traceback' not in r.output and 'File too large' in r.output
    assert os.listdir(tmp_path)==[name] and (tmp_path/name).read_bytes()==before

def test_a_full_disk_costs_no_earlier_run(run, tmp_path):
    import shutil
    args = ('train', run/'catalog.csv', '--images', run/'images', '--target', 'redshift', '--quick', '--device', 'cpu', '--out', tmp_path/'run')
    shutil.copytree(run/'run', tmp_path/'run')
    before = {o.name: o.read_bytes() for o in (tmp_path/'run').iterdir()}
    with small_disk(3000): r = galfast(*args, '--overwrite')
    assert r.exit_code==2 and 'Traceback' not in r.output and 'File too large' in r.output
    assert before=={o.name: o.read_bytes() for o in (tmp_path/'run').iterdir() if o.name!='checkpoint'}
    assert galfast(*args, '--overwrite').exit_code==0 and {o.name for o in (tmp_path/'run').iterdir()}==set(before)

def test_places_that_hold_no_table(run, tmp_path):
    (tmp_path/'d.csv').mkdir(); os.mkfifo(tmp_path/'pipe.csv'); (tmp_path/'null.csv').symlink_to('/dev/null')
    for out,why in (('d.csv', 'is a folder'), ('pipe.csv', 'is a device'), ('null.csv', 'is a device'), ('pipe.csv/p.csv', 'is a file'), ('/proc/nope/p.csv', '')):
        r = galfast(*predict(run, tmp_path/out, '--overwrite'))
        assert r.exit_code==2 and why in r.output and 'Traceback' not in r.output, (out, r.output)
    assert sorted(os.listdir(tmp_path))==['d.csv', 'null.csv', 'pipe.csv'] and os.path.exists('/dev/null')

def test_two_predictions_into_one_file_and_one_that_is_killed(run, tmp_path):
    "What a prediction holds while it is at work, by a process that does nothing else"
    out = tmp_path/'o/p.csv'
    code = "import sys,time; from galfast.base.core import *; from pathlib import Path; p = Path(sys.argv[1])\nwith file_lock(p), atomic_path(p.with_name('partial-p.csv')) as t: t.write_text('half'); print('held', flush=True); time.sleep(60)"
    p = subprocess.Popen([sys.executable, '-c', code, out], stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline()=='held\n'
    r = galfast(*predict(run, out))
    assert r.exit_code==2 and f'another process is at work in {out} (process {p.pid}' in r.output
    assert galfast(*predict(run, tmp_path/'o/other.csv')).exit_code==0 # another file is no concern of it
    p.kill(); p.wait(); p.stdout.close()
    assert len(os.listdir(tmp_path/'o'))==3 and galfast(*predict(run, out)).exit_code==0
    assert sorted(os.listdir(tmp_path/'o'))==['other.csv', 'p.csv'] and out.read_text().count('\n')==21

def test_a_lock_sweeps_what_killed_processes_left(tmp_path):
    node = core._node()
    gone,kept = [f'.99999999-{node}-confusion.png'],[f'.{os.getppid()}-{node}-a.csv', '.99999999-elsewhere-a.csv', '.hidden', '.1-2', f'99999999-{node}-a.csv']
    for o in gone+kept: (tmp_path/o).write_text('half')
    with folder_lock(tmp_path): assert sorted(os.listdir(tmp_path))==sorted([*kept, '.lock'])

def test_infinite_predictions_are_none():
    import numpy as np, pandas as pd
    from galfast.results.predict import evaluate_predictions
    t = pd.DataFrame(dict(objID=list('abcd'), z=[.1,.2,.3,.4]))
    e = evaluate_predictions(t.assign(z_pred=[.1,np.inf,-np.inf,.5]).drop(columns='z'), t, 'z')
    assert e.n.eq(2).all() and e.attrs['not_predicted']==2 and e.set_index('metric').value['rmse']==pytest.approx(.1/2**.5)
