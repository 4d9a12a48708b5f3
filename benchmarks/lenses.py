"""Twenty strong lenses among 500 simulated galaxies that are none: how to train on so few, and what the answer is worth.

    OMP_NUM_THREADS=1 python benchmarks/lenses.py             # everything, some six minutes; one thread, where others work beside it
    python benchmarks/lenses.py simulated --methods cnn boosting
    python benchmarks/lenses.py --table

Five folds over the lenses and the negatives; every image is judged by a network that saw neither it nor a copy of it, after a fixed
number of epochs, so that nothing is chosen by what is judged. `data` is `real`, the 20 candidates of ../shared/data/lenses (or where
GALFAST_SHARED says), or `simulated`, 20 simulated ones in their place. Each row also says how many of the held-out lenses are still
called lenses when their arcs are taken away (`without_arcs`), and how many simulated lenses, never seen, are found (`simulated_found`).
`arcs` trains on simulated lenses alone, 1,000 beside as many without arcs, and is judged by the 20.
Rows go to benchmarks/results/lenses.jsonl; the table shows the last of each.
"""
import argparse,json,os,time
from functools import partial
from pathlib import Path

import numpy as np, pandas as pd
from astropy.stats import binom_conf_interval
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from galfast import *

here = Path(__file__).parent
source = Path(os.getenv('GALFAST_SHARED', here.parent.parent/'shared'))/'data'/'lenses'/'lenses.npy'
results = here/'results'/'lenses.jsonl'
clipped = MinMaxTfm(-1., 100., -1., 100.) # counts; the floor is two sigma of the sky below it
metrics = [TaskMetric(positive_f1, 'f1'), TaskMetric(average_precision, 'ap')]
moves = dict(zoom=(.9,1.1), fill='reflect', centred=True)

def without_arcs(x, radius=30, seed=0):
    "`x` (n, y, x, band) with each ring about the centre at its median, and noise: the galaxy without what is not round in it"
    rng,(h,w) = np.random.default_rng(seed),x.shape[1:3]
    y,z = np.indices((h,w))
    ring,out = np.hypot(y-(h-1)/2, z-(w-1)/2).astype(int),x.copy()
    for k in range(1, radius):
        m = ring==k
        mid = np.median(x[:,m], 1, keepdims=True)
        out[:,m] = mid+rng.normal(0, 1, x[:,m].shape)*[cosmos['sigma'][b] for b in 'gri']
    return out

def net(images, labels, valid=None, arch='cnn', arch_kw=None, loss=None, oversample='balanced', epochs=5, augment=None, stretch=clipped, seed=0):
    "A network trained on all rows but `valid`, images of half the pixels"
    if valid is None: images,labels,valid = np.concatenate([images, images[[0,-1]]]),np.r_[labels, labels[[0,-1]]],[len(labels),len(labels)+1] # fastai wants some; nobody looks at what it says of them
    if augment is None: augment = [GalaxyAugment(crop=32, max_shift=2, **moves), BlendImages(p=.25, classes=[1]), CutHoles(size=(.05,.12), p=.5)]
    dls = GalaxyDataLoaders.from_arrays(images, labels, 'classification', size=images.shape[1]//2, stretch=stretch, valid=valid, oversample=oversample, augment=augment, device='cpu', seed=seed)
    learn = galaxy_learner(dls, arch, arch_kw, ifnone(loss, BinaryLoss()), metrics, opt_func=adamw, seed=seed)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, 3e-3)
    return lambda x: predict_arrays(learn, x, tta=False, device='cpu')['y_prob_1'].to_numpy()

def online(pos, neg, seed=0, **kwargs): return net(*read_class_arrays(pos, neg), seed=seed, **kwargs)

def offline(pos, neg, seed=0, **kwargs):
    "25 copies of each lens beforehand, nothing in training"
    f = net(*read_class_arrays(_copies(pos, seed), neg, image_size=64), augment=[], oversample=None, seed=seed, **kwargs)
    return lambda x: f(x[:,18:82,18:82])

def _copies(pos, seed): return augment_class(pos, 25, 4, 4, True, True, True, 'reflect', zoom_range=(.9,1.1), image_size=64, blend_multiplier=1.25, mask_size=(3,8), total=25*len(pos), seed=seed)

def boosting(pos, neg, seed=0):
    "Gradient boosting on 8 x 8 pixels of the central 64, and their mean"
    def see(x):
        z = np.clip(x[:,18:82,18:82], -1, 100).reshape(len(x), 8, 8, 8, 8, 3).mean((2,4))
        return np.concatenate([z.reshape(len(x), -1), z.mean((1,2))], 1)
    with threadpool_limits(1): m = HistGradientBoostingClassifier(random_state=seed).fit(see(np.concatenate([pos, neg])), np.repeat([1,0], [len(pos),len(neg)])) # threads that wait for each other cost more than they save
    return lambda x: m.predict_proba(see(x))[:,1]

def guess(pos, neg, seed=0): return lambda x: np.full(len(x), len(pos)/(len(pos)+len(neg)))

alex = dict(hidden=[256,256])
methods = dict(guess=guess, boosting=boosting, cnn=online, offline=offline,
    weights=partial(online, oversample=None, loss=BinaryLoss(pos_weight=25.), epochs=10), # half as many images an epoch
    focal=partial(online, loss=BinaryLoss(gamma=2.)),
    alexnet=partial(online, arch='alexnet', arch_kw=alex), alexnet_local=partial(online, arch='alexnet', arch_kw=dict(alex, norm='local')),
    xresnet10=partial(online, arch='xresnet10', arch_kw=dict(sa=False)))

def folds(n, m, seed): return np.split(fold_ids(np.repeat([1,0], [n,m]), 5, seed), [n])

def judge(p, q, **more):
    "What the scores `p` of the lenses and `q` of the others say"
    s,y = np.r_[p, q],np.repeat([1,0], [len(p),len(q)])
    return dict(found=int((p>.5).sum()), of=len(p), false=int((q>.5).sum()), of_negatives=len(q), accuracy=class_accuracy(s, y), f1=positive_f1(s, y), purity=purity(s, y),
                ap=average_precision(s, y), ap_err=bootstrap_err(average_precision, s, y), **more)

def cross_validate(method, pos, neg, arcs, seed):
    "A row: all images, each judged by the model of its fold"
    fp,fn = folds(len(pos), len(neg), seed)
    p,bare,q,sim = np.zeros(len(pos)),np.zeros(len(pos)),np.zeros(len(neg)),[]
    for i in range(5):
        f = methods[method](pos[fp!=i], neg[fn!=i], seed=seed)
        p[fp==i],bare[fp==i],q[fn==i] = f(pos[fp==i]),f(without_arcs(pos[fp==i])),f(neg[fn==i])
        sim.append((f(arcs)>.5).mean())
    return judge(p, q, without_arcs=int((bare>.5).sum()), simulated_found=float(np.mean(sim)))

def leak(pos, neg, seed):
    "The row of `offline` when the lenses are copied first and split afterwards: copies of one lens on both sides"
    x,y = read_class_arrays(_copies(pos, seed), neg, image_size=64)
    fold,s = fold_ids(y, 5, seed),np.zeros(len(y))
    for i in range(5): s[fold==i] = net(x, y, np.flatnonzero(fold==i), augment=[], oversample=None, seed=seed)(x[fold==i])
    return judge(s[y==1], s[y==0])

def arcs_alone(pos, stretch, seed, n=1000):
    "A row: a network that saw simulated galaxies alone, with arcs and without"
    x,y = read_class_arrays(sim_lenses(n+200, seed=10+seed, progress=False)[0], sim_lenses(n+200, seed=20+seed, arcs=False, progress=False)[0])
    test = np.r_[:200, n+200:n+400]
    f = net(x, y, test, arch='galnet', epochs=8, stretch=stretch, seed=seed)
    s = f(x[test])
    return judge(s[:200], s[200:], lenses_found=int((f(pos)>.5).sum()), without_arcs=int((f(without_arcs(pos))>.5).sum()))

def run(data, names, seed):
    pos = np.load(source) if data=='real' else sim_lenses(20, seed=1, progress=False)[0]
    neg,arcs = sim_lenses(500, seed=seed, arcs=False, progress=False)[0],sim_lenses(200, seed=2, progress=False)[0]
    jobs = {k: partial(cross_validate, k, pos, neg, arcs, seed) for k in methods}
    jobs |= dict(leak=partial(leak, pos, neg, seed), arcs=partial(arcs_alone, pos, clipped, seed), arcs_asinh=partial(arcs_alone, pos, AsinhTfm(1.), seed))
    for k in names:
        t = time.perf_counter()
        r = jobs[k]()
        write(data=data, method=k, seed=seed, **r, seconds=time.perf_counter()-t)

def write(**row):
    row = {k: None if v!=v else float(f'{v:.3g}') if isinstance(v, float) else v for k,v in row.items()}
    results.parent.mkdir(exist_ok=True)
    with open(results, 'a') as f: f.write(json.dumps(row)+'\n')
    print(json.dumps(row), flush=True)

def share(k, n):
    "`k` of `n` with its 68% interval of Wilson"
    lo,hi = binom_conf_interval(k, n, interval='wilson')
    return f"{k:3.0f}/{n:.0f} ({lo:.2f} to {hi:.2f})"

def table():
    df = pd.read_json(results, lines=True).drop_duplicates(['data','method','seed'], keep='last')
    for _,r in df.sort_values(['data','seed'], kind='stable').iterrows():
        more = [f"{'lenses' if c=='lenses_found' else c.replace('_', ' ')} {share(r[c], 20)}" for c in ('lenses_found','without_arcs') if r.get(c)==r.get(c)]
        print(f"{r.data:9} {r.method:13} found {share(r.found, r.of)}  false {r.false:3}/{r.of_negatives}  F1 {r.f1:.2f}  AP {r.ap:.2f} ± {r.ap_err:.2f}  {r.seconds:4.0f} s  {', '.join(more)}" + (f", simulated {r.simulated_found:.2f}" if r.simulated_found==r.simulated_found else ''))

every,few = [*methods,'leak','arcs','arcs_asinh'],['guess','boosting','cnn','offline','leak']

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('data', nargs='*', default=[], help='real, simulated; by default both, real where they are at hand')
    p.add_argument('--methods', nargs='+', choices=every, help='by default all, of simulated lenses those in which they differ')
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--table', action='store_true', help='print what was measured')
    a = p.parse_args()
    if set(a.data)-{'real','simulated'}: p.error('data are real and simulated')
    if not a.table:
        for d in a.data or ['real','simulated'][not source.exists():]: run(d, a.methods or (every if d=='real' else few), a.seed)
    table()

if __name__=='__main__': main()
