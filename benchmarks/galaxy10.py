"""Five simulated classes of Galaxy10 on one split: a dense network on flat pixels and networks of galfast, judged once by 20% that none of them saw

    python benchmarks/galaxy10.py            # two cores: 5 minutes
"""
import argparse,json,tempfile,time,warnings
from pathlib import Path

import numpy as np
from fastai.optimizer import SGD

from galfast.data.loaders import GalaxyDataLoaders,StratifiedSplitter
from galfast.surveys.galaxy10 import galaxy10_images,galaxy10_sets
from galfast.training.learner import galaxy_learner
from galfast.data.losses import OneVsRest
from galfast.data.metrics import class_accuracy,second_choice
from galfast.sim.sets import sim_galaxy10

def dense(path, kw, epochs):
    "One hidden layer of tanh on 69 x 69 px in three bands, sigmoid outputs, summed binary cross-entropy, plain gradient descent"
    dls = GalaxyDataLoaders.from_labelled(galaxy10_images(path, 'sdss'), augment=[], **kw)
    learn = galaxy_learner(dls, 'mlp', seed=0, arch_kw=dict(hidden=[128], act='tanh'), loss_func=OneVsRest(), opt_func=SGD)
    with learn.no_bar(), learn.no_logging(): learn.fit(epochs, 3e-2, wd=0)
    return learn

def convolutional(path, kw, arch, epochs):
    learn = galaxy_learner(GalaxyDataLoaders.from_labelled(galaxy10_images(path, 'sdss'), size=48, **kw), arch, seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, 4e-3)
    return learn

def main(n, epochs):
    five,rows = galaxy10_sets['sdss'].five,[]
    kw = dict(classes=five, bs=64, valid=StratifiedSplitter(valid=.1, test=.2), device='cpu')
    with tempfile.TemporaryDirectory() as d:
        t = time.perf_counter()
        sim_galaxy10(path := Path(d)/'Galaxy10.h5', n, classes=five, progress=False)
        print(f'{n:,} galaxies simulated in {time.perf_counter()-t:.0f} s')
        for name,fit in dict(dense=lambda: dense(path, kw, 15*epochs//6), galnet=lambda: convolutional(path, kw, 'galnet', epochs), xresnet9=lambda: convolutional(path, kw, 'xresnet9', epochs)).items():
            t = time.perf_counter()
            learn = fit()
            s = time.perf_counter()-t
            with learn.no_bar(): p,y = learn.get_preds(ds_idx=2)
            a,m = class_accuracy(p, y),len(y)
            rows.append(dict(method=name, n=n, n_test=m, accuracy=round(a, 4), err=round(float(np.sqrt(a*(1-a)/m)), 4), second_choice=round(second_choice(p, y), 3), seconds=round(s, 1)))
            print(json.dumps(rows[-1]), flush=True)
    return rows

if __name__=='__main__':
    warnings.filterwarnings('ignore')
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument('--n', type=int, default=6000); ap.add_argument('--epochs', type=int, default=6); ap.add_argument('--no-save', action='store_true')
    a = ap.parse_args()
    rows = main(a.n, a.epochs)
    if not a.no_save: (Path(__file__).parent/'results'/'galaxy10.jsonl').write_text(''.join(json.dumps(o)+'\n' for o in rows))
