"What all modules share: words for people, settings, and files that are whole or not there"
import json,os
from io import StringIO
from pathlib import Path

import numpy as np,pytest
from fastcore.xtras import modified_env

from galfast.base.core import CatalogError,GalfastError,RunError,atomic_path,check_free,check_run_folder,check_writable
from galfast.base.core import first_few,folder_lock,galfast_cfg,galfast_path,in_bytes,in_words,printable,tell,track
from galfast.base.core import check_unlocked,without_folder,write_json

def test_few_of_many():
    assert first_few('ab')=='a, b' and first_few(range(5))=='0, 1, 2, 3, 4'
    assert first_few(range(2005), 2)=='0, 1 and 2,003 more' and first_few([])==''

@pytest.mark.parametrize('s,words', [(0,'0 s'), (89,'89 s'), (90,'1.5 min'), (599,'10.0 min'), (600,'10 min'), (5400,'1.5 h'),
                                     (129600,'1.5 days'), (8640000,'100 days')])
def test_times(s, words): assert in_words(s)==words

@pytest.mark.parametrize('n,words', [(999,'1 kB'), (1e6,'1.0 MB'), (9.94e6,'9.9 MB'), (1e7,'10 MB'), (2.5e9,'2.5 GB'), (4e12,'4,000 GB')])
def test_amounts(n, words): assert in_bytes(n)==words

def test_what_drives_a_terminal_is_spelled_out(capsys):
    assert printable('a\x1b[2J\tb\n')=='a\\x1b[2J\tb\n' and printable('\u202e')=='\\u202e' and printable('Sérsic 5"')=='Sérsic 5"'
    tell('[red]', 'a\rb')
    assert capsys.readouterr().out=='[red]\na\\rb\n'

def test_kinds_of_errors():
    assert issubclass(CatalogError, GalfastError) and issubclass(GalfastError, ValueError) and str(RunError('a\x1b'))=='a\\x1b'

def test_settings_of_a_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with modified_env(GALFAST_HOME=str(tmp_path/'home')):
        assert galfast_path('data')==tmp_path/'home/data' and galfast_cfg().rate==4. and not (tmp_path/'home').exists()
    (tmp_path/'settings.ini').write_text('[DEFAULT]\nlib_name = galfast\ndata = here\nrate = 2\n')
    assert galfast_path('data')==tmp_path/'here' and galfast_cfg().rate==2.
    (tmp_path/'settings.ini').write_text('[DEFAULT]\nlib_name = other\ndata = here\n')
    with modified_env(GALFAST_HOME=str(tmp_path/'home')): assert galfast_path('data')==tmp_path/'home/data'

def test_a_file_is_whole_or_not_there(tmp_path):
    with pytest.raises(OSError), atomic_path(tmp_path/'deep/a.csv') as p:
        p.write_text('half')
        assert p.suffix=='.csv' and p.parent==tmp_path/'deep'
        raise OSError
    assert not os.listdir(tmp_path/'deep')
    with atomic_path(tmp_path/'deep/a.csv') as p: p.write_text('whole')
    assert os.listdir(tmp_path/'deep')==['a.csv'] and (tmp_path/'deep/a.csv').read_text()=='whole'

def test_json_holds_what_numpy_has(tmp_path):
    write_json(tmp_path/'a.json', dict(a=np.float32(.5), b=np.arange(2), c=Path('x'), d=np.int64(2**60)))
    assert json.loads((tmp_path/'a.json').read_text())==dict(a=.5, b=[0,1], c='x', d=2**60)

def test_places_are_judged_before_the_work(tmp_path):
    (tmp_path/'f').write_text('')
    for path,why in ((tmp_path,'is a folder'), (tmp_path/'f','is there already'), (tmp_path/'f/x','cannot be a folder')):
        with pytest.raises(GalfastError, match=why): check_free(path)
    assert check_free(tmp_path/'f', overwrite=True)==tmp_path/'f' and check_free(tmp_path/'new/x')==tmp_path/'new/x'
    assert not (tmp_path/'new').exists() and check_writable(tmp_path/'new/er') is None

@pytest.mark.parametrize('kw,why', [({}, 'holds a run already'), (dict(resume=True, overwrite=True), 'give one of them')])
def test_a_run_is_not_written_over(tmp_path, kw, why):
    check_run_folder(tmp_path/'run')
    (tmp_path/'config.json').write_text('{}')
    with pytest.raises(RunError, match=why): check_run_folder(tmp_path, **kw)
    check_run_folder(tmp_path, overwrite=True); check_run_folder(tmp_path, resume=True)

def test_an_interrupted_run_is_one(tmp_path):
    (tmp_path/'checkpoint').mkdir(); (tmp_path/'checkpoint/a.safetensors').write_text('')
    with pytest.raises(RunError, match='was interrupted'): check_run_folder(tmp_path)

def test_tables_tell_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path/'im').mkdir()
    said = [f'{tmp_path}/im/1.jpg is cut short', 'im/2.jpg', str(tmp_path/'other/4.jpg')]
    assert without_folder('im', said)==['1.jpg is cut short', '2.jpg', str(tmp_path/'other/4.jpg')]
    assert without_folder(tmp_path/'im', said[:1])==['1.jpg is cut short']

def test_a_lock_is_gone_afterwards(tmp_path):
    with folder_lock(tmp_path): assert (tmp_path/'.lock').exists()
    assert not os.listdir(tmp_path)
    check_unlocked(tmp_path); check_unlocked(tmp_path/'none')
    assert not os.listdir(tmp_path)

class Clock:
    "Time as a test says"
    def __init__(self): self.t = 0.
    def monotonic(self): return self.t

def test_progress_in_lines(monkeypatch):
    import galfast.base.core as core
    clock,out = Clock(),StringIO()
    monkeypatch.setattr(core, 'time', clock)
    for _ in track(range(8), 'galaxies', file=out): clock.t += 10
    said = out.getvalue().splitlines()
    assert said[0]=='galaxies: 1 of 8' and said[1]=='galaxies: 5 of 8, 30 s left' and len(said)==2

def test_nothing_is_said_of_what_is_quick():
    out = StringIO()
    assert list(track(iter('abc'), 'letters', file=out))==list('abc') and not out.getvalue()
