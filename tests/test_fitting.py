"From images and labels in memory to a run: who is held back from whom, what each is judged by, and what the run remembers"
import numpy as np, pandas as pd, pytest, torch

from galfast.base.core import CatalogError
from galfast.data.loaders import GalaxyStack
from galfast.data.targets import target_spec
from galfast.images.reader import ImageReader
from galfast.train import choose_recipe
from galfast.training.fitting import *
from galfast.training.members import member_kinds
from galfast.training.nets import network_options
from galfast.training.run import load_run,save_run

n = 30
tiny = dict(size=24, epochs=1, keep=24)

def stack(n=n, side=24, **cols):
    "Small pictures of round galaxies, whose label is their size"
    rng = np.random.default_rng(0)
    y,x = np.mgrid[:side,:side]-(side-1)/2
    z = rng.uniform(1.5, 4, n)
    px = 200*np.exp(-np.hypot(x, y)/z[:,None,None])[:,None]*np.array([1,.8,.6])[:,None,None]+rng.uniform(5, 15, (n,3,side,side))
    df = pd.DataFrame(dict(objID=[f'g{i}' for i in range(n)], z=z, kind=['a','b','b']*(n//3), **cols))
    return GalaxyStack(df, torch.from_numpy(px.astype('u1')), None, ImageReader(native=(side,side)), 'objID', pd.DataFrame(dict(objID=[], reason=[])))

def fitted(data, target='z', valid=None, seed=0, checkpoints=None, **kw):
    spec = target_spec(data.df, target)
    recipe = choose_recipe(len(data.df), spec.task, **kw)
    return fit_recipe(data, spec, recipe, valid, seed, 'cpu', checkpoints)

def marks(run, data):
    "Rows that a run says it learned from, and was judged on"
    ids = data.df.objID
    return [np.flatnonzero(run.saw(ids, o)).tolist() for o in ('train','valid')]

every = list(range(n))

def test_the_process_alone_is_judged_by_all_others():
    data = stack()
    run,held = fitted(data, members=0)
    assert run.model.kinds==['gaussian process'] and run.model.share('gaussian process')==1. and run.info['validation']=='leave-one-out'
    assert held.rows.tolist()==every and marks(run, data)==[every,every] and len(held.history)==0
    y = data.df.z.to_numpy()
    np.testing.assert_allclose(held.guess[:,0], (y.sum()-y)/(n-1), rtol=1e-12)
    resid = held.answer.mean[:,0]-y
    assert np.sqrt((resid**2).mean())<.2*y.std() and .4<(np.abs(resid)<held.answer.err[:,0]).mean()<.95
    assert {run.info['recipe'][k] for k in network_options}=={None} and run.info['recipe']['gp_weight']==1.

@pytest.mark.parametrize('i', [3,7,19])
def test_the_answer_without_a_galaxy_is_that_of_a_process_that_never_saw_it(i):
    "Leave-one-out by its formula, and by leaving one out"
    data = stack()
    every_other,one = fitted(data, members=0)[1],fitted(data, valid=[i], members=0)[1]
    assert abs(every_other.answer.mean[i]-one.answer.mean[0])<.1*data.df.z.std()
    np.testing.assert_allclose(every_other.guess[i], one.guess[0], rtol=1e-12)

def test_folds():
    "Each is learned from by all networks but one, and judged by that one"
    data = stack()
    run,held = fitted(data, members=3, **tiny)
    splits,how = member_splits(data, run.spec, choose_recipe(n, 'regression', members=3, **tiny))
    assert how=='3 folds'==run.info['validation'] and marks(run, data)==[every,every]
    assert sorted(sum((v.tolist() for _,v in splits), []))==every and held.rows.tolist()==every
    y = data.df.z.to_numpy()
    for t,v in splits:
        assert sorted([*t,*v])==every
        np.testing.assert_allclose(held.guess[v,0], y[t].mean())
    assert (run.info['n_train'],run.info['n_valid'],run.info['n_apart'])==(n,n,0)
    assert len(run.model.of_kind('network'))==3 and held.history.network.tolist()==[0,1,2]
    assert run.info['recipe']['folds'] and run.info['recipe']['bs']<=20

@pytest.mark.parametrize('valid', [range(20, 30), np.arange(n)>=20, 'split', lambda o: (list(range(20)), list(range(20, 30)))], ids=['rows','mask','column','splitter'])
def test_what_is_to_be_held_back(valid):
    "By rows, a mask, a column or a splitter: the same run"
    data = stack(split=['train']*20+['valid']*10)
    run,held = fitted(data, valid=list(valid) if isinstance(valid, range) else valid, members=0)
    y = data.df.z.to_numpy()
    assert held.rows.tolist()==every[20:] and marks(run, data)==[every[:20],every[20:]]
    np.testing.assert_allclose(held.guess, y[:20].mean())
    assert run.info['validation']=='held back' and not run.info['recipe']['folds']
    assert run.spec.heads[0].mean==[pytest.approx(y[:20].mean())] # nothing is learned from those held back

def test_labels_of_those_held_back_change_nothing_that_is_predicted():
    data,other = stack(),stack()
    other.df.loc[25:, 'z'] = 9.
    (a,_),(b,_) = (fitted(o, valid=every[20:], members=0) for o in (data, other))
    x = data.images[:4]
    assert np.array_equal(a.predict(x)[0], b.predict(x)[0]) and a.calibration!=b.calibration

def test_a_third_set_is_left_alone():
    data = stack(split=['train']*18+['valid']*6+['test']*6)
    run,held = fitted(data, valid='split', members=2, **tiny)
    assert marks(run, data)==[every[:18],every[18:24]] and held.rows.tolist()==every[18:24]
    assert (run.info['n_train'],run.info['n_valid'],run.info['n_apart'])==(18,6,6)
    assert len(run.model.of_kind('network'))==2 and run.info['validation']=='held back'

def test_no_folds_is_a_fifth():
    data = stack()
    run,held = fitted(data, members=1, folds=False, **tiny)
    train,valid = marks(run, data)
    assert len(valid)==6 and sorted(train+valid)==every and held.rows.tolist()==valid

def test_quick_of_classes_has_one_short_network():
    data = stack()
    run,held = fitted(data, 'kind', quick=True)
    assert run.model.kinds==['network','gaussian process'] and run.model.share('gaussian process')==.6
    assert run.calibration is None and held.answer.err is None and np.allclose(held.answer.mean.sum(1), 1, atol=1e-5)
    train = marks(run, data)[0]
    share = [np.mean(data.df.kind.iloc[train]==o) for o in 'ab']
    np.testing.assert_allclose(held.guess, [share]*len(held.rows))

@pytest.mark.parametrize('asked', [0.,.3,1.])
def test_a_share_that_is_asked_for(asked):
    run,_ = fitted(stack(), valid=every[20:], members=1, gp_weight=asked, **{k: v for k,v in tiny.items() if k!='keep'})
    assert run.model.share('gaussian process')==asked and run.info['recipe']['gp_weight']==asked
    assert ('gaussian process' in run.model.kinds)==(asked>0)

def test_images_are_not_enlarged_in_what_was_done():
    run,_ = fitted(stack(), members=1, size=64, epochs=1, folds=False)
    done = run.info['recipe']
    assert (done['size'],done['keep'],done['members'])==(24,24,1) and done['bs']<=24

def test_seeds():
    "The same seed says the same, another something else"
    (a,x),(b,y),(_,z) = (fitted(stack(), members=1, folds=False, seed=s, **tiny) for s in (0,0,1))
    assert np.array_equal(x.answer.mean, y.answer.mean) and np.array_equal(x.rows, y.rows) and not np.array_equal(x.answer.mean, z.answer.mean)
    assert all(torch.equal(p, q) for p,q in zip(a.model.parameters(), b.model.parameters()))

def test_a_finished_network_is_not_fitted_again(tmp_path):
    "The checkpoint of a whole training says what the training said"
    data = stack()
    _,a = fitted(data, members=2, checkpoints=tmp_path, **tiny)
    files = sorted(o.name for o in tmp_path.iterdir())
    at = [o.stat().st_mtime_ns for o in sorted(tmp_path.iterdir())]
    _,b = fitted(data, members=2, checkpoints=tmp_path, **tiny)
    assert files==['network0.safetensors','network1.safetensors'] and at==[o.stat().st_mtime_ns for o in sorted(tmp_path.iterdir())]
    np.testing.assert_allclose(a.answer.mean, b.answer.mean, atol=1e-6)
    assert a.history.epoch.tolist()==b.history.epoch.tolist()

def test_a_run_comes_back_with_its_marks(tmp_path):
    data = stack()
    run,_ = fitted(data, valid=every[20:], members=0)
    again = load_run(save_run(run, tmp_path/'r'), 'cpu')
    assert marks(again, data)==marks(run, data)==[every[:20],every[20:]]
    assert np.array_equal(again.predict(data.images)[0], run.predict(data.images)[0])

def test_one_galaxy_teaches_nothing():
    data = stack(3)
    with pytest.raises(CatalogError, match='1 galaxies to train on: there is nothing'): fitted(data, valid=[1,2], members=0)

@pytest.mark.parametrize('members,few', [(4,2), (2,3), (0,2)])
def test_no_more_networks_than_galaxies(members, few):
    data = stack(3)
    data.df,data.images = data.df[:few],data.images[:few]
    spec = target_spec(data.df, 'z')
    kw = {} if members==0 else tiny
    splits,how = member_splits(data, spec, choose_recipe(few, 'regression', members=members, **kw))
    assert len(splits)==max(min(members, few), 1) and how==('leave-one-out' if members==0 else f'{min(members, few)} folds')
    assert all(len(t) and len(v) for t,v in splits)

def test_networks_come_first_whatever_was_imported_first(monkeypatch):
    "Their answer is the one of which the others take a share, and their spread is that of the answer"
    other = dict(reversed(member_kinds.items()))
    data = stack()
    a,x = fitted(data, valid=every[20:], members=1, gp_weight=.3, size=24, epochs=1)
    monkeypatch.setitem(fit_recipe.__globals__, 'member_kinds', other)
    b,y = fitted(data, valid=every[20:], members=1, gp_weight=.3, size=24, epochs=1)
    assert list(other)!=list(member_kinds) and a.model.kinds==b.model.kinds==['network','gaussian process']
    assert a.model.share('gaussian process')==b.model.share('gaussian process')==.3 and np.array_equal(x.answer.mean, y.answer.mean)
