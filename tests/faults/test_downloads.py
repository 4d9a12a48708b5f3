"Downloads of a folder of cutouts from a service that fails: nothing is lost, and what fails keeps nothing else from coming"
import os,time

import pytest
from skydouble import SkyDouble,sky_key

from galfast.surveys.cutouts import *
from galfast.surveys.net import HostStopped,HTTPService,NetError

soak = int(os.environ.get('GALFAST_SOAK', 0))

def fetch(sky, df, dest, rate=0, **kw):
    kw = dict(in_flight=4, first_wait=.02, timeout=(5,5))|kw
    s = HTTPService(sky.url, rate, **kw)
    return download_cutouts(df, dest, size=64, service=s, say=lambda o: None).set_index('objID'),s
def keys(df): return {sky_key(*o) for o in df[['ra','dec']].to_numpy()}
def key(q): return sky_key(q['ra'], q['dec'])

@pytest.mark.parametrize('fault', ['haproxy_503','reset','clamped',*(['error_500','too_many_429','html_200'] if soak else [])])
def test_bad_galaxies_at_the_head(fault, tmp_path):
    "The first twelve of fifty can never be had"
    with SkyDouble(n=50, seed=3, retry_after=0) as sky:
        df = sky.catalog(); bad = keys(df[:12])
        sky.faults = lambda path, q, nth: fault if key(q) in bad else None
        m,_ = fetch(sky, df, tmp_path)
        assert m.status[df.objID[:12]].eq('failed').all() and m.status[df.objID[12:]].eq('ok').all()
        n = [sky.stats.objects[k][0] for k in bad]
        assert max(n)<=15 and min(n)>=1 # five, and some while nothing else was known

def test_one_bad_galaxy_slows_nobody(tmp_path):
    "One is answered 429 and told to wait three seconds, again and again; the others come at the asked pace meanwhile"
    with SkyDouble(n=90, seed=3, retry_after=3) as sky:
        df = sky.catalog(); bad,good = keys(df[5:6]),[]
        def fault(path, q, nth):
            if key(q) in bad: return 'too_many_429'
            good.append(time.monotonic())
        sky.faults = fault
        m,s = fetch(sky, df, tmp_path, 30., tries=2)
        assert m.status.eq('ok').sum()==89 and s.pacer.rate==30
        assert sorted(good)[80]-good[0]<80/30+2.5 # and not three seconds later

def test_an_outage_loses_nothing(tmp_path):
    "Two seconds in which all fails; each galaxy may be asked for five times, but an outage does not count"
    t0,out = time.monotonic(),[1e9]
    def fault(path, q, nth):
        if out[0]==1e9 and sky.stats.total>30: out[0] = time.monotonic()
        return ('haproxy_503','reset')[nth%2] if out[0]<=time.monotonic()<out[0]+2 else None
    with SkyDouble(n=100, seed=3, faults=fault) as sky:
        m,s = fetch(sky, sky.catalog(), tmp_path, 60.)
        assert m.status.eq('ok').all() and len(m)==100 and time.monotonic()-t0<60
        assert s.pacer.rate==60 or s.pacer.rate>15

def test_a_service_that_stays_down_ends_the_run(tmp_path):
    with SkyDouble(n=150, seed=3) as sky:
        sky.faults = lambda path, q, nth: 'haproxy_503' if sky.stats.total>30 else None
        t0 = time.monotonic()
        with pytest.raises(HostStopped, match='nothing of use'): fetch(sky, sky.catalog(), tmp_path, 60., patience=1.)
        assert time.monotonic()-t0<30
        n = len(verify_cutouts(tmp_path)); sky.faults = lambda *_: None
        m,_ = fetch(sky, sky.catalog(), tmp_path)
        assert not n and m.status.eq('ok').all() and len(m)==150

@pytest.mark.parametrize('fault', ['hang','drip','go_on'])
def test_what_never_ends_does_not_block_the_queue(fault, tmp_path):
    with SkyDouble(n=40, seed=3, hang_s=60.) as sky:
        df = sky.catalog(); bad = keys(df[1:3])
        sky.faults = lambda path, q, nth: fault if key(q) in bad else None
        t0 = time.monotonic()
        m,_ = fetch(sky, df, tmp_path, timeout=(.5,.5))
        assert m.status.eq('ok').sum()==38 and m.status[df.objID[1:3]].eq('failed').all()
        assert time.monotonic()-t0<20 # two times three timeouts, on a busy machine

def test_retry_after_of_a_year(tmp_path):
    with SkyDouble(n=9, seed=3, retry_after=31536000, faults=lambda *_: 'too_many_429') as sky:
        t0 = time.monotonic()
        with pytest.raises(NetError, match='asks to wait'): fetch(sky, sky.catalog(), tmp_path)
        assert time.monotonic()-t0<10 and sky.stats.total<=5
