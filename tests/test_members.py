"Who answers: what a member is shown, how members become a model, and a kind of one's own from training to a file and back"
import json

import numpy as np, pandas as pd, pytest, torch
from fastai.vision.all import TensorImage,nn

from galfast.base.core import GalfastError,ImageError,RunError
from galfast.base.schema import Record,number,whole
from galfast.data.heads import NumberHead
from galfast.data.loaders import GalaxyStack
from galfast.data.targets import TargetSpec,target_spec
from galfast.images.augment import GalaxyAugment
from galfast.images.reader import ImageReader
from galfast.train import choose_recipe
from galfast.training.answers import Answer,Shares
from galfast.training.fitting import fit_recipe
from galfast.training.members import *
from galfast.training.nets import Network
from galfast.training.run import GalaxyRun,load_run,save_run

n = 30

class Brightness(Member):
    "A kind of one's own: a straight line through the mean of one band"
    kind = 'brightness'
    rule = Record(dict(n_in=whole(1, 10), n_out=whole(1, 10), band=whole(0, 9), usual=number()))
    def __init__(self, n_in=3, n_out=1, band=0, usual=0.):
        self.cfg,self.body = dict(n_in=n_in, n_out=n_out, band=band, usual=usual),nn.Linear(1, n_out).double()
    @property
    def config(self): return self.cfg
    @classmethod
    def from_config(cls, cfg, shapes=None): return cls(**cfg)
    @classmethod
    def disagrees(cls, cfg, spec, table):
        if cfg['band']>=cfg['n_in']: return f"band {cfg['band']} of {cfg['n_in']}"
        return '' if cfg['n_out']==spec.n_out else f"a line for {cfg['n_out']} outputs, where there are {spec.n_out}"
    def answers(self, shown, spec, views=1, bf16=False, table=None):
        x = shown[:,self.cfg['band']].double().mean((1,2))-self.cfg['usual']
        return self.body(x[:,None])[None].expand(views, -1, -1)
    @classmethod
    def fit(cls, job):
        x = job.data.images[:,1].double().mean((1,2)).numpy()/255
        y,usual = job.spec.matrix(job.data.df),float(x[job.train].mean())
        line = lambda rows: np.polyfit(x[rows]-usual, y[rows], 1)
        held = np.concatenate([line(t)[1]+(x[v]-usual)[:,None]*line(t)[0] for t,v in (job.splits[:1] if job.same else job.splits)])
        m = cls(job.data.images.shape[1], y.shape[1], 1, usual)
        slope,off = (torch.as_tensor(o) for o in line(job.train))
        m.body.load_state_dict(dict(weight=slope[:,None], bias=off))
        return Fitted([m], Answer(held, np.zeros_like(held)))

@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(member_kinds, 'brightness', Brightness)

def stack():
    "Pictures whose label is the brightness of the second band"
    rng = np.random.default_rng(0)
    px = rng.integers(0, 60, (n,3,24,24), dtype=np.uint8)
    px[:,1] += np.linspace(0, 180, n).astype(np.uint8)[:,None,None]
    df = pd.DataFrame(dict(objID=[f'g{i}' for i in range(n)], z=px[:,1].mean((1,2))/255*3+1))
    return GalaxyStack(df, torch.from_numpy(px), None, ImageReader(native=(24,24)), 'objID', pd.DataFrame(dict(objID=[], reason=[])))

def fitted(data, **kw):
    return fit_recipe(data, target_spec(data.df, 'z'), choose_recipe(n, 'regression', **kw), device='cpu')

def test_a_kind_of_ones_own_is_trained_saved_and_read_again(registered, tmp_path):
    "Beside the process, which it beats: its line is the truth"
    data = stack()
    run,held = fitted(data, members=0)
    assert run.model.kinds==['gaussian process','brightness'] and run.model.share('brightness')>.7
    again = load_run(save_run(run, tmp_path/'r'), 'cpu')
    a,b = run.answer(data.images),again.answer(data.images)
    assert np.array_equal(a.mean, b.mean) and np.array_equal(a.err, b.err)
    line = again.model.of_kind('brightness')[0]
    assert line.config==run.model.of_kind('brightness')[0].config and again.model.blend==run.model.blend
    np.testing.assert_allclose(line.answers(data.images/255, run.spec)[0].detach()[:,0], data.df.z, atol=1e-6)
    assert 'brightness' in repr(again) and len(held.rows)==n

hostile = [(dict(usual='x'), 'usual'), (dict(n_in=10**9), 'n_in'), (dict(band=2.5), 'band'), (dict(more=1), 'more'), (dict(band=7), 'band 7 of 3'), (dict(n_out=2), '2 outputs, where there are 1'), (dict(n_in=4), 'bands')]

@pytest.mark.parametrize('change,word', hostile)
def test_a_config_that_its_rule_forbids_is_no_run(registered, tmp_path, change, word):
    data = stack()
    run,_ = fitted(data, members=0)
    cfg = json.loads((save_run(run, tmp_path/'r')/'config.json').read_text())
    cfg['members'][1]['config'] |= change
    (tmp_path/'r/config.json').write_text(json.dumps(cfg))
    with pytest.raises(RunError, match=word): load_run(tmp_path/'r', 'cpu')

def test_a_kind_that_is_not_known_here_is_no_run(tmp_path, monkeypatch):
    with monkeypatch.context() as m:
        m.setitem(member_kinds, 'brightness', Brightness)
        save_run(fitted(stack(), members=0)[0], tmp_path/'r')
    with pytest.raises(RunError, match="there is no member of the kind 'brightness'; there is"): load_run(tmp_path/'r', 'cpu')

def test_kinds_have_a_name():
    class Nameless(Member): pass
    with pytest.raises(GalfastError, match='Nameless needs a `kind`'): member_kinds.register(Nameless)
    with pytest.raises(NotImplementedError): Nameless.fit(None)

# what a member is shown

@pytest.mark.parametrize('window,size', [(None,None), (16,None), (None,12), (16,20), (99,99)])
@pytest.mark.parametrize('kind', [torch.uint8, torch.float32])
def test_a_network_is_shown_in_prediction_what_it_saw_in_training(window, size, kind):
    "The view of a run and the batch of a validation set; bytes that were made smaller are bytes again in training, half a step apart at most"
    rng = np.random.default_rng(0)
    x,k = torch.from_numpy(rng.integers(0, 256, (6,3,24,24), dtype=np.uint8)).to(kind),255 if kind is torch.uint8 else 1
    mean,std = torch.tensor([.4,.5,.6]).view(1,3,1,1),torch.tensor([.2,.3,.1]).view(1,3,1,1)
    seen = ImageView(window, size, mean.flatten().tolist(), std.flatten().tolist())(x)
    side = min(window or 24, size or 24, 24)
    assert seen.shape==(6,3,side,side) and seen.dtype==torch.float32
    batch = GalaxyAugment(crop=window)(TensorImage(shrink(x, size)), split_idx=1).as_subclass(torch.Tensor).float()/k
    apart = ((seen*std+mean)-batch).abs().max()*k
    smaller = size is not None and size<24
    assert apart<(.501 if smaller and kind is torch.uint8 else 1e-3)

def test_a_view_by_hand():
    x = torch.arange(32.).view(1,2,4,4)
    assert torch.equal(ImageView(2, None, [5.,20.], [1.,2.])(x), torch.tensor([[[[0.,1],[4,5]],[[.5,1],[2.5,3]]]]))
    v = ImageView(16, 32, [.1], [.2])
    assert torch.equal(ImageView(**json.loads(json.dumps(v.config)))(x[:,:1]), v(x[:,:1])) and v.n_bands==1
    assert torch.equal(ImageView()(x), x) and not list(ImageView(mean=[0.], std=[1.]).state_dict())

@pytest.mark.parametrize('x', [torch.zeros(1,1,8,8, dtype=torch.uint8)+7, torch.zeros(1,1,8,8, dtype=torch.float64)+7])
def test_images_are_made_smaller_and_never_larger(x):
    assert shrink(x, None) is x and shrink(x, 8) is x and shrink(x, 99) is x
    small = shrink(x, 4)
    assert small.shape==(1,1,4,4) and (small==7).all() and small.dtype==(torch.uint8 if x.dtype==torch.uint8 else torch.float32)

# members as a model

class Says(Member):
    "One that always says the same, and a kind of its own"
    def __init__(self, kind, *values, n_in=1):
        self.kind,self.values,self.body = kind,values,nn.Linear(1, 1)
        self.cfg = dict(n_in=n_in)
    @property
    def config(self): return self.cfg
    def answers(self, shown, spec, views=1, bf16=False, table=None):
        return torch.tensor(self.values[:views]).view(-1,1,1).expand(-1, len(shown), 1)

of_z = TargetSpec([NumberHead(['z'], mean=[0.], std=[1.])])

def test_members_of_a_kind_are_averaged_before_they_are_blended():
    m = GalaxyModel([Says('a', 1., 3.), Says('a', 5., 11.), Says('b', 10., 20.)], of_z, Shares(dict(b=.25)))
    mean,spread = m(torch.zeros(2,1,8,8), views=2)
    assert mean.tolist()==[[5+.25*10]]*2 and spread.tolist()==[[2.]]*2 # of (1,3) and (5,11) the spreads are 1 and 3
    assert mean.dtype==torch.float64 and m.kinds==['a','b'] and m.share('a')==1. and m.share('b')==.25 and m.share('c')==0.
    assert len(m.of_kind('a'))==2 and GalaxyModel([Says('a', 1.), Says('b', 2.)], of_z).share('b')==.5

@pytest.mark.parametrize('bs', [1,2,5,99])
def test_batches_of_any_size_say_the_same(bs):
    x = torch.rand(5,3,24,24, generator=torch.Generator().manual_seed(0))
    line = Brightness()
    m = GalaxyModel([line], of_z)
    a = m.ask(x, bs=bs)
    want = (line.body.weight.item()*x[:,0].double().mean((1,2))+line.body.bias.item()).detach().numpy()
    np.testing.assert_allclose(a.mean[:,0], want, rtol=1e-12)
    np.testing.assert_allclose(m.ask(x, bs=bs, rows=[4,0]).mean[:,0], want[[4,0]], rtol=1e-12)

def test_bands_have_to_be_those_of_the_model():
    with pytest.raises(ImageError, match='2 bands, where the model takes 1'): GalaxyModel([Says('a', 1.)], of_z)(torch.zeros(1,2,8,8))

def test_what_is_shown_alike_is_made_once():
    "Networks with the same view share it"
    made = []
    cfg = dict(net=dict(arch='galnet', n_in=1, n_out=1, width=2), view=dict(size=24, mean=[0.], std=[1.]))
    nets = [Network.from_config(cfg), Network.from_config(cfg), Network.from_config(cfg|dict(view=dict(size=20, mean=[0.], std=[1.])))]
    for o in nets: o.view.register_forward_hook(lambda *a: made.append(1))
    GalaxyModel(nets, of_z).eval()(torch.rand(2,1,24,24))
    assert len(made)==2

@pytest.mark.parametrize('splits,same,held', [([([0,1],[2,3])]*2, True, [2,3]), ([([0,1],[2,3]), ([2,3],[0,1])], False, [2,3,0,1]), ([([0,1,2,3],[0,1,2,3])], True, [0,1,2,3])])
def test_what_is_held_back(splits, same, held):
    job = Fitting(None, of_z, None, [tuple(map(np.array, o)) for o in splits], np.arange(4), 0, torch.device('cpu'))
    assert job.same==same and job.held.tolist()==held

def test_a_run_of_a_kind_alone(tmp_path, registered):
    run = GalaxyRun(GalaxyModel([Brightness(n_in=2, band=1)], of_z), ImageReader(kind='array'))
    again = load_run(save_run(run, tmp_path/'r'), 'cpu')
    x = torch.rand(3,2,24,24, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(again.answer(x).mean, run.answer(x).mean) and again.answer(x).err is None
