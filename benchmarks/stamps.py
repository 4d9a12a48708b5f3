"""Point-source stamps: VGG6 on simulated ones, accuracy by S/N on 20% that it never saw, and how long it takes to make 110,000

    python benchmarks/stamps.py
"""
import argparse,json,time,warnings
from pathlib import Path

import numpy as np, pandas as pd

from galfast.images.augment import GalaxyAugment
from galfast.data.loaders import GalaxyDataLoaders,StratifiedSplitter
from galfast.images.fits import StampTfm
from galfast.training.learner import galaxy_learner
from galfast.sim.sets import sim_stamps

def accuracy(ok): return dict(accuracy=round(float(ok.mean()), 4), err=round(float(np.sqrt(ok.mean()*(1-ok.mean())/len(ok))), 4), n=len(ok))

def main(n, epochs, many):
    t = time.perf_counter()
    sim_stamps(many, seed=9)
    made = time.perf_counter()-t
    t = time.perf_counter()
    stamps,truth = sim_stamps(n, seed=1)
    dls = GalaxyDataLoaders.from_arrays(stamps, truth.label, stretch=StampTfm(), valid=StratifiedSplitter(valid=.1, test=.2), bs=64, augment=GalaxyAugment(max_deg=0), device='cpu')
    learn = galaxy_learner(dls, 'vgg6', seed=0)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, 4e-3)
    with learn.no_bar(): p,y = learn.get_preds(ds_idx=2)
    test = truth.iloc[list(dls.splits[2])].assign(right=(p.argmax(1)==y).numpy())
    row = dict(method='vgg6', n=n, epochs=epochs, seconds=round(time.perf_counter()-t, 1), **{f'simulating_{many}_s': round(made, 1)}, all=accuracy(test.right),
        sources_snr10_and_noise=accuracy(test.right[(test.label=='noise') | (test.snr>=10)]), all_snr10=accuracy(test.right[(test.kind=='blank') | (test.snr>=10)]))
    print(json.dumps(row))
    print(test.groupby(['kind', pd.cut(test.snr, [-1,0,5,10,20,101])], observed=True).right.agg(['mean','size']).round(3).to_string())
    return row

if __name__=='__main__':
    warnings.filterwarnings('ignore')
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument('--n', type=int, default=20_000); ap.add_argument('--epochs', type=int, default=6); ap.add_argument('--many', type=int, default=110_000); ap.add_argument('--no-save', action='store_true')
    a = ap.parse_args()
    row = main(a.n, a.epochs, a.many)
    if not a.no_save: (Path(__file__).parent/'results'/'stamps.json').write_text(json.dumps(row, indent=1)+'\n')
