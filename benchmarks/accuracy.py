"How long until predictions of unseen galaxies are as good as those of plain fastai, on the real samples of ../shared/data"
import tempfile

import pandas as pd

import plain_fastai
from common import *
from galfast.predict import predict_catalog
from galfast.train import train_galaxies
from real_galaxies import blog,folds as all_folds,score,shared,targets

def time_to_accuracy(n, root, device, name, data, folds=5):
    "Both from files to predictions of a fold in one process each in turn, everything imported before: plain fastai with all of its epochs, and `quick`"
    df,target,rows = pd.read_csv(shared/data/'catalog.csv', dtype={'objID': str}),targets[data],[]
    for train,test in all_folds(df, target)[:folds]:
        def ours():
            with tempfile.TemporaryDirectory() as d:
                run = train_galaxies(df.iloc[train], shared/data/'images', target, Path(d)/'run', quick=True, device=device)
                return predict_catalog(run, df.iloc[test][['objID']], shared/data/'images')[f'{target}_pred'].to_numpy()
        def plain():
            use = df.iloc[[*train, *test]].reset_index(drop=True)
            return plain_fastai.plain_fold(shared/data, use, target, range(len(train), len(use)), **blog[data])[0]
        y = df[target].to_numpy()[test]
        rows.append([v for f in (ours, plain) for t,p in [seconds(f, device)] for v in (t, *score(y, p).values())])
        print('fold', len(rows)-1, [round(float(o), 4) for o in rows[-1]], flush=True)
    a,ea,b,eb = np.mean(rows, 0)
    kind,better = next(iter(score(y, y))),(ea<=eb if df[target].dtype.kind=='f' else ea>=eb)
    report(name, float(a), float(b), 's', len(df), device, less_is_better=True, folds=len(rows), **{kind: float(ea), f'baseline_{kind}': float(eb)}, as_good=bool(better))
