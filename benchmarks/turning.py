"""How many of the images should be turned? One network, without the Gaussian process, on folds of the real samples and on simulated galaxies

    python benchmarks/turning.py metallicity --epochs 5 10 25 60 --seeds 0 1
    python benchmarks/turning.py morphology --epochs 6 18 --folds 0 1
    python benchmarks/turning.py simulated --epochs 4 --seeds 0 1 2 --size 112
    python benchmarks/turning.py --table

Rows go to benchmarks/results/turning.jsonl. The data lie in ../shared/data, or where GALFAST_SHARED says."""
import argparse,json,tempfile

from common import *
from real_galaxies import folds,here,score,shared,targets

from galfast.images.augment import AugmentProgress
from galfast.data.targets import fit_spec,target_spec
from galfast.data.loaders import GalaxyStack,load_images
from galfast.training.fast import adamw
from galfast.training.run import shrink
from galfast.train import TrainJob,choose_recipe,recipe_reader

results = here/'results'/'turning.jsonl'
shares = {'0': (0,0), '.5': (.5,.5), '.75': (.75,.75), 'fastai': (.5,.75), '1': (1,1), 'grow': ((0,1),(0,1))} # orientations, rotation by any angle

def augment(share, **kwargs): return GalaxyAugment(p_dihedral=shares[share][0], p_rotate=shares[share][1], **kwargs)

def real(data, share, epochs, seed, which, size):
    "The score of folds that were put together"
    df,target = pd.read_csv(shared/data/'catalog.csv', dtype={'objID': str}),targets[data]
    spec = target_spec(df, target)
    recipe = choose_recipe(int(.8*len(df)), spec.task)
    job = TrainJob([target], spec.task, recipe=recipe)
    stack = load_images(df, shared/data/'images', recipe_reader(df, shared/data/'images', job), 'objID', spec, 'missing')
    stack = GalaxyStack(**merge(vars(stack), dict(images=torch.cat([shrink(x, size or recipe.size) for x in stack.images.split(512)]))))
    preds,ys = zip(*[fold(stack, spec, recipe, share, epochs, seed, *folds(stack.df, target, seed)[i]) for i in which])
    return score(np.concatenate(ys), np.concatenate(preds))

def fold(stack, spec, recipe, share, epochs, seed, train, test):
    "Answers and labels of a fold"
    dls = GalaxyDataLoaders.from_packed(stack, spec, valid=list(test), bs=recipe.bs, seed=seed, device='cpu', augment=augment(share), stats=stack.stats(train))
    spec = fit_spec(spec, stack.df.iloc[train])
    loss = spec.loss(recipe.smooth)
    learn = galaxy_learner(dls, recipe.arch, loss_func=loss, opt_func=partial(adamw, wd=recipe.wd), seed=seed, cbs=AugmentProgress(), metrics=[])
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, recipe.lr, pct_start=recipe.warmup, moms=(.9,.9,.9))
    pred,y = learn.tta8()[0].numpy(),spec.encode(stack.df)[test]
    return (np.array(spec.outputs)[pred.argmax(1)],np.array(spec.outputs)[y]) if spec.heads[0].strata else (pred.ravel(),np.asarray(y, float).ravel())

def simulated(share, epochs, seed, size, n=1280):
    "xresnet18 on windows, as in `speed.py`"
    with tempfile.TemporaryDirectory() as d:
        sky = many_galaxies(n, d, 'cpu')
        size = size or 112
        reader = ImageReader(size=size*window//112, crop=window)
        dls = GalaxyDataLoaders.from_catalog(sky.df, Path(d)/'images', 'metallicity', reader=reader, bs=64, device='cpu', valid=list(range(int(.8*n), n)), augment=augment(share, crop=size, max_deg=10))
        learn = galaxy_learner(dls, 'xresnet18', dict(sa=False), seed=seed, cbs=AugmentProgress())
        fit(learn, epochs)
        return dict(rmse=float(learn.recorder.values[-1][learn.recorder.metric_names.index('rmse')-1]))

def table():
    "Mean and scatter over the seeds"
    df = pd.read_json(results, lines=True, dtype=dict(share=str))
    df['value'] = df.get('rmse', pd.Series(np.nan, df.index)).fillna(df.get('balanced_accuracy', np.nan))
    for k,o in df.groupby(['data','epochs','size','share'], sort=False, dropna=False): print(*k, f"{o.value.mean():.4f} ± {o.value.std(ddof=1) if len(o)>1 else 0:.4f} ({len(o)} seeds)")

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data', nargs='*', help=', '.join(targets))
    p.add_argument('--epochs', type=int, nargs='+', default=[5,25]); p.add_argument('--seeds', type=int, nargs='+', default=[0])
    p.add_argument('--shares', nargs='+', choices=shares, default=list(shares)); p.add_argument('--folds', type=int, nargs='+', default=[0,1,2,3,4])
    p.add_argument('--size', type=int, help='of the images that the network sees, px; by default that of the recipe, or 112')
    p.add_argument('--table', action='store_true', help='print what was measured')
    a = p.parse_args()
    if set(a.data)-set(targets): p.error(f"data are {', '.join(targets)}")
    results.parent.mkdir(exist_ok=True)
    for data,e,s,k in [(d,e,s,k) for d in a.data for e in a.epochs for s in a.seeds for k in a.shares]:
        found = simulated(k, e, s, a.size) if data=='simulated' else real(data, k, e, s, a.folds, a.size)
        row = dict(data=data, epochs=e, seed=s, share=k, size=a.size, folds=a.folds if data!='simulated' else None, **found)
        with open(results, 'a') as f: f.write(json.dumps(row)+'\n')
        print(json.dumps(row), flush=True)
    if results.is_file(): table()

if __name__=='__main__': main()
