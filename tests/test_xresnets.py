"xresnets for any number of bands: fastai's own numbers where fastai has them"
import numpy as np,pytest,torch
from fastai.layers import SelfAttention,SimpleSelfAttention
from fastai.vision.models.xresnet import xresnet18,xresnet34,xresnet50
from torch import nn

from galfast.base.core import GalfastError
from galfast.networks.xresnets import LeanSelfAttention,MishCuda,SDPASelfAttention,ScaleOutput,SingleResBlock,attentions
from galfast.networks.xresnets import galaxy_xresnet,galaxy_xresnet9,galnet,xresnet_depths

def size(m): return sum(o.numel() for o in m.parameters())

def near(a, b, eps=1e-5): return (a-b).abs().max()<=eps*b.abs().max()

pairs = pytest.mark.parametrize('ours,theirs', [(LeanSelfAttention,SimpleSelfAttention), (SDPASelfAttention,SelfAttention)], ids=['lean','sdpa'])

@pairs
def test_attention_is_that_of_fastai(ours, theirs):
    a,b = ours(16),theirs(16)
    b.load_state_dict(a.state_dict())
    for _ in range(3): # spectral norm moves on in training, and stands still afterwards
        for o in (a, b): o.train(); o.gamma.data.fill_(.3); o(torch.ones(1,16,4,4))
    assert all(near(u, v) for u,v in zip(a.state_dict().values(), b.state_dict().values()))
    x = torch.randn(3,16,5,5)
    for fmt in (torch.contiguous_format, torch.channels_last):
        z = x.to(memory_format=fmt)
        assert near(a.eval()(z), b.eval()(x)) and a(z).stride()==z.stride()
    with torch.autocast('cpu', torch.bfloat16): assert near(a(x).float(), b(x).float(), .1)

@pairs
def test_attention_learns_as_that_of_fastai(ours, theirs):
    a,b = ours(8),theirs(8)
    b.load_state_dict(a.state_dict())
    for o in (a, b): o.gamma.data.fill_(.5)
    x = torch.randn(2,8,6,7)
    for o in (a, b): o(x).square().sum().backward()
    for u,v in zip(a.parameters(), b.parameters()): assert near(u.grad, v.grad, 1e-4)

@pytest.mark.parametrize('depth,theirs', [(18,xresnet18), (34,xresnet34), (50,xresnet50)])
def test_as_many_weights_as_fastai(depth, theirs):
    with torch.device('meta'): assert size(galaxy_xresnet(depth, n_out=3, sa=False))==size(theirs(n_out=3, act_cls=nn.Mish))

def test_the_answers_of_fastai():
    a = xresnet18(n_out=2, sa=True, act_cls=nn.Mish).eval()
    b = galaxy_xresnet(18, n_out=2).eval()
    b.load_state_dict(dict(zip(b.state_dict(), a.state_dict().values())))
    x = torch.randn(2,3,48,48)
    with torch.no_grad(): assert near(b(x), a(x), 1e-4)

@pytest.mark.parametrize('depth', xresnet_depths)
@pytest.mark.parametrize('side', [21, 64])
def test_any_bands_and_sizes(depth, side):
    with torch.no_grad(): assert galaxy_xresnet(depth, n_in=5, n_out=2).eval()(torch.randn(1,5,side,side)).shape==(1,2)

def test_kinds_of_attention():
    def kinds(sa): return {type(o) for o in galaxy_xresnet(26, sa=sa, reduction=16).modules()} & {LeanSelfAttention,SDPASelfAttention}
    assert {sa: kinds(sa) for sa in attentions}=={False: set(), True: {LeanSelfAttention}, 'softmax': {SDPASelfAttention}}
    assert galaxy_xresnet(26, sa='softmax', reduction=16).eval()(torch.randn(2,3,32,32)).shape==(2,1)
    with pytest.raises(GalfastError, match="'softmax'"): galaxy_xresnet(9, sa='cosine')
    with pytest.raises(GalfastError, match='no xresnet of depth 33; there are 9, 10'): galaxy_xresnet(33)

def test_answers_in_physical_units():
    assert ScaleOutput([1,2], [0,3])(torch.ones(1,2)).tolist()==[[2,5]] # no scatter counts as one
    day = ScaleOutput(2459000.75, .01)(torch.tensor([[.5]], dtype=torch.bfloat16))
    assert day.dtype==torch.float64 and day.item()==2459000.755
    out = galaxy_xresnet9(y_mean=8.9, y_std=.18)(torch.randn(64,3,32,32))
    assert 8<out.mean()<9.8 and out.std()<1

def test_galnet():
    "Its size by hand: convolutions without bias, a norm of two numbers a channel behind each, and the last layer"
    convs = [(3,32), (32,64), (64,64), (64,128), (128,256), (256,256)]
    one = [(64,128), (128,256)] # short cuts of one pixel
    want = sum(9*i*o+2*o for i,o in convs)+sum(i*o+2*o for i,o in one)+256*2+2
    assert size(galnet(3, 2))==want
    for side in (21,64): assert galnet(5, 2)(torch.randn(2,5,side,side)).shape==(2,2)

@pytest.mark.parametrize('ni,nf,stride,side', [(4,4,1,9), (4,8,1,9), (4,8,2,9), (4,4,2,8)])
def test_a_block_with_a_short_cut(ni, nf, stride, side):
    m = SingleResBlock(ni, nf, stride, nn.Identity).eval()
    assert m(torch.randn(2,ni,side,side)).shape==(2,nf,-(-side//stride),-(-side//stride))
    if ni==nf and stride==1:
        for o in (m.conv[0].weight, m.conv[1].bias): nn.init.zeros_(o)
        x = torch.randn(2,ni,side,side)
        assert torch.equal(m(x), x) # what is left is the short cut

def test_mish():
    "x tanh(log(1+e^x)) (Misra 2019)"
    x = np.linspace(-5, 5, 21)
    assert np.allclose(MishCuda()(torch.tensor(x)).numpy(), x*np.tanh(np.log1p(np.exp(x))))
