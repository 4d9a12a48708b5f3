"""galfast on real galaxies, from the command line with nothing but the required options, on five folds.

    python benchmarks/real_galaxies.py metallicity --folds 0 1 2 3 4
    python benchmarks/real_galaxies.py morphology  --folds 0 1 2 3 4
    python benchmarks/real_galaxies.py simulated
    python benchmarks/real_galaxies.py table

Each fold is one `galfast train` on four fifths of the catalogue and one `galfast predict` of the rest, timed as a whole. Rows go to
benchmarks/results/real_galaxies.jsonl; those of plain fastai come from `plain_fastai.py --out` with the same folds. `table` prints them.
The data lie in ../shared/data, or where GALFAST_SHARED says.
"""
import argparse,json,os,resource,subprocess,sys,tempfile,time
from pathlib import Path

import numpy as np, pandas as pd
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier,HistGradientBoostingRegressor
from sklearn.metrics import balanced_accuracy_score
sys.path.insert(0, str(Path(__file__).parent))
from plain_fastai import folds

here = Path(__file__).parent
shared = Path(os.getenv('GALFAST_SHARED', here.parent.parent/'shared'))/'data'
targets = dict(metallicity='oh_p50', morphology='morphology')
results = here/'results'/'real_galaxies.jsonl'

def galfast(*args):
    "Run the command; (seconds, CPU seconds)"
    t,c = time.perf_counter(),resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([Path(sys.executable).parent/'galfast', *map(str, args)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter()-t, r.ru_utime+r.ru_stime-c.ru_utime-c.ru_stime

def score(y, p): return dict(rmse=float(np.sqrt(np.mean((p-y)**2)))) if y.dtype.kind=='f' else dict(balanced_accuracy=float(balanced_accuracy_score(y, p)))

def galfast_fold(root, df, target, train, test, extra=()):
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)
        df.iloc[train].to_csv(d/'train.csv', index=False); df.iloc[test][['objID']].to_csv(d/'test.csv', index=False)
        secs,cpu = galfast('train', d/'train.csv', '--images', root/'images', '--target', target, '--out', d/'run', *extra)
        tsecs,_ = galfast('predict', d/'run', d/'test.csv', '--images', root/'images', '--out', d/'pred.csv')
        p = pd.read_csv(d/'pred.csv', dtype={'objID': str})
        m = score(df[target].to_numpy()[test], p[f'{target}_pred'].to_numpy())
        if f'{target}_err' in p: m['within_1_sigma'] = float(np.mean(np.abs(p[f'{target}_pred']-df[target].to_numpy()[test])<p[f'{target}_err']))
        return dict(seconds=round(secs, 1), cpu_seconds=round(cpu, 1), predict_seconds=round(tsecs, 1), **m)

def baselines(root, df, target, train, test):
    "The mean (or commonest class), and boosting on 24 x 24 pixels with mean colours"
    x = np.stack([np.asarray(Image.open(root/'images'/f'{o}.jpg').convert('RGB').resize((24,24), Image.Resampling.BOX), np.float32) for o in df.objID])
    x = np.concatenate([x.reshape(len(x), -1), x.mean((1,2))], 1)
    y = df[target].to_numpy()
    model = HistGradientBoostingRegressor(random_state=0) if y.dtype.kind=='f' else HistGradientBoostingClassifier(random_state=0)
    guess = y[train].mean() if y.dtype.kind=='f' else pd.Series(y[train]).mode()[0]
    return {'guess': score(y[test], np.full(len(test), guess)), 'pixels + boosting': score(y[test], model.fit(x[train], y[train]).predict(x[test]))}

def write(**row):
    results.parent.mkdir(exist_ok=True)
    with open(results, 'a') as f: f.write(json.dumps(row)+'\n')
    print(json.dumps(row), flush=True)

def real(data, which, seed, extra):
    root,target = shared/data,targets[data]
    df = pd.read_csv(root/'catalog.csv', dtype={'objID': str})
    for k in which:
        train,test = folds(df, target, seed)[k]
        write(data=data, method='galfast', fold=k, seed=seed, **galfast_fold(root, df, target, train, test, extra))
        for name,m in baselines(root, df, target, train, test).items(): write(data=data, method=name, fold=k, seed=seed, **m)

def simulated(n, extra):
    "`n` simulated galaxies to train on, 1,000 others to judge by"
    from galfast.sim import irreducible_rmse,sim_survey
    with tempfile.TemporaryDirectory() as d:
        df = sim_survey(Path(d), n+1000, seed=11)
        best = irreducible_rmse(df[n:])
        m = galfast_fold(Path(d), df, 'metallicity', np.arange(n), np.arange(n, n+1000), extra)
        write(data='simulated', method='galfast', n=n, irreducible=best, ratio=m['rmse']/best, **m)

def table():
    rows = [json.loads(o) for f in results.parent.glob('*.jsonl') for o in f.read_text().splitlines()]
    df = pd.DataFrame(rows)
    for (data,method),o in df.groupby(['data','method'], sort=False):
        v = o.rmse if o.rmse.notna().any() else o.balanced_accuracy
        print(f"{data:12} {method:20} {v.mean():.4f} ± {v.std(ddof=1):.4f}  ({len(v)} folds)  {o.seconds.mean():.0f} s, {o.cpu_seconds.mean():.0f} CPU s")

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('what', choices=[*targets, 'simulated', 'table'])
    p.add_argument('--folds', type=int, nargs='+', default=[0,1,2,3,4]); p.add_argument('--seed', type=int, default=0); p.add_argument('--n', type=int, default=2000)
    a,extra = p.parse_known_args()
    if a.what=='table': table()
    elif a.what=='simulated': simulated(a.n, extra)
    else: real(a.what, a.folds, a.seed, extra)

if __name__=='__main__': main()
