"Losses against torch's, torchvision's and scikit-learn's; labels that are missing cost nothing"
import math

import numpy as np,pytest,torch
from sklearn.metrics import root_mean_squared_error as sk_rmse
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from galfast.base.core import GalfastError
from galfast.data.losses import BinaryLoss,OneVsRest,ScaledMSE,ScaledRMSE,VoteLoss,mean_present,reduce_present
from galfast.data.losses import rmse_loss,root_mean_squared_error

p,y = torch.tensor([[1.],[2.],[4.]]),torch.tensor([1.,2.,1.])

def test_root_of_the_mean_square():
    a,b = torch.randn(50,1),torch.randn(50)
    assert rmse_loss(a, b).item()==pytest.approx(sk_rmse(b, a[:,0]), rel=1e-6) and root_mean_squared_error is rmse_loss
    assert rmse_loss(torch.zeros(2,3), torch.tensor([[3.,0,0],[0,0,3.]])).item()==pytest.approx(3**.5)
    assert rmse_loss(p, y, reduction='none').tolist()==[0,0,3] and rmse_loss(p, y, reduction='sum')==3
    assert rmse_loss(p.double(), y).dtype==torch.float64 and rmse_loss(p, y).dtype==torch.float32

def test_weights():
    three,w = torch.tensor([1.,2.,3.]),torch.tensor([1.,0.,1.])
    assert rmse_loss(torch.zeros(3,1), three, w).item()==pytest.approx(5**.5)
    assert ScaledMSE(2.)(torch.zeros(3), torch.tensor([2.,np.nan,4.]), torch.tensor([1.,1.,3.])).item()==pytest.approx((1+3*4)/4)

@pytest.mark.parametrize('f,why', [(lambda: rmse_loss(torch.zeros(3,2), y), r'\(3, 2\)'), (lambda: rmse_loss(p, y, reduction='max'), "'max'"),
                                   (lambda: BinaryLoss()(torch.zeros(2,3), y[:2]), 'two classes, not 3'), (lambda: BinaryLoss(-1), 'pos_weight is above 0')])
def test_what_cannot_be(f, why):
    with pytest.raises(GalfastError, match=why): f()

def slope(inp, targ, f=rmse_loss):
    inp = torch.tensor(inp, requires_grad=True)
    f(inp, torch.tensor(targ)).backward()
    return inp.grad.tolist()

def test_slopes():
    assert slope([1.,2.], [1.,2.])==[0,0] and slope([3.,2.], [0.,math.nan])==[1,0]
    assert slope([3e-30,4e-30], [0.,0.])==pytest.approx(slope([3.,4.], [0.,0.])) # any unit

@pytest.mark.parametrize('loss', [ScaledMSE(), ScaledRMSE(), rmse_loss], ids=['mse','rmse','function'])
def test_a_label_that_is_missing(loss):
    "is as if it were not there, and has no slope"
    a,b = torch.randn(6,2),torch.randn(6,2)
    a.requires_grad_()
    gaps = b.clone(); gaps[:3,0] = math.nan
    loss(a, gaps).backward()
    assert (a.grad[:3,0]==0).all() and (a.grad[3:]!=0).all() and torch.isfinite(a.grad).all()
    there = ~torch.isnan(gaps)
    assert torch.allclose(loss(a, gaps), loss(a[there], b[there]))

def test_none_there(): assert mean_present(torch.ones(3), torch.full((3,), math.nan))==0==ScaledMSE()(p, y*math.nan)

def test_reductions_of_torch():
    "Of what is all there they are torch's"
    a,b = torch.randn(7,2),torch.randn(7,2)
    for how in ('mean','sum'): assert torch.allclose(ScaledMSE(reduction=how)(a, b), F.mse_loss(a, b, reduction=how))
    assert torch.allclose(ScaledMSE(reduction='none')(a, b), F.mse_loss(a, b, reduction='none').mean(1))
    gaps = torch.tensor([[1.,math.nan],[2.,4.]])
    assert reduce_present(torch.tensor([[3.,9.],[1.,2.]]), gaps, reduction='none').tolist()==[3,1.5]

def test_in_units_of_the_scatter():
    assert ScaledMSE([1.,10.])(torch.tensor([[1.,10.]]), torch.zeros(1,2))==1
    assert torch.allclose(ScaledRMSE(.5)(p, y), rmse_loss(p, y)/.5) and ScaledMSE(0.)(p, y)==3 # no scatter counts as one
    days = 2459000.75+torch.tensor([0.,.001,.003], dtype=torch.float64)
    assert ScaledMSE(.001)(days[[1,1,1]], days).item()==pytest.approx((1+0+4)/3, rel=1e-6)

def test_votes():
    z,f = torch.randn(9,3),torch.rand(9,3)
    share = f/f.sum(1, keepdim=True)
    assert torch.allclose(VoteLoss()(z, share), F.cross_entropy(z, share)) and torch.allclose(VoteLoss(False)(z, f), F.binary_cross_entropy_with_logits(z, f))
    assert torch.equal(VoteLoss().activation(z), z.softmax(1)) and torch.equal(VoteLoss(False).activation(z), z.sigmoid())

def test_two_classes():
    z,y = torch.randn(40,2),torch.arange(40)%5==0
    ce = F.cross_entropy(z, y.long(), weight=torch.tensor([1.,4.]), reduction='none')
    assert torch.allclose(BinaryLoss(4)(z, y.long()), ce.mean(), atol=1e-6)
    d = z[:,1]-z[:,0]
    assert torch.allclose(BinaryLoss(gamma=2)(z, y), sigmoid_focal_loss(d, y.float(), alpha=-1, gamma=2, reduction='mean'))
    assert torch.allclose(BinaryLoss(3)(d[:,None], y), BinaryLoss(3)(z, y)) # one output is the difference
    assert torch.equal(BinaryLoss().decodes(z.softmax(1)), (d>0).long()) and torch.equal(BinaryLoss().decodes(d.sigmoid()[:,None])[:,0], (d>0).long())

def test_each_class_against_the_rest():
    z,y = torch.randn(6,3),torch.tensor([0,1,2,2,1,0])
    assert torch.allclose(OneVsRest()(z, y), F.multilabel_soft_margin_loss(z, torch.eye(3)[y])*3)
    assert OneVsRest('none')(z, y).shape==(6,) and torch.equal(OneVsRest().decodes(z.sigmoid()), z.argmax(1))
