"What fastai promises of a `Learner` holds for every kind of head, beside a table and with images from disk, too"
import re

import matplotlib.pyplot as plt
import numpy as np,pandas as pd
import pytest
import torch
from fastai.vision.all import ClassificationInterpretation,Interpretation,load_learner
from PIL import Image

from galfast.data.loaders import GalaxyDataLoaders
from galfast.data.losses import ScaledRMSE
from galfast.training.learner import galaxy_learner

n,shown = 24,range(4,10) # the validation set

@pytest.fixture(scope='module')
def sky(tmp_path_factory):
    "A folder of PNGs and a catalogue with labels of every kind"
    d,rng = tmp_path_factory.mktemp('sky'),np.random.default_rng(0)
    y,x = np.mgrid[:32,:32]-15.5
    r = rng.uniform(2, 6, n)
    for i in range(n):
        f = 200*np.exp(-np.hypot(x, y)/r[i])[...,None]*[1,.8,.6]+rng.uniform(5, 15, (32,32,3))
        Image.fromarray(f.clip(0, 255).astype('u1')).save(d/f'g{i}.png')
    u = rng.random(n)
    kind,hubble = np.where(r>4, 'large', 'small'),np.array(['E','S','Irr'])[np.arange(n)%3]
    labels = dict(oh=8+r/4, z=u, kind=kind, hubble=hubble, bar=(r>3).astype(int), arm=(u>.5).astype(int))
    df = pd.DataFrame(dict(objID=[f'g{i}' for i in range(n)], **labels, smooth=u, disc=1-u, odd=u**2, err=.1, mag=20-r))
    return d,df.assign(some=df.oh.where(df.index%3>0), type=df.kind.where(df.index%4>0))

kinds = dict(number=dict(target='oh'), numbers=dict(target='oh,z'), weighted=dict(target='oh', err='err'),
             two=dict(target='kind'), classes=dict(target='hubble'), labels=dict(target='bar,arm'),
             votes=dict(target='smooth,disc', task='votes'), vote=dict(target='odd', task='votes'),
             mixed=dict(target='oh,kind'), partial=dict(target='some,z', partial=True),
             gaps=dict(target='some,type', partial=True, on_error='missing'))
beside = {f'{k}_table': dict(table=['mag'], **kinds[k]) for k in ('number','classes','labels','mixed','weighted')}
on_disk = {f'{k}_files': dict(pack=False, num_workers=0, **kinds[k]) for k in ('number','classes','mixed','weighted')}
ways = {**kinds, **beside, **on_disk}

def learner(sky, way):
    d,df = sky
    dls = GalaxyDataLoaders.from_catalog(df, d, size=32, bs=8, valid=[*shown], device='cpu', **ways[way])
    return galaxy_learner(dls, 'galnet', seed=0, arch_kw=dict(width=4), path=d)

@pytest.fixture(scope='module', params=ways)
def learn(request, sky):
    l = learner(sky, request.param)
    with l.no_bar(), l.no_logging():
        l.fit(1, 1e-3)
        yield l

@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close('all')

def first_of(o): return o[0] if isinstance(o, tuple) else o

def said(v):
    "What a title says of a label: a number, or a word; nan for none"
    v = v.replace('−', '-')
    return np.nan if v=='none' else float(v) if re.fullmatch(r'-?\d.*', v) else v

def alike(said_, true):
    "Is `said_` the label `true`, rounded?"
    if isinstance(true, str): return said_==true
    return (np.isnan(said_) and np.isnan(true)) or abs(said_-true)<.006

def labels_of(spec, row):
    "The labels of a row as titles have them"
    if spec.task=='multilabel': return [c for c in spec.targets if row[c]] or [np.nan]
    return [np.nan if pd.isna(row[c]) else row[c] for c in spec.targets]

def check_titles(learn, rows, parts):
    "Titles hold truth and prediction, and a loss where there are three `parts`"
    axs,spec = [a for a in plt.gcf().axes if a.images],learn.spec
    assert len(axs)>=len(rows)-1 # the last may be a lone one
    classes = [o.classes for o in spec.heads if hasattr(o, 'classes')]
    for ax,row in zip(axs, rows):
        words = re.split(r' ?/ ?|\n', ax.get_title())
        # fastai's own, of classes: prediction, truth, loss, probability
        if parts==3 and len(words)==4: words = words[1::-1]+words[2:3]
        assert len(words)==parts, ax.get_title()
        true,pred = ([said(v) for v in w.split(', ')] for w in words[:2])
        assert len(true)==len(labels_of(spec, row)) and all(map(alike, true, labels_of(spec, row))), ax.get_title()
        if spec.task=='multilabel': assert {*pred}<={*spec.targets, np.nan}
        else:
            assert len(pred)==len(spec.targets)
            assert all(v in sum(classes, []) if isinstance(v, str) else np.isfinite(v) for v in pred)
        if parts==3: assert float(words[2])>=0

def valid_rows(learn): return [r for _,r in learn.dls.valid_ds.items.iterrows()]

def test_show_batch(learn):
    learn.dls.show_batch(max_n=4)
    assert [a.get_title()!='' for a in plt.gcf().axes if a.images]==[True]*4

def test_show_results(learn):
    learn.show_results(max_n=4, shuffle=False)
    check_titles(learn, valid_rows(learn)[:4], 2)

def test_top_losses(learn):
    i = Interpretation.from_learner(learn)
    losses,rows = i.top_losses(3)
    i.plot_top_losses(3)
    check_titles(learn, [valid_rows(learn)[k] for k in rows], 3)
    want = learn.get_preds(with_loss=True)[2][rows].as_subclass(type(losses))
    assert (losses.diff()<=0).all() and torch.allclose(losses, want, rtol=1e-4)
    i.show_results([0,1])

def test_shapes(learn):
    "tta, tta8 and get_preds are alike, and those of labels are"
    p,y = learn.get_preds()
    y,(q,z),(r,w) = first_of(y),learn.tta8(),learn.tta(n=2)
    one = learn.spec.n_out==1
    assert p.shape==q.shape==r.shape and p.ndim==(1 if one else 2) and y.shape==z.shape==first_of(w).shape
    assert len(p)==len(y)==len(learn.dls.valid_ds) and p.shape[1:]==(() if one else (learn.spec.n_out,))
    if learn.spec.task in ('regression','votes','multilabel'): assert p.shape==y.shape

def test_losses_of_single_galaxies(learn):
    p,_,losses = learn.get_preds(with_loss=True)
    assert losses.shape==(len(learn.dls.valid_ds),) and torch.isfinite(losses).all() and (losses>=0).all()
    loss = learn.validate()[0]
    if learn.spec.partial or learn.spec.err: return # the mean is over the labels that are there
    mean = losses.square().mean().sqrt() if isinstance(learn.loss_func, ScaledRMSE) else losses.mean()
    assert np.isclose(loss, mean.item(), rtol=1e-4)

def test_decoded(learn):
    spec = learn.spec
    p,y,dec = learn.get_preds(with_decoded=True)
    assert len(first_of(dec))==len(p)
    if spec.task=='classification': assert set(dec.tolist())<=set(range(len(spec.heads[0].classes)))
    if spec.task=='regression': assert (first_of(dec)==p).all()

def test_predict_in_words_and_units(learn, sky):
    row,spec = sky[1].iloc[5],learn.spec
    dec,code,prob = learn.predict(row)
    at = learn.dls.valid_ds.items.objID.tolist().index(row.objID)
    assert np.allclose(np.ravel(prob), np.ravel(learn.get_preds()[0][at]), rtol=1e-4, atol=1e-5)
    if spec.task=='multilabel': assert list(dec)==[c for c,p in zip(spec.targets, prob) if p>.5]; return
    words,prob = [dec] if isinstance(dec, (str,float)) else list(dec),np.ravel(prob)
    assert len(words)==len(spec.targets)
    for head,out,cols in spec.places:
        if hasattr(head, 'classes'): assert words[cols]==[head.classes[prob[out].argmax()]]
        else: assert np.allclose(words[cols], prob[out], rtol=1e-4)

def test_several_at_once_as_one_by_one(learn, sky):
    dl = learn.dls.test_dl(sky[1][:3])
    p = learn.get_preds(dl=dl)[0]
    assert p.ndim==(1 if learn.spec.n_out==1 else 2) and len(p)==3
    assert np.allclose(learn.tta8(dl=dl, views=1)[0], p, atol=.05) and len(learn.tta(dl=dl, n=1)[0])==3

def test_a_set_with_labels(learn, sky):
    rows = sky[1].iloc[[1,2,4,5]]
    dl = learn.dls.test_dl(rows, with_labels=True)
    losses = learn.get_preds(dl=dl, with_loss=True)[2]
    assert len(losses)==4 and torch.isfinite(losses).all()
    learn.show_results(dl=dl, max_n=4, shuffle=False)
    check_titles(learn, [r for _,r in rows.iterrows()], 2)

def test_what_else_is_shown(learn):
    "An interpretation of classes, the summary, the curves of a fit"
    if learn.spec.task=='classification':
        i = ClassificationInterpretation.from_learner(learn)
        assert i.confusion_matrix().sum()==len(learn.dls.valid_ds)
        i.plot_confusion_matrix()
    assert 'Total params' in str(learn.summary())
    learn.recorder.plot_loss()

def test_export(learn, sky):
    learn.export('export.pkl')
    again = load_learner(learn.path/'export.pkl')
    with again.no_bar(): a,b = again.predict(sky[1].iloc[5]),learn.predict(sky[1].iloc[5])
    assert a[0]==b[0] and np.allclose(np.ravel(a[2]), np.ravel(b[2]), rtol=1e-5)

def test_lr_find(learn):
    before = [p.clone() for p in learn.model.parameters()]
    lr = learn.lr_find(num_it=6, show_plot=False).valley
    assert lr>0 and all(torch.equal(p, q) for p,q in zip(before, learn.model.parameters()))

@pytest.mark.parametrize('way', [*kinds, 'mixed_table'])
def test_fine_tune(sky, way):
    "The last layer learns alone first, then all do"
    l = learner(sky, way)
    before = {k: p.clone() for k,p in l.model.named_parameters()}
    with l.no_bar(), l.no_logging():
        l.freeze()
        l.fit(1, 1e-2)
        moved = {k for k,p in l.model.named_parameters() if not torch.equal(p, before[k])}
        l.fine_tune(1, 1e-2)
    assert 0<len(moved)<len(before) and np.isfinite(l.recorder.log[1:-1]).all()
    assert sum(not torch.equal(p, before[k]) for k,p in l.model.named_parameters())>len(moved)
