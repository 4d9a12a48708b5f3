"What is learned from a catalogue: kinds of labels, which rows are of use, weights, losses and files of several heads, by hand"
import json

import numpy as np, pandas as pd, pytest, torch

from galfast.base.core import CatalogError,GalfastError
from galfast.data.heads import ClassHead,LabelHead,NumberHead
from galfast.data.targets import *

df = pd.DataFrame(dict(z=[.1,.2,.3,.4,np.nan,.6], kind=['a','b','a',None,'a','b'], bar=[0,1,1,0,1,0], ring=[1,0,1,1,0,0],
                       e=[1.,1.,2.,4.,1.,np.nan], oh=[8.2,8.4,np.nan,8.8,9.,8.6]))

@pytest.mark.parametrize('cols,task', [(['z'],'regression'), (['z','oh'],'regression'), (['kind'],'classification'), (['bar'],'classification'), (['bar','ring'],'multilabel'),
                                       (['z','kind'],'mixed'), (['kind','ring'],'mixed')])
def test_what_columns_are_for(cols, task):
    assert infer_task(df, cols)==task==target_spec(df, cols).task

def spec_of(target='z,kind', partial=True, **kw): return fit_spec(target_spec(df, target, partial=partial, **kw), df)

def test_outputs_of_heads_follow_one_another():
    s = spec_of('z,kind,oh')
    assert [type(o) for o in s.heads]==[NumberHead,ClassHead,NumberHead] and s.targets==['z','kind','oh'] and s.outputs==['z','a','b','oh']
    assert [(o,c) for _,o,c in s.places]==[(slice(0,1),slice(0,1)), (slice(1,3),slice(1,2)), (slice(3,4),slice(2,3))] and s.n_out==4 and not s.alone
    assert s.scale()==([pytest.approx(.32), 0., 0., pytest.approx(8.6)], [pytest.approx(np.std([.1,.2,.3,.4,.6])), 1., 1., pytest.approx(np.std([8.2,8.4,8.8,9.,8.6]))])

def test_labels_by_hand():
    s = spec_of()
    np.testing.assert_array_equal(s.encode(df), [[.1,0],[.2,1],[.3,0],[.4,np.nan],[np.nan,0],[.6,1]])
    np.testing.assert_array_equal(s.matrix(df)[3:5], [[.4,np.nan,np.nan], [np.nan,1,0]])
    assert not s.missing(df).any() and spec_of(partial=False).missing(df).tolist()==[False]*3+[True]*2+[False]
    none = df.assign(z=np.nan, kind=None)
    assert s.missing(none).all() and spoken_labels(s.places, s.encode(df)[1])==[.2,'b']
    assert label_strata(df, s).tolist()==[0,1,0,-1,0,1] # by the class
    np.testing.assert_array_equal(label_strata(df, spec_of('z', False)), df.z) # or by the number

def test_how_much_a_label_weighs():
    "s^2/(s^2 + err^2) with s = 1, the median of 1, 1, 2, 4 and 1; one half where none is stated; one beside it"
    s = spec_of(err=dict(z='e'))
    np.testing.assert_allclose(s.weights(df), np.c_[[.5,.5,.2,1/17,.5,.5], np.ones(6)], rtol=1e-6)
    assert s.err_scale==dict(z=1.) and len(s.tensors(df))==2 and len(s.blocks())==2 and len(s.readers())==2
    bad = df.assign(e=-1.)
    with pytest.raises(CatalogError, match='6 errors below zero'): fit_spec(target_spec(bad, 'z', err='e'), bad)

@pytest.mark.parametrize('reduction', ['mean','sum','none'])
def test_the_loss_of_several_heads_is_their_sum(reduction):
    rng,s = np.random.default_rng(0),spec_of(partial=False)
    x,y = torch.from_numpy(rng.normal(size=(3,3))).float(),torch.from_numpy(s.encode(df[:3]))
    square = ((x[:,0]-y[:,0])/s.heads[0].std[0])**2
    cross = torch.nn.functional.cross_entropy(x[:,1:], y[:,1].long(), reduction='none')
    want = dict(mean=(square+cross).mean(), sum=(square+cross).sum(), none=square+cross)[reduction]
    assert torch.allclose(MultiLoss(s, reduction)(x, y).double(), want.double(), rtol=1e-5)

def test_what_is_missing_teaches_nothing():
    s = spec_of()
    x = torch.zeros(6, 3, requires_grad=True)
    MultiLoss(s)(x, torch.from_numpy(s.encode(df))).backward()
    assert x.grad[4,0]==0 and (x.grad[3,1:]==0).all() and (x.grad[[0,1,2,3,5],0]!=0).all() and (x.grad[[0,1,2,4,5],1]!=0).all()

def test_outputs_as_answers_and_as_labels():
    s = spec_of()
    p = s.activation(torch.tensor([[3.,0.,np.log(3.)]], dtype=torch.float32))
    assert torch.allclose(p, torch.tensor([[3.,.25,.75]])) and s.decodes(p).tolist()==[[3.,1.]]
    assert s.losses=={} and set(spec_of('z', False).losses)=={'mse','rmse'}

@pytest.mark.parametrize('kw', [dict(target='z', partial=False), dict(target='z,kind'), dict(target='z,kind', err=dict(z='e')), dict(target='bar,ring', partial=False), dict(target='kind', partial=False)])
def test_a_spec_goes_to_a_file_and_back(kw):
    s = spec_of(**kw)
    t = TargetSpec.from_config(json.loads(json.dumps(s.config)))
    assert t==s and t.config==s.config and t.disagrees()==''
    np.testing.assert_array_equal(t.encode(df), s.encode(df))

@pytest.mark.parametrize('s,word', [(TargetSpec([NumberHead(['z']), NumberHead(['z'])]), 'twice'), (TargetSpec([NumberHead(['z'])], err=dict(y='e')), 'no targets'),
                                    (TargetSpec([NumberHead(['z'])], err=dict(z='e'), err_scale=dict(y=1.)), 'no targets'), (TargetSpec([NumberHead(['z'], mean=[1.,2.])]), '1 targets'),
                                    (TargetSpec([ClassHead(['k'], classes=['a','a'])]), 'different names'), (TargetSpec([LabelHead(['a','b'])]), '')])
def test_what_does_not_go_together(s, word): assert word in s.disagrees() and bool(s.disagrees())==bool(word)

wrong = [(dict(target='z,y'), CatalogError, "no column 'y'"), (dict(target='z', task='regresion'), GalfastError, 'regres'), (dict(target='kind', task='regression'), CatalogError, 'kind'),
         (dict(target='z,oh', err='e'), GalfastError, 'which target has its errors'), (dict(target='z', err=dict(oh='e')), GalfastError, "err names 'oh'"), (dict(target='z,kind', task='classification'), GalfastError, 'kind|classification')]

@pytest.mark.parametrize('kw,error,word', wrong)
def test_what_is_refused(kw, error, word):
    with pytest.raises(error, match=word): target_spec(df, **kw)

def test_nothing_to_learn():
    with pytest.raises(CatalogError, match="no row has a usable label in 'z', 'oh'"): target_spec(df.assign(z=[np.nan]*3+[1.]*3, oh=[1.]*3+[np.nan]*3), 'z,oh')
