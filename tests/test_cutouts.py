"Cutouts over a real socket: what the services do wrong, what a catalogue holds, and what happens when the process dies"
import ast,itertools,os,random,re,shutil,signal,subprocess,sys,threading,time
from bisect import bisect_left
from pathlib import Path
from types import SimpleNamespace

import galfast,numpy as np,pandas as pd,pytest
from skydouble import FAULTS,SkyDouble,ask_getjpeg,sky_key

from galfast.surveys import net
from galfast.base.core import CatalogError,GalfastError,folder_lock
from galfast.base.find import find_images
from galfast.surveys.cutouts import *
from galfast.surveys.net import HostStopped,HTTPService,NetError,Pacer
from galfast.surveys.records import get_survey,services,all_surveys

quiet = dict(say=lambda o: None)

def service(sky, **kw): return HTTPService(sky.url, **{**dict(rate=0, in_flight=4, first_wait=.01, timeout=(30,30), patience=.5), **kw})
def fetch(sky, df, dest, **kw): return download_cutouts(df, dest, service=service(sky), **{**quiet, **kw}).set_index('objID')
def key(o): return sky_key(o.ra, o.dec)

class Simulated(Pacer):
    "A pacer whose clock is moved by its own waits alone: none takes any time, and each turn comes to the second"
    def __init__(self, rate, in_flight):
        self.now,self.turns = 0.,[]
        super().__init__(rate, in_flight, clock=lambda: self.now)
    def sleep(self, s):
        super().sleep(0)
        self.now += max(s, 0)
    def begin(self, came):
        self.turns.append(self.now)
        super().begin(came)

@pytest.fixture(scope='module')
def galaxies():
    with SkyDouble(n=40, seed=3) as sky: return sky.catalog(outside=2)

# what should become of an object with each fault; a fault that passes is overcome
ends = dict(outside_404='out_of_footprint', outside_200='out_of_footprint', black='out_of_footprint', grey_tile='out_of_footprint', partial_black='partial', mostly_black='blank', clamped='failed', postscript='failed', moved_301='failed',
            zeros_part='partial', nan_fits='out_of_footprint', no_overlap_500='failed', wrong_bands='failed')

@pytest.mark.parametrize('fault', [o for o in FAULTS if o not in ('forbidden_403','hang','drip','go_on')])
def test_each_fault_ends_as_it_should(fault, galaxies, tmp_path):
    fits,a,b = FAULTS[fault].of=='fits',galaxies.iloc[0],galaxies.iloc[1]
    kw = dict(survey='ls-dr9', format='fits', size=48) if fits else dict(size=80)
    with SkyDouble(n=40, seed=3, faults={key(b): fault}, slow_s=.2, retry_after=0) as sky:
        m = fetch(sky, galaxies[:2], tmp_path, **kw)
        assert m.status[a.objID]=='ok' and m.status[b.objID]==ends.get(fault, 'ok'), m.reason[b.objID]
        assert (m.tries[b.objID]>1)==(FAULTS[fault].transient and fault!='slow') or m.status[b.objID]=='failed'
        for r in m.itertuples():
            if r.status in kept: assert (tmp_path/r.file).read_bytes()==sky.expected_bytes(r.url) or r.status=='partial'
            else: assert r.file is None or r.file!=r.file
    assert len(list(tmp_path.glob('[!.]*.jpg')))+len(list(tmp_path.glob('[!.]*.fits')))==m.status.isin(kept).sum()
    assert not list(tmp_path.glob('.*.part'))

def test_legacy_500_outside_is_told_by_its_jpeg(galaxies, tmp_path):
    out = galaxies.iloc[-1]
    with SkyDouble(n=40, seed=3, faults=lambda path, q, nth: 'no_overlap_500' if 'fits-cutout' in path and q['ra']==f'{out.ra:.9f}'.rstrip('0') else None) as sky:
        m = fetch(sky, galaxies[[*[False]*40, False, True]].assign(), tmp_path, survey='ls-dr9', format='fits', size=48)
    assert m.status[out.objID]=='out_of_footprint'

@pytest.mark.parametrize('mod', ['records','cutouts','webimages'])
def test_no_survey_is_asked_for_by_name(mod):
    "What is peculiar to one is a field of its record"
    tree = ast.parse((Path(galfast.__file__).parent/'surveys'/f'{mod}.py').read_text())
    names = [o.value for c in ast.walk(tree) if isinstance(c, ast.Compare) for o in ast.walk(c) if isinstance(o, ast.Constant)]
    assert not set(names)&{*services,*all_surveys}

@pytest.mark.parametrize('survey,kw', [('sdss', {}), ('ls-dr10', {}), ('ls-dr9', dict(format='fits')), ('ps1', {}), ('ps1', dict(format='fits', bands='gr')), ('hips:CDS/P/SDSS9/color', {})])
def test_every_survey(survey, kw, galaxies, tmp_path):
    with SkyDouble(n=40, seed=3) as sky:
        m = fetch(sky, galaxies, tmp_path, survey=survey, size=64, **kw)
        assert m.status.iloc[:40].eq('ok').all() or m.status[galaxies.objID[:40]].eq('ok').all(), m.reason.dropna().iloc[0]
        assert m.status[galaxies.objID[40:]].isin(['out_of_footprint','failed']).all() if survey!='hips:CDS/P/SDSS9/color' else True
    files = find_images(galaxies[:40], tmp_path, pattern='{objID}_{band}.fits' if survey=='ps1' and kw else None, bands=kw.get('bands'))
    assert all(files)

def test_a_second_run_asks_for_nothing(galaxies, tmp_path):
    with SkyDouble(n=40, seed=3) as sky:
        fetch(sky, galaxies, tmp_path, size=64)
        n = sky.stats.total
        fetch(sky, galaxies, tmp_path, size=64)
        assert sky.stats.total==n
        with pytest.raises(GalfastError, match='size 64, not 65'): fetch(sky, galaxies, tmp_path, size=65)
        with pytest.raises(GalfastError, match='scale'): fetch(sky, galaxies, tmp_path, size=64, scale=1.)
        (tmp_path/f'{galaxies.objID[0]}.jpg').unlink()
        (tmp_path/f'{galaxies.objID[1]}.jpg').write_bytes(b'short')
        moved = galaxies.assign(dec=galaxies.dec+[*[0]*5, .01, *[0]*36]) # one position was corrected
        fetch(sky, moved, tmp_path, size=64)
        assert sky.stats.total==n+3

def test_retry_failed(galaxies, tmp_path):
    with SkyDouble(n=40, seed=3, faults={key(galaxies.iloc[i]): (f, 5) for i,f in ((3,'error_500'), (4,'mostly_black'))}, times=5) as sky:
        m = fetch(sky, galaxies[:6], tmp_path, size=64)
        assert m.status[galaxies.objID[3]]=='failed' and m.status[galaxies.objID[4]]=='blank'
        assert fetch(sky, galaxies[:6], tmp_path, size=64).status.eq('ok').sum()==4
        for _ in range(5): m = fetch(sky, galaxies[:6], tmp_path, size=64, retry_failed=True)
        assert m.status.eq('ok').all()

def test_limit_leaves_the_rest_for_later(galaxies, tmp_path):
    with SkyDouble(n=40, seed=3) as sky:
        assert len(fetch(sky, galaxies[:40], tmp_path, size=64, limit=7))==7
        assert pd.read_csv(tmp_path/'catalog.csv').cutout.eq('not asked').sum()==33
        assert len(fetch(sky, galaxies[:40], tmp_path, size=64))==40

def test_403_stops_everything(galaxies, tmp_path):
    "Four are under way when the first 403 comes: those end, what they bring is kept, and nothing goes out after them"
    galaxies,four = galaxies[:40],threading.Barrier(4, timeout=30)
    nth_of = {key(o): i for i,o in enumerate(galaxies.itertuples())}
    def refuses(path, q, nth):
        i = nth_of[sky_key(q['ra'], q['dec'])]
        if i not in range(9, 13) or over.is_set(): return
        four.wait()
        if i==9: return 'forbidden_403'
        s.pacer.stop.wait(20) # answered when the client has read the 403
    over = threading.Event()
    with SkyDouble(n=40, seed=3, faults=refuses) as sky:
        s = service(sky)
        with pytest.raises(HostStopped, match='403'):
            download_cutouts(galaxies, tmp_path, size=64, service=s, **quiet)
        assert sky.stats.total==9+4 and {nth_of[o] for o in sky.stats.objects}=={*range(13)}
        m = pd.read_parquet(tmp_path/'manifest.parquet')
        assert {*m.objID}>={*galaxies.objID[:9]} and m.status.eq('ok').all()
        over.set()
        assert fetch(sky, galaxies, tmp_path, size=64).status.eq('ok').all()
        assert sky.stats.total==13+40-12 # the three under way were kept too, in the manifest or under hidden names

def test_a_service_that_is_down_stops_the_run(galaxies, tmp_path):
    down = threading.Event()
    with SkyDouble(n=40, seed=3, faults=lambda path, q, nth: 'error_500' if down.is_set() else None) as sky:
        fetch(sky, galaxies[:3], tmp_path, size=64)
        down.set()
        with pytest.raises(NetError, match='first 3 cutouts'): fetch(sky, galaxies, tmp_path, size=64)
        assert len(pd.read_parquet(tmp_path/'manifest.parquet'))==3 # the failures of a probe say nothing about a galaxy

@pytest.mark.parametrize('fault,patience,failures', [('reset', 0., 20), ('error_500', 600., 165)])
def test_how_often_a_service_that_is_down_is_asked(fault, patience, failures, tmp_path, monkeypatch):
    """One request at a time, four a second, and from the seventh on all fail: after 8 failures the pace is halved, four times.
    After each 20th failure what came well before is asked for once more. So the 32nd failure comes 7/4+8/2+9+8*2 = 30.75 s
    after the first (31.4 with the 2% of slack), and from then on one request goes out in 4.08 s: 140 of them until the 600 s
    of patience are over, 133 failures and 7 such looks"""
    monkeypatch.setattr(net, 'random', SimpleNamespace(uniform=lambda a, b: b)) # what failed is set aside for as long as may be
    n = [0]
    def after_a_while(path, q, nth): n[0] += 1; return fault if n[0]>6 else None
    with SkyDouble(n=300, seed=3, faults=after_a_while) as sky:
        s = service(sky, in_flight=1, first_wait=60., patience=patience)
        s.pacer = Simulated(4., 1)
        with pytest.raises(HostStopped, match='nothing of use'):
            download_cutouts(sky.catalog(), tmp_path, size=64, service=s, **quiet)
        assert sky.stats.total==len(s.pacer.turns)==6+failures+failures//20 and s.row==failures
        if patience: assert 600<s.pacer.now-s.pacer.turns[6]<600+1.02*16/4

def test_pace_is_kept(tmp_path):
    four = threading.Barrier(4, timeout=30)
    def together(path, q, nth):
        if sky.stats.total>1: four.wait() # all but the first, the probe
    with SkyDouble(n=149, seed=3, faults=together) as sky:
        s = service(sky, rate=50.)
        s.pacer = Simulated(50., 4)
        m = download_cutouts(sky.catalog(), tmp_path, size=64, service=s, **quiet)
        t = s.pacer.turns
        assert m.status.eq('ok').all() and sky.stats.total==len(t)==149 and sky.stats.most_in_flight['all']==4
        assert max(bisect_left(t, o+1)-i for i,o in enumerate(t))<=51
        assert t[-1]==pytest.approx(147*1.02/50) # as fast as it may be: the first may make up for one
        assert list(sky.stats.agents)[0].startswith('galfast/')

def test_slows_down_when_told(galaxies, tmp_path):
    with SkyDouble(n=40, seed=3, faults={key(galaxies.iloc[5]): ('too_many_429', 1)}, retry_after=1) as sky:
        t0 = time.monotonic()
        assert fetch(sky, galaxies, tmp_path, size=64).status.eq('ok').sum()==40
        assert time.monotonic()-t0>1 and sky.stats.total==len(galaxies)+1

hostile = dict(position=dict(ra=[np.nan]), dec=dict(dec=[90.1]), text=dict(ra=['twelve']), path=dict(objID=['../../evil']), slash=dict(objID=['a/b']), long=dict(objID=['x'*10_000]), twice=dict(objID=['good']), none=dict(objID=[None]))

@pytest.mark.parametrize('what', hostile)
def test_hostile_catalogues(what, galaxies, tmp_path):
    df = galaxies[:3].astype({'ra': object}).reset_index(drop=True)
    df.loc[0,'objID'] = 'good'
    for k,v in hostile[what].items(): df[k] = df[k].astype(object); df.loc[1,k] = v[0]
    inside = tmp_path/'a'/'b'
    with SkyDouble(n=40, seed=3) as sky:
        with pytest.raises(CatalogError, match='1 of 3 rows cannot be asked for'): fetch(sky, df, inside, size=64)
        assert sky.stats.total==0 and not inside.exists()
        m = fetch(sky, df, inside, size=64, on_error='skip')
        assert m.status.eq('ok').sum()==2 and len(pd.read_csv(inside/'catalog.csv'))==3
    assert {p.name for p in tmp_path.rglob('*') if p.is_file()} <= {'good.jpg', f'{galaxies.objID[2]}.jpg', 'manifest.parquet', '.manifest.sqlite', 'catalog.csv', 'cutouts.json'}

def test_a_full_disk_and_a_folder_in_use(galaxies, tmp_path, monkeypatch):
    galaxies,four,calls = galaxies[:40],threading.Barrier(4, timeout=30),itertools.count(1)
    real,failed,stopped = CutoutFolder.write_part,[],[]
    def full(*args):
        "Six files fit; four threads write when there is no room any more, and three of them are told late"
        n = next(calls)
        if n<=6: return real(*args)
        failed.append(n)
        if n<=10: four.wait()
        if n>7: stopped.append(s.pacer.stop.wait(20))
        raise OSError(28, 'No space left on device')
    with SkyDouble(n=40, seed=3) as sky:
        fetch(sky, galaxies[:5], tmp_path, size=64)
        s = service(sky)
        with monkeypatch.context() as p:
            p.setattr(CutoutFolder, 'write_part', full)
            with pytest.raises(OSError, match='No space left'):
                download_cutouts(galaxies, tmp_path, size=64, service=s, **quiet)
        m,files = pd.read_parquet(tmp_path/'manifest.parquet'),list(tmp_path.glob('*.jpg'))
        assert len(m)==len(files)==5+6 and {*m.objID}=={o.stem for o in files}
        assert not list(tmp_path.glob('.*.part')) and not len(verify_cutouts(tmp_path))
        assert all(stopped) and len(failed) in (4,5) and sky.stats.total==5+6+len(failed) # one may have gone on before the run was stopped
        with folder_lock(tmp_path), pytest.raises(GalfastError, match='another process'):
            fetch(sky, galaxies, tmp_path, size=64)
        assert fetch(sky, galaxies, tmp_path, size=64).status.eq('ok').all()
        assert sky.stats.total==40+len(failed) # only what had no room is asked for again

def test_a_folder_that_cannot_be_written(galaxies, tmp_path):
    (tmp_path/'file').write_text('')
    with SkyDouble(n=40, seed=3) as sky:
        with pytest.raises(OSError): fetch(sky, galaxies, tmp_path/'file'/'folder', size=64)
        if Path('/proc').is_dir(): # read-only, for root too
            with pytest.raises(OSError): fetch(sky, galaxies, '/proc/galfast', size=64)
        assert sky.stats.total==0

def test_verify_finds_damage_and_the_next_run_mends_it(galaxies, tmp_path):
    with SkyDouble(n=40, seed=3) as sky:
        fetch(sky, galaxies[:9], tmp_path, size=64)
        f = [tmp_path/f'{o}.jpg' for o in galaxies.objID]
        f[0].write_bytes(f[0].read_bytes()[:-9]+b'\0'*9); f[1].unlink(); shutil.copy(f[2], tmp_path/'alien.jpg')
        bad = verify_cutouts(tmp_path).set_index('file').problem
        assert len(bad)==3 and 'bytes that came' in bad[f[0].name] and 'cannot be read' in bad[f[1].name] and bad['alien.jpg']=='not in the manifest'
        fetch(sky, galaxies[:9], tmp_path, size=64)
        assert list(verify_cutouts(tmp_path).file)==['alien.jpg']

def test_scale_follows_the_galaxy(galaxies, tmp_path):
    with SkyDouble(n=40, seed=3) as sky: m = fetch(sky, galaxies[:40], tmp_path, size=128, scale='wu-boada')
    got = [float(re.search(r'scale=([\d.]+)', m.url[o])[1]) for o in galaxies.objID[:40]]
    np.testing.assert_allclose(got, 2*galaxies.petroR90_r[:40]/.396/128)

# processes that die

def double(tmp_path, *args):
    p = subprocess.Popen([sys.executable, '-m', 'tests.skydouble', '--log', tmp_path/'log.tsv', *map(str, args)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
    return p,re.search(r'http://\S+', p.stdout.readline())[0]

def test_killed_three_times(tmp_path):
    n,rng = 200,random.Random(1)
    sky,url = double(tmp_path, '--n', n, '--seed', 5, '--faults', .1, '--latency', .01)
    try:
        twin = SkyDouble(n=n, seed=5, rate=.1)
        df = twin.catalog()
        df.to_csv(tmp_path/'c.csv', index=False)
        code = f"from galfast.surveys.cutouts import *; from galfast.surveys.net import HTTPService; download_cutouts({str(tmp_path/'c.csv')!r}, {str(tmp_path/'out')!r}, size=64, service=HTTPService({url!r}, 0, 4, timeout=(2,2), first_wait=.05))"
        for _ in range(3):
            p = subprocess.Popen([sys.executable, '-W', 'ignore', '-c', code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            before = (tmp_path/'log.tsv').stat().st_size
            while (tmp_path/'log.tsv').stat().st_size==before and p.poll() is None: time.sleep(.01)
            time.sleep(rng.uniform(.1, .8))
            p.send_signal(signal.SIGKILL); p.wait()
        subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True, stdout=subprocess.DEVNULL)
    finally: sky.terminate(); sky.wait()
    n = judge_end(tmp_path/'out', tmp_path/'log.tsv', twin, df)
    assert n.pop('sent_again')<=12 and not any(n.values()), n # three kills, four under way at each

def judge_end(dest, log, twin, df):
    "What went wrong in a folder, as numbers: `twin` knows what each galaxy should have become, `log` what was sent"
    m = pd.read_parquet(dest/'manifest.parquet').set_index('objID')
    n = dict.fromkeys(('missing','bad_accepted','good_refused','untrue_status','wrong_bytes'), 0)
    n['missing'] = len(set(df.objID)^set(m.index))+m.index.duplicated().sum()
    for o in df.itertuples():
        fault,r = twin.fault(ask_getjpeg(dict(ra=o.ra, dec=o.dec)), '', {}, 99),m.loc[o.objID] # what is left of it after 98 requests
        want = ends.get(fault, 'ok')
        if r.status!=want: n['bad_accepted' if r.status=='ok' else 'good_refused' if want=='ok' else 'untrue_status'] += 1
        elif r.status=='ok': n['wrong_bytes'] += (dest/r.file).read_bytes()!=twin.expected_bytes(r.url)
    log = pd.read_csv(log, sep='\t', names=['time','endpoint','key','sent'])
    n['sent_again'] = int((log[log.sent.isin(['good','slow'])].groupby('key').size()-1).sum()) # good answers that were sent twice: under way at a kill
    n['left_over'] = len(list(dest.rglob('.*.part')))+len(verify_cutouts(dest))
    return {k: int(v) for k,v in n.items()}

def test_ctrl_c_is_130_and_keeps_what_came(tmp_path):
    with SkyDouble(n=300, seed=3, latency=.05) as sky:
        sky.catalog().to_csv(tmp_path/'c.csv', index=False)
        args = [shutil.which('galfast'), 'cutouts', tmp_path/'c.csv', '--size', '64', '--out', tmp_path/'out', '--rate', '40']
        p = subprocess.Popen(list(map(str, args)), env={**os.environ, 'GALFAST_SDSS_URL': sky.url}, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) # whoever runs the tests may ignore it
        while sky.stats.total<20: time.sleep(.02)
        p.send_signal(signal.SIGINT)
        _,err = p.communicate(timeout=20)
        assert p.returncode==130 and 'goes on where it was' in err and 'Traceback' not in err
        m = pd.read_parquet(tmp_path/'out'/'manifest.parquet')
        assert 10<=len(m)<300 and m.status.eq('ok').all()

def test_commands(galaxies, tmp_path):
    galaxies[:12].to_csv(tmp_path/'c.csv', index=False)
    def galfast(*args): return subprocess.run([shutil.which('galfast'), *map(str, args)], env={**os.environ, 'GALFAST_SDSS_URL': sky.url}, capture_output=True, text=True)
    with SkyDouble(n=40, seed=3) as sky:
        r = galfast('cutouts', tmp_path/'c.csv', '--out', tmp_path/'out', '--dry-run')
        assert r.returncode==0 and '12 to fetch' in r.stdout and r.stdout.count('getjpeg?ra=')==3 and not (tmp_path/'out').exists() and sky.stats.total==0
        r = galfast('cutouts', tmp_path/'c.csv', '--out', tmp_path/'out', '--size', 64, '--rate', 0)
        assert r.returncode==0 and '12' in r.stdout and 'galfast train' in r.stdout, r.stderr
        assert galfast('verify', tmp_path/'out').returncode==0
        (tmp_path/'out'/f'{galaxies.objID[0]}.jpg').unlink()
        assert galfast('verify', tmp_path/'out').returncode==1
        r = galfast('cutouts', tmp_path/'c.csv', '--out', tmp_path/'out', '--size', 32)
        assert r.returncode==2 and '64 to 2048' in r.stderr and 'Traceback' not in r.stderr
    r = galfast('cutouts', tmp_path/'c.csv', '--out', tmp_path/'x', '--size', 64, '--rate', 0) # nothing listens there any more
    assert r.returncode==1 and 'nothing answers' in r.stderr and 'Traceback' not in r.stderr

def test_public_services_are_spared(monkeypatch):
    monkeypatch.delenv('GALFAST_SDSS_URL', raising=False)
    for rate in (0, 50): pytest.raises(GalfastError, cutout_service, get_survey('sdss'), rate)
    assert cutout_service(get_survey('sdss')).pacer.most<=4

@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='needs the memory of a process as Linux tells it')
def test_memory_is_flat(tmp_path):
    "A catalogue and a manifest of 100,000 rows, in a process of its own"
    code = f"""
import re
import numpy as np,pandas as pd
from galfast.surveys.cutouts import *
n,dest = 100_000,{str(tmp_path)!r}
df = pd.DataFrame(dict(objID=[str(1237645000000000000+i) for i in range(n)], ra=np.linspace(0, 359, n), dec=np.linspace(-20, 60, n), petroR90_r=5.))
job,survey = CutoutJob(size=64),get_survey('sdss')
_,asks = plan_cutouts(df, job)
folder = open_folder(Path(dest), job, n)
with Manifest(dest) as m:
    m.put(dict(objID=o, status='blank', url=survey.urls(a)['.jpg'], request=ask_hash(a, survey), sha256='0'*64, bytes=1, tries=1) for o,a in asks.items())
del asks
res = download_cutouts(df, dest, size=64, service=HTTPService('http://127.0.0.1:9'), say=lambda o: None)
assert len(res)==n and (res.status=='blank').all()
print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])//1024) # of this process alone
"""
    code = 'from galfast.surveys.records import *\nfrom galfast.surveys.net import *\nfrom pathlib import Path\n'+code
    r = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True)
    assert r.returncode==0, r.stderr
    print(r.stdout, 'MB')
    assert int(r.stdout)<400

@pytest.mark.parametrize('kw', [{}, dict(survey='ps1', format='fits', bands='gr')])
def test_names_with_blanks(kw, galaxies, tmp_path):
    names = ['NGC 1300','M 51','Arp 220 (W)']
    df = galaxies[:3].assign(objID=names)
    with SkyDouble(n=40, seed=3) as sky:
        m,n = fetch(sky, df, tmp_path, size=64, **kw),sky.stats.total
        assert list(m.status[names])==['ok']*3, m.reason
        fetch(sky, df, tmp_path, size=64, **kw)
        assert sky.stats.total==n # all is known
        files = [o for o in tmp_path.iterdir() if o.suffix in ('.jpg','.fits')]
        assert len(files)==(6 if kw else 3) and all(any(o.name.startswith(i) for i in names) for o in files)
        assert not len(verify_cutouts(tmp_path))
        files[0].unlink()
        assert len(verify_cutouts(tmp_path))==1
        fetch(sky, df, tmp_path, size=64, **kw)
        assert not len(verify_cutouts(tmp_path)) and sky.stats.total>n
    found = find_images(df, tmp_path, pattern='{objID}_{band}.fits' if kw else None, bands=kw.get('bands'))
    assert all(found) and (kw or [Path(o).stem for o in found]==names)
    assert list(pd.read_csv(tmp_path/'catalog.csv').objID)==names

def test_a_name_that_leaves_the_folder(galaxies, tmp_path):
    for o in ('NGC 4567/8', '..', '.x', 'a\\b', 'a\tb'):
        with pytest.raises(CatalogError, match='no file name'): describe_cutouts(galaxies[:1].assign(objID=o), tmp_path)
