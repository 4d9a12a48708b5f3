"Figures against other people's numbers, and what they must leave alone"
import subprocess,sys,time
from pathlib import Path

import matplotlib as mpl
mpl.use('agg')

import matplotlib.pyplot as plt, numpy as np, pandas as pd, pytest
from sklearn import metrics

from galfast.base.core import GalfastError,ImageError
from galfast.results.plot import *

@pytest.fixture(autouse=True)
def clean():
    "Each test starts without figures, and no function may change matplotlib's settings"
    plt.close('all')
    before = dict(mpl.rcParams)
    yield
    plt.close('all')
    assert dict(mpl.rcParams)==before

def data(n=500, seed=0):
    rng = np.random.default_rng(seed)
    t = rng.normal(8.8, .25, n)
    return t,t+rng.normal(.02, .1, n),np.full(n, .1)

def text(ax): return ax.texts[0].get_text()

def test_no_torch(): subprocess.run([sys.executable, '-c', "import galfast.results.plot,sys; assert 'torch' not in sys.modules"], check=True)

def test_no_fastai_names():
    import fastai.vision.all as fv

    import galfast.results.plot
    assert not set(galfast.results.plot.__all__) & set(vars(fv))

def test_stats_against_sklearn_and_astropy():
    from astropy.stats import mad_std
    t,p,_ = data()
    o = residual_stats(t, p)
    np.testing.assert_allclose([o['rmse'],o['mae']], [metrics.root_mean_squared_error(t, p),metrics.mean_absolute_error(t, p)])
    np.testing.assert_allclose(o['nmad'], mad_std(p-t), rtol=1e-4)
    np.testing.assert_allclose(o['bias'], p.mean()-t.mean())

def test_text_has_the_stats():
    t,p,e = data()
    ax = plot_predictions(t, p, e, 'metallicity', 'dex')[0]
    assert f'RMSE = {metrics.root_mean_squared_error(t, p):.4f} dex' in text(ax)
    assert f'MAE = {metrics.mean_absolute_error(t, p):.4f} dex' in text(ax)
    assert f'rms(Δ/err) = {np.sqrt(np.mean(((p-t)/e)**2)):.2f}' in text(ax)
    assert (ax.get_ylabel(), ax.get_xlabel())==('Predicted metallicity [dex]','')

def test_nan_counted_and_left_out():
    t,p,_ = data()
    whole = residual_stats(t, p)
    t2,p2 = np.r_[t,np.nan,1,2],np.r_[p,1,np.nan,np.inf]
    assert residual_stats(t2, p2)==whole|dict(n_missing=3)
    assert 'N = 500\n3 left out' in text(plot_predictions(t2, p2)[0])

def test_outlier_is_drawn_at_the_edge():
    t,p,_ = data()
    p[0] = 1e6
    ax = plot_predictions(t, p)[0]
    assert ax.get_ylim()[1]<20 and '1 outside the frame' in text(ax)

def test_column_does_not_broadcast():
    t,p,_ = data()
    assert text(plot_predictions(t, p[:,None])[0])==text(plot_predictions(t, p)[0])

def test_tensors():
    torch = pytest.importorskip('torch')
    t,p,_ = data(50)
    ax = plot_predictions(torch.tensor(t), torch.tensor(p, requires_grad=True))[0]
    assert text(ax)==text(plot_predictions(t, p)[0])
    img = np.random.default_rng(0).integers(0, 255, (3,8,9), dtype=np.uint8)
    assert (galaxy2rgb(torch.tensor(img))==img.transpose(1,2,0)).all()

def test_given_axes_leave_pyplot_alone():
    t,p,e = data(5000)
    hist = pd.DataFrame(dict(train_loss=[2.,1], valid_loss=[2.,1.5], rmse=[1.,.5]))
    c = np.array(['a','b']*20)
    fig = mpl.figure.Figure(figsize=(9,9)) # unknown to pyplot
    axs = fig.subplots(4, 2).ravel()
    mine = plt.figure()
    res = plot_predictions(t, p, e, axs=axs[:2])
    plot_history(hist, axs=axs[2:4])
    assert plot_confusion(c, c, ax=axs[4]) is axs[4]
    plot_images(np.zeros((2,8,8,3), np.uint8), true=c[:2], pred=c[1:3], axs=axs[5:7])
    plot_worst(np.zeros((2,8,8,3), np.uint8), c[:2], c[:2], axs=axs[7:8])
    fig.canvas.draw()
    assert list(res)==list(axs[:2])
    assert plt.get_fignums()==[mine.number] and plt.gcf() is mine and not mine.axes

def test_new_figure_is_one():
    plot_predictions(*data()[:2])
    assert len(plt.get_fignums())==1

@pytest.mark.parametrize('n', [1,2,12,199,201,2999,3001])
def test_any_number(n):
    axs = plot_predictions(*data(n), axs=plt.subplots(2, 1)[1])
    axs[0].figure.canvas.draw()
    assert f'N = {n:,}' in text(axs[0])

@pytest.mark.parametrize('n', [1,40,5000])
def test_all_equal(n): plot_predictions(np.full(n, 8.8), np.full(n, 8.8), np.zeros(n))[0].figure.canvas.draw()

def test_many_are_quick():
    t,p,e = data(100_000)
    t0 = time.perf_counter()
    plot_predictions(t, p, e)[0].figure.canvas.draw()
    assert time.perf_counter()-t0<20 # about one second; this is for something quadratic

def test_layout_is_stable():
    "A label longer than its axis, or an artist without a size, makes matplotlib's layout collapse"
    for o in (data(10), data(1500)):
        axs = plot_predictions(*o, name='a target with quite a long name, logarithmic', unit='log solar masses')
        axs[0].figure.canvas.draw()
        assert axs[0].get_position().height>.5 and axs[1].get_position().height>.15

@pytest.mark.parametrize('f,msg', [
    (lambda: plot_predictions([], []), 'no galaxies'), (lambda: plot_predictions([1.], [np.nan]), 'none of the 1'),
    (lambda: plot_predictions([1.,2], [1.,2,3]), 'shape'), (lambda: plot_predictions(['a'], ['b']), 'must be numbers'),
    (lambda: plot_history(pd.DataFrame()), 'no epochs'), (lambda: plot_history(dict(epoch=[0], rmse=[1])), 'it has epoch, rmse'),
    (lambda: plot_confusion([], []), 'none of the 0'), (lambda: plot_confusion([0,1], [0]), 'true has 2 galaxies and pred 1'),
    (lambda: plot_confusion([0,5], [0,1], ['a','b']), '5 not among the 2 labels'), (lambda: plot_images([]), 'no galaxies'),
    (lambda: plot_images(np.zeros((2,4,4)), pred=[1.]), 'pred has 1'), (lambda: plot_worst([], [1.], [1.]), '0 images'),
    (lambda: worst_cases([], []), 'no galaxies')])
def test_errors(f, msg):
    with pytest.raises(GalfastError, match=msg): f()
    assert not plt.get_fignums() # none half made

def test_losses_marks_the_best():
    h = dict(epoch=[0,1,2,3], train_loss=[30.,3,1,.5], valid_loss=[2.,1,.6,.8], accuracy=[.1,.5,.7,.65], time=['00:01']*4)
    axs = plot_history(h, units=dict(valid_loss='dex'))
    assert [o.get_ylabel() for o in axs]==['Loss [dex]','accuracy'] and axs[0].get_yscale()=='log'
    assert [o.get_text() for o in axs[0].get_legend().get_texts()]==['training','validation','best: epoch 2, 0.6']
    assert axs[1].get_title(loc='right')=='0.7 at epoch 2'
    assert plot_history(pd.DataFrame(h)[1:])[0].get_yscale()=='linear'

def test_one_epoch(): plot_history(dict(train_loss=[1.], valid_loss=[2.]))[0].figure.canvas.draw()

def cells(ax): return {(round(o.get_position()[1]),round(o.get_position()[0])): o.get_text() for o in ax.texts}

@pytest.mark.parametrize('k', [1,2,5,30])
def test_confusion_against_sklearn(k):
    rng = np.random.default_rng(k)
    t = rng.integers(0, k, 900)
    p = np.where(rng.random(900)<.7, t, rng.integers(0, k, 900))
    ax = plot_confusion(t, p, [f'kind {i}' for i in range(k)])
    m = metrics.confusion_matrix(t, p, labels=range(k))
    assert {i: int(o.split('\n')[1]) for i,o in cells(ax).items()}=={(i,j): m[i,j] for i,j in zip(*m.nonzero())}
    assert f'accuracy {metrics.accuracy_score(t, p):.3f}, balanced {metrics.balanced_accuracy_score(t, p):.3f}' in ax.get_title()

def test_confusion_names_and_missing():
    ax = plot_confusion(pd.Series(['lens','no',None]), ['lens','lens','no'], ['no','lens'])
    assert cells(ax)=={(1,1): '100%\n1', (0,1): '100%\n1'} and '1 left out' in ax.get_title()

def test_confusion_counts_colour():
    c = plot_confusion(['a']*9+['b'], ['a']*9+['b'], normalize=False).images[0].get_array()
    np.testing.assert_allclose(np.diag(c), [1,1/9])

def test_worst_order():
    t = np.zeros(6)
    assert list(worst_cases(t, [.1,-3,2,np.nan,2,0], 4))==[1,2,4,0]
    assert list(worst_cases(np.c_[[0,1.,2],[0,100,200]], np.c_[[0,1.,3],[50,100,200]], 2))==[2,0] # units of each target's scatter

def test_worst_classes():
    t,p = np.array([0,0,1,1]),np.array([1,1,0,1])
    assert list(worst_cases(t, p))==[0,1,2]
    assert list(worst_cases(t, p, prob=[.6,.9,.8,1]))==[1,2,0]
    assert list(worst_cases(t, p, prob=[[.4,.6],[.1,.9],[.8,.2],[0,1]], n=2))==[1,2]
    assert list(worst_cases(['a',None], ['b','b']))==[0]

def test_plot_worst_reads_only_what_it_draws(tmp_path):
    from PIL import Image
    rgb = np.random.default_rng(0).integers(0, 255, (10,12,3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path/'b.png')
    axs = plot_worst(pd.Series(['nowhere.jpg', tmp_path/'b.png']), [1.,2], [1.,5], n=1, ids=['a','1237648704043942146'])
    assert (axs[0].images[0].get_array()==rgb).all()
    assert axs[0].get_title()=='1237648704043942146\ntrue 2.00  pred 5.00'
    with pytest.raises(ImageError, match='nowhere.jpg'): plot_images(['nowhere.jpg'])

def test_wrong_is_not_told_by_colour_alone():
    axs = plot_images(np.zeros((3,8,8), np.uint8), true=['a','a','a'], pred=['a','b',None])
    assert [o.get_title() for o in axs]==['true a\npred a','true a\n✗ pred b','true a\npred none']
    assert [o.spines['left'].get_visible() for o in axs]==[False,True,False]
    assert axs[1].spines['left'].get_linestyle()!='-'

def test_values_in_titles():
    im = np.zeros((1,8,8), np.uint8)
    title = lambda **kw: plot_images(im, **kw)[0].get_title()
    assert title(true=[8.91], pred=[8.85], err=[.05])=='true 8.91  pred 8.85±0.05'
    assert title(true=[.0123], pred=[.0149], err=[.004])=='true 0.012  pred 0.015±0.004'
    assert title(true=[8.91], pred=[np.nan])=='true 8.91  pred none'
    assert title(true=[[1.,2]], pred=[[3.,-4]])=='true 1.00  pred 3.00\ntrue 2.00  pred −4.00'

@pytest.mark.parametrize('shape', [(8,9),(1,8,9),(3,8,9),(5,16,17),(8,9,3),(8,9,1),(2,8,9)])
@pytest.mark.parametrize('dtype', [np.uint8,np.float32])
def test_any_image(shape, dtype):
    if dtype==np.uint8 and {2,5}&set(shape): pytest.skip('no such JPEG')
    o = galaxy2rgb(np.random.default_rng(0).integers(0, 255, shape).astype(dtype))
    size = shape if len(shape)==2 else shape[1:] if shape[0]<shape[2] else shape[:2]
    assert (o.shape,o.dtype)==((*size,3),np.uint8)

def test_flux_scale_does_not_matter():
    f = np.random.default_rng(0).normal(0, 1, (3,32,32))
    f[:,12:20,12:20] += 200
    np.testing.assert_array_equal(galaxy2rgb(f), galaxy2rgb(f*1024))
    assert galaxy2rgb(f)[16,16].min()>150 and galaxy2rgb(f)[:8].mean()<60

def test_one_way_to_make_colours(tmp_path):
    "Fluxes look the same from an array, a tensor, an image with a header and a file; bytes of other than one or three bands are numbers"
    import torch
    from astropy.io import fits
    from PIL import Image
    from galfast.images.fits import FITSImage,rgb_image
    f = np.random.default_rng(0).normal(0, 1, (5,24,26)).astype('f4')
    f[:,8:14,9:15] += np.arange(20, 70, 10)[:,None,None]
    def rgb(x, bands=None): return rgb_image(x, bands, how='lupton', soft=2.)
    want = rgb(f)
    for o in (f, f.transpose(1,2,0), torch.tensor(f)): np.testing.assert_array_equal(galaxy2rgb(o), want)
    fits.PrimaryHDU(f[:,::-1], fits.Header([('BANDS','ziyrg')])).writeto(tmp_path/'a.fits')
    named = rgb(f, list('ziyrg'))
    assert (named!=want).any()
    for o in (tmp_path/'a.fits', FITSImage.create(tmp_path/'a.fits')): np.testing.assert_array_equal(galaxy2rgb(o), named)
    np.testing.assert_array_equal(galaxy2rgb(f, 'ziyrg'), named)
    b = (100+f).clip(0, 255).astype(np.uint8)
    np.testing.assert_array_equal(galaxy2rgb(b), rgb(b.astype('f4')))
    np.testing.assert_array_equal(galaxy2rgb(b[:4].transpose(1,2,0)), b[:3].transpose(1,2,0)) # the fourth of a picture is how transparent it is
    deep = (1000+10*f[0]).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path/'a.png')
    np.testing.assert_array_equal(galaxy2rgb(tmp_path/'a.png'), rgb(deep[None].astype('f4')))

def test_two_bands_have_their_mean_as_green():
    x = np.random.default_rng(0).normal(0, 1, (2,20,21,2))
    a = shown(plot_class(x, limits=(0,100))[0])[...,:3]
    r,b = x[0,...,1],x[0,...,0]
    v = np.stack([r, (r+b)/2, b], -1)
    np.testing.assert_allclose(a, (v-v.min())/np.ptp(v), atol=1e-6)

def test_save(tmp_path):
    for s in ('png','pdf'):
        o = save_plot(plot_predictions(*data()), tmp_path/'run'/f'a.{s}')
        assert o.stat().st_size>5000
    assert not plt.get_fignums() and sorted(o.name for o in Path(tmp_path/'run').iterdir())==['a.pdf','a.png']

def lines(ax): return {o.get_color(): (o.get_linestyle(), o.get_xdata().tolist(), o.get_ydata().tolist()) for o in ax.lines if o.get_linestyle() in ('-','--')}

def test_training_and_validation_share_a_panel():
    e = [0,1,2]
    h = dict(epoch=e, train_loss=[3.,2,1], train_accuracy=[.5,.7,.9], train_top=[.1,.2,.3], valid_loss=[3.,1,2], valid_accuracy=[.4,.6,.5], kappa=[.2,.3,.1], valid_speed=[1.,2,3])
    axs = plot_history(h, units=dict(accuracy='%', kappa='x'))
    assert [o.get_ylabel() for o in axs]==['Loss','accuracy [%]','train top','kappa [x]','valid speed']
    assert lines(axs[1])=={'0.5': ('--',e,h['train_accuracy']), '#0072B2': ('-',e,h['valid_accuracy'])}
    assert [o.get_title(loc='right') for o in axs[1:]]==['0.6 at epoch 1','0.2 at epoch 1','0.3 at epoch 1','2 at epoch 1']
    assert axs[0].get_legend() and not any(o.get_legend() for o in axs[1:])
    assert list(lines(axs[2]))==['0.5'] and list(lines(axs[4]))==['#0072B2']

def test_fastai_names_them_so():
    pytest.importorskip('fastai')
    from fastai.vision.all import DataLoader,DataLoaders,Learner,MSELossFlat,mae,nn,torch
    x = torch.linspace(0, 1, 16)[:,None]
    dl = DataLoader(list(zip(x, x*2)), bs=8)
    learn = Learner(DataLoaders(dl, dl, device='cpu'), nn.Linear(1, 1), loss_func=MSELossFlat(), metrics=mae)
    learn.recorder.train_metrics = True
    with learn.no_bar(), learn.no_logging(): learn.fit(2)
    names = learn.recorder.metric_names[1:-1]
    axs = plot_history(pd.DataFrame(learn.recorder.values, columns=names))
    assert [o.get_ylabel() for o in axs]==['Loss','mae'] and len(lines(axs[1]))==2

def test_history_by_step():
    s = list(range(1000, 21_000, 1000))
    v = [.5+i/100 if i%5==0 else np.nan for i in range(20)]
    axs = plot_history(dict(step=s, train_accuracy=np.linspace(.4, .9, 20), valid_accuracy=v, epoch=[0]*20))
    assert len(axs)==1 and (axs[0].get_xlabel(),axs[0].get_ylabel())==('Step','accuracy')
    assert lines(axs[0])['#0072B2'][1:]==([1000,6000,11_000,16_000],[.5,.55,.6,.65]) # joined over the gaps
    assert [o.get_text() for o in axs[0].get_legend().get_texts()]==['training','validation']
    axs = plot_history(dict(step=s, train_loss=np.geomspace(9, .1, 20), valid_loss=np.geomspace(9, .3, 20)))
    assert axs[0].get_yscale()=='log' and axs[0].get_legend().get_texts()[2].get_text()=='best: step 20,000, 0.3'
    assert plot_history(dict(step=[5,10], accuracy=[.1,.2]))[0].get_legend() is None
    with pytest.raises(GalfastError, match='it has step'): plot_history(dict(step=[1,2]))

def test_what_rises_tenfold_stays_linear():
    axs = plot_history(dict(train_loss=[3.,1], valid_loss=[2.,1], accuracy=[.05,.9]))
    assert axs[1].get_yscale()=='linear'

def test_confusion_shows_counts():
    t,p = [0]*90+[1]*10,[0]*80+[1]*13+[0]*7
    m = metrics.confusion_matrix(t, p)
    assert cells(plot_confusion(t, p, normalize=False))=={i: str(m[i]) for i in np.ndindex(2, 2)}
    assert cells(plot_confusion(t, p))[(0,0)]=='89%\n80'

def test_one_band_is_grey():
    f = np.random.default_rng(0).normal(0, 1, (32,32)); f[12:20,12:20] += 200
    for o in (f, f[None], f[...,None]):
        rgb = galaxy2rgb(o)
        assert (rgb==rgb[...,:1]).all() and rgb[16,16,0]>150 and rgb[:8].mean()<60

def shown(ax): return ax.images[0].get_array()

@pytest.mark.parametrize('limits', [(1,99.5),(0,100),'zscale'])
@pytest.mark.parametrize('common', [False,True])
def test_class_limits(limits, common):
    from astropy.visualization import ZScaleInterval
    x = np.random.default_rng(0).normal(0, 1, (6,20,21))*np.arange(1, 7)[:,None,None]; x[0,3,4] = np.nan
    axs = plot_class(x, 4, limits=limits, common=common, unit='nJy')
    for i,ax in enumerate(axs):
        v = x[:4] if common else x[i]
        lo,hi = ZScaleInterval().get_limits(v[np.isfinite(v)]) if limits=='zscale' else np.nanpercentile(v, limits)
        a = shown(ax)
        np.testing.assert_allclose(a[np.isfinite(x[i]),0], np.clip((x[i][np.isfinite(x[i])]-lo)/(hi-lo), 0, 1), atol=1e-12)
        assert (a[...,0]==a[...,1]).all() and (a[...,0]==a[...,2]).all()
        assert ((a[...,3]==0)==np.isnan(x[i])).all()
    bar = axs[0].figure.axes[-1]
    assert bar.get_ylabel()==('pixel value [nJy]' if common else 'zscale of each image' if limits=='zscale' else 'percentile of each image')
    if common: np.testing.assert_allclose(bar.get_ylim(), (lo,hi))
    else: assert [o.get_text() for o in bar.get_yticklabels()]==(['z1','z2'] if limits=='zscale' else [f'{o:g}' for o in limits])

def test_class_bands_and_layouts():
    x = np.random.default_rng(0).normal(0, 1, (3,20,21,5)).astype(np.float32)
    def colour(b): v = x[0][...,b].astype(float); lo,hi = np.percentile(v, (1,99.5)); return np.clip((v-lo)/(hi-lo), 0, 1)
    for o in (x, x.transpose(0,3,1,2)):
        np.testing.assert_allclose(shown(plot_class(o)[0])[...,:3], colour([4,2,0]), atol=1e-6)
        np.testing.assert_allclose(shown(plot_class(o, band=(0,1,2))[0])[...,:3], colour([0,1,2]), atol=1e-6)
        np.testing.assert_allclose(shown(plot_class(o, band=3)[0])[...,:3], np.repeat(colour([3]), 3, -1), atol=1e-6)
    rgb = np.random.default_rng(0).integers(0, 256, (2,9,9,3), dtype=np.uint8)
    np.testing.assert_allclose(shown(plot_class(rgb, limits=(0,100))[0])[...,:3], (rgb[0]-float(rgb[0].min()))/np.ptp(rgb[0]).astype(float)) # bytes stay red, green, blue
    assert len(plot_class(rgb)[0].figure.axes)==2 and len(plot_class(rgb, band=0)[0].figure.axes)==3 # a bar for one band alone
    torch = pytest.importorskip('torch')
    assert (shown(plot_class(torch.tensor(x))[0])==shown(plot_class(x)[0])).all()

def test_class_takes_the_first_or_some():
    x = np.arange(100.)[:,None,None]+np.zeros((1,4,4)); x[:,0,0] = -1
    num = lambda **kw: [int(o.texts[0].get_text()) for o in plot_class(x, 7, **kw)]
    assert num()==list(range(7)) and num(seed=3)==num(seed=3)!=num(seed=4) and len(set(num(seed=3)))==7
    axs = plot_class(x, 7, seed=3, limits=(0,100), common=True, title='lens')
    top = max(i:=[int(o.texts[0].get_text()) for o in axs])
    np.testing.assert_allclose([shown(o)[2,2,0] for o in axs], [(j+1)/(top+1) for j in i])
    assert axs[0].figure.get_suptitle()=='lens, 7 of 100' and plot_class(x[:7], title='lens')[0].figure.get_suptitle()=='lens'

def test_class_reads_only_what_it_draws(tmp_path):
    np.save(tmp_path/'a.npy', np.random.default_rng(0).normal(size=(50,6,6,3)))
    x = np.load(tmp_path/'a.npy', mmap_mode='r')
    assert len(plot_class(x, 5, seed=0))==5

def test_class_on_given_axes():
    fig = mpl.figure.Figure(figsize=(6,3))
    axs = fig.subplots(1, 3)
    mine = plt.figure()
    assert len(plot_class(np.random.default_rng(0).normal(size=(9,5,5)), axs=axs, title='noise'))==3
    plot_occlusion(np.zeros((1,5,5)), np.ones((1,5,5)), axs=axs[:2])
    fig.canvas.draw()
    assert plt.get_fignums()==[mine.number] and not mine.axes and fig.get_suptitle()=='' and axs[0].get_title(loc='left')=='noise, 3 of 9'

def test_occlusion_colours():
    m = np.zeros((2,9,9)); m[0,2,2],m[0,6,6],m[1,4,4],m[1,0,0] = -.4,.2,.8,np.nan
    axs = plot_occlusion(np.random.default_rng(0).normal(size=(2,9,9)), m, ['a','b'])
    assert axs.shape==(2,2) and [o.get_title(loc='left') for o in axs[:,0]]==['a','b']
    for ax,o in zip(axs[:,1], m):
        im = ax.images[1]
        assert im.get_clim()==(-.8,.8) # the same, and symmetric
        r,g,b,a = np.moveaxis(im.to_rgba(im.get_array()), -1, 0)
        np.testing.assert_allclose(a, np.abs(np.nan_to_num(o))/.8, atol=.01)
        assert (r>b)[o<0].all() and (b>r)[o>0].all()
    assert axs[0,0].figure.axes[-1].get_ylabel()=='change in probability when hidden' and axs[0,0].figure.axes[-1].get_ylim()==(-.8,.8)
    assert plot_occlusion(np.zeros((5,5,3), np.uint8), m[0,:5,:5], limit=1)[0,1].images[1].get_clim()==(-1,1)

@pytest.mark.parametrize('n', [1,2,5,37])
def test_grids_of_any_number(n):
    x = np.random.default_rng(0).normal(size=(n,7,7))
    for axs in (plot_class(x, 50), plot_occlusion(x, x, ['a very long name of a class indeed, '*4]*n)):
        assert len(axs)==n
        axs.flat[0].figure.canvas.draw()
        boxes = [o.get_position() for o in np.ravel(axs)]
        assert min(o.width for o in boxes)*axs.flat[0].figure.get_figwidth()>.5 # no layout collapsed

@pytest.mark.parametrize('f,msg', [
    (lambda x: plot_class(x[:0]), 'no galaxies'), (lambda x: plot_class(x[0]), r'\(9, 9\)'), (lambda x: plot_class(x, 0), '0 images'), (lambda x: plot_class(x, band=1), "not 1"),
    (lambda x: plot_class(x, band='g'), "not 'g'"), (lambda x: plot_class(x, band=(0,0)), r'not \(0, 0\)'), (lambda x: plot_class(x, limits='sigma'), "not 'sigma'"),
    (lambda x: plot_class(x, limits=(99,1)), 'two percentiles'), (lambda x: plot_class([x[0],x[0,:5]]), 'all of one size'), (lambda x: plot_class(x[:,:3,:3,None]*np.ones(3)), "channels='first'"),
    (lambda x: plot_class(np.full((2,3,3), 'a')), 'images are numbers'), (lambda x: plot_class(np.tile(x, (300,1,1)), 500), '500 images'),
    (lambda x: plot_occlusion(x, x[:1]), 'maps of the shape'), (lambda x: plot_occlusion(x, x[:,:5]), r'\(5, 9\) px'), (lambda x: plot_occlusion(x, x, ['a']), 'titles has 1'),
    (lambda x: plot_occlusion(x[:0], x[:0]), '0 maps')])
def test_errors_of_grids(f, msg):
    with pytest.raises(GalfastError, match=msg): f(np.random.default_rng(0).normal(size=(2,9,9)))
    assert not plt.get_fignums()

# Names, units and ids

no_warnings = pytest.mark.filterwarnings('error')
odd_names = [r'$\frac$', 'L [/Lsun]', 'a_b^c', r'L [$L_\odot$]', '50% $', '$$', r'\alpha', 'a\tb', 'Sérsic Σ 旋渦', '$5 or $6', '$旋$']

def drawn(fig):
    "All texts of `fig`, after they were drawn"
    fig.canvas.draw()
    return [o.get_text() for o in fig.findobj(mpl.text.Text) if o.get_text()]

@no_warnings
@pytest.mark.parametrize('name', odd_names)
def test_odd_names(name, caplog):
    t,p,e = data(30)
    im = np.zeros((2,8,8))
    axs = [plot_predictions(t, p, e, name, name)[0], plot_confusion([name,'b'], ['b',name], name=name), plot_class(im, title=name, unit=name)[0],
           plot_history({'train_loss': [1.,2], 'valid_loss': [2.,1], name: [1.,2]}, {name: name}, name=name, unit=name)[0],
           plot_images(im, [name]*2, [name,'b'], ['b',name], ids=[name]*2, name=name)[0], plot_occlusion(im, im, [name]*2, name=name, unit=name)[0,0],
           plot_images(im, true=np.eye(2), pred=np.eye(2), task='votes', name=[name,'b'])[0]]
    for ax in axs: drawn(ax.figure)
    assert not caplog.records # matplotlib logs letters that mathematics has not

def test_mathematics_and_what_looks_like_it():
    label = lambda name: plot_predictions(*data(30), name=name)[0].get_ylabel()
    assert label(r'$\log M_\odot$')==r'Predicted $\log M_\odot$'
    assert label(r'$\frac$')==r'Predicted \$\frac\$'
    assert label('L [/Lsun], a_b^c')=='Predicted L [/Lsun], a_b^c'
    long = plot_predictions(*data(30), name=r'the mass of all of the stars $\log M / M_\odot$ in it')[0].get_ylabel()
    assert r'$\log M / M_\odot$' in long and '\n' in long

sizes = {'1e-30': (0,1e-30), '1e30': (3e30,1e30), '1e-200': (0,1e-200), '1e200': (0,1e200), 'JD': (2459000.5,30), 'JD, an hour': (2459000.5,.04), 'K': (150_000,40_000), 'all negative': (-9e30,1e27)}

@no_warnings
@pytest.mark.parametrize('n', [1,60,1000,4000])
@pytest.mark.parametrize('size', sizes)
def test_labels_of_any_size(size, n):
    loc,sc = sizes[size]
    rng = np.random.default_rng(0)
    t = loc+sc*rng.normal(size=n)
    p = t+.3*sc*rng.normal(size=n)
    axs = plot_predictions(t, p, np.full(n, .3*sc), 'x', 'u')
    axs[0].figure.canvas.draw()
    for axis in (axs[0].yaxis,axs[1].xaxis,axs[1].yaxis):
        ticks = [o.get_text() for o in axis.get_ticklabels()]
        assert max(map(len, ticks))<=8 and len(set(ticks))==len(ticks)
        assert axis.get_offset_text().get_text()=='' # it is in the label
    if n>1: np.testing.assert_allclose(residual_stats(t, p)['rmse']/sc, metrics.root_mean_squared_error((t-loc)/sc, (p-loc)/sc), rtol=1e-6)

def test_the_label_says_what_ticks_leave_out():
    def labels(loc, sc):
        t = loc+sc*np.linspace(-1, 1, 60)
        ax = plot_predictions(t, t, axs=plt.subplots()[1], name='x', unit='u')[0]
        ax.figure.canvas.draw()
        return ax.get_xlabel(),{round(v, 9): o.get_text().replace('−', '-') for v,o in zip(ax.get_xticks(), ax.get_xticklabels())}
    name,ticks = labels(2459000.5, 2)
    assert name=='True x − 2458990 [u]'
    for v,o in ticks.items(): assert float(o)+2458990==pytest.approx(v, abs=1e-6)
    name,ticks = labels(0, 3e30)
    assert name=='True x [$10^{30}$ u]'
    for v,o in ticks.items(): assert float(o)*1e30==pytest.approx(v)
    assert labels(8.8, .3)[0]=='True x [u]'

@no_warnings
@pytest.mark.parametrize('v', [0,8.8,-7,1e30,1e-30,2459000.5])
def test_constant_truth(v):
    for n in (2,50,4000):
        for p in (np.full(n, v), v+abs(v or 1)*np.random.default_rng(0).normal(size=n)): drawn(plot_predictions(np.full(n, v), p)[0].figure)

@no_warnings
def test_odd_errors_and_histories():
    t,p,e = data(60)
    p[::3],e[1],e[4],e[7] = np.nan,np.inf,-1,0
    drawn(plot_predictions(t, p, e)[0].figure); drawn(plot_predictions(t, p, e*np.nan)[0].figure)
    axs = plot_history(dict(train_loss=[3,np.inf,1.5], valid_loss=[2,np.nan,np.inf], rmse=[1,np.nan,np.nan]))
    drawn(axs[0].figure)
    assert axs[0].get_yscale()=='linear' and axs[0].get_ylim()[1]<4
    for s in (1e-30,1e30): assert f'$10^{{{round(np.log10(s))}}}$' in plot_history(dict(train_loss=[3*s,2*s], valid_loss=[2*s,s]))[0].get_ylabel()

big_id = 1237648704043942146

def titles(axs): return [o.get_title().split('\n') for o in axs]

@pytest.mark.parametrize('ids', [[big_id,big_id+1], [str(big_id),str(big_id+1)], pd.Series([big_id,big_id+1], dtype='Int64'), np.array([big_id,big_id+1])])
def test_ids_to_the_last_digit(ids):
    axs = plot_images(np.zeros((2,8,8)), true=[1.,2], pred=[1.,2], ids=ids)
    assert [o[0] for o in titles(axs)]==[str(big_id),str(big_id+1)]

@pytest.mark.parametrize('ncols', [1,4,8])
def test_captions_do_not_run_into_each_other(ncols):
    names = ['Disk, Edge-on, Rounded Bulge','a_class_with_a_name_without_any_space_at_all']*8
    for kw in (dict(true=names, pred=names[::-1], prob=np.ones(16)), dict(true=np.full(16, 8.8), pred=np.full(16, 8.7), err=np.full(16, .05), unit='dex')):
        axs = plot_images(np.zeros((16,8,8)), ids=[big_id+i for i in range(16)], ncols=ncols, **kw)
        fig = axs[0].figure
        fig.canvas.draw()
        boxes = [o.title.get_window_extent() for o in axs]
        for a,b in zip(boxes, boxes[1:]): assert a.x1<=b.x0 or a.y0>b.y1
        assert all(o.title.get_fontsize()>=4.5 for o in axs)
    assert all(len(set(o))==len(o) for o in titles(axs))

def test_long_class_names_stay_apart():
    k = ['a_long_name_of_a_class_with_a_bar','a_long_name_of_a_class_with_a_ring']
    ax = plot_confusion(k, k)
    assert len({o.get_text() for o in ax.get_xticklabels()})==2
    assert plot_images(np.zeros((1,8,8)), true=['x'*60])[0].get_title().startswith('true') and 'xxxxxxxx' in plot_images(np.zeros((1,8,8)), true=['x'*60])[0].get_title()

def test_answers_are_named():
    im,k = np.zeros((3,8,8)),['smooth','featured','artifact']
    t,p = [[.55,.4,.05],[.2,.7,.1],[np.nan]*3],[[.62,.3,.08],[.5,.4,.1],[.1,.1,.8]]
    got = titles(plot_images(im, true=t, pred=p, task='votes', name=k))
    assert got==[['smooth 0.62 (true 0.55)'], ['smooth 0.50 (true 0.20)','featured 0.40 (true 0.70)'], ['artifact 0.80']]
    assert titles(plot_images(im, true=t, task='votes', name=k))[0]==['smooth 0.55']
    got = plot_images(im, true=[[1,0,1],[0,0,0],[1,1,0]], pred=[[.9,.2,.3],[.1,.4,.2],[.9,.8,.1]], task='multilabel', name=k)
    assert titles(got)==[['smooth 0.90 (true 1)','✗ artifact 0.30 (true 1)'], ['featured 0.40 (true 0)'], ['smooth 0.90 (true 1)','featured 0.80 (true 1)']]
    assert [o.spines['left'].get_visible() for o in got]==[True,False,False]
    got = plot_images(im[:1], true=[[8.8,.1]], pred=[[8.7,.2]], err=[[.05,np.nan]], name=['O/H','z'], unit=['dex',''])
    assert titles(got)==[['O/H 8.70±0.05 dex (true 8.80)','z 0.20 (true 0.10)']]
    assert titles(plot_worst(im, np.array(t), np.array(p), task='votes', name=k, n=1, ids=['a','b','c']))==[['b','smooth 0.50 (true 0.20)','featured 0.40 (true 0.70)']]

def run_of(task='regression', targets=('oh',), classes=None, **info):
    from types import SimpleNamespace as NS
    head = dict(kind=task, config=dict(columns=list(targets)) | (dict(classes=classes) if classes else {}))
    return NS(spec=NS(config=dict(heads=[head])), info=info or None)

def test_a_run_knows_names_and_units(tmp_path):
    run = run_of(names=dict(oh='12 + log(O/H)'), units=dict(oh='dex'))
    (tmp_path/'config.json').write_text(__import__('json').dumps(dict(format=2, info=run.info, **run.spec.config)))
    t,p,e = data(30)
    for o in (run, tmp_path, str(tmp_path)):
        assert plot_predictions(t, p, run=o)[0].get_ylabel()=='Predicted 12 + log(O/H) [dex]'
        axs = plot_images(np.zeros((30,8,8)), true=t, pred=p, err=e, run=o)
        assert axs[0].get_title().endswith('±0.10 dex') and axs[0].figure.get_suptitle()=='12 + log(O/H)'
        axs = plot_history(dict(train_loss=[2.,1], valid_loss=[2.,1], rmse=[2.,1], r2=[0.,1]), run=o)
        assert [o.get_ylabel() for o in axs]==['Loss','rmse [dex]','r2'] and axs[0].get_title(loc='left')=='12 + log(O/H)'
        plot_occlusion(np.zeros((1,5,5)), np.ones((1,5,5)), run=o)
        assert plt.gcf().axes[-1].get_ylabel().replace('\n', ' ')=='change in 12 + log(O/H) when hidden [dex]'
    assert plot_predictions(t, p, name='mine', unit='', run=run)[0].get_ylabel()=='Predicted mine [dex]'
    assert plot_predictions(t, p, run=run_of())[0].get_ylabel()=='Predicted oh' # a run of before
    two = run_of(targets=['oh','z'], units=dict(z='km/s'))
    assert [o.get_ylabel() for o in plot_predictions(np.c_[t,t], np.c_[p,p], run=two)[0]]==['Predicted oh','Predicted z [km/s]']
    kinds = run_of('classification', ['kind'], ['a','b'], names=dict(kind='morphology'))
    ax = plot_confusion([0,1,1], [0,1,0], run=kinds)
    assert (ax.get_xlabel(),[o.get_text() for o in ax.get_xticklabels()])==('Predicted morphology',['a','b'])
    votes = run_of('votes', ['smooth','featured'])
    assert titles(plot_images(np.zeros((1,8,8)), true=[[.4,.6]], pred=[[.3,.7]], run=votes))==[['featured 0.70 (true 0.60)']]
    with pytest.raises(GalfastError, match='nowhere'): plot_predictions(t, p, run='nowhere')
    with pytest.raises(GalfastError, match='name has 1 texts for 2'): plot_predictions(np.c_[t,t], np.c_[p,p], name=['a'])

@no_warnings
def test_worst_of_a_constant_target():
    t,p = np.c_[np.ones(5),np.arange(5.)],np.c_[[1,1,1,1,9.],[0,1,2,3,4.]]
    assert worst_cases(t, p, 1)==[4]
    assert plot_worst(np.zeros((2,8,8)), [1.,np.nan], [np.nan,1.])[0].texts[0].get_text()=='nothing to compare\namong 2'

@no_warnings
def test_many_classes_and_odd_ones():
    rng = np.random.default_rng(0)
    k = rng.integers(0, 30, 3000)
    drawn(plot_confusion(k, np.where(rng.random(3000)<.8, k, rng.integers(0, 30, 3000)), [f'galaxies of the kind {i} with rings' for i in range(30)]).figure)
    ax = plot_confusion([0,1,1], [0,1,0], ['a','b','none of them'])
    assert drawn(ax.figure) and ax.get_yticklabels()[2].get_text()=='none of them (0)' and 'balanced 0.750' in ax.get_title()
