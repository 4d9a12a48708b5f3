"Figures against other people's numbers, and what they must leave alone"
import subprocess,sys,time
from pathlib import Path

import matplotlib as mpl
mpl.use('agg')

import matplotlib.pyplot as plt, numpy as np, pandas as pd, pytest
from sklearn import metrics

from galfast.core import GalfastError,ImageError
from galfast.plot import *

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

def test_no_torch(): subprocess.run([sys.executable, '-c', "import galfast.plot,sys; assert 'torch' not in sys.modules"], check=True)

def test_no_fastai_names():
    import fastai.vision.all as fv

    import galfast.plot
    assert not set(galfast.plot.__all__) & set(vars(fv))

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

def test_save(tmp_path):
    for s in ('png','pdf'):
        o = save_plot(plot_predictions(*data()), tmp_path/'run'/f'a.{s}')
        assert o.stat().st_size>5000
    assert not plt.get_fignums() and sorted(o.name for o in Path(tmp_path/'run').iterdir())==['a.pdf','a.png']
