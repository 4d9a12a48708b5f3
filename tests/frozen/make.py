"""Makes what is frozen here: small runs of every kind in format 1, images to predict, and what is said of them.

Made once, by galfast 0.2.0, whose runs have the format 1: a later galfast reads them, and cannot make them again."""
import json,shutil,tempfile
from pathlib import Path

import numpy as np,pandas as pd,torch
from astropy.io import fits
from PIL import Image
from safetensors.torch import load_file,save

import galfast as gf
import galfast.train
from galfast.losses import BinaryLoss,OneVsRest
from galfast.photometry import Photometry
from galfast.gp import fit_photometry_gp
from galfast.run import GalaxyModel,GalaxyRun
from galfast.columns import fit_spec,target_spec
from answer import frozen,stamps,write_answers

fixtures = {} # Name -> what to predict, see `answer.py`
learned = slice(10, 32) # Rows that are learned from
galnet,xres = dict(width=2),dict(widths=(4,8,8,8), stem=(4,4,4))
narrow = dict(galnet=galnet, xresnet9=xres)

def survey(d):
    "48 galaxies of 36 px: the catalogue, and images of each kind in folders of `d`"
    df = gf.sim_survey(d, 48, size=36, seed=3, formats=('jpg','fits'), progress=lambda *_: None)
    i,rng = np.arange(48),np.random.default_rng(0)
    df['oh'] = df.metallicity.round(4)
    df.loc[[14,30,35], 'oh'] = -9999. # unknown, as surveys write it
    df['oh_err'],df['z'] = rng.uniform(.02, .2, 48).round(3),df.redshift.round(5)
    df['r_obs'],df['g_r'] = df.r_mag.round(3),(df.g_mag-df.r_mag).round(3)
    df.loc[[11,17,31], 'r_obs'] = -9999.
    df.loc[[12,19,33], 'g_r'] = np.nan
    df['site'],df['field'] = np.array(['north','south','east'])[i%3],i%4
    df.loc[36, 'site'] = 'moon' # a word that training has not seen
    df['spiral'],df['barred'],df['red'] = (df.arms>0).astype(int),(df.bar>0).astype(int),(df.g_r>.6).astype(int)
    df['disc'] = np.where(df.spiral==1, 'yes', 'no')
    df['f_bulge'] = df.bulge_frac.round(3)
    df['f_disc'] = (1-df.f_bulge).round(3)
    df['f_arm'],df['f_bar'] = df.arms.round(3),df.bar.round(3)
    df['name'] = df.objID
    for o in ('deep','bands'): (d/o).mkdir()
    for k,o in enumerate(df.objID):
        with fits.open(d/'fits'/f'{o}.fits', mode='update') as f:
            if k in (16,33): f[0].data[1,:3,:4] = np.nan # a corner without data
            flux = np.array(f[0].data, np.float32)
        Image.fromarray((np.nan_to_num(flux[1])*2000+1000).clip(0, 65535).astype('u2')).save(d/'deep'/f'{o}.png')
        for b,x in zip('gr', flux): fits.PrimaryHDU(np.nan_to_num(x)).writeto(d/'bands'/f'{o}_{b}.fits')
    return df

def freeze_survey(d, df):
    "The twelve galaxies that are predicted, four of them learned from by most runs, and one that has no image"
    labels = 'oh oh_err z morphology spiral barred red disc f_bulge f_disc f_arm f_bar'.split()
    cols = ['objID', 'name', *labels, 'r_obs', 'g_r', 'site', 'field']
    new = df[28:40]
    lost = new[:1].assign(objID='404', name='404')
    pd.concat([new[cols], lost[cols]]).to_csv(frozen/'catalog.csv', index=False)
    for o,n in dict(images=12, fits=12, deep=12, bands=4).items():
        (frozen/o).mkdir()
        for f in (d/o).iterdir():
            if f.stem.split('_')[0] in set(new.objID[:n]): shutil.copy(f, frozen/o)

def keep(name, run, images='images', rows=13, arrays=False):
    "Freeze `run`, a folder or what `save_run` takes; the first `rows` rows are predicted"
    d = frozen/'runs'/name
    if isinstance(run, Path):
        d.mkdir(parents=True)
        for o in ('config.json','model.safetensors'): shutil.copy(run/o, d)
    else: gf.save_run(run, d)
    assert json.loads((d/'config.json').read_text())['format']==1, 'a later galfast would freeze what is its own'
    fixtures[name] = dict(images=images, rows=rows, arrays=arrays)

def train(name, df, images, target, arch='galnet', **kw):
    "A run as `galfast train` makes it, but for the width of its networks"
    whole = galfast.train.galaxy_learner
    galfast.train.galaxy_learner = lambda *a, **k: whole(*a, arch_kw=narrow[arch], **k)
    kw = kw if kw.get('quick') else dict(arch=None if arch=='galnet' else arch, epochs=2, bs=8, size=32, fast=False)|kw
    try: run = gf.train_galaxies(df[learned], images, target, Path(tempfile.mkdtemp())/'run', device='cpu', **kw)
    finally: galfast.train.galaxy_learner = whole
    keep(name, run.path, images.name)

def learn(name, dls, arch='galnet', arch_kw=None, make=gf.galaxy_learner, epochs=1, saved=True, **kw):
    "A run of a learner"
    how = {k: kw.pop(k) for k in ('images','rows','arrays') if k in kw}
    o = make(dls, arch, arch_kw=arch_kw or narrow.get(arch), seed=0, fast=False, **kw)
    with o.no_bar(), o.no_logging(): o.fit_one_cycle(epochs, 4e-3)
    keep(name, o, **how)

def of_train(df, d):
    "Runs as the command writes them"
    jpg,fit = d/'images',d/'fits'
    train('regression', df, jpg, 'oh', members=2, units='dex', names='12 + log O/H')
    train('numbers', df, jpg, 'oh,z', members=3, units=dict(oh='dex'))
    train('no-gp', df, jpg, 'z', members=2, gp_weight=0., valid=.25)
    train('quick', df, jpg, 'oh', quick=True)
    train('quick-classes', df, jpg, 'morphology', quick=True)
    train('quick-labels', df, jpg, 'spiral,barred,red', quick=True)
    train('classes', df, jpg, 'morphology', members=2)
    train('labels', df, jpg, 'spiral,barred,red', members=1)
    train('votes', df, jpg, 'f_bulge,f_disc', task='votes', members=2)
    train('votes-free', df, jpg, 'f_arm,f_bar', task='votes', members=1)
    train('window', df, jpg, 'oh', arch='xresnet9', window=24, size=32, keep=36, gp_weight=.3)
    stretch = gf.AsinhTfm(.05)
    train('fits', df, fit, 'oh', members=2, reader=dict(stretch=stretch, bands=['g','r','i'], nan='median', hdu=0))
    two = dict(stretch=gf.LogTfm([.05,.2]), bands='ri')
    train('fits-quick-classes', df, fit, 'morphology', quick=True, reader=two)

def of_learners(df, d):
    "Runs of what Python alone makes"
    jpg,few = d/'images',df[learned]
    def dls(target, images=jpg, size=24, **kw):
        usual = dict(size=size, bs=8, device='cpu', on_error='missing')
        return gf.GalaxyDataLoaders.from_catalog(few, images, target, **usual, **kw)
    learn('errors', dls('oh', err='oh_err', size=36))
    learn('partial', dls('oh,z', partial=True))
    learn('mixed', dls('oh,morphology,z', partial=True, err=dict(oh='oh_err')))
    learn('mixed-classes', dls('morphology,disc', task='mixed'))
    learn('two-classes', dls('disc'), 'xresnet9', loss_func=BinaryLoss(2.))
    learn('one-vs-rest', dls('morphology'), loss_func=OneVsRest())
    cols = ['r_obs','g_r','site','field']
    tower = dict(make=gf.galaxy_multimodal, hidden=(4,), head=(4,))
    learn('table', dls('oh', table=cols), **tower)
    learn('table-mixed', dls('oh,morphology', table=cols), 'xresnet9', emb='onehot', **tower)
    learn('named', dls('oh', id_col='name', reader=gf.ImageReader(pattern='{objID}.jpg', crop=30)))
    learn('grey', dls('oh', reader=gf.ImageReader('grey', crop=40, pad=True)))
    learn('deep', dls('oh', d/'deep', reader=gf.ImageReader('deep', stretch=gf.LinearTfm(5000.))), images='deep')
    level = [gf.SubtractBackground(), gf.AsinhTfm(.1)]
    bands = gf.ImageReader('fits', bands='gr', stretch=level, pattern='{objID}_{band}.fits', aligned=True)
    learn('bands', dls('oh', d/'bands', reader=bands), images='bands', rows=4)
    x = np.stack([np.nan_to_num(fits.getdata(d/'fits'/f'{o}.fits')).astype('f4') for o in few.objID])
    def stack(x, y, **kw): return gf.GalaxyDataLoaders.from_arrays(x, y, ids=few.objID, bs=8, device='cpu', **kw)
    memory = dict(images='fits', rows=12, arrays=True)
    learn('arrays', stack(x, few[['z']], size=24, stretch=gf.MinMaxTfm(-.1, [2.,3.,4.], ceil=5.)), **memory)
    learn('stamps', stack(stamps(x), few[['disc']], stretch=gf.StampTfm()), 'vgg6', **memory)

def of_archs(df, d):
    "A run of each network of the registry: narrow ones, and of the large ones what their weights are to be made of"
    def dls(size): return gf.GalaxyDataLoaders.from_catalog(df[learned], d/'images', 'z', size=size, bs=8, device='cpu')
    of24 = dls(24)
    for o in (10, 14): learn(f'xresnet{o}', of24, f'xresnet{o}', xres)
    learn('xresnet18-softmax', of24, 'xresnet18', xres|dict(sa='softmax', widths=(8,8,8,8)))
    thin = dict(widths=(2,2,2,2), stem=(4,4,4), sa=False)
    for o in (26, 50): learn(f'xresnet{o}', of24, f'xresnet{o}', thin, rows=6)
    learn('xresnet34', of24, 'xresnet34', xres)
    learn('cnn', of24, 'cnn', dict(filters=((4,4),8), hidden=(8,), pool='average', norm='local', act='gelu'))
    learn('mlp', dls(12), 'mlp', dict(size=12, hidden=(6,), norm=True))
    large = dict(alexnet=dict(hidden=(16,16), norm='local', groups=2), vgg16=dict(hidden=(16,16), grid=1),
                 resnet50={}, galnet={}, test_resnet={}, test_vit=dict(size=32),
                 multimodal=dict(image_arch='test_convnext', n_cont=0, cat_sizes=[4]))
    for o,kw in large.items(): seeded(f'large-{o}', o, kw)

def seeded(name, arch, kw):
    "A run whose weights are at random: their names and shapes are kept, and `seeded_weights` makes them anew"
    sites = gf.TableSpec([], ['site'], fill=[], mean=[], std=[], flags=[], classes=[['east','north','south']])
    table = sites if arch=='multimodal' else None
    cfg = gf.arch_config(arch, 3, 1, y_mean=[.1], y_std=[.05], **kw)
    spec = gf.TargetSpec('regression', ['z'], mean=[.1], std=[.05])
    model = GalaxyModel([gf.build_model(**cfg)], [.2]*3, [.15]*3, spec)
    run = GalaxyRun(model.eval(), spec, gf.ImageReader(size=32), [cfg], err=[[.01,1.]], table=table)
    keep(name, run, rows=3)
    d = frozen/'runs'/name
    weights = load_file(d/'model.safetensors')
    shapes = {k: [str(v.dtype).split('.')[1], list(v.shape)] for k,v in weights.items()}
    of_data = [k for k in weights if k.split('.')[-1] in ('mean','std')] # of images and labels
    given = {k: weights[k].tolist() for k in of_data}
    (d/'model.safetensors').unlink()
    (d/'weights.json').write_text(json.dumps(dict(seed=len(fixtures), shapes=shapes, given=given))+'\n')
    cfg = json.loads((d/'config.json').read_text())
    del cfg['files'] # the hash would be that of weights which are not kept
    (d/'config.json').write_text(json.dumps(cfg, indent=1)+'\n')

def of_parts(df, d):
    "Runs that are put together by hand"
    few = df[learned]
    read = gf.ImageReader(size=32, native=(36,36))
    x = torch.stack([read(d/'images'/f'{o}.jpg').as_subclass(torch.Tensor) for o in few.objID])
    spec = fit_spec(target_spec(few, 'z'), few)
    process = fit_photometry_gp(Photometry(32)(x/255), few.z.to_numpy(), size=32)[0]
    units = dict(y_mean=spec.mean, y_std=spec.std)
    nets = [gf.arch_config('galnet', 3, 1, width=2, **units)]
    nets += [gf.arch_config('cnn', 3, 1, filters=(4,8), hidden=(), **units)]
    by_hand('by-hand', spec, nets, read, process, .25, err=[None], window=16, net_size=20)
    kinds = dict(z='regression', morphology='classification', f_bar='votes', red='multilabel')
    parts = [target_spec(few, k, task) for k,task in kinds.items()]
    mixed = fit_spec(gf.TargetSpec('mixed', list(kinds), parts=parts), few)
    mean,std = mixed.scale()
    by_hand('mixed-by-hand', mixed, [gf.arch_config('galnet', 3, 6, width=2, y_mean=mean, y_std=std)], read)

def by_hand(name, spec, nets, read, process=None, gp_weight=0., err=None, **kw):
    torch.manual_seed(0)
    members = [gf.build_model(**o) for o in nets]
    model = GalaxyModel(members, [.2]*3, [.15]*3, spec, process, gp_weight, **kw)
    keep(name, GalaxyRun(model.eval(), spec, read, nets, err=err))

def of_old():
    "Runs as the first versions saved them: no hash of the weights, no marks of galaxies, 32 bits"
    of = {'old': 'regression', 'old-classes': 'classes', 'old-labels': 'quick-labels', 'old-table': 'table'}
    of |= {'old-fits': 'fits'}
    for old,new in of.items():
        src,d = (frozen/'runs'/o for o in (new, old))
        cfg = as_old(json.loads((src/'config.json').read_text()))
        w = {k: v.float() if v.dtype==torch.float64 else v for k,v in load_file(src/'model.safetensors').items()}
        d.mkdir()
        (d/'model.safetensors').write_bytes(save(w))
        (d/'config.json').write_text(json.dumps(cfg, indent=1)+'\n')
        fixtures[old] = fixtures[new]

def as_old(cfg):
    "A configuration with nothing but what every run has to have"
    usual = dict(n_out=1, n_in=3, size=64, full=1., kind='rgb', nan='zero')
    def _needed(o): return {k: v for k,v in o.items() if v not in (None, False, [], usual.get(k))}
    spec = {k: v for k,v in cfg['spec'].items() if k in ('task','targets','classes','mean','std') and v}
    reader = {k: v for k,v in _needed(cfg['reader']).items() if k not in ('native','exclusive')}
    gp = _needed(cfg['gp']) if cfg['gp'] else None
    table = {k: v for k,v in cfg['table'].items() if k!='facts'} if cfg['table'] else None
    nets = [dict(o) for o in cfg['nets']]
    for o in nets:
        if len(o.get('y_mean') or [])==1: o |= {k: o[k][0] for k in ('y_mean','y_std')} # a number, not a list of one
    new = dict(galfast='0.1.0', spec=spec, reader=reader, gp=gp, table=table, nets=nets, info=None)
    return {k: v for k,v in (cfg|new).items() if k!='files'}

if __name__=='__main__':
    for o in ('runs','images','fits','deep','bands','answers'): shutil.rmtree(frozen/o, ignore_errors=True)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as tmp:
        d = Path(tmp)
        df = survey(d)
        freeze_survey(d, df)
        of_train(df, d)
        of_learners(df, d)
        of_archs(df, d)
        of_parts(df, d)
    of_old()
    (frozen/'fixtures.json').write_text(json.dumps(fixtures, indent=1)+'\n')
    write_answers()
