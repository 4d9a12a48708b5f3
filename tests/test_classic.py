"AlexNet, VGG, ResNet-50 and dense networks: the sizes of their papers, the answers of torchvision"
from functools import partial

import numpy as np,pytest,torch,torchvision
from torch import nn
from torch.nn import functional as F

from galfast.base.core import GalfastError
from galfast.networks.classic import MinPool2d,_pool,act_types,conv_block,conv_norms,dense_blocks,galaxy_alexnet,galaxy_cnn,galaxy_mlp
from galfast.networks.classic import galaxy_resnet50,galaxy_vgg16,galaxy_vgg6,local_norm,pool_types,with_units

def size(m): return sum(o.numel() for o in m.parameters())

small = dict(alexnet=partial(galaxy_alexnet, hidden=(16,)), vgg16=partial(galaxy_vgg16, hidden=(16,)),
             paper=partial(galaxy_alexnet, hidden=(16,), norm='local', pool='min', stride=1),
             cnn=galaxy_cnn, vgg6=galaxy_vgg6, resnet50=galaxy_resnet50, mlp=galaxy_mlp)
each = pytest.mark.parametrize('f', small.values(), ids=list(small))

@each
def test_one_step_down_the_slope_is_down(f):
    "In physical units, every weight with a gradient"
    m,x,y = f(n_in=2, n_out=1, y_mean=[9.], y_std=[.1]),torch.randn(8,2,21,21),9+.1*torch.randn(8,1)
    for o in m.modules():
        if isinstance(o, nn.Dropout): o.p = 0.
    def loss(): return ((m(x)-y)**2).mean()/.01
    before = loss()
    before.backward()
    assert 8<m(x).mean()<10 and all(p.grad is not None for p in m.parameters())
    g2 = sum((p.grad**2).sum() for p in m.parameters())
    with torch.no_grad():
        for p in m.parameters(): p -= p.grad*min(.01, .05*before.item()/g2.item())
    assert loss()<before

@each
def test_half_precision_and_any_order_in_memory(f):
    x = torch.randn(2,2,21,21).to(memory_format=torch.channels_last)
    with torch.autocast('cpu', torch.bfloat16): assert f(n_in=2, n_out=3).eval()(x).shape==(2,3)

@pytest.mark.parametrize('k', pool_types)
@pytest.mark.parametrize('ks', [2,3])
def test_pooling_halves(k, ks):
    assert [_pool(k, ks)(torch.ones(1,1,n,n)).shape[-1] for n in range(1,12)]==[-(-n//2) for n in range(1,12)]
    assert torch.allclose(_pool(k, ks)(torch.ones(1,1,7,7)), torch.ones(1,1,4,4)) # what lies outside does not count

def test_the_smallest_of_each_window():
    x = torch.randn(2,3,8,8)
    assert torch.equal(MinPool2d(2)(x), x.unfold(2,2,2).unfold(3,2,2).amin((-1,-2)))

@pytest.mark.parametrize('make,why', [(lambda: _pool('median', 2), "pool='median': it is one of 'max', 'average', 'min'"), (lambda: galaxy_vgg16(norm='group'), "'batch', 'local', None"),
                                      (lambda: galaxy_mlp(act='step'), "act='step': it is one of 'relu'"), (lambda: galaxy_cnn(filters=[]), 'one number of channels or more'), (lambda: galaxy_cnn(filters=[8,[]]), 'or more')])
def test_what_is_not_known_is_told(make, why):
    with pytest.raises(GalfastError, match=why): make()

def test_local_normalisation():
    "Krizhevsky et al. (2012), section 3.3: k = 2, n = 5, alpha = 1e-4, beta = 3/4"
    a = torch.rand(1,7,1,1, dtype=torch.float64)*50
    b = [a[0,i]/(2+1e-4*(a[0,max(i-2,0):i+3]**2).sum(0))**.75 for i in range(7)]
    assert torch.allclose(local_norm()(a)[0], torch.stack(b))

def test_sizes_of_the_papers():
    "60,965,224 weights of AlexNet, 138 million of VGG-16; the others as torchvision has them"
    with torch.device('meta'):
        assert size(galaxy_alexnet(3, 1000, norm='local', grid=6, groups=2))==60_965_224
        for norm,theirs in ((None,torchvision.models.vgg16), ('batch',torchvision.models.vgg16_bn)): assert size(galaxy_vgg16(3, 1000, norm=norm, grid=7))==size(theirs())
        assert size(galaxy_resnet50(3, 1000))==size(torchvision.models.resnet50())
    assert size(galaxy_vgg6())==160+2320+4640+9248+64+8448+514

def test_the_answers_of_torchvision():
    "The convolutions of VGG-16, with the weights of theirs"
    theirs = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs['D'], batch_norm=True).eval()
    ours = galaxy_vgg16(hidden=(8,)).eval()[:13]
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values())))
    x = torch.randn(1,3,64,64)
    with torch.no_grad(): assert torch.allclose(ours(x), theirs(x), atol=1e-4)

def test_dense_layers_by_hand():
    m,x = galaxy_mlp(2, 3, hidden=(16,), size=(4,6), act='tanh'),torch.randn(5,2,4,6)
    W,b,V,c = (o.detach().numpy() for o in m.parameters())
    assert np.allclose(m(x).detach(), np.tanh(x.numpy().reshape(5,-1)@W.T+b)@V.T+c, atol=1e-5)
    with pytest.raises(GalfastError, match=r'2 band\(s\) of 4 x 4 px, but this dense network was built for 2 band\(s\) of 6 x 4 px'): m(x[...,:4])

def test_a_batch_of_one_row():
    b = nn.Sequential(*dense_blocks((4,8,2), 'tanh', norm=True, p=.5))
    assert b(torch.randn(3,4)).shape==(3,2) and b.eval()(torch.randn(1,4)).shape==(1,2)
    with pytest.raises(GalfastError, match='batch of 1 row'): b.train()(torch.randn(1,4))

@pytest.mark.parametrize('norm', conv_norms)
@pytest.mark.parametrize('act', act_types)
def test_layers_of_a_block(norm, act):
    x,m = torch.randn(2,3,9,9),conv_block(3, 8, 3, norm=norm, act=act, pool='max')
    assert m(x).shape==(2,8,5,5) and [isinstance(o, nn.BatchNorm2d) for o in m].count(True)==(norm=='batch')
    y = act_types[act]()(m[1](m[0](x)) if norm=='batch' else m[0](x))
    if norm=='local': y = local_norm()(y)
    assert torch.allclose(m(x), F.max_pool2d(y, 2, ceil_mode=True))

def test_units_are_a_choice():
    net = nn.Linear(2, 1)
    assert with_units(net) is net and torch.allclose(with_units(net, [5.], [2.])(torch.ones(1,2)), 5+2*net(torch.ones(1,2)).double())
