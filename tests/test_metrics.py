"Metrics against scikit-learn's and astropy's; what is missing is left out of each"
from functools import partial

import numpy as np,pytest
from astropy.stats import mad_std
from sklearn import metrics as skm

from galfast.base.core import GalfastError
from galfast.data.metrics import average_precision,balanced_accuracy,best_choice,bootstrap_err,class_accuracy,completeness
from galfast.data.metrics import label_accuracy,label_f1,macro_f1,mean_abs_err,mean_bias,nmad,outlier_fraction,positive_f1
from galfast.data.metrics import purity,purity_completeness,r2,ranking_scores,roc_auc,root_mse,second_choice

rng = np.random.default_rng(0)
true = rng.normal(8.9, .18, 1000)
pred = true+rng.normal(.01, .08, 1000)
pred[:20] += 2
numbers = pytest.mark.parametrize('f', [root_mse, mean_abs_err, mean_bias, nmad, outlier_fraction, r2])

@pytest.mark.parametrize('f,theirs', [(root_mse,skm.root_mean_squared_error), (mean_abs_err,skm.mean_absolute_error), (r2,skm.r2_score),
                                      (mean_bias,lambda t,p: (p-t).mean()), (nmad,lambda t,p: mad_std(p-t)), (outlier_fraction,lambda t,p: .02)])
def test_numbers(f, theirs): assert f(pred, true)==pytest.approx(theirs(true, pred), rel=1e-6)

def test_several_columns():
    two,guess = np.stack([true,true],1),np.stack([pred,true],1)
    for f,theirs in ((root_mse,skm.root_mean_squared_error), (r2,skm.r2_score), (mean_abs_err,skm.mean_absolute_error)):
        assert f(guess, two)==pytest.approx(theirs(two, guess))
    assert root_mse([[1.],[2.]], [1.,4.])==pytest.approx(2**.5) and np.isnan(r2([1.,2.], [3.,3.]))

@numbers
def test_each_column_over_the_rows_it_has(f):
    both,guess = np.stack([true,10*true],1),np.stack([pred,10*true],1)
    both[:300,0],both[800:,1] = np.nan,np.nan
    assert f(guess, both)==pytest.approx((f(pred[300:], true[300:])+f(10*true[:800], 10*true[:800]))/2)
    assert f(guess[:,:1], both[:,:1])==f(pred[300:], true[300:])
    assert f(guess[800:], both[800:])==f(pred[800:], true[800:]) # the second column has none there
    assert np.isnan(f(guess, both*np.nan)) and np.isnan(f(np.where(np.arange(1000)==500, np.nan, pred), true))

@pytest.mark.parametrize('k', [1e-30, 1e41])
def test_any_unit(k):
    import torch
    assert root_mse(torch.tensor(k*pred), torch.tensor(k*true))/k==pytest.approx(root_mse(pred, true), rel=1e-9)
    assert r2(k*pred, k*true)==pytest.approx(r2(pred, true)) and outlier_fraction(k*pred, k*true)==.02

scores,labels = rng.random((200,3)),rng.integers(0, 3, 200)
of_classes = [(class_accuracy,skm.accuracy_score), (balanced_accuracy,skm.balanced_accuracy_score), (macro_f1,partial(skm.f1_score, average='macro'))]

@pytest.mark.parametrize('f,theirs', of_classes)
def test_classes(f, theirs):
    rng = np.random.default_rng(1)
    t = np.where(rng.random(200)<.3, -1, labels)
    assert f(scores, labels)==pytest.approx(theirs(labels, scores.argmax(1)))
    assert f(scores, t)==pytest.approx(theirs(t[t>=0], scores.argmax(1)[t>=0])) and f(scores, t)==f(scores[t>=0], t[t>=0])

def test_the_second_choice():
    top2 = skm.top_k_accuracy_score(labels, scores, k=2) # right, or right at the second attempt
    first = skm.accuracy_score(labels, scores.argmax(1))
    assert second_choice(scores, labels)==pytest.approx((top2-first)/(1-first))
    assert second_choice([[.5,.3,.2],[.5,.3,.2],[.5,.3,.2],[.1,.2,.7]], [1,2,0,-1])==.5
    assert second_choice([[3.,3,1],[3,3,1]], [1,2])==.5 # a tie: the first of the two is chosen, the other comes second
    assert np.isnan(second_choice(np.eye(3), [0,1,2]))

lens = (rng.random(5000)<.02).astype(int)
logit = np.stack([rng.normal(size=5000), rng.normal(size=5000)+3*lens-3], 1)
prob = np.exp(logit)/np.exp(logit).sum(1, keepdims=True)
of_two = dict(purity=skm.precision_score, completeness=skm.recall_score, positive_f1=skm.f1_score)

@pytest.mark.parametrize('f', [purity, completeness, positive_f1, class_accuracy, balanced_accuracy, macro_f1, roc_auc, average_precision])
def test_two_classes_as_they_come(f):
    "Logits, probabilities of both or of one; galaxies without a class are left out"
    rng = np.random.default_rng(1)
    v = f(prob, lens)
    for o in (logit, prob[:,1], prob[:,1:]): assert f(o, lens)==pytest.approx(v, rel=1e-9)
    if f.__name__ in of_two: assert v==pytest.approx(of_two[f.__name__](lens, prob.argmax(1)))
    t,junk = np.r_[lens, [-1]*40],np.r_[prob, rng.random((40,2))]
    assert f(junk, t)==v==f(junk, np.where(t<0, np.nan, t)) and f(junk[:,1], t[:,None])==f(prob[:,1], lens)
    assert np.isnan(f(prob[:3], [-1,-1,-1])) and np.isnan(f(prob[:0], []))

@pytest.mark.parametrize('digits', [1, 2, 9])
def test_ranking_with_ties(digits):
    s = prob[:,1].round(digits)
    assert roc_auc(s, lens)==pytest.approx(skm.roc_auc_score(lens, s))
    assert average_precision(s, lens)==pytest.approx(skm.average_precision_score(lens, s))
    assert ranking_scores['best_f1'](s, lens)==pytest.approx(max(skm.f1_score(lens, s>=o) for o in np.unique(s)))

def test_what_is_not_defined():
    assert roc_auc([.5,.5,.5], [0,1,0])==.5 and average_precision([.5,.5,.5,.5], [0,1,0,0])==.25
    none = [purity([.1,.2], [0,1]), completeness([.1,.9], [0,0]), roc_auc([.1,.9], [1,1]), average_precision([.1,.9], [0,0]), roc_auc([np.nan,.9], [0,1])]
    assert np.isnan(none).all() and [completeness([.1,.2], [0,1]), positive_f1([.1,.2], [0,1])]==[0,0]
    assert class_accuracy([0.,1,2,2], [0,1,2,1])==.75 # numbers of classes

@pytest.mark.parametrize('f,why', [(lambda: purity([-2.,3], [0,1]), 'from 0 to 1; there are -2 to 3. Logits need a sigmoid'), (lambda: class_accuracy([[-2.],[3]], [0,1]), 'sigmoid'),
    (lambda: roc_auc(np.ones((4,3)), [0,1,1,0]), r'two classes, .* not the shape \(4, 3\)'), (lambda: purity([.1,.9], [0,2]), 'a class 2'),
    (lambda: purity([.1,.9], [0,1,1]), '2 predictions and 3 targets'), (lambda: second_choice([1,0], [0,1]), 'score for each class')])
def test_what_cannot_be(f, why):
    with pytest.raises(GalfastError, match=why): f()

def test_the_curve_of_scikit_learn():
    rng = np.random.default_rng(1)
    s,t = rng.random(200).round(2),rng.random(200)<.2
    P,R,_ = skm.precision_recall_curve(t, s)
    pure,full,score = purity_completeness(s, t)
    assert np.allclose(pure, P[:-1][::-1]) and np.allclose(full, R[:-1][::-1]) and np.array_equal(score, np.unique(s)[::-1])
    b = best_choice(s, t)
    assert b['f1']==pytest.approx(skm.f1_score(t, s>=b['threshold'])) and b['purity']==pytest.approx(skm.precision_score(t, s>=b['threshold']))
    assert np.isnan(list(best_choice(s, t*0).values())).all() and np.isnan(best_choice(s*np.nan, t)['f1'])

def test_labels():
    rng = np.random.default_rng(1)
    y = (rng.random((300,4))<.4).astype(float)
    q = np.clip(y*.3+rng.random((300,4))*.7, 0, 1)
    assert label_accuracy(q, y)==pytest.approx(((q>.5)==y).mean()) and label_f1(q, y)==pytest.approx(skm.f1_score(y, q>.5, average='macro'))
    m = np.where(rng.random(y.shape)<.3, np.nan, y)
    m[:,3] = np.nan
    there = ~np.isnan(m)
    assert label_f1(q, m)==pytest.approx(np.mean([skm.f1_score(y[o,i], q[o,i]>.5) for i,o in enumerate(there.T) if o.any()]))
    assert label_accuracy(q, m)==pytest.approx(((q>.5)==y)[there].mean()) and label_f1(q, np.where(there, m, -1))==label_f1(q, m)
    assert np.isnan(label_accuracy(q, y*np.nan)) and np.isnan(label_f1(q, y*np.nan))

def test_the_error_of_a_metric():
    "Of the root of a mean square of n Gaussian numbers: sigma/sqrt(2n)"
    rng = np.random.default_rng(1)
    d = rng.normal(0, .1, 2000)
    assert bootstrap_err(root_mse, d, d*0)==pytest.approx(.1/4000**.5, rel=.15)
    assert bootstrap_err(root_mse, d, d*0, n=50)==bootstrap_err(root_mse, d, d*0, n=50)!=bootstrap_err(root_mse, d, d*0, n=50, seed=1)
    assert np.isnan(bootstrap_err(root_mse, d[:1], d[:1])) and np.isnan(bootstrap_err(purity, d*0, d*0, n=9))
