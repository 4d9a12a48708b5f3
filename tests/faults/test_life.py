"Two where one was meant, and what a killed process leaves: one is told at once, and nothing stays"
import os,signal,subprocess,sys,time

import pytest

from galfast import core
from galfast.core import GalfastError,atomic_path,check_unlocked,file_lock,folder_lock

hold = "import sys,time; from galfast.core import *; from pathlib import Path\nwith {lock}: print('held', flush=True); time.sleep(60)"

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
    code = "import sys; from galfast.core import *; from pathlib import Path\nf = Path(sys.argv[1])/'n'\nfor _ in range(15):\n  with folder_lock(f.parent, True): f.write_text(str(int(f.read_text())+1))"
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
    from galfast.metrics import balanced_accuracy,bootstrap_err,class_accuracy,mean_bias,root_mse
    rng,n = np.random.default_rng(0),10**6
    d,right = rng.normal(0, .1, n),rng.random(n)<.8
    for f,x,want in ((mean_bias, d, .1/n**.5), (root_mse, d, .1/(2*n)**.5), (class_accuracy, right.astype(int), (.16/n)**.5)):
        assert abs(bootstrap_err(f, x, np.ones(n, int) if f is class_accuracy else np.zeros(n), n=100)/want-1)<.25 # of 100 draws 0.07
    t = (np.arange(n)<200).astype(int) # a class of 200, four fifths of which are found
    assert abs(bootstrap_err(balanced_accuracy, np.where(right, t, 1-t), t, n=100)/((.16/200)**.5/2)-1)<.35
