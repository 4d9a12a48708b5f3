"Networks by name: any size and number of bands, built again from JSON, cut into groups, given weights of other networks and files that are not weights"
import inspect,json,math,os,pickle,socket,sys

import numpy as np,pytest,torch
from fastai.vision.all import DataLoaders,Learner,MSELossFlat,TensorImage,nn,norm_types,tensor
from safetensors.torch import save_file

from galfast.networks.archs import *
from galfast.networks.classic import *
from galfast.base.core import GalfastError
from galfast.data.heads import NumberHead
from galfast.training.fast import FastMath,fused_ranger
from galfast.networks.xresnets import ScaleOutput
from galfast.images.reader import ImageReader
from galfast.training.learner import save_checkpoint
from galfast.training.members import GalaxyModel,ImageView
from galfast.training.nets import Network
from galfast.training.run import GalaxyRun,load_run,save_run
from galfast.data.targets import TargetSpec

narrow = dict(alexnet=dict(hidden=[16,16]), vgg16=dict(hidden=[16,16]), mlp=dict(hidden=[8]), galnet=dict(width=4), cnn=dict(filters=[4,[4,8]]), multimodal=dict(n_cont=2, cat_sizes=[3], width=4))
small = ['xresnet9', 'galnet', 'alexnet', 'vgg6', 'cnn', 'mlp', 'multimodal']

def make(a, n_in=2, n_out=3, size=24, **kw): return build_model(a, n_in, n_out, size=size, **narrow.get(a, {}), **kw)
def data(a, n=4, n_in=2, size=24):
    g = torch.Generator().manual_seed(n)
    x = torch.randn(n, n_in, size, size, generator=g)
    return (x, torch.cat([torch.randint(0, 3, (n,1), generator=g).float(), torch.randn(n, 2, generator=g)], 1)) if a=='multimodal' else (x,)

@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kw): raise AssertionError('something opened a connection')
    for o in ('getaddrinfo', 'create_connection'): monkeypatch.setattr(socket, o, refuse)
    monkeypatch.setattr(socket.socket, 'connect', refuse)

# Building

@pytest.mark.parametrize('a', list(galaxy_archs))
def test_built_again_from_json_it_is_the_same_network(a, no_network):
    kw = dict(narrow.get(a, {}), y_mean=[8.9,.1,0.], y_std=[.2,.05,0.])
    m = build_model(a, 2, 3, size=24, **kw).eval()
    cfg = json.loads(json.dumps(arch_config(a, 2, 3, size=24, pretrained='some file', **kw)))
    b = rebuild_model(cfg).eval()
    b.load_state_dict(m.state_dict())
    x = data(a)
    with torch.no_grad():
        torch.testing.assert_close(m(*x), b(*x), rtol=0, atol=0)
        torch.testing.assert_close(m(*(o[:1] for o in x)), m(*x)[:1], rtol=1e-3, atol=1e-3)
    assert m(*x).shape==(4,3) and m(*x).dtype==torch.float64 and 'pretrained' not in cfg # answers in a unit are float64

@pytest.mark.parametrize('size', [20, 21, 37, (50,33)])
@pytest.mark.parametrize('norm,pool', [('batch','max'), ('local','min'), (None,'average')])
def test_any_size_norm_and_pool(size, norm, pool):
    h,w = (size,size) if isinstance(size, int) else size
    for f in (galaxy_alexnet, galaxy_vgg16, galaxy_cnn):
        m = f(1, 2, norm=norm, pool=pool, hidden=(8,)).eval()
        x = torch.randn(1,1,h,w)
        assert m(x).shape==(1,2) and torch.isfinite(m(x)).all()
        kinds = {type(o) for o in m.modules()}
        assert (nn.BatchNorm2d in kinds)==(norm=='batch') and (nn.LocalResponseNorm in kinds)==(norm=='local') and pool_types[pool] in kinds

def test_local_norm_stands_where_the_paper_has_it():
    m = galaxy_alexnet(norm='local', hidden=(8,))
    assert [any(isinstance(o, nn.LocalResponseNorm) for o in b) for b in m[:5]]==[True, True, False, False, False]

@pytest.mark.parametrize('f,kw,what', [(galaxy_alexnet, dict(pool='mean'), "'average'"), (galaxy_cnn, dict(act='swish'), "'relu'"), (galaxy_vgg16, dict(norm='layer'), "'local'"),
                                       (galaxy_cnn, dict(filters=[8,[]]), 'filters='), (galaxy_mlp, dict(act=None), "'tanh'")])
def test_a_wrong_option_is_named(f, kw, what):
    with pytest.raises(GalfastError, match=what): f(**kw)

def test_dense_network_of_another_size():
    m = galaxy_mlp(1, 2, size=21)
    for x in (torch.zeros(2,1,20,21), torch.zeros(2,3,21,21)):
        with pytest.raises(GalfastError, match='built for 1 band.* of 21 x 21 px'): m(x)

@pytest.mark.parametrize('norm', [False, True])
def test_one_row_trains_or_says_why_not(norm):
    m = galaxy_mlp(1, 2, (8,), norm=norm)
    if not norm: m(torch.zeros(1,1,21,21)).sum().backward(); return
    with pytest.raises(GalfastError, match='batch of 1 row'): m(torch.zeros(1,1,21,21))
    assert m.eval()(torch.zeros(1,1,21,21)).shape==(1,2)

# timm

families = ['test_resnet', 'test_vit', 'test_convnext', 'test_efficientnet', 'test_byobnet', 'test_nfnet', 'test_maxvit', 'vgg11', 'densenet121', 'mobilenetv3_small_050', 'regnety_002',
            'resnetv2_50', 'deit_tiny_distilled_patch16_224', 'swin_tiny_patch4_window7_224', 'mixer_s32_224']

@pytest.mark.parametrize('a', families)
def test_timm_networks_for_any_bands_and_their_features(a, no_network):
    pytest.importorskip('timm')
    m = build_model(a, 4, 2, size=64, y_mean=[1.,2.], y_std=[1.,1.]).eval()
    x = torch.randn(2,4,64,64)
    with torch.no_grad():
        assert m(x).shape==(2,2)
        groups = arch_groups(m)
        assert sorted(id(p) for g in groups for p in g)==sorted(map(id, m.parameters())) and len(groups)==3
        assert all(len(p)==2 for p in groups[2]) # two outputs
        body,width = body_and_width(m)
        assert body(x).shape==(2,width)

def test_an_explicit_img_size_wins(no_network):
    pytest.importorskip('timm')
    assert build_model('test_vit', 1, 2, size=32, img_size=48).eval()(torch.randn(1,1,48,48)).shape==(1,2)
    assert build_model('test_vit', 1, 2, size=69, dynamic_img_pad=True).eval()(torch.randn(1,1,69,69)).shape==(1,2)
    for size in (24, 9):
        with pytest.raises(GalfastError, match='resize to 16 px'): build_model('test_vit', 1, 2, size=size)

@pytest.mark.parametrize('a,kw,what', [('test_resnet', dict(width=3), 'cannot build .test_resnet.*width'), ('test_resnet.no_such_tag', {}, 'no_such_tag'), ('convnext_nan', {}, 'near it are convnext_nano'),
                                       ('galne', {}, 'near it are galnet'), ('', {}, 'called .*there are'), ('../weights', {}, 'no architecture'), (None, {}, 'is a name, a network')])
def test_what_timm_cannot_build(a, kw, what, no_network):
    pytest.importorskip('timm')
    with pytest.raises(GalfastError, match=what): build_model(a, 3, 1, **kw)

def test_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    for a in ('convnext_nano', 'hf_hub:timm/resnet18'):
        with pytest.raises(GalfastError, match='pip install timm'): build_model(a, 3, 1)
    assert build_model('galnet', 3, 1) is not None

def test_weights_that_cannot_be_had(monkeypatch):
    timm = pytest.importorskip('timm')
    def offline(*args, pretrained=False, **kw):
        assert pretrained is True
        raise OSError('Hub is out of reach\nmore lines')
    monkeypatch.setattr(timm, 'create_model', offline)
    with pytest.raises(GalfastError, match=r"Hub is out of reach\).*downloaded elsewhere.*pretrained=False"): build_model('test_resnet', 3, 1, pretrained=True)

def test_pretrained_reaches_timm_and_only_timm(monkeypatch):
    timm = pytest.importorskip('timm')
    asked,real = [],timm.create_model
    def create(*args, pretrained=False, **kw): asked.append(pretrained); return real(*args, **kw)
    monkeypatch.setattr(timm, 'create_model', create)
    build_model('test_resnet', 5, 1, pretrained=True); build_model('multimodal', 5, 1, image_arch='test_resnet', n_cont=1, pretrained=True); build_model('test_resnet', 5, 1)
    assert asked==[True, True, False]
    for a in ('galnet', 'resnet50'):
        with pytest.raises(GalfastError, match="no weights for"): build_model(a, 3, 1, pretrained=True)

@pytest.mark.parametrize('multi', [False, True])
def test_a_hub_name_is_saved_as_what_needs_no_hub(multi, monkeypatch, no_network):
    timm = pytest.importorskip('timm')
    cfg = dict(fixed_input_size=True, input_size=(3,48,48))
    monkeypatch.setattr(timm.models, 'load_model_config_from_hf', lambda id: (cfg, 'test_vit', dict(in_chans=3, num_classes=7, depth=2)))
    kw = dict(n_cont=1, image_arch='hf_hub:some/one') if multi else {}
    c = arch_config('multimodal' if multi else 'hf_hub:some/one', 2, 1, pretrained=True, **kw)
    assert c==(dict(arch='multimodal', n_in=2, n_out=1, size=48, depth=2, n_cont=1, image_arch='test_vit') if multi else dict(arch='test_vit', n_in=2, n_out=1, size=48, depth=2))
    m = rebuild_model(c).eval()
    assert m(torch.randn(1,2,48,48), *([torch.zeros(1,1)] if multi else [])).shape==(1,1)
    assert len((m.image if multi else m).blocks)==2

@pytest.mark.parametrize('more', [dict(pretrained=True), dict(pretrained='x.pth'), dict(arch='hf_hub:some/one'), dict(arch='multimodal', image_arch='hf-hub:some/one', n_cont=1), dict(checkpoint_path='/etc/passwd'),
                                  dict(pretrained_cfg_overlay=dict(url='http://example.org'))])
def test_a_config_of_somebody_else_gets_no_weights_and_no_network(more, no_network):
    with pytest.raises(GalfastError, match='beside its own weights'): rebuild_model(dict(arch='test_resnet', n_in=3, n_out=1) | more)

# Layer groups

@pytest.mark.parametrize('a', [a for a in galaxy_archs if a not in ('xresnet34', 'xresnet50')])
@pytest.mark.parametrize('units', [False, True])
def test_each_parameter_is_in_one_group(a, units):
    m = make(a, **(dict(y_mean=[0.]*3, y_std=[1.]*3) if units else {}))
    groups = arch_groups(m)
    assert all(len(g) for g in groups) and sorted(id(p) for g in groups for p in g)==sorted(map(id, m.parameters()))
    assert len(groups)==(2 if a=='mlp' else 3) # one hidden layer has no second half
    if a!='multimodal': assert [p.shape[0] for p in groups[-1]]==[3,3]
    order = {id(p): i for i,p in enumerate(m.parameters())}
    assert max(order[id(p)] for p in groups[0])<min(order[id(p)] for p in groups[1]) # early before late

def test_odd_networks_in_groups():
    tied = nn.Sequential(nn.Linear(4,4), nn.Linear(4,4), nn.Linear(4,2))
    tied[1].weight = tied[0].weight
    assert sum(len(g) for g in arch_groups(tied))==len(list(tied.parameters()))==5
    assert [len(g) for g in arch_groups(nn.Sequential(nn.Flatten(), nn.Linear(4,2)))]==[2]
    assert [len(g) for g in arch_groups(nn.Sequential(nn.Conv2d(1,2,3), nn.BatchNorm2d(2)))]==[4]
    with pytest.raises(GalfastError, match='no linear layer'): body_and_width(nn.Sequential(nn.Conv2d(1,2,3)))
    with pytest.raises(GalfastError, match='no linear layer'): body_and_width(nn.Linear(4,2))

def learner(a, m, n=10, bs=4, size=24, **kw):
    x = data(a, n, size=size)
    sets = [tuple(o[i] for o in x)+(torch.randn(3, generator=torch.Generator().manual_seed(i)),) for i in range(n)]
    dls = DataLoaders.from_dsets(sets, sets, bs=bs, drop_last=False)
    dls.n_inp = len(x)
    return Learner(dls, m, loss_func=MSELossFlat(), opt_func=fused_ranger, splitter=arch_groups, **kw)

@pytest.mark.parametrize('a', ['xresnet9', 'vgg6', 'multimodal', 'test_vit', 'test_resnet'])
def test_frozen_only_the_head_learns(a):
    if a.startswith('test_'): pytest.importorskip('timm')
    torch.manual_seed(0)
    size = 32 if a=='test_vit' else 24
    m = make(a, size=size, y_mean=[0.]*3, y_std=[1.]*3)
    learn = learner(a, m, size=size)
    old = {k: v.detach().clone() for k,v in m.named_parameters()}
    norms = {id(p) for o in m.modules() if isinstance(o, norm_types) for p in o.parameters()}
    head = {id(p) for p in arch_groups(m)[-1]}
    def changed(): return {k for k,v in m.named_parameters() if not torch.equal(v, old[k])}
    ids = dict((k, id(v)) for k,v in m.named_parameters())
    with learn.no_bar(),learn.no_logging():
        learn.freeze(); learn.fit(1, .01)
        assert {ids[k] for k in changed()}-norms==head-norms and {k for k in ids if ids[k] in head-norms}<=changed()
        learn.unfreeze(); learn.fit_one_cycle(1, slice(1e-4,1e-2))
        assert changed()==set(old)
        learn.fine_tune(1)
    lrs = learn.opt.hypers.attrgot('lr')
    assert len(lrs)==len(arch_groups(m)) and lrs[0]<lrs[-1]

# Weights from elsewhere

def galnet_of(n_in=3, n_out=5, seed=0, **kw): torch.manual_seed(seed); return build_model('galnet', n_in, n_out, width=4, **kw)

def check_body(new, old, conv='0.0.weight', head='9.'):
    new,old = bare_net(new).state_dict(),bare_net(old).state_dict()
    for k,v in old.items():
        if k!=conv and not k.startswith(head): assert torch.equal(new[k], v), k

starts = ['', 'module.', 'model.', 'members.0.', 'encoder.', 'model.0.', 'members.0.0.', 'module.model.', '_orig_mod.', 'model.encoder.']

@pytest.mark.parametrize('start', starts)
@pytest.mark.parametrize('units', [False, True])
def test_what_stands_before_the_names(start, units):
    a,b = galnet_of(),galnet_of(seed=1, **(dict(y_mean=[1.]*5, y_std=[2.]*5) if units else {}))
    source = {f'{start}{k}': v for k,v in a.state_dict().items()} | {'opt.hypers': torch.zeros(3), 'members.0.1.mean': torch.zeros(5)}
    r = load_pretrained(b, source)
    check_body(b, a); assert torch.equal(bare_net(b)[9].weight, a[9].weight)
    assert r.share==1 and r.start==start and not r.missing and not r.adapted and {'opt.hypers','members.0.1.mean'}==set(r.left_out)
    if units: assert b[1].mean.tolist()==[1.]*5

@pytest.mark.parametrize('n_in,n_out', [(3,5), (1,5), (5,1), (3,2)])
@pytest.mark.parametrize('a', ['galnet', 'xresnet9', 'vgg6', 'test_resnet', 'test_vit', 'test_convnext'])
def test_other_bands_and_other_answers(a, n_in, n_out):
    if a.startswith('test_'): pytest.importorskip('timm')
    old,new = build_model(a, 3, 5, size=32),build_model(a, n_in, n_out, size=32, y_mean=[0.]*n_out, y_std=[1.]*n_out)
    head = [k+'.' for k in last_layers(new)][0]
    was = bare_net(new).state_dict()[head+'weight'].clone()
    r = load_pretrained(new, old)
    assert len(r.adapted)==(n_in!=3) and len(r.left_out)==2*(n_out!=5) and len(r.missing)==2*(n_out!=5) and r.share==1
    assert torch.equal(bare_net(new).state_dict()[head+'weight'], was if n_out!=5 else old.state_dict()[head+'weight'])
    grey = torch.randn(2,1,32,32)
    (f,_),(g,_) = body_and_width(old.eval()),body_and_width(new.eval())
    with torch.no_grad(): torch.testing.assert_close(f(grey.expand(-1,3,-1,-1)), g(grey.expand(-1,n_in,-1,-1)), rtol=1e-3, atol=1e-4)
    assert ('adapted: 3 bands to' in repr(r))==(n_in!=3) and '100% of those before the last layer' in repr(r)

def test_bands_by_name():
    a,b = galnet_of(3),galnet_of(2, seed=1)
    load_pretrained(b, a, bands='zg', source_bands='grz')
    x = torch.randn(2,3,32,32); x[:,1] = 0
    with torch.no_grad(): torch.testing.assert_close(b[0][0](x[:,[2,0]]), a[0][0](x)*1.5)
    c = galnet_of(3, seed=1)
    load_pretrained(c, a, bands='zrg', source_bands='grz') # as many, in another order
    with torch.no_grad(): torch.testing.assert_close(c[0][0](x.flip(1)), a[0][0](x))
    with pytest.raises(GalfastError, match='4 names of bands'): load_pretrained(galnet_of(2), a, bands='griz', source_bands='grz')

def test_kinds_of_files(tmp_path):
    a = galnet_of()
    sd = a.state_dict()
    save_file(sd, tmp_path/'a.safetensors')
    save_file({k: v.half() if v.is_floating_point() else v for k,v in sd.items()}, tmp_path/'half.safetensors')
    for name,o in {'plain.pth': sd, 'b.pt': {'state_dict': sd, 'epoch': 3, 'note': 'text'}, 'c.ckpt': {'model': sd, 'opt': {'lr': [.1]}}, 'd.bin': {'module': sd}}.items(): torch.save(o, tmp_path/name)
    learn = learner('galnet', build_model('galnet', 2, 3, width=4), path=tmp_path)
    with learn.no_bar(),learn.no_logging(): learn.fit(1, 1e-3)
    learn.save('fastai'); save_checkpoint(learn, tmp_path/'galfast.safetensors', 1)
    for f in ('a.safetensors', 'plain.pth', 'b.pt', 'c.ckpt', 'd.bin'): b = galnet_of(seed=1); assert load_pretrained(b, str(tmp_path/f)).share==1; check_body(b, a)
    b = galnet_of(seed=1); load_pretrained(b, tmp_path/'half.safetensors')
    assert b[9].weight.dtype==torch.float32; torch.testing.assert_close(b[9].weight, a[9].weight, rtol=1e-3, atol=1e-3)
    for f in ('models/fastai.pth', 'galfast.safetensors'): b = galnet_of(2, 3, seed=1); assert load_pretrained(b, tmp_path/f).share==1; check_body(b, learn.model)

@pytest.mark.parametrize('a', ['galnet', 'multimodal'])
def test_a_run_folder(a, tmp_path):
    cfg = arch_config('galnet', 3, 1, width=4, y_mean=[9.], y_std=[.2])
    nets = [build_model(**cfg) for _ in range(2)]
    spec = TargetSpec([NumberHead(['z'], mean=[9.], std=[.2])])
    save_run(GalaxyRun(GalaxyModel([Network(o, cfg, ImageView()) for o in nets], spec), ImageReader()), tmp_path/'run')
    if a=='multimodal':
        m = build_model('multimodal', 5, 2, n_cont=1, width=4, pretrained=tmp_path/'run')
        return check_body(m.image, nets[0])
    b = galnet_of(5, 2); r = load_pretrained(b, tmp_path/'run'); check_body(b, nets[0])
    assert r.start=='members.0.0.' and not any(k.startswith('members.0.0.') and 'nothing' in v for k,v in r.left_out.items())
    load_pretrained(b, tmp_path/'run', start='members.1.0.'); check_body(b, nets[1])
    assert isinstance(load_run(tmp_path/'run', 'cpu').model.members[1].body[1], ScaleOutput)

class Evil:
    def __init__(self, path): self.path = path
    def __reduce__(self): return os.mkdir, (str(self.path),)

def hostile(d):
    torch.save(galnet_of().state_dict(), d/'ok.pth'); save_file(galnet_of().state_dict(), d/'ok.safetensors')
    torch.save({'state_dict': galnet_of().state_dict(), 'x': Evil(d/'ran')}, d/'evil.pth')
    (d/'evil2.bin').write_bytes(pickle.dumps(Evil(d/'ran')))
    for s in ('.pth', '.safetensors'):
        whole = (d/f'ok{s}').read_bytes()
        (d/f'cut{s}').write_bytes(whole[:len(whole)//2]); (d/f'head{s}').write_bytes(whole[:20]); (d/f'empty{s}').write_bytes(b'')
        (d/f'page{s}').write_text('\n<!DOCTYPE html><html>404</html>'); (d/f'noise{s}').write_bytes(np.random.default_rng(0).bytes(3000))
    (d/'long.safetensors').write_bytes((2**62).to_bytes(8, 'little')+b'{}')
    torch.save([torch.zeros(3)], d/'list.pth'); torch.save({'a': 1, 3: torch.zeros(2)}, d/'numbers.pth'); torch.save({'model': {}}, d/'none.pth'); torch.save(torch.zeros(3), d/'tensor.pth')
    (d/'weights.h5').write_bytes(b'x'); (d/'folder').mkdir()
    return ['evil.pth', 'evil2.bin', *[f'{n}{s}' for n in ('cut','head','empty','page','noise') for s in ('.pth','.safetensors')], 'long.safetensors', 'list.pth', 'numbers.pth', 'none.pth',
            'tensor.pth', 'weights.h5', 'folder', 'gone.pth']

def test_files_that_are_not_weights(tmp_path):
    says = {'page.pth': 'web page', 'page.safetensors': 'web page', 'weights.h5': 'not from .h5', 'folder': 'no model.safetensors', 'gone.pth': 'no such file', 'evil.pth': 'holds code: .*mkdir', 'evil2.bin': 'Code is not run', 'list.pth': 'no weights by name'}
    for f in hostile(tmp_path):
        m = galnet_of(seed=1); old = {k: v.clone() for k,v in m.state_dict().items()}
        with pytest.raises(GalfastError, match=says.get(f, '.')) as e: load_pretrained(m, tmp_path/f)
        assert str(tmp_path/f) in str(e.value) and len(str(e.value))<700, f
        assert all(torch.equal(v, old[k]) for k,v in m.state_dict().items())
    assert not (tmp_path/'ran').exists()
    load_pretrained(galnet_of(seed=1), tmp_path/'ok.pth')

def test_weights_of_another_kind():
    a = galnet_of()
    sd = a.state_dict()
    for bad,what in (({k: v*torch.nan if k=='9.weight' else v for k,v in sd.items()}, '9.weight hold NaN'), ({}, 'no weights by name'), ({k: v.to(torch.complex64) for k,v in sd.items()}, 'only 0%'),
                     ({k: v.to(torch.int8) for k,v in sd.items()}, 'only 0%'), ({k: v[None] for k,v in sd.items()}, 'only 0%'), ({f'x.{k}': v for k,v in sd.items()}, 'only 0%'),
                     (build_model('xresnet9', 3, 5).state_dict(), 'hardly the same architecture'), ({k: v.to_sparse() if v.ndim else v for k,v in sd.items()}, 'only 0%'), ({'0.'*5000: torch.zeros(1)}, 'only 0%')):
        b = galnet_of(seed=1); old = {k: v.clone() for k,v in b.state_dict().items()}
        with pytest.raises(GalfastError, match=what): load_pretrained(b, bad)
        assert all(torch.equal(v, old[k]) for k,v in b.state_dict().items())
    some = dict(list(sd.items())[:len(sd)//3])
    with pytest.raises(GalfastError, match='only 3.%'): load_pretrained(galnet_of(seed=1), some)
    r = load_pretrained(galnet_of(seed=1), some, least=.1)
    assert set(r.loaded)==set(some) and set(r.missing)==set(sd)-set(some)

def test_loading_keeps_memory_order_and_gradients():
    a,b = galnet_of(),galnet_of(seed=1).to(memory_format=torch.channels_last)
    strides = [p.stride() for p in b.parameters()]
    load_pretrained(b, a)
    assert strides==[p.stride() for p in b.parameters()] and all(p.requires_grad and p.is_leaf for p in b.parameters())
    a[9].weight.data.zero_(); assert b[9].weight.abs().sum()>0 # a copy

# Image and table

def test_one_hot_as_scikit_learn_has_it():
    from sklearn.preprocessing import OneHotEncoder
    codes = np.array([[0,1],[2,4],[1,0],[3,2],[7,-1]])
    enc = OneHotEncoder(categories=[[1,2,3],[1,2,3,4]], handle_unknown='ignore', sparse_output=False).fit([[1,1]])
    t = TableTower(1, [(4,0),(5,0)], hidden=())
    x = torch.cat([tensor(codes).float(), torch.randn(5,1)], 1)
    np.testing.assert_array_equal(t(x)[:,:7].numpy(), enc.transform(codes))
    assert torch.equal(t(x)[:,7:], x[:,2:])

@pytest.mark.parametrize('emb', ['embed','onehot'])
def test_codes_that_mean_missing(emb):
    m = build_model('multimodal', 2, 8, cat_sizes=[300,4], emb=emb, width=4).eval() # of single numbers two of 300 may be alike by chance
    x = torch.randn(1,2,24,24)
    with torch.no_grad():
        outs = [m(x, tensor([[c,1.]])) for c in (0., 300., -3., math.nan, math.inf)]
        assert all(torch.equal(o, outs[0]) for o in outs)
        assert len({tuple(m(x, tensor([[float(c),1.]]))[0].tolist()) for c in range(300)})==300

@pytest.mark.parametrize('seen', ['image', 'table'])
def test_it_learns_from_either_side(seen):
    torch.manual_seed(0)
    m = build_model('multimodal', 1, 1, n_cont=1, cat_sizes=[3], width=4, hidden=[16], head=[16], y_mean=[5.], y_std=[1.])
    x,t = torch.randn(64,1,16,16),torch.cat([torch.randint(0,3,(64,1)).float(), torch.randn(64,1)], 1)
    x += torch.randn(64,1,1,1)
    y = 5+(x.mean((1,2,3)) if seen=='image' else t[:,1]*(t[:,0]-1))[:,None]
    opt = torch.optim.Adam(m.parameters(), 1e-2)
    for _ in range(60): opt.zero_grad(); loss = ((m(x, t)-y)**2).mean(); loss.backward(); opt.step()
    assert loss<.2*y.var()
    with torch.no_grad(): other = ((m(x.flip(0) if seen=='image' else x, t.flip(0) if seen=='table' else t)-y)**2).mean()
    assert other>2*loss

def test_in_a_learner_with_an_odd_last_batch_and_bfloat16():
    learn = learner('multimodal', make('multimodal'), n=10, bs=4, cbs=[FastMath(True)])
    with learn.no_bar(),learn.no_logging(): learn.fit(1, 1e-3)
    p,y = learn.get_preds()
    assert p.shape==(10,3) and p.dtype==torch.float32 and torch.isfinite(p).all()
    learn = learner('multimodal', make('multimodal'), n=9, bs=4)
    with pytest.raises(GalfastError, match='batch of 1 row'),learn.no_bar(),learn.no_logging(): learn.fit(1, 1e-3)
    with learn.no_bar(): assert learn.get_preds()[0].shape==(9,3)

def test_images_of_fastai_and_empty_batches():
    m,(x,t) = make('multimodal').eval(),data('multimodal')
    with torch.no_grad():
        out = m(TensorImage(x), t)
        assert type(out) is torch.Tensor and torch.equal(out, m(x, t)) and torch.equal(m(x, t.double()), out)
        assert m.table(t[:0]).shape==(0,64)
    for bad in (t[0], t[:,:2], t[...,None]):
        with pytest.raises(GalfastError): m(x, bad)

@pytest.mark.parametrize('a', ['galnet', 'alexnet', 'vgg6', 'mlp', 'resnet50', 'test_convnext', 'test_vit'])
def test_any_image_network_will_do(a):
    if a.startswith('test_'): pytest.importorskip('timm')
    m = build_model('multimodal', 2, 3, image_arch=a, n_cont=2, cat_sizes=[3], size=32, **{k: v for k,v in narrow.get(a, {}).items() if k!='hidden'})
    x,t = data('multimodal', size=32)
    m(x, t).sum().backward()
    assert m(x, t).shape==(4,3) and all(p.grad is not None for p in m.parameters())

def test_every_builder_has_the_common_arguments():
    for a,f in galaxy_archs.items():
        ps = inspect.signature(f).parameters
        assert {'n_in','n_out','y_mean','y_std'}<=set(ps), a
        assert all(isinstance(p.default, (int,float,str,bool,tuple,list,type(None),type)) for p in ps.values() if p.default is not p.empty), a
