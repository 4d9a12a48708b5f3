"How long until predictions of unseen galaxies are as good as those of plain fastai, on the real samples of ../shared/data"
import tempfile

import pandas as pd

import plain_fastai
from common import *
from galfast.results.predict import predict_catalog
from galfast.train import train_galaxies
from real_galaxies import blog,folds as all_folds,score,shared,targets

def by_galfast(data, df, train, test, device):
    "Predictions of the rows `test` by `quick`"
    target,images = targets[data],shared/data/'images'
    with tempfile.TemporaryDirectory() as d:
        run = train_galaxies(df.iloc[train], images, target, Path(d)/'run', quick=True, device=device)
        return predict_catalog(run, df.iloc[test][['objID']], images, device=device)[f'{target}_pred'].to_numpy()

def by_plain_fastai(data, df, train, test):
    use = df.iloc[[*train, *test]].reset_index(drop=True)
    return plain_fastai.plain_fold(shared/data, use, targets[data], range(len(train), len(use)), **blog[data])[0]

def time_to_accuracy(n, root, device, data, folds=5):
    "Both from files to predictions of a fold, in turns in one process that has imported everything: plain fastai with all of its epochs, and `quick`"
    df,rows = pd.read_csv(shared/data/'catalog.csv', dtype={'objID': str}),[]
    for train,test in all_folds(df, targets[data])[:folds]:
        y = df[targets[data]].to_numpy()[test]
        ways = partial(by_galfast, data, df, train, test, device),partial(by_plain_fastai, data, df, train, test)
        rows.append([v for t,p in (seconds(w, device) for w in ways) for v in (t, *score(y, p).values())])
        print('fold', len(rows)-1, [round(float(o), 4) for o in rows[-1]], flush=True)
    a,ea,b,eb = np.mean(rows, 0)
    kind,better = next(iter(score(y, y))),(ea<=eb if y.dtype.kind=='f' else ea>=eb)
    return result(float(a), float(b), 's', len(df), device, less_is_better=True, folds=len(rows), **{kind: float(ea), f'baseline_{kind}': float(eb)}, as_good=bool(better))
