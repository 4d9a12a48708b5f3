"Networks that are not galfast's: any builder or module trains, predicts, and is saved under the name that it is given"
import subprocess,sys
from functools import partial

import numpy as np,pytest,torch
from fastai.vision.all import CrossEntropyLossFlat,Learner,load_learner,nn,vision_learner,xresnet18
from torchvision.models import resnet18

from galfast.base.core import GalfastError,RunError
from galfast.data.loaders import GalaxyDataLoaders
from galfast.data.losses import rmse_loss
from galfast.networks.archs import arch_name,build_model,check_net,galaxy_archs,own_net,register_arch
from galfast.networks.xresnets import ScaleOutput,galnet
from galfast.results.predict import predict_catalog
from galfast.sim.galaxies import sim_survey
from galfast.training.learner import galaxy_learner,galaxy_multimodal
from galfast.training.run import load_run,save_run

class Small(nn.Module):
    "A network as tutorials write it: its `view` needs torch's plain order of memory"
    def __init__(self, bands, answers):
        super().__init__()
        self.conv,self.last = nn.Conv2d(bands, 4, 3, stride=4),nn.Linear(4*8*8, answers)
    def forward(self, x): return self.last(self.conv(x).relu().view(len(x), -1))

class Both(nn.Module):
    "One that takes image and table by itself"
    def __init__(self, bands, answers):
        super().__init__()
        self.image,self.last = Small(bands, 4),nn.Linear(5, answers)
    def forward(self, x, table): return self.last(torch.cat([self.image(x), table], 1))

@pytest.fixture(scope='module')
def survey(tmp_path_factory):
    d = tmp_path_factory.mktemp('survey')
    return d/'images',sim_survey(d, 24, size=32)

def loaders(survey, target='metallicity', **kw):
    images,df = survey
    return GalaxyDataLoaders.from_catalog(df, images, target, size=32, bs=8, valid=[*range(6)], device='cpu', **kw)

@pytest.fixture(scope='module')
def numbers(survey): return loaders(survey)
@pytest.fixture(scope='module')
def mixed(survey): return loaders(survey, 'metallicity,morphology')

@pytest.fixture
def names():
    "Names that a test registers are forgotten after it"
    before = dict(galaxy_archs)
    yield
    for k in galaxy_archs.keys()-before: del galaxy_archs[k]

def fit(learn):
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
    return learn

def narrow(n_in, n_out): return galnet(n_in, n_out, width=4)
ways = dict(fastai=xresnet18, options=partial(xresnet18, sa=True, act_cls=nn.Mish), torchvision=resnet18,
            two=lambda a, b: narrow(a, b), words=lambda num_classes, in_chans: narrow(in_chans, num_classes),
            rest=lambda **kw: narrow(**kw), of_class=Small,
            more=lambda n_in, n_out, width=4, **kw: galnet(n_in, n_out, width))

@pytest.mark.parametrize('way', ways)
@pytest.mark.parametrize('bands', [1, 3, 5])
def test_a_builder_is_told_bands_and_outputs(way, bands):
    net = own_net(ways[way], bands, 4, [0.]*4, [2.]*4).eval()
    out = net(torch.randn(2, bands, 32, 32))
    assert out.shape==(2,4) and out.dtype==torch.float64 and isinstance(net[1], ScaleOutput)

def timm_ways(n):
    timm = pytest.importorskip('timm')
    create = timm.create_model
    return timm.models.test_resnet,partial(create, 'test_resnet'),create('test_resnet', num_classes=n)

@pytest.mark.parametrize('i', range(3))
def test_timm(i, numbers, survey, tmp_path, names):
    arch = timm_ways(1)[i]
    learn = fit(galaxy_learner(numbers, arch, seed=0))
    assert np.isfinite(predict_catalog(learn, survey[1], survey[0], device='cpu').metallicity_pred).all()
    if i: return
    run = load_run(save_run(learn, tmp_path/'run'), 'cpu') # timm knows it by name
    assert '1 x test_resnet' in repr(run)

@pytest.mark.parametrize('way', [xresnet18, Small, resnet18])
def test_from_a_builder_to_a_run(way, mixed, survey, tmp_path, names):
    images,df = survey
    learn = fit(galaxy_learner(mixed, way, seed=0))
    t = predict_catalog(learn, df, images, device='cpu', tta=False)
    with learn.no_bar(): p = learn.get_preds()[0].numpy()
    assert np.allclose(t.metallicity_pred[:6], p[:,0], atol=1e-5) 
    # in its unit; for resnet18, which halves five times, 32 px are one
    if way is not resnet18: assert t.metallicity_pred.between(7, 10).all()
    assert np.allclose(t.filter(like='_prob_')[:6], p[:,1:], atol=1e-5) and t.in_training.tolist()==[False]*6+[True]*18
    name = f'my_{arch_name(way)}'
    with pytest.raises(GalfastError, match=f"register_arch\\('{name}', {arch_name(way)}\\), and save again"):
        save_run(learn, tmp_path/'run')
    assert not (tmp_path/'run').exists()
    register_arch(name, way)
    run = load_run(save_run(learn, tmp_path/'run'), 'cpu')
    assert predict_catalog(run, df, images, device='cpu', tta=False).equals(t) and name in repr(run)
    del galaxy_archs[name]
    with pytest.raises(RunError, match=f"known by register_arch\\('{name}', builder\\)"):
        load_run(tmp_path/'run', 'cpu')

def test_a_module_is_saved_under_its_name(numbers, survey, tmp_path, names):
    learn = fit(galaxy_learner(numbers, Small(3, 1), seed=0))
    t = predict_catalog(learn, survey[1], survey[0], device='cpu')
    with pytest.raises(GalfastError, match=r"learn.arch_config\['arch'\] = 'my_Small'"):
        save_run(learn, tmp_path/'run')
    register_arch('my_Small', lambda a, b: Small(a, b+1))
    learn.arch_config['arch'] = 'my_Small'
    with pytest.raises(GalfastError, match='builds another network'): save_run(learn, tmp_path/'run')
    register_arch('my_Small', Small) # a second time, mended
    assert predict_catalog(save_run(learn, tmp_path/'run'), survey[1], survey[0], device='cpu').equals(t)

def test_what_a_registered_name_is_good_for(numbers, names):
    register_arch('narrow', narrow)
    a,b = (galaxy_learner(numbers, o, seed=3) for o in ('narrow', narrow))
    c = galaxy_learner(numbers, 'narrow', seed=4, pretrained=a.model)
    assert a.arch_config['arch']=='narrow'
    for p,q,r in zip(*(o.model.parameters() for o in (a, b, c))): assert torch.equal(p, q) and torch.equal(p, r)
    with pytest.raises(GalfastError, match="near it are narrow"): build_model('narow', 3, 1)

def test_a_registered_name_from_the_command(survey, tmp_path, names):
    "A program of one's own that ends in galfast's command"
    images,df = survey
    df.to_csv(tmp_path/'a.csv', index=False)
    from typer.testing import CliRunner

    from galfast.cli import app
    register_arch('narrow', narrow)
    args = f"train {tmp_path/'a.csv'} --images {images} --target metallicity --out {tmp_path/'run'}"
    r = CliRunner().invoke(app, [*args.split(), *'--arch narrow --epochs 1 --size 32'.split()])
    assert r.exit_code==0, r.output
    assert 'narrow' in repr(load_run(tmp_path/'run', 'cpu'))

misfits = [(lambda: xresnet18(n_out=1), 'made for 3 bands, and the images have 1'),
           (lambda: Small(1, 1000), 'gives 1,000 numbers a galaxy, and 1 is needed'),
           (lambda: nn.Sequential(Small(1, 1), nn.Flatten(0)), r'\(2,\) for two galaxies, and \(2, 1\) is needed'),
           (lambda: nn.Sequential(nn.Flatten(), nn.Linear(99, 1)), 'cannot take images of 1 x 32 x 32 pixels')]

@pytest.mark.parametrize('net,says', misfits)
def test_what_does_not_fit_is_told_at_once(net, says):
    x = np.random.default_rng(0).random((12,32,32), dtype=np.float32)
    dls = GalaxyDataLoaders.from_arrays(x, np.arange(12.), bs=4, device='cpu')
    with pytest.raises(GalfastError, match=says): galaxy_learner(dls, net())
    with pytest.raises(GalfastError, match=says): predict_catalog(Learner(dls, net(), loss_func=rmse_loss), None, '.')

def test_a_look_changes_nothing():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(.5), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net[1].eval() # as a frozen one is
    before = {k: v.clone() for k,v in net.state_dict().items()}
    assert check_net(net, 4, torch.randn(2, 3, 16, 16))
    assert [m.training for m in net]==[True,False,True,True,True]
    assert all(torch.equal(v, before[k]) for k,v in net.state_dict().items())

def test_beside_a_table(survey, tmp_path, names):
    "It is the tower of the image, or takes both by itself"
    images,df = survey
    dls = loaders(survey, table=['r_mag'])
    for i,arch in enumerate((xresnet18, Small, Small(3, 1), Both, Both(3, 1))):
        learn = fit(galaxy_learner(dls, arch, seed=0))
        two = arch_name(arch)!='Both'
        assert (learn.arch_config['arch']=='multimodal')==two
        t,other = (predict_catalog(learn, o, images, device='cpu') for o in (df, df.assign(r_mag=df.r_mag+3)))
        assert not np.allclose(t.metallicity_pred, other.metallicity_pred)
        if isinstance(arch, nn.Module):
            assert len(list(arch.parameters()))>3 # it keeps its last layer
            continue
        register_arch(f'net{i}', arch)
        assert predict_catalog(save_run(learn, tmp_path/f'{i}'), df, images, device='cpu').equals(t)
    assert galaxy_multimodal(dls, xresnet18, emb='onehot', head=(8,)).arch_config['head']==[8]

def test_a_learner_of_fastai(survey, mixed, numbers, tmp_path, names):
    "With galfast's DataLoaders it knows all that is needed"
    images,df = survey
    learn = fit(Learner(numbers, xresnet18(n_out=1), loss_func=rmse_loss))
    t = predict_catalog(learn, df, images, device='cpu', tta=False)
    with learn.no_bar(): p = learn.get_preds()[0].flatten()
    assert np.allclose(t.metallicity_pred[:6], p, atol=1e-5) # in float32, as it scales nothing
    assert (t.metallicity_err>0).all()
    register_arch('plain', xresnet18)
    learn.arch_config['arch'] = 'plain'
    assert predict_catalog(save_run(learn, tmp_path/'run'), df, images, device='cpu', tta=False).equals(t)
    kind = loaders(survey, 'morphology')
    learn = fit(Learner(kind, xresnet18(n_out=3), loss_func=nn.CrossEntropyLoss())) # which has no activation
    same = Learner(kind, learn.model, loss_func=CrossEntropyLossFlat())
    t = predict_catalog(learn, df, images, device='cpu', tta=False)
    with same.no_bar(): p = same.get_preds()[0]
    assert np.allclose(t.filter(like='_prob_')[:6], p, atol=.02)

def test_vision_learner(survey, mixed):
    images,df = survey
    n,loss = mixed.spec.n_out,mixed.spec.default_loss()
    learn = fit(vision_learner(mixed, resnet18, pretrained=False, n_out=n, loss_func=loss, metrics=[]))
    t = predict_catalog(learn, df, images, device='cpu', tta=False)
    with learn.no_bar(): p = learn.get_preds()[0].numpy()
    assert np.allclose(t[['metallicity_pred', *t.filter(like='_prob_').columns]][:6], p, atol=1e-4)

@pytest.mark.parametrize('arch', [xresnet18, Small])
def test_frozen_and_thawed(arch, numbers):
    learn = galaxy_learner(numbers, arch, seed=0)
    before = {k: p.clone() for k,p in learn.model.named_parameters()}
    with learn.no_bar(), learn.no_logging():
        learn.freeze()
        learn.fit(1, 1e-2)
        moved = {k for k,p in learn.model.named_parameters() if not torch.equal(p, before[k])}
        assert 0<len(moved)<len(before) and 'conv' not in ''.join(o for o in moved if arch is Small)
        learn.fine_tune(1, 1e-2)

def test_exported_with_its_builder(numbers, survey, tmp_path):
    learn = fit(galaxy_learner(numbers, lambda n_in, n_out: Small(n_in, n_out), seed=0))
    learn.export(tmp_path/'export.pkl')
    again = load_learner(tmp_path/'export.pkl')
    row = survey[1].iloc[3]
    with again.no_bar(), learn.no_bar(): assert np.isclose(again.predict(row)[0], learn.predict(row)[0], atol=1e-4)

def test_a_name_is_known_where_it_was_registered(numbers, tmp_path, names):
    "Another process, which runs the same line"
    register_arch('my_xresnet18', xresnet18)
    save_run(fit(galaxy_learner(numbers, 'my_xresnet18', seed=0)), tmp_path/'run')
    name = "register_arch('my_xresnet18', xresnet18)"
    code = f"from galfast.all import *; {name}; print(load_run({str(tmp_path/'run')!r}, 'cpu'))"
    r = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True)
    assert '1 x my_xresnet18' in r.stdout, r.stderr
