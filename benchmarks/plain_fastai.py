"""Plain fastai with the blog's recipe on the folds of a catalogue: the baseline that galfast is measured against.

    python benchmarks/plain_fastai.py ../shared/data/metallicity --target oh_p50 --epochs 30 --folds 0 1 2 3 4
    python benchmarks/plain_fastai.py ../shared/data/morphology --target morphology --epochs 15 --bs 64 --folds 0 1

The blog trains xresnet34 on 130,000 images of 224 px. A few hundred images of another size need three changes, the fewest that
make sense: xresnet18, more epochs, and images resized to 144 px before the random 112 px crop where they are larger than that.
"""
import argparse,json,time
from pathlib import Path

import numpy as np, pandas as pd
from fastai.vision.all import *
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import KFold,StratifiedKFold

def root_mean_squared_error(p, y): return torch.sqrt(F.mse_loss(p.view(-1), y.view(-1)))

def folds(df, target, seed=0):
    "Five folds of `df`, stratified where `target` is a class: the same everywhere in benchmarks"
    cls = not pd.api.types.is_numeric_dtype(df[target])
    kf = (StratifiedKFold if cls else KFold)(5, shuffle=True, random_state=seed)
    return list(kf.split(df, df[target] if cls else None))

def plain_fold(root, df, target, valid_idx, epochs, bs, seed):
    "Train on everything but `valid_idx`, predict it with fastai's test-time augmentation: (predictions, seconds, cpu seconds)"
    set_seed(seed)
    t,c = time.perf_counter(),time.process_time()
    cls = not pd.api.types.is_numeric_dtype(df[target])
    size = PILImage.create(root/'images'/f'{df.objID[0]}.jpg').size[0]
    dblock = DataBlock(blocks=(ImageBlock, CategoryBlock if cls else RegressionBlock),
        get_x=ColReader(['objID'], pref=f'{root}/images/', suff='.jpg'), get_y=ColReader([target] if not cls else target),
        splitter=IndexSplitter(valid_idx), item_tfms=([Resize(144)] if size>144 else [])+[RandomCrop(112)],
        batch_tfms=aug_transforms(max_zoom=1., flip_vert=True, max_lighting=0., max_warp=0.)+[Normalize])
    dls = ImageDataLoaders.from_dblock(dblock, df, path=root, bs=bs, num_workers=0)
    learn = Learner(dls, xresnet18(n_out=dls.c, sa=True, act_cls=nn.Mish), opt_func=ranger,
                    loss_func=CrossEntropyLossFlat() if cls else root_mean_squared_error, path=Path('/tmp'))
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, 1e-2)
        secs,cpu = time.perf_counter()-t, time.process_time()-c
        preds,_ = learn.tta()
    return preds,dls,secs,cpu

def main():
    p = argparse.ArgumentParser()
    p.add_argument('root', type=Path); p.add_argument('--target', required=True); p.add_argument('--epochs', type=int, default=30)
    p.add_argument('--bs', type=int, default=32); p.add_argument('--folds', type=int, nargs='+', default=[0,1,2,3,4])
    p.add_argument('--seed', type=int, default=0); p.add_argument('--out', type=Path)
    a = p.parse_args()
    df = pd.read_csv(a.root/'catalog.csv', dtype={'objID': str})
    splits = folds(df, a.target)
    for k in a.folds:
        preds,dls,secs,cpu = plain_fold(a.root, df, a.target, splits[k][1], a.epochs, a.bs, a.seed)
        y = df[a.target].to_numpy()[splits[k][1]]
        if preds.shape[1]>1: m = dict(balanced_accuracy=balanced_accuracy_score(y, np.array(dls.vocab)[preds.argmax(1).numpy()]))
        else: m = dict(rmse=float(np.sqrt(np.mean((preds[:,0].numpy()-y)**2))))
        row = dict(data=a.root.name, fold=k, seconds=round(secs,1), cpu_seconds=round(cpu,1), epochs=a.epochs, **m)
        print(json.dumps(row), flush=True)
        if a.out:
            with open(a.out, 'a') as f: f.write(json.dumps(row)+'\n')

if __name__=='__main__': main()
