"A `Learner` of fastai's own, such as the blog's, predicts a catalogue once it is told what it predicts"
import random,shutil

import numpy as np,pandas as pd,pytest,torch
from fastai.vision.all import (BCEWithLogitsLossFlat,CategoryBlock,ColReader,CropPad,CrossEntropyLossFlat,DataBlock,
                               ImageBlock,ImageDataLoaders,Learner,MSELossFlat,MultiCategoryBlock,Normalize,PILImage,
                               RandomCrop,RandomSplitter,RegressionBlock,aug_transforms,load_learner,nn)

from galfast.base.core import GalfastError
from galfast.data.heads import ClassHead,NumberHead
from galfast.data.loaders import GalaxyDataLoaders
from galfast.data.losses import rmse_loss
from galfast.data.targets import target_spec
from galfast.networks.xresnets import galnet
from galfast.results.predict import evaluate_predictions,predict_catalog,predict_chunks
from galfast.sim.galaxies import sim_survey
from galfast.training.learner import galaxy_learner
from galfast.training.plain import PlainLearner
from galfast.training.run import load_run,save_run

@pytest.fixture(scope='module')
def survey(tmp_path_factory):
    d = tmp_path_factory.mktemp('survey')
    df = sim_survey(d, 32, size=40)
    i = np.arange(32)
    return d,df.assign(kind=np.where(i%3, 10, 2), bar=(i%2).astype(int), ring=(i%5==0).astype(int))

def block(d, label, get_y, **kw):
    kw = dict(get_x=ColReader(['objID'], pref=f'{d}/images/', suff='.jpg'), splitter=RandomSplitter(.25, seed=0)) | kw
    views = aug_transforms(max_zoom=1., flip_vert=True, max_lighting=0., max_warp=0.)
    return DataBlock(blocks=(ImageBlock, label), get_y=get_y, item_tfms=[CropPad(36), RandomCrop(32)],
                     batch_tfms=[*views, Normalize], **kw)

def learner(survey, label, get_y, n_out, loss, items=None, **kw):
    d,df = survey
    items = df if items is None else items
    dls = ImageDataLoaders.from_dblock(block(d, label, get_y, **kw), items, path=d, bs=8, num_workers=0)
    torch.manual_seed(0)
    learn = Learner(dls, galnet(3, n_out, width=4), loss_func=loss)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, 1e-2)
    return learn

@pytest.fixture(scope='module')
def blog(survey): return learner(survey, RegressionBlock, ColReader(['metallicity']), 1, rmse_loss)

def says(learn, df):
    with learn.no_bar(): return learn.get_preds(dl=learn.dls.test_dl(df))[0].numpy()

def test_the_blog_predicts_a_catalogue(blog, survey, tmp_path):
    d,df = survey
    spec = target_spec(df, 'metallicity')
    shutil.copytree(d/'images', tmp_path/'elsewhere') # other galaxies lie in other folders
    t = predict_catalog(blog, df[['objID']], tmp_path/'elsewhere', heads=spec, tta=False)
    assert list(t)==['objID','metallicity_pred','metallicity_err','in_training','status']
    assert t.objID.tolist()==df.objID.tolist()
    assert np.allclose(t.metallicity_pred, says(blog, df)[:,0], atol=1e-5) and (t.status=='ok').all()
    assert set(t.objID[t.in_training])==set(blog.dls.train_ds.items.objID) and t.in_training.sum()==24
    resid = (t.metallicity_pred-df.metallicity)[~t.in_training]
    err = t.metallicity_err
    assert np.allclose(err, err[0]) and .8<err[0]/np.sqrt((resid**2).mean())<1.5
    assert evaluate_predictions(t, df, 'metallicity', n_boot=5).n.eq(8).all()

def seed():
    torch.manual_seed(7)
    np.random.seed(7) # noqa: NPY002
    random.seed(7)

def test_its_own_tta(blog, survey):
    "With the random views that `learn.tta` takes"
    d,df = survey
    own,files = PlainLearner(blog, target_spec(df, 'metallicity')),[f'{d}/images/{o}.jpg' for o in df.objID]
    seed()
    with blog.no_bar(): want = blog.tta(dl=blog.dls.test_dl(df, bs=256))[0].numpy()
    seed()
    assert np.allclose(own.answers(files), want, atol=1e-5) and not np.allclose(want, says(blog, df), atol=1e-3)

def test_what_cannot_be_read_costs_no_other(blog, survey, tmp_path):
    d,df = survey
    shutil.copytree(d/'images', tmp_path/'images')
    (tmp_path/f'images/{df.objID[3]}.jpg').write_bytes(b'no image')
    (tmp_path/f'images/{df.objID[5]}.jpg').unlink()
    whole = predict_catalog(blog, df, d/'images', heads=target_spec(df, 'metallicity'), tta=False)
    t = predict_catalog(blog, df, tmp_path/'images', heads=target_spec(df, 'metallicity'), tta=False)
    bad = t.index.isin([3,5])
    assert t.status[5]=='no image' and (t.status[~bad]=='ok').all()
    assert t.status[3].startswith('cannot be predicted (UnidentifiedImageError') and str(tmp_path) not in t.status[3]
    assert t[bad].metallicity_pred.isna().all() and t[bad].metallicity_err.isna().all()
    assert np.allclose(t.metallicity_pred[~bad], whole.metallicity_pred[~bad], atol=1e-5)

def test_chunks_folders_and_one_galaxy(blog, survey):
    d,df = survey
    spec = target_spec(df, 'metallicity')
    whole = predict_catalog(blog, df, d/'images', heads=spec, tta=False)
    parts = list(predict_chunks(blog, df, d/'images', False, chunk=9, heads=spec))
    assert [len(o) for o in parts]==[9,9,9,5]
    assert np.allclose(pd.concat(parts).metallicity_pred, whole.metallicity_pred, atol=1e-5)
    one = predict_catalog(blog, df[4:5], d/'images', heads=NumberHead(['metallicity']))
    assert len(one)==1 and one.status[0]=='ok'
    folder = predict_catalog(blog, None, d/'images', heads=spec, tta=False)
    assert np.allclose(folder.set_index('objID').metallicity_pred[df.objID], whole.metallicity_pred, atol=1e-5)
    own = predict_catalog(blog, df, None, heads=spec, tta=False) # images where its own get_x finds them
    assert np.allclose(own.metallicity_pred, whole.metallicity_pred, atol=1e-5)

def test_classes_in_the_order_of_the_learner(survey):
    "fastai sorts names as text, galfast numbers by size"
    d,df = survey
    learn = learner(survey, CategoryBlock, lambda r: str(r.kind), 2, CrossEntropyLossFlat())
    spec = target_spec(df, 'kind', 'classification')
    assert list(learn.dls.vocab)==['10','2'] and spec.heads[0].classes==['2','10']
    t = predict_catalog(learn, df, d/'images', heads=spec, tta=False)
    assert np.allclose(t[['kind_prob_10','kind_prob_2']], says(learn, df), atol=1e-5)
    assert (t.kind_pred==np.where(t.kind_prob_10>.5, '10', '2')).all()
    raw = Learner(learn.dls, learn.model, loss_func=nn.CrossEntropyLoss()) # it has no activation
    same = predict_catalog(raw, df, d/'images', heads=spec, tta=False)
    assert np.allclose(same.kind_prob_2, t.kind_prob_2, atol=1e-5)
    for other in (target_spec(df, 'morphology'), ClassHead(['kind'], classes=['2','3','10'])):
        with pytest.raises(GalfastError, match='tells 10, 2 apart'):
            predict_catalog(learn, df, d/'images', heads=other)

def test_several_labels(survey):
    d,df = survey
    def get_y(r): return [c for c in ('ring','bar') if r[c]]
    learn = learner(survey, MultiCategoryBlock, get_y, 2, BCEWithLogitsLossFlat())
    t = predict_catalog(learn, df, d/'images', heads=target_spec(df, 'ring,bar'), tta=False)
    assert list(learn.dls.vocab)==['bar','ring']
    assert np.allclose(t[['bar_pred','ring_pred']], says(learn, df), atol=1e-5)

def test_two_numbers_from_items_that_are_paths(survey):
    d,df = survey
    y = df.set_index('objID')[['metallicity','redshift']]
    paths = sorted((d/'images').glob('*.jpg'))
    def get_y(o): return y.loc[o.stem].tolist()
    learn = learner(survey, RegressionBlock(n_out=2), get_y, 2, MSELossFlat(), items=paths, get_x=lambda o: o)
    t = predict_catalog(learn, df, d/'images', heads=target_spec(df, 'metallicity,redshift'), tta=False)
    want = says(learn, [d/f'images/{o}.jpg' for o in df.objID])
    assert np.allclose(t[['metallicity_pred','redshift_pred']], want, atol=1e-5)
    assert t.redshift_err[0]>0 and 'in_training' not in t # paths say nothing of a column of ids

def test_one_that_opens_its_images_by_itself(survey):
    d,df = survey
    def get_x(r): return PILImage.create(d/f'images/{r.objID}.jpg')
    learn = learner(survey, RegressionBlock, ColReader(['metallicity']), 1, MSELossFlat(), get_x=get_x)
    spec = target_spec(df, 'metallicity')
    with pytest.raises(GalfastError, match='images=None takes them'):
        predict_catalog(learn, df, d/'images', heads=spec)
    t = predict_catalog(learn, df, None, heads=spec, tta=False)
    assert np.allclose(t.metallicity_pred, says(learn, df)[:,0], atol=1e-5)

def test_an_exported_learner(survey, tmp_path):
    "What galfast or fastai exported, and fastai reads again"
    d,df = survey
    learn = learner(survey, RegressionBlock, ColReader(['metallicity']), 1, MSELossFlat())
    learn.export(tmp_path/'export.pkl')
    again = load_learner(tmp_path/'export.pkl')
    t = predict_catalog(again, df, d/'images', heads=target_spec(df, 'metallicity'), tta=False)
    assert np.allclose(t.metallicity_pred, says(learn, df)[:,0], atol=1e-5) and 'metallicity_err' not in t
    dls = GalaxyDataLoaders.from_catalog(df, d/'images', 'metallicity', size=24, bs=8, device='cpu')
    own = galaxy_learner(dls, 'galnet', seed=0, arch_kw=dict(width=4))
    own.export(tmp_path/'own.pkl')
    t = predict_catalog(load_learner(tmp_path/'own.pkl'), df, d/'images', tta=False) # it carries its heads
    want = predict_catalog(own, df, d/'images', tta=False, fast=False, device='cpu')
    assert np.allclose(t.metallicity_pred, want.metallicity_pred, atol=1e-3)

def test_what_is_asked_for_wrongly(blog, survey, tmp_path):
    d,df = survey
    spec = target_spec(df, 'metallicity')
    with pytest.raises(GalfastError, match="do not know what is predicted: heads=target_spec"):
        predict_catalog(blog, df, d/'images')
    with pytest.raises(GalfastError, match="do not know what is predicted"): save_run(blog, tmp_path/'run')
    with pytest.raises(GalfastError, match="gives 1 number a galaxy, and the heads have 3"):
        predict_catalog(blog, df, d/'images', heads=target_spec(df, 'morphology'))
    dls = GalaxyDataLoaders.from_catalog(df, d/'images', 'metallicity', size=24, bs=8, device='cpu')
    own = galaxy_learner(dls, 'galnet', seed=0, arch_kw=dict(width=4))
    run = load_run(save_run(own, tmp_path/'run'), 'cpu')
    for o in (own, run, tmp_path/'run'):
        with pytest.raises(GalfastError, match='heads= is for a Learner'):
            predict_catalog(o, df, d/'images', heads=spec)
    with pytest.raises(GalfastError, match='nothing to predict'): predict_catalog(blog, None, None, heads=spec)
