"Simulated data sets: the same however they are made, with the S/N, the lensing and the shapes that their tables say"
import hashlib,math,os,warnings
from pathlib import Path

import h5py,numpy as np,pandas as pd,pytest
from scipy.stats import kstest

from galfast.base.core import GalfastError
from galfast.sim.galaxies import sersic_ellipse
from galfast.sim.sets import *

shared = Path(os.getenv('GALFAST_SHARED', Path(__file__).parent.parent.parent/'shared'))/'data'/'lenses'/'lenses.npy'
quiet = dict(progress=False)

# ---- stamps

@pytest.fixture(scope='module')
def stamps(): return sim_stamps(6000, seed=3)

def test_stamps_grow_at_their_end(stamps):
    x,df = stamps
    for n in (0,1,1023,1024,1025): # a block holds 1024
        y,d = sim_stamps(n, seed=3)
        np.testing.assert_array_equal(y, x[:n])
        pd.testing.assert_frame_equal(d, df[:n])
        assert y.dtype==np.float32 and y.shape==(n,21,21)
    assert (sim_stamps(5, seed=4)[0]!=x[:5]).all()

def test_stamps_table(stamps):
    x,df = stamps
    assert df.objID.is_unique and df.objID.map(type).eq(str).all() and np.isfinite(x).all()
    share = df.kind.value_counts(normalize=True)
    assert abs(share['source']-.5)<.02 and abs(share['blank']-.25)<.02 and all(abs(share[k]-.0625)<.012 for k in ('hot pixel','cosmic ray','gradient','dipole'))
    assert ((df.label=='source')==(df.kind=='source')).all() and (df.snr[df.kind=='blank']==0).all()
    s = df[df.label=='source']
    assert kstest(np.log(s.snr), 'uniform', (math.log(3),math.log(100/3))).pvalue>1e-3
    for c,lo,hi in (('fwhm',2,4),('x',8.5,11.5),('y',8.5,11.5)): assert kstest(s[c], 'uniform', (lo,hi-lo)).pvalue>1e-3
    assert df.loc[~df.kind.isin(['source','dipole']), ['x','y','fwhm']].isna().all(axis=None)

def test_noise_is_gaussian_and_white(stamps):
    x,df = stamps
    i = df.index[df.kind=='blank']
    e = (x[i]-df.background[i].to_numpy()[:,None,None])/df.sigma[i].to_numpy()[:,None,None]
    assert kstest(e.ravel()[:100_000], 'norm').pvalue>1e-3
    assert abs((e[:,:,1:]*e[:,:,:-1]).mean())<.005 and abs((e[1:]*e[:-1]).mean())<.005
    assert df.background.max()/df.background.min()>50

@pytest.mark.parametrize('beta,size', [(3.5,21),(None,21),(2.5,20)])
def test_snr_position_and_width_of_sources(beta, size):
    "A bright source has the centroid, the flux and the S/N that its row says"
    x,df = sim_stamps(300, size=size, source=1., snr=(2e4,2e4), beta=beta, seed=1)
    assert (df.label=='source').all()
    c = (size-1)/2
    for im,r in zip(x, df.itertuples()):
        p = point_stamps(np.array([r.x-c]), np.array([r.y-c]), np.array([r.fwhm]), size, beta)[0]
        im = (im-r.background)/r.sigma
        assert np.sqrt((im**2).sum()-size**2)==pytest.approx(2e4, rel=.001) # total power, less that of the noise
        y,xx = np.unravel_index(im.argmax(), im.shape)
        assert abs(xx-r.x)<=.51+1/r.fwhm and abs(y-r.y)<=.51+1/r.fwhm
        if beta is None:
            i = np.arange(size)
            assert (im*i).sum()/im.sum()==pytest.approx(r.x, abs=.02) and (im*i[:,None]).sum()/im.sum()==pytest.approx(r.y, abs=.02)
            var = (im*(i-r.x)**2).sum()/im.sum()
            assert var==pytest.approx((r.fwhm/2.3548)**2, rel=.1)
        np.testing.assert_allclose(im/im.max(), p/p.max(), atol=.01)

def test_fakes_are_what_they_are_called():
    x,df = sim_stamps(2000, source=0., fakes=1., snr=(500,500), seed=2)
    assert (df.label=='noise').all() and set(df.kind)=={'hot pixel','cosmic ray','gradient','dipole'}
    im = (x-df.background.to_numpy()[:,None,None])/df.sigma.to_numpy()[:,None,None]
    power = np.sqrt((im**2).sum((1,2))-21**2)
    np.testing.assert_allclose(power, 500, rtol=.02)
    strong = (abs(im)>20).sum((1,2))
    assert (strong[df.kind=='hot pixel']==1).all() and (strong[df.kind=='cosmic ray']<45).all()
    total = im.sum((1,2))
    assert (abs(total[df.kind.isin(['gradient','dipole'])])<.1*500+5*21).all() and (total[df.kind=='hot pixel']>300).all()
    assert (im[df.kind=='dipole'].min((1,2))<-50).all()

@pytest.mark.parametrize('kw', [dict(n=-1),dict(n=1.5),dict(n=True),dict(seed=-1),dict(size=4),dict(snr=(5,3)),dict(snr=5),dict(snr=(0,3)),dict(source=1.1),dict(fakes=-1),
    dict(fwhm=(0,2)),dict(beta=1),dict(shift=11),dict(source=float('nan'))])
def test_bad_arguments_of_stamps(kw):
    with pytest.raises(GalfastError, match=f'^`{[*kw][0]}` is .* must be'): sim_stamps(**{'n':1, **kw})

# ---- lenses

def test_isothermal_sphere_is_the_limit_and_signs_are_right():
    u,v = np.random.default_rng(1).normal(size=(2,500))
    for a,b in zip(sie_deflection(u, v, 1.2, 1.), sie_deflection(u, v, 1.2, .9999)): np.testing.assert_allclose(a, b, atol=2e-4)
    assert np.hypot(*sie_deflection(u, v, 1.2))==pytest.approx(np.full(500, 1.2)) # the same everywhere, towards the centre
    for q in 1.,.4:
        a,b = sie_deflection(u, v, 1., q)
        assert (a*u>=0).all() and (b*v>=0).all() and all(np.isfinite(o).all() for o in sie_deflection(np.zeros(2), np.array([0.,1]), 1., q))

@pytest.mark.parametrize('q', [.4,.7,.95])
def test_sie_mass_within_the_critical_ellipse(q):
    "By Gauss's theorem the mean divergence within a curve is the flux of the deflection through it: 2 x pi einstein_radius^2 in the ellipse of area pi einstein_radius^2"
    t = (np.arange(20_000)+.5)*2*np.pi/20_000
    a,b = 1.5/math.sqrt(q),1.5*math.sqrt(q) # along q^2 u^2 + v^2 = const
    du,dv = sie_deflection(a*np.cos(t), b*np.sin(t), 1.5, q)
    flux = (du*b*np.cos(t)+dv*a*np.sin(t)).mean()*2*np.pi
    assert flux==pytest.approx(2*np.pi*1.5**2, rel=1e-6)

point = dict(einstein_radius=1.4, lens_q=1., lens_pa=30., source_x=0., source_y=0., source_r=.04, source_n=1., source_q=1., source_pa=0.)
@pytest.mark.parametrize('beta,angle', [(.3,0),(.7,50),(1.1,200)])
def test_two_images_of_a_sphere(beta, angle):
    "At beta + r and beta - r, magnified by r / beta + 1 and r / beta - 1"
    dx,dy = math.cos(math.radians(angle)),math.sin(math.radians(angle))
    im = sim_arc(point | dict(source_x=beta*dx, source_y=beta*dy), 240, .03, sub=6)
    i = (np.arange(240)-119.5)*.03
    s = i*dx+i[:,None]*dy # along the line through lens and source
    near,far = im*(s>0),im*(s<0)
    for o,where,mu in ((near,beta+1.4,1.4/beta+1),(far,beta-1.4,1.4/beta-1)):
        assert (o*s).sum()/o.sum()==pytest.approx(where, abs=.02) and o.sum()==pytest.approx(mu, rel=.03)

def test_a_source_outside_has_one_image_and_no_lens_changes_nothing():
    far = point | dict(source_x=2.)
    im = sim_arc(far, 300, .03, sub=6)
    assert im.sum()==pytest.approx(1+1.4/2, rel=.03) and im[:,:150].sum()<.01*im.sum()
    x = ((np.arange(900)-449.5)*.01)
    im = sim_arc(point | dict(einstein_radius=1e-9, source_x=.5, source_y=-.3, source_r=.3), 300, .03, sub=3)
    np.testing.assert_allclose(im, sersic_ellipse((x-.5)[None]+0*x[:,None], (x+.3)[:,None]+0*x, .3, 1., 1.).reshape(300, 3, 300, 3).mean((1,3))*.03**2, atol=1e-6)

@pytest.mark.parametrize('q', [.5,.8])
def test_quadruple_images_of_an_ellipsoid(q):
    "A source behind the middle of an ellipsoid has two images on each axis, at the distance of their deflection"
    im = sim_arc(point | dict(lens_q=q, lens_pa=0., source_r=.02), 300, .02, sub=4)
    i = (np.arange(300)-149.5)*.02
    u,v = sie_deflection(np.array([1.,0.]), np.array([0.,1.]), 1.4, q)
    band = abs(i)<.1
    on_v,on_u = im[band].sum(0),im[:,band].sum(1) # columns run along the minor axis, rows along the major one, which points north
    for line,r in ((on_v,v[1]),(on_u,u[0])):
        for side in (i>.2,i<-.2): assert abs((line*abs(i))[side].sum()/line[side].sum()-r)<.03

def test_brightness_is_kept():
    row = point | dict(source_r=.3, source_x=.2, lens_q=.7)
    im = sim_arc(row, 200, .03)
    assert im.max()/.03**2<=float(sersic_ellipse(np.zeros(1), np.zeros(1), .3, 1., 1.)[0]) and im.min()>=0

@pytest.fixture(scope='module')
def lenses(): return sim_lenses(40, seed=2, arcs=.5, **quiet)

def test_lenses_are_the_same_however_made(lenses):
    x,df = lenses
    assert x.shape==(40,100,100,3) and x.dtype==np.float32 and np.isfinite(x).all()
    y,d = sim_lenses(5, seed=2, arcs=.5, **quiet)
    np.testing.assert_array_equal(y, x[:5]); pd.testing.assert_frame_equal(d, df[:5])
    y,_ = sim_lenses(5, seed=2, arcs=.5, n_workers=2, **quiet)
    np.testing.assert_array_equal(y, x[:5])
    assert (sim_lenses(1, seed=3, **quiet)[0]!=x[:1]).any()
    for n in 0,1: assert sim_lenses(n, size=33, bands='i', **quiet)[0].shape==(n,33,33,1)

def test_lens_table(lenses):
    _,df = lenses
    assert df.objID.is_unique and ((df.label=='lens')==df.lens).all() and 10<df.lens.sum()<30 and set(df.kind[df.lens])=={'elliptical'}
    assert df.loc[~df.lens, [*arc_cols,'source_i_mag']].isna().all(axis=None) and df.loc[df.lens, arc_cols].notna().all(axis=None)
    assert (df.loc[~df.lens, ['arc_snr','arc_flux_g']]==0).all(axis=None) and (df.arc_snr[df.lens]>0).all()
    assert sim_lenses(6, arcs=True, size=40, **quiet)[1].lens.all() and not sim_lenses(6, arcs=False, size=40, **quiet)[1].lens.any()

def test_arcs_alone_differ():
    a,da = sim_lenses(8, seed=5, arcs=True, **quiet)
    b,db = sim_lenses(8, seed=5, arcs=False, **quiet)
    for i in np.flatnonzero(db.kind=='elliptical'):
        mag = da.source_i_mag[i]
        mu = sim_arc(da.loc[i], 400, .15).sum()
        assert (a[i]-b[i])[...,2].sum()==pytest.approx(mu*10**(.4*(cosmos['zero_point']-mag)), rel=.1)
        y,x = np.mgrid[:100,:100]
        c = 49.5+da.loc[i, ['shift_x','shift_y']].to_numpy(float)
        d = np.maximum((a[i]-b[i])[...,2], 0)
        r = (d*np.hypot(x-c[0], y-c[1])).sum()/d.sum()*.15
        assert .3<r/(da.einstein_radius[i])<2.5

def test_lens_noise_is_that_of_the_cutouts(lenses):
    x,_ = lenses
    e = x[:,:15]-np.median(x[:,:15], (1,2), keepdims=True)
    sig = np.median(1.4826*np.median(abs(e), (1,2)), 0)
    for s,b in zip(sig, 'gri'): assert s==pytest.approx(cosmos['sigma'][b], rel=.35) and s>=.95*cosmos['sigma'][b]

@pytest.mark.skipif(not shared.is_file(), reason='no images of COSMOS in ../shared/data')
def test_lenses_look_like_cosmos(lenses):
    def noise(x): return np.quantile(1.4826*np.median(abs(x[:,:15]-np.median(x[:,:15], (1,2), keepdims=True)), (1,2)), .4, axis=0)
    def middle(x): return np.median(31.4-2.5*np.log10(x[:,30:70,30:70].sum((1,2))), 0)
    r,x = np.load(shared),lenses[0]
    np.testing.assert_allclose(noise(x), noise(r), rtol=.3)
    np.testing.assert_allclose(middle(x), middle(r), atol=1.2)

@pytest.mark.parametrize('kw', [dict(n=-1),dict(size=8),dict(arcs=2),dict(arcs='yes'),dict(bands='gz'),dict(bands=''),dict(bands='gg'),dict(pixscale=0),dict(psf_fwhm=float('inf')),
    dict(source_mag=(26,24)),dict(source_mag=25)])
def test_bad_arguments_of_lenses(kw):
    with pytest.raises(GalfastError, match=f'^`{[*kw][0]}` is .* must be'): sim_lenses(**{'n':1, **kw, **quiet})

def test_arc_of_a_row_that_lacks_something():
    with pytest.raises(GalfastError, match='source_pa'): sim_arc({k: v for k,v in point.items() if k!='source_pa'})

# ---- Galaxy10

def _shape(im):
    "Axis ratio from second moments of the bright part"
    f = im[...,1].astype(float)
    i = np.arange(f.shape[0])-(f.shape[0]-1)/2
    f = np.where((f>40) & (np.hypot(i, i[:,None])<.35*len(i)), f, 0)
    x,y = (f*i).sum()/f.sum(),(f*i[:,None]).sum()/f.sum()
    xx,yy,xy = (f*(i-x)**2).sum(),(f*(i[:,None]-y)**2).sum(),(f*(i-x)*(i[:,None]-y)).sum()
    a,b = np.linalg.eigvalsh([[xx,xy],[xy,yy]])
    return math.sqrt(a/b)

def test_shapes_tell_the_class():
    x,y,df = sim_galaxy10_images(150, seed=7, classes=[1,2,3,6], **quiet)
    q = pd.Series([_shape(o) for o in x]).groupby(y).median()
    assert q[1]>.9>.8>q[2]>.5 and q[2]-.1>q[3]>q[6]-.02 and q[6]<.4
    assert (df.label==[galaxy10_classes['sdss'][i] for i in y]).all() and set(y)=={1,2,3,6}

def test_galaxy10_is_the_same_however_made():
    x,y,df = sim_galaxy10_images(6, seed=1, size=32, **quiet)
    a,b,d = sim_galaxy10_images(3, seed=1, size=32, n_workers=2, **quiet)
    np.testing.assert_array_equal(a, x[:3]); pd.testing.assert_frame_equal(d, df[:3]); assert (b==y[:3]).all()
    assert (sim_galaxy10_images(3, seed=2, size=32, **quiet)[0]!=x[:3]).any()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert [sim_galaxy10_images(n, size=32, **quiet)[0].shape for n in (0,1)]==[(0,32,32,3),(1,32,32,3)]

def test_size_keeps_the_field():
    for lay in 'sdss','decals':
        a,b = (sim_galaxy10_images(4, size=s, layout=lay, **quiet)[2] for s in (32,64))
        np.testing.assert_allclose(a.pxscale*32, b.pxscale*64)
    assert sim_galaxy10_images(2, layout='decals', **quiet)[2].pxscale.tolist()==pytest.approx([.262]*2)

@pytest.mark.parametrize('layout,keys', [('sdss',['ans','images']),('decals',['ans','dec','images','pxscale','ra','redshift'])])
def test_galaxy10_file(tmp_path, layout, keys):
    df = sim_galaxy10(tmp_path/'g.h5', 7, seed=1, size=40, layout=layout, **quiet)
    x,y,d = sim_galaxy10_images(7, 1, 40, layout=layout, **quiet)
    pd.testing.assert_frame_equal(df, d)
    with h5py.File(tmp_path/'g.h5') as f:
        assert sorted(f)==keys and f['images'].dtype==f['ans'].dtype==np.uint8 and f['images'].chunks[0]==7 and f['images'].chunks[3]==1
        np.testing.assert_array_equal(f['images'], x); assert (f['ans'][:]==y).all()
        if 'ra' in keys:
            for k in ('ra','dec','redshift','pxscale'): np.testing.assert_array_equal(f[k], df[k])

def test_a_writer_that_fails_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path/'g.h5').write_bytes(b'old')
    import galfast.sim.sets as s
    def fail(row, **kw): raise OSError('disk full')
    monkeypatch.setattr(s, '_draw_galaxy10', fail)
    with pytest.raises(OSError): sim_galaxy10(tmp_path/'g.h5', 2, size=32, **quiet)
    assert [o.name for o in tmp_path.iterdir()]==['g.h5'] and (tmp_path/'g.h5').read_bytes()==b'old'

@pytest.mark.parametrize('kw', [dict(n=0),dict(n='3'),dict(size=3),dict(classes=[5]),dict(classes=[]),dict(classes=[0,99]),dict(classes=['round']),dict(layout='hst'),dict(layout='decals', classes=[0])])
def test_bad_arguments_of_galaxy10(tmp_path, kw):
    with pytest.raises(GalfastError, match=f'^`{[*kw][-1]}` is .* must be'): sim_galaxy10(tmp_path/'x.h5', **{'n':1, **kw, **quiet})
    assert not (tmp_path/'x.h5').exists()

def test_pictures_are_pictures_of_galaxies():
    x,_,_ = sim_galaxy10_images(10, seed=4, **quiet)
    assert (x[:,30:39,30:39].mean((1,2,3))>3*x[:,:8].mean((1,2,3))).all() and x.max()>150
    assert len({hashlib.sha256(o.tobytes()).hexdigest() for o in x})==10
