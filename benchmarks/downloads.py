"""The download engine against the local double of the services: faults and kills, throughput, pace, memory

    python benchmarks/downloads.py [faults] [throughput] [pace] [--n 5000] [--kills 3]

Prints what was measured and adds a line of JSON to benchmarks/results/downloads.jsonl."""
import argparse,contextlib,json,random,re,shutil,signal,subprocess,sys,tempfile,time
from pathlib import Path

import pandas as pd

root = Path(__file__).parent.parent
sys.path.insert(0, str(root/'tests'))
from skydouble import SkyDouble
from test_cutouts import judge_end

from galfast.cutouts import download_cutouts
from galfast.net import HTTPService

@contextlib.contextmanager
def double(tmp, *args):
    "The double in a process of its own: its address"
    p = subprocess.Popen([sys.executable, '-m', 'tests.skydouble', '--log', str(tmp/'log.tsv'), *map(str, args)], stdout=subprocess.PIPE, text=True, cwd=root)
    try: yield re.search(r'http://\S+', p.stdout.readline())[0]
    finally: p.terminate(); p.wait()

def faults(n, kills, tmp, seed=7):
    "All kinds of faults at 10%, the client killed at random"
    rng,twin = random.Random(seed),SkyDouble(n=n, seed=seed, rate=.1)
    df = twin.catalog()
    df.to_csv(tmp/'c.csv', index=False)
    t0 = time.monotonic()
    with double(tmp, '--n', n, '--seed', seed, '--faults', .1, '--latency', .005) as url:
        code = f"from galfast.cutouts import *; from galfast.net import HTTPService; download_cutouts({str(tmp/'c.csv')!r}, {str(tmp/'out')!r}, size=224, service=HTTPService({url!r}, 0, 4, timeout=(5,5), first_wait=.2))"
        cmd = [sys.executable, '-W', 'ignore', '-c', code]
        for _ in range(kills):
            p = subprocess.Popen(cmd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(3, 15))
            p.send_signal(signal.SIGKILL); p.wait()
            print('killed;', sum(1 for _ in open(tmp/'log.tsv')), 'requests so far', flush=True)
        subprocess.run(cmd, check=True)
    wrong,m = judge_end(tmp/'out', tmp/'log.tsv', twin, df),pd.read_parquet(tmp/'out'/'manifest.parquet')
    log = pd.read_csv(tmp/'log.tsv', sep='\t', names=['time','endpoint','key','sent'])
    return dict(objects=n, kills=kills, seconds=round(time.monotonic()-t0, 1), requests=len(log), status=m.status.value_counts().to_dict(), sent=log.sent.value_counts().to_dict(), **wrong)

def throughput(n, kills, tmp):
    "224 px JPEG without pacing, the double on the other core"
    df = SkyDouble(n=n, seed=1).catalog()
    with double(tmp, '--n', n, '--seed', 1) as url:
        t0,c0 = time.monotonic(),time.process_time()
        m = download_cutouts(df, tmp/'out', size=224, service=HTTPService(url, 0, 8))
        t,c = time.monotonic()-t0,time.process_time()-c0
    assert m.status.eq('ok').all()
    return dict(objects=n, images_per_second=round(n/t), client_cpu_seconds=round(c, 1))

def pace(n, kills, tmp):
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
    p.add_argument('what', nargs='*', default=['faults','throughput','pace'])
    p.add_argument('--n', type=int, default=5000)
    p.add_argument('--kills', type=int, default=3)
    o = p.parse_args()
    for w in o.what:
        tmp = Path(tempfile.mkdtemp())
        try: row = dict(name=f'downloads-{w}', **dict(faults=faults, throughput=throughput, pace=pace)[w](o.n, o.kills, tmp))
        finally: shutil.rmtree(tmp)
        print(json.dumps(row, indent=1), flush=True)
        with open(root/'benchmarks'/'results'/'downloads.jsonl', 'a') as f: f.write(json.dumps(row)+'\n')
