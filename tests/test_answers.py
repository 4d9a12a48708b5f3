"Several opinions that become one, and how wrong it may be: answers, one sigma, weights and shares, by hand"
import json

import numpy as np, pytest, torch

from galfast.base.core import GalfastError
from galfast.base.schema import Misfit
from galfast.data.heads import ClassHead,NumberHead
from galfast.data.targets import TargetSpec
from galfast.results.predict import coverage
from galfast.training.answers import *

of_z = TargetSpec([NumberHead(['z'], mean=[0.], std=[1.])])
mixed = TargetSpec([NumberHead(['z'], mean=[0.], std=[2.]), ClassHead(['k'], classes=['a','b'])])

# answers

def test_some_of_an_answer():
    a = Answer(np.arange(6.).reshape(3,2), np.ones((3,2)), np.array([[1.,2.],[3.,4.],[5.,6.]]))
    for rows in ([2,0], np.array([2,0]), np.array([True,False,True])):
        b,order = a.select(rows),[0,2] if np.asarray(rows).dtype==bool else [2,0]
        assert len(b)==2 and np.array_equal(b.mean, a.mean[order]) and np.array_equal(b.err, a.err[order]) and b.spread.shape==(2,2)
    assert Answer(a.mean, a.spread).select([1]).err is None and len(a)==3

def test_one_sigma_follows_the_spread():
    "sqrt(a^2 + b^2 spread^2): 3, 4, 5, and none beside a class"
    a = Answer(np.zeros((2,2)), np.array([[2.,9.],[0.,9.]]))
    b = a.calibrated(SpreadErr([[3.,2.], None]))
    np.testing.assert_array_equal(b.err, [[5.,np.nan],[3.,np.nan]])
    assert a.err is None and a.calibrated(None) is a and b.mean is a.mean
    np.testing.assert_array_equal(apply_err([0,1.5], [2,2]), [2,np.sqrt(4+9)])

def test_what_is_stated_of_errors_goes_to_a_file_and_back():
    a = SpreadErr([[.1,2.], None])
    b = calibrations.build(json.loads(json.dumps(calibrations.component(a))))
    assert b==a and b.kind=='spread'
    assert a.disagrees(of_z)=='err has 2 entries for 1 outputs' and SpreadErr([[1.,0.], None, None]).disagrees(mixed)==''
    for bad in ([[.1]], [[-1.,0.]], [['a',0.]], [.1,2.], 'x', None):
        with pytest.raises(Misfit): calibrations.build(dict(kind='spread', config=dict(err=bad)))
    with pytest.raises(GalfastError, match="no calibration of the kind 'sprad'; there is spread"): calibrations.build(dict(kind='sprad', config={}))

def test_shares_of_three_kinds():
    "Each takes its share of what those before it agreed on"
    said = {k: torch.full((2,1), v, dtype=torch.float64) for k,v in dict(a=0., b=1., c=3.).items()}
    assert Shares(dict(b=.25, c=.5))(said).tolist()==[[1.625]]*2 # .25, then half of the way from it to 3
    assert Shares(dict(b=0., c=0.))(said).tolist()==[[0.]]*2 and Shares(dict(b=.3, c=1.))(said).tolist()==[[3.]]*2
    two = {k: torch.cat([o, 10*o], 1) for k,o in said.items()}
    assert Shares(dict(b=[0.,1.], c=[1.,.5]))(two).tolist()==[[3.,20.]]*2
    assert Shares({})(dict(a=said['b'])).tolist()==[[1.]]*2

@pytest.mark.parametrize('shares,kinds,word', [({}, ['a','b'], 'shares are of none'), (dict(b=.5), ['a'], 'shares are of b'), (dict(a=.5), ['a','b'], 'shares are of a'),
                                               (dict(b=[.5,.5]), ['a','b'], '2 entries for 1 outputs'), (dict(b=[.5]), ['a','b'], ''), (dict(b=.5, c=.1), ['a','b','c'], '')])
def test_shares_that_do_not_go_with_the_members(shares, kinds, word):
    wrong = Shares(shares).disagrees(of_z, kinds)
    assert word in wrong and bool(wrong)==bool(word)
    assert blends.build(json.loads(json.dumps(blends.component(Shares(shares)))))==Shares(shares)

# one sigma

def test_few_residuals_are_not_trusted():
    from scipy.stats import norm,t
    r = np.array([.1,-.2,.1])
    want = np.sqrt((r**2).mean())*t.ppf(norm.cdf(1), 3)
    assert np.isclose(held_err(r, r*0, 1.)[0], want) and held_err([], [], .3)==[.3,0.]

@pytest.mark.parametrize('r,s', [([.3],[0.]), ([.3]*5,[0.]*5), ([0.]*5,[0.]*5), ([1e-300,-1e-300],[0.,0.]), ([.1,np.nan],[0.,0.]), ([.2,-.2],[.1,.1])])
def test_one_sigma_of_odd_residuals(r, s):
    a,b = fit_err(r, s)
    assert np.isfinite([a,b]).all() and np.isclose(np.hypot(a, b*s[0]), np.sqrt(np.nanmean((np.array(r)*1e150)**2))/1e150, rtol=.05)

def test_one_sigma_needs_a_residual():
    for r in ([], [np.nan]*3):
        with pytest.raises(GalfastError, match='none that is a number'): fit_err(r, np.zeros(len(r)))

def test_a_sigma_that_is_known_is_found():
    rng = np.random.default_rng(0)
    s = rng.uniform(0, 3, 4000)
    a,b = fit_err(rng.normal(size=4000)*np.hypot(.7, 1.2*s), s)
    assert abs(a-.7)<.08 and abs(b-1.2)<.11

# weights and shares

def test_best_weight_leaves_out_what_is_missing():
    rng = np.random.default_rng(0)
    y,e = rng.normal(size=(2,200,1))
    a,b,t = torch.as_tensor(y+e),torch.as_tensor(y-.5*e),torch.as_tensor(y) # a + 2/3 (b-a) is right
    gap = t.clone()
    gap[100:] = np.nan
    assert best_weight(a, b, gap)==pytest.approx((2/3+.5)/2, abs=2e-3)==best_weight(a, b, t)

def test_the_weight_is_drawn_half_way_to_what_is_most_sure():
    y = torch.linspace(-1, 1, 30, dtype=torch.float64)[:,None]
    assert best_weight(y+1, y, y)==.75 and best_weight(y, y+1, y)==.25 and best_weight(y+1, y, y, 1.)==1.
    assert best_weight(y+1, y-1, y)==.5 # as far off to the other side
    assert best_weight(y, y, y+.3)==.25 # they agree: the first alone, half way
    assert best_weight(y+2, y+1, y)==.75 # no share is larger than one

def test_a_blend_of_few_galaxies_is_even():
    "And one of many is what their squares say, for each head by itself; a class has no one sigma"
    rng,n = np.random.default_rng(0),40
    y = np.c_[rng.normal(size=n), np.eye(2)[rng.integers(0, 2, n)]]
    said = dict(network=y+[1.,0,0], process=y-[0,.2,-.2])
    blend,by = fit_blend(said, np.zeros((n,3)), y, mixed)
    assert blend.shares==dict(process=[.75,.25,.25]) # z by the process, the class by the network
    assert by.err[1:]==[None,None] and by.err[0][0]==pytest.approx(.25, rel=.03) # what is left of the residual
    few = few_held-1
    blend,by = fit_blend({k: o[:few] for k,o in said.items()}, np.zeros((few,3)), y[:few], mixed)
    assert blend.shares==dict(process=[.5]*3) and by.err[0]==[pytest.approx(.5*student_sigma(few)), 0.]
    assert fit_blend(said, np.zeros((n,3)), y, mixed, dict(process=1.))[0].shares==dict(process=[1.]*3)

def test_one_head_has_one_share():
    y = np.random.default_rng(0).normal(size=(30,1))
    blend,by = fit_blend(dict(a=y+1, b=y, c=y+9), np.zeros((30,1)), y, of_z, dict(c=0.))
    assert blend.shares==dict(b=.75, c=0.) and len(by.err)==1
    only = TargetSpec([ClassHead(['k'], classes=['a','b'])])
    blend,by = fit_blend(dict(a=np.ones((30,2))/2), np.zeros((30,2)), np.eye(2)[np.arange(30)%2], only)
    assert blend.shares=={} and by is None

def test_student_sigma():
    assert student_sigma(5)==pytest.approx(1.1105, abs=1e-3) and student_sigma(10**6)==pytest.approx(1, abs=1e-5)
    assert held_err([np.nan,np.nan], [0,0], 2.5)==[2.5,0.] and held_err([0.,0.], [0,0], 2.5)==[0.,0.]

def test_no_galaxy_has_a_say_in_its_own_error():
    rng,n = np.random.default_rng(0),60
    y,spec = rng.normal(size=(n,1)),of_z
    said = {k: y+rng.normal(size=(n,1)) for k in ('network','gaussian process')}
    spread = rng.uniform(.5, 2, (n,1))
    one = cross_blend(said, spread, y, spec)[2]
    far = y.copy(); far[7] = 50.
    two = cross_blend(said, spread, far, spec)[2]
    assert (two.mean[7],two.err[7])==(one.mean[7],one.err[7]) and not np.array_equal(one.err, two.err)

@pytest.mark.parametrize('n', [1, 2, 5, 19, 20, 60])
def test_errors_of_few_galaxies_are_numbers(n):
    rng = np.random.default_rng(n)
    y,spec = rng.normal(size=(n,1)),of_z
    _,by,o = cross_blend(dict(network=y+.1*rng.normal(size=(n,1))), np.zeros((n,1)), y, spec)
    assert np.isfinite(o.err).all() and (o.err>0).all() and np.isfinite(o.mean).all() and by.err[0][0]>0

def test_one_sigma_holds_what_it_says():
    "Residuals with a known sigma that follows the spread: out of fold the share is that of a Gaussian; the old way, fitted on themselves, it is not that of new ones"
    rng,spec,res = np.random.default_rng(1),of_z,[]
    for _ in range(40):
        spread = rng.uniform(.2, 2, (24,1))
        resid = rng.normal(size=(24,1))*np.hypot(.3, spread)
        y = rng.normal(size=(24,1))
        o = cross_blend(dict(network=y+resid), spread, y, spec)[2]
        pred,err = o.mean,o.err
        ab = fit_err(resid[:,0], spread[:,0])
        own = np.hypot(ab[0], ab[1]*spread[:,0])
        nll = lambda r,s: (np.log(s**2)+(r/s)**2).mean()
        res.append([coverage((pred-y)[:,0], err[:,0])[0], nll(resid[:,0], own), nll((pred-y)[:,0], err[:,0])])
    cov,own,out = np.mean(res, 0)
    assert abs(cov-.6827)<3*np.sqrt(.68*.32/(40*24))+.02
    assert own<out # what is fitted on the galaxies that it is judged on flatters itself
