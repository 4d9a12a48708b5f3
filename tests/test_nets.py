"Networks as members: the loss and the batches of a recipe, what does not go together in a config, how they are fitted"
import numpy as np, pandas as pd, pytest, torch
from fastai.vision.all import nn

from galfast.base.core import GalfastError
from galfast.base.schema import Misfit
from galfast.data.columns import fit_table
from galfast.data.heads import ClassHead,NumberHead
from galfast.data.loaders import GalaxyStack
from galfast.data.losses import ScaledMSE,ScaledRMSE
from galfast.data.targets import TargetSpec,fit_spec,target_spec
from galfast.images.reader import ImageReader
from galfast.train import choose_recipe
from galfast.training import nets
from galfast.training.fitting import member_splits
from galfast.training.members import Fitting,GalaxyModel,ImageView,member_kinds,shrink
from galfast.training.nets import *

n = 24

@pytest.fixture(scope='module')
def stack():
    rng = np.random.default_rng(0)
    px = torch.from_numpy(rng.integers(0, 255, (n,3,32,32), dtype=np.uint8))
    df = pd.DataFrame(dict(objID=[f'g{i}' for i in range(n)], z=rng.normal(2, 3, n), kind=['a','b','b']*8, r=rng.normal(size=n)))
    return GalaxyStack(df, px, None, ImageReader(native=(32,32)), 'objID', pd.DataFrame(dict(objID=[], reason=[])))

def job_of(data, target='z', table=None, checkpoints=None, **kw):
    spec = fit_spec(target_spec(data.df, target), data.df)
    recipe = choose_recipe(n, spec.task, **dict(size=24, epochs=1, fast=False) | kw)
    splits,_ = member_splits(data, spec, recipe)
    table = fit_table(table, data.df) if table else None
    return Fitting(data, spec, recipe, splits, np.arange(n), 0, torch.device('cpu'), checkpoints, table)

def learner_of(job):
    return member_learner(job.data, job.spec, job.recipe, job.splits[0], job.data.stats(job.train), 0, 'cpu', job.table)

# a config

cfg = dict(net=dict(arch='galnet', n_in=3, n_out=1, width=2), view=dict(window=None, size=24, mean=[.1,.2,.3], std=[1.,1.,1.]))
of_z = TargetSpec([NumberHead(['z'], mean=[0.], std=[1.])])
of_k = TargetSpec([ClassHead(['k'], classes=['a','b','c'])])

def changed(net=None, view=None): return dict(net=cfg['net'] | (net or {}), view=cfg['view'] | (view or {}))

@pytest.mark.parametrize('o,spec,word', [(cfg, of_z, ''), (changed(dict(n_out=3)), of_k, ''), (cfg, of_k, '1 outputs, where the run has 3 bands and 3 outputs'),
    (changed(view=dict(std=[1.])), of_z, 'mean of 3 bands and the standard deviation of 1'), (changed(dict(n_in=2)), of_z, 'a network of 2 bands'),
    (changed(dict(y_mean=[0.,1.])), of_z, 'y_mean and y_std'), (changed(dict(y_mean=[0.], y_std=[1.])), of_z, ''),
    (changed(dict(arch='multimodal', image_arch='galnet')), of_z, 'belong together'), (changed(view=dict(mean=None, std=None)), of_z, '')])
def test_what_does_not_go_together(o, spec, word):
    member_kinds.check(dict(kind='network', config=o)) # each value by itself is right
    wrong = Network.disagrees(o, spec, None)
    assert word in wrong and bool(wrong)==bool(word)

def test_a_table_and_networks_that_see_one_belong_together(stack):
    table = fit_table(['r'], stack.df)
    own = dict(arch='multimodal', image_arch='galnet', n_cont=table.n_cont)
    assert Network.disagrees(changed(own), of_z, table)==''
    assert 'other columns' in Network.disagrees(changed(own | dict(n_cont=table.n_cont+1)), of_z, table)
    assert 'belong together' in Network.disagrees(cfg, of_z, table)

@pytest.mark.parametrize('o', [dict(net=cfg['net']), dict(cfg, more=1), changed(dict(n_in=0)), changed(view=dict(std=[0.,1.,1.])), changed(view=dict(size=10**6))])
def test_values_that_no_file_may_have(o):
    with pytest.raises(Misfit): member_kinds.check(dict(kind='network', config=o))

def test_a_network_comes_back_and_says_the_same():
    a = Network.from_config(cfg).eval()
    b = member_kinds.build(member_kinds.component(a)).eval()
    b.body.load_state_dict(a.body.state_dict())
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    (p,_),(q,_) = (GalaxyModel([o], of_z).eval()(x) for o in (a, b))
    assert torch.equal(p, q) and b.config==a.config and (b.n_in,b.name,b.kind)==(3,'galnet','network')
    by_hand = a.body(torch.nn.functional.interpolate(x, 24, mode='bilinear', antialias=True)-torch.tensor([.1,.2,.3]).view(1,3,1,1))
    assert torch.allclose(p.float(), by_hand, atol=1e-3)
    assert Network.bands(cfg)==3 and Network.side(cfg)==24 and Network.side(changed(view=dict(size=None)))==0

def test_a_network_that_has_no_name():
    net = Network(nn.Sequential(nn.Flatten(), nn.Linear(3*8*8, 1)), None, ImageView(None, None, [0.]*3, [1.]*3))
    assert net.n_in==3 and net.config['net'] is None and GalaxyModel([net], of_z)(torch.zeros(2,3,8,8))[0].shape==(2,1)

# the learner of a recipe

@pytest.mark.parametrize('target,kw,kind', [('z', {}, ScaledMSE), ('z', dict(opt='ranger'), ScaledRMSE), ('z', dict(loss='rmse'), ScaledRMSE), ('z', dict(loss='mse', opt='ranger'), ScaledMSE)])
def test_the_loss_of_numbers(stack, target, kw, kind):
    job = job_of(stack, target, **kw)
    assert type(recipe_loss(job.spec, job.recipe)) is kind

@pytest.mark.parametrize('opt', ['adamw', 'ranger'])
def test_label_smoothing_is_done(stack, opt):
    job = job_of(stack, 'kind', opt=opt, smooth=.2, members=1, folds=False)
    learn = learner_of(job)
    train,valid = job.splits[0]
    assert learn.loss_func.eps==.2 and (learn.dls.train.n,learn.dls.valid.n)==(len(train),len(valid))
    turned = next(t for t in learn.dls.train.after_batch.fs if hasattr(t, 'p_dihedral'))
    assert dict(p_dihedral=turned.p_dihedral, p_rotate=turned.p_rotate)==job.recipe.turn

def test_a_loss_that_the_targets_do_not_know(stack):
    job = job_of(stack, 'z', loss='mse')
    check_loss(job.spec, job.recipe)
    for spec,word in ((fit_spec(target_spec(stack.df, 'kind'), stack.df), "'mse' is none of a classification of kind"), (fit_spec(target_spec(stack.df, 'z,kind'), stack.df), 'leave it out')):
        with pytest.raises(GalfastError, match=word): check_loss(spec, job.recipe)
        check_loss(spec, choose_recipe(n, 'regression'))

def test_the_learner_learns_from_its_split_alone(stack):
    job = job_of(stack, members=3)
    learn = learner_of(job)
    x,y = learn.dls.valid.one_batch()
    want = stack.df.z.to_numpy()[job.splits[0][1]]
    assert np.allclose(sorted(y.flatten().tolist()), sorted(want), atol=1e-6) and learn.dls.valid.n==len(want)

# fitting

def test_the_networks_of_folds_are_judged_by_what_they_did_not_see(stack):
    job = job_of(stack, members=3)
    f = Network.fit(job)
    assert len(f.members)==3 and f.held.mean.shape==(n,1) and [o['network'] for o in f.history]==[0,1,2]
    i = 1
    rows = job.splits[i][1]
    alone = GalaxyModel([f.members[i]], job.spec).eval()
    p,_ = alone(shrink(stack.images, 24)[torch.as_tensor(rows)], views=8) # they were made smaller before, as bytes
    at = np.concatenate([v for _,v in job.splits]).tolist().index(rows[0])
    np.testing.assert_allclose(f.held.mean[at:at+len(rows)], p.detach().numpy(), atol=1e-4)
    assert all(o.view.config==f.members[0].view.config for o in f.members) and f.members[0].view.config['size']==24

def test_networks_on_the_same_split_speak_with_one_voice(stack):
    f = Network.fit(job := job_of(stack, members=2, folds=False))
    assert job.same and f.held.mean.shape==(len(job.splits[0][1]),1) and len(f.members)==2

def test_without_members_there_are_none(stack):
    assert Network.fit(Fitting(stack, of_z, choose_recipe(n, 'regression', members=0), [], [], 0, 'cpu')) is None

def test_a_window_that_is_no_part_of_small_images_is_left_out(stack):
    f = Network.fit(job_of(stack, members=1, folds=False, size=64, window=40))
    assert f.members[0].view.config['window'] is None
    f = Network.fit(job_of(stack, members=1, folds=False, window=22))
    assert f.members[0].view.config['window']==22

def test_a_step_of_the_bar_for_each_batch(stack, monkeypatch):
    seen = []
    def track(it, words):
        for i in it:
            yield i
            seen.append(words())
    monkeypatch.setattr(nets, 'track', track)
    job = job_of(stack, members=2, epochs=2, bs=5)
    Network.fit(job)
    batches = sum(-(-len(t)//5) for t,_ in job.splits)*2 # of 12 galaxies three, the last of which is short
    assert len(seen)==batches and all(' of 2, epoch ' in o and ', loss ' in o for o in seen)
    assert list(dict.fromkeys(o.split(', loss')[0] for o in seen))==[f'network {i} of 2, epoch {j} of 2' for i in (1,2) for j in (1,2)]

def test_rare_classes_are_drawn_more_often(stack):
    job = job_of(stack, 'kind', members=1, folds=False, oversample='balanced', smooth=0.)
    learn = learner_of(job)
    train = job.splits[0][0]
    common = (stack.df.kind.iloc[train]=='b').sum()
    drawn = torch.cat([y for _,y in learn.dls.train]).tolist()
    assert drawn.count(0)==drawn.count(1)>=common-2 # the last batch may be left out
