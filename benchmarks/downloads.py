"""The download engine against the local double of the services: faults and kills, throughput, pace, an outage

    python benchmarks/downloads.py [faults] [throughput] [pace] [tenth] [outage] [--n 5000] [--kills 3] [--rate 40]

Prints what was measured and adds a line of JSON to benchmarks/results/downloads.jsonl."""
import argparse,contextlib,json,random,re,shutil,signal,subprocess,sys,tempfile,time
from pathlib import Path

import pandas as pd

root = Path(__file__).parent.parent
sys.path[:0] = [str(root/'tests'), str(root/'tests'/'faults')]
from skydouble import SkyDouble
from skypictures import hash64
from test_cutouts import judge_end
from test_pace import World,between

from galfast.surveys.cutouts import download_cutouts
from galfast.surveys.net import HTTPService

@contextlib.contextmanager
def double(tmp, *args):
    "The double in a process of its own: its address"
    p = subprocess.Popen([sys.executable, '-m', 'tests.skydouble', '--log', str(tmp/'log.tsv'), *map(str, args)], stdout=subprocess.PIPE, text=True, cwd=root)
    try: yield re.search(r'http://\S+', p.stdout.readline())[0]
    finally: p.terminate(); p.wait()

def faults(o, tmp, seed=7):
    "All kinds of faults at 10% of the objects, the client killed at random, at `rate` a second; the seconds are those of all runs with their starts"
    rng,twin = random.Random(seed),SkyDouble(n=o.n, seed=seed, rate=.1)
    df = twin.catalog()
    df.to_csv(tmp/'c.csv', index=False)
    with double(tmp, '--n', o.n, '--seed', seed, '--faults', .1, '--latency', .005) as url:
        code = f"from galfast.surveys.cutouts import *; from galfast.surveys.net import HTTPService; download_cutouts({str(tmp/'c.csv')!r}, {str(tmp/'out')!r}, size=224, service=HTTPService({url!r}, {o.rate}, 8, timeout=(5,5), first_wait=.2))"
        cmd,t0 = [sys.executable, '-W', 'ignore', '-c', code],time.monotonic()
        for _ in range(o.kills):
            p = subprocess.Popen(cmd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(8, 25))
            p.send_signal(signal.SIGKILL); p.wait()
            print('killed;', sum(1 for _ in open(tmp/'log.tsv')), 'requests so far', flush=True)
        subprocess.run(cmd, check=True)
        t = time.monotonic()-t0
    wrong,m = judge_end(tmp/'out', tmp/'log.tsv', twin, df),pd.read_parquet(tmp/'out'/'manifest.parquet')
    log = pd.read_csv(tmp/'log.tsv', sep='\t', names=['time','endpoint','key','sent'])
    return dict(objects=o.n, kills=o.kills, asked=o.rate, seconds=round(t, 1), requests=len(log), requests_per_second=round(len(log)/t, 1), cutouts_per_second=round(o.n/t, 1),
                share_of_pace=round(len(log)/t/o.rate, 3), status=m.status.value_counts().to_dict(), sent=log.sent.value_counts().to_dict(), **wrong)

def tenth(o, tmp):
    "A tenth of the replies fail: 503, 429 with Retry-After 1, resets, cut bodies; 20 a second for a minute, and on a simulated clock"
    def fault(path, q, nth):
        h = hash64(q['ra'], q['dec'], nth)
        return ('haproxy_503','too_many_429','reset','short_body')[h%4] if h//4%10==0 else None
    with SkyDouble(n=1200, seed=1, faults=fault, latency=.05, retry_after=1) as sky:
        df,t0 = sky.catalog(),time.monotonic()
        m = download_cutouts(df, tmp/'out', size=64, service=HTTPService(sky.url, 20, 8), say=lambda o: None)
        t = time.monotonic()-t0
        res = dict(asked=20, requests_per_second=round(sky.stats.total/t, 2), good_per_second=round(m.status.eq('ok').sum()/t, 2), ok=int(m.status.eq('ok').sum()), objects=len(m), most_in_one_second=sky.stats.peak(), sent=dict(sky.stats.sent))
    def serve(w, what): return w.rng.choice([None,None,None,1.]) if w.rng.random()<.1 else True
    ws = {r: World(r, serve, max(4, r//4)).run(3600) for r in (1, 4, 20, 100)}
    return dict(res, simulated_hour={r: dict(requests_per_second=round(len(w.starts)/3600, 2), good_per_second=round(len(w.good)/3600, 2)) for r,w in ws.items()})

def outage(o, tmp):
    "Every request fails for five minutes: seconds until the pace is back, by the clock on the wall at 4 a second, and simulated"
    t0,out,n = time.monotonic(),(20, 320),360
    with SkyDouble(n=n, seed=1, latency=.05, faults=lambda *_: 'haproxy_503' if out[0]<=time.monotonic()-t0<out[1] else None) as sky:
        m = download_cutouts(sky.catalog(), tmp/'out', size=64, service=HTTPService(sky.url, 4, 4), say=lambda o: None)
        times = [t-t0 for t in sky.stats.times['all']]
    def back(starts, rate, end): return next((s for s in range(240) if between(starts, end+s, end+s+10)>=.95*rate/1.02), None)
    ws = {r: World(r, lambda w, what: None if 60<=w.now<360 else True, max(4, r//4)).run(700) for r in (1, 4, 20, 100)}
    return dict(asked=4, objects=n, ok=int(m.status.eq('ok').sum()), requests_in_outage=sum(out[0]<=t<out[1] for t in times), seconds_until_back=back(times, 4, out[1]), simulated={r: back(w.starts, r, 360) for r,w in ws.items()})

def throughput(o, tmp):
    "224 px JPEG without pacing, the double on the other core"
    df = SkyDouble(n=o.n, seed=1).catalog()
    with double(tmp, '--n', o.n, '--seed', 1) as url:
        t0,c0 = time.monotonic(),time.process_time()
        m = download_cutouts(df, tmp/'out', size=224, service=HTTPService(url, 0, 8))
        t,c = time.monotonic()-t0,time.process_time()-c0
    assert m.status.eq('ok').all()
    return dict(objects=o.n, images_per_second=round(o.n/t), client_cpu_seconds=round(c, 1))

def pace(o, tmp):
    "With pacing at N a second"
    res = {}
    for rate in (4, 20, 100):
        k = rate*20
        with SkyDouble(n=k, seed=1, latency=.02) as sky:
            t0 = time.monotonic()
            download_cutouts(sky.catalog(), tmp/f'out{rate}', size=64, service=HTTPService(sky.url, rate, 4), say=lambda o: None)
            res[f'asked {rate}'] = dict(rate=round((k-1)/(time.monotonic()-t0), 2), most_in_one_second=sky.stats.peak(), most_in_flight=sky.stats.most_in_flight['all'])
    return res

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('what', nargs='*', default=['faults','throughput','pace','tenth','outage'])
    p.add_argument('--n', type=int, default=5000)
    p.add_argument('--kills', type=int, default=3)
    p.add_argument('--rate', type=float, default=40.)
    o = p.parse_args()
    for w in o.what:
        tmp = Path(tempfile.mkdtemp())
        try: row = dict(name=f'downloads-{w}', **globals()[w](o, tmp))
        finally: shutil.rmtree(tmp)
        print(json.dumps(row, indent=1), flush=True)
        with open(root/'benchmarks'/'results'/'downloads.jsonl', 'a') as f: f.write(json.dumps(row)+'\n')
