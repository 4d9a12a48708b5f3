"""galfast on real galaxies, from the command line with nothing but the required options, beside what it is compared with.

    python benchmarks/real_galaxies.py                                   # galfast on everything, and the simple baselines
    python benchmarks/real_galaxies.py morphology --methods plain --folds 0 1
    python benchmarks/real_galaxies.py metallicity morphology --methods galfast --seeds 0 1 2 3 4   # the same folds with other seeds
    python benchmarks/real_galaxies.py --table

A fold is one `galfast train` on four fifths of the catalogue and one `galfast predict` of the rest; its seconds are those of the
whole command. Those of plain fastai are its training alone. Time them on a machine that does nothing else.
Rows go to benchmarks/results/real_galaxies.jsonl. The data lie in ../shared/data, or where GALFAST_SHARED says.
"""
import argparse,json,os,resource,subprocess,sys,tempfile,time
from pathlib import Path

import numpy as np, pandas as pd
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier,HistGradientBoostingRegressor
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import KFold,StratifiedKFold

here = Path(__file__).parent
shared = Path(os.getenv('GALFAST_SHARED', here.parent.parent/'shared'))/'data'
results = here/'results'/'real_galaxies.jsonl'
targets = dict(metallicity='oh_p50', morphology='morphology', simulated='metallicity')
blog = dict(metallicity=dict(epochs=30, bs=32), morphology=dict(epochs=15, bs=64), simulated=dict(epochs=10, bs=64)) # of plain fastai
n_simulated = 2000 # to train on; 1,000 others to judge by

def command(*args):
    "Run `galfast`; (seconds, CPU seconds)"
    t,c = time.perf_counter(),resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([Path(sys.executable).parent/'galfast', *map(str, args)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(time.perf_counter()-t, 1), round(r.ru_utime+r.ru_stime-c.ru_utime-c.ru_stime, 1)

def score(y, p): return dict(rmse=float(np.sqrt(np.mean((p-y)**2)))) if y.dtype.kind=='f' else dict(balanced_accuracy=float(balanced_accuracy_score(y, p)))

def galfast_fold(data, root, df, train, test, *options):
    "A fold by the command"
    target = targets[data]
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)
        df.iloc[train].to_csv(d/'train.csv', index=False); df.iloc[test][['objID']].to_csv(d/'test.csv', index=False)
        secs,cpu = command('train', d/'train.csv', '--images', root/'images', '--target', target, '--out', d/'run', *options)
        tsecs,_ = command('predict', d/'run', d/'test.csv', '--images', root/'images', '--out', d/'pred.csv')
        p,y = pd.read_csv(d/'pred.csv', dtype={'objID': str}),df[target].to_numpy()[test]
        m = dict(seconds=secs, cpu_seconds=cpu, predict_seconds=tsecs, **score(y, p[f'{target}_pred'].to_numpy()))
        if f'{target}_err' in p: m['within_1_sigma'] = float(np.mean(np.abs(p[f'{target}_pred']-y)<p[f'{target}_err']))
        return m

def quick_fold(*args): return galfast_fold(*args[:5], '--quick', *args[5:])

def plain_fold(data, root, df, train, test):
    "A fold by plain fastai"
    import plain_fastai
    use = df.iloc[np.concatenate([train, test])].reset_index(drop=True)
    pred,secs,cpu = plain_fastai.plain_fold(root, use, targets[data], np.arange(len(train), len(use)), **blog[data])
    return dict(seconds=round(secs, 1), cpu_seconds=round(cpu, 1), **blog[data], **score(df[targets[data]].to_numpy()[test], pred))

def boosting_fold(data, root, df, train, test):
    "Gradient boosting on 24 x 24 pixels with mean colours"
    x = np.stack([np.asarray(Image.open(root/'images'/f'{o}.jpg').convert('RGB').resize((24,24), Image.Resampling.BOX), np.float32) for o in df.objID])
    x,y = np.concatenate([x.reshape(len(x), -1), x.mean((1,2))], 1),df[targets[data]].to_numpy()
    model = HistGradientBoostingRegressor(random_state=0) if y.dtype.kind=='f' else HistGradientBoostingClassifier(random_state=0)
    return score(y[test], model.fit(x[train], y[train]).predict(x[test]))

def guess_fold(data, root, df, train, test):
    "The mean, or the commonest class"
    y = df[targets[data]].to_numpy()
    return score(y[test], np.full(len(test), y[train].mean() if y.dtype.kind=='f' else pd.Series(y[train]).mode()[0]))

methods = {'galfast': galfast_fold, 'quick': quick_fold, 'plain': plain_fold, 'boosting': boosting_fold, 'guess': guess_fold}

def folds(df, target, seed=0):
    "Five folds of `df`, stratified where `target` is a class"
    cls = not pd.api.types.is_numeric_dtype(df[target])
    return list((StratifiedKFold if cls else KFold)(5, shuffle=True, random_state=seed).split(df, df[target] if cls else None))

def trainings(names, seeds):
    "Method, options, and what a row says of them: galfast once with each of `seeds`, the others once"
    for k in names:
        if seeds is None or k not in ('galfast','quick'): yield k,(),{}
        else: yield from ((k, ('--seed', s), dict(train_seed=s)) for s in seeds)

def run(data, which, names, seed, seeds=None):
    "Rows for the folds `which` of `data`; simulated galaxies have one"
    if data=='simulated':
        from galfast.sim.galaxies import irreducible_rmse,sim_survey
        with tempfile.TemporaryDirectory() as d:
            df = sim_survey(Path(d), n_simulated+1000, seed=11+seed)
            best = irreducible_rmse(df[n_simulated:])
            for k,options,said in trainings(names, seeds):
                write(data=data, method=k, fold=0, seed=seed, **said, irreducible=best, **methods[k](data, Path(d), df, np.arange(n_simulated), np.arange(n_simulated, len(df)), *options))
        return
    df = pd.read_csv(shared/data/'catalog.csv', dtype={'objID': str})
    for i in which:
        for k,options,said in trainings(names, seeds):
            write(data=data, method=k, fold=i, seed=seed, **said, **methods[k](data, shared/data, df, *folds(df, targets[data], seed)[i], *options))

def write(**row):
    results.parent.mkdir(exist_ok=True)
    with open(results, 'a') as f: f.write(json.dumps(row)+'\n')
    print(json.dumps(row), flush=True)

def value(o): return o.rmse if 'rmse' in o and o.rmse.notna().any() else o.balanced_accuracy

def table():
    "Mean and scatter over folds, and times beside that of plain fastai; then galfast seed by seed"
    df = pd.read_json(results, lines=True)
    if 'train_seed' not in df: df['train_seed'] = np.nan
    for data,rows in df.groupby('data', sort=False):
        plain = rows.seconds[rows.method=='plain'].mean()
        for k,o in rows[rows.train_seed.isna()].groupby('method', sort=False):
            v = value(o)
            times = '' if o.seconds.isna().all() else f"{o.seconds.mean():6.0f} s {o.cpu_seconds.mean():6.0f} CPU s, plain fastai {plain/o.seconds.mean():5.1f} times that"
            print(f"{data:12} {k:9} {v.mean():.4f} ± {v.std(ddof=1) if len(v)>1 else 0:.4f}  folds {','.join(map(str, o.fold))}  {times}")
        for k,o in rows[rows.train_seed.notna()].groupby('method', sort=False): seed_table(data, k, o)

def seed_table(data, method, rows):
    "A line a seed, and how far the seeds lie apart"
    means = []
    for s,o in rows.groupby('train_seed'):
        last = o.drop_duplicates(['seed','fold'], keep='last') # a fold that was run again
        means.append(value(last).mean())
        print(f"{data:12} {method:9} {means[-1]:.4f} ± {value(last).std(ddof=1) if len(last)>1 else 0:.4f}  folds {','.join(map(str, last.fold))}  --seed {s:.0f}")
    if len(means)>1: print(f"{data:12} {method:9} {np.mean(means):.4f} ± {np.std(means, ddof=1):.4f}  over {len(means)} seeds")

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('data', nargs='*', default=[], help='metallicity, morphology, simulated; by default all')
    p.add_argument('--methods', nargs='+', choices=methods, default=['galfast','quick','boosting','guess'])
    p.add_argument('--folds', type=int, nargs='+', default=[0,1,2,3,4]); p.add_argument('--seed', type=int, default=0, help='of the folds')
    p.add_argument('--seeds', type=int, nargs='+', help='of the training, one after the other; by default that of the command')
    p.add_argument('--table', action='store_true', help='print what was measured')
    a = p.parse_args()
    if set(a.data)-set(targets): p.error(f"data are {', '.join(targets)}")
    if not a.table:
        for d in a.data or targets: run(d, a.folds, a.methods, a.seed, a.seeds)
    table()

if __name__=='__main__': main()
