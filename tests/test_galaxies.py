"Simulated galaxies: the same anywhere, with the light, place and orientation that the catalogue says"
import hashlib,math

import numpy as np,pandas as pd,pytest
from astropy.io import fits
from astropy.modeling.models import Sersic2D
from astropy.wcs import WCS
from PIL import Image
from scipy.ndimage import gaussian_filter

from galfast.base.core import GalfastError
from galfast.sim.galaxies import irreducible_rmse,petro_radii,sim_catalog,sim_cols,sim_galaxy,sim_rgb,sim_survey

clean = dict(noise=False, neighbours=False)
kinds = 'elliptical','spiral','edge-on'

@pytest.fixture(scope='module')
def df(): return sim_catalog(3000, seed=4)

def _first(df, kind, **kw): return dict(df[df.morphology==kind].iloc[0], **kw)
def _digest(d):
    return {p.relative_to(d).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(d.rglob('*')) if p.is_file()}

def test_catalog_is_deterministic_and_grows_at_its_end(df):
    pd.testing.assert_frame_equal(df[:20], sim_catalog(20, seed=4))
    assert not df.objID[:20].isin(sim_catalog(20, seed=5).objID).any()

def test_ids(df):
    assert df.objID.is_unique and df.objID.map(type).eq(str).all() and df.objID.str.fullmatch(r'1237\d{15}').all()
    assert (df.objID.astype('int64').astype(str)==df.objID).all()

def test_labels_scatter_as_promised(df):
    for t,r in (('metallicity',1),('redshift',df.redshift_mean)):
        e = (df[t]-df[f'{t}_mean'])/r
        s = dict(metallicity=.08, redshift=.05)[t]
        assert abs(e.std()/s-1)<.05 and abs(e.mean())<4*s/math.sqrt(len(df))
        # what is left to chance goes with nothing that an image shows
        assert (df.select_dtypes('number').drop(columns=[t,'ra','dec']).corrwith(e).abs()<.08).all()
    assert irreducible_rmse(df)==pytest.approx(.08, rel=.05)
    assert irreducible_rmse(sim_catalog(50, scatter=0))==0

def test_catalog_is_physical(df):
    assert (df.petroR90_r>df.petroR50_r).all() and (df.redshift>0).all() and (df.r_mag<=17.001).all()
    c = df.assign(c=df.petroR90_r/df.petroR50_r, g_r=df.g_mag-df.r_mag).groupby('morphology')[['c','g_r']].mean()
    assert c.c['elliptical']>2.9>2.6>c.c['spiral'] and c.g_r['elliptical']>c.g_r['spiral']+.1
    assert (df.q[df.morphology=='edge-on']<.3).all() and (df.q[df.morphology=='spiral']>=.5).all()
    assert abs((df.bar[df.morphology=='spiral']>0).mean()-1/3)<.05

def test_petro_radii_of_a_disc():
    # two Petrosian radii hold nearly all of an exponential disc, of which x = 1.678 and 3.890 scale lengths hold half and nine tenths
    r50,r90 = petro_radii(np.zeros(1), np.ones(1), np.ones(1), np.full(1, 3.))
    assert r50[0]==pytest.approx(3, rel=.02) and r90[0]==pytest.approx(3*3.890/1.678, rel=.03)

def test_image_alone_in_order_and_by_band(df):
    a,b = df.iloc[0],df.iloc[1]
    x = sim_galaxy(a, 'gri')
    sim_galaxy(b)
    assert x.dtype==np.float32 and x.shape==(3,128,128) and np.isfinite(x).all()
    np.testing.assert_array_equal(x, sim_galaxy(a.to_dict(), 'gri'))
    np.testing.assert_array_equal(x[[2,0]], sim_galaxy(a, 'ig'))
    assert (x!=sim_galaxy(a, seed=1)).any()
    # the same place in the sky, whoever is in the middle, has noise of its own
    assert abs(np.corrcoef((x-sim_galaxy(a, noise=False))[0].ravel(), (sim_galaxy(b)-sim_galaxy(b, noise=False))[0].ravel())[0,1])<.05

@pytest.mark.parametrize('kind', kinds)
@pytest.mark.parametrize('size,pixscale', [(500,.396),(301,.7)])
def test_flux_is_conserved(df, kind, size, pixscale):
    for bar in 0.,.1:
        g = _first(df, kind)
        if kind=='spiral': g['bar'] = bar
        want = [10**(.4*(22.5-g[f'{b}_mag'])) for b in 'ugriz']
        np.testing.assert_allclose(sim_galaxy(g, 'ugriz', size, pixscale, **clean).sum((1,2)), want, rtol=.01)

def test_noise_is_that_of_sdss(df):
    "Frames of SDSS: 0.02 to 0.035 nanomaggies a pixel in g, 0.03 to 0.04 in r"
    g = dict(df.iloc[0], **{f'{b}_mag': 30. for b in 'ugriz'})
    x = sim_galaxy(g, neighbours=False)
    assert .02<x[0].std()<.035 and .03<x[1].std()<.041 and abs(x.mean())<.002

@pytest.mark.parametrize('kind,n', [('elliptical',4.),('edge-on',1.)])
@pytest.mark.parametrize('size', [64,65])
def test_against_astropy(df, kind, n, size):
    "astropy's Sersic2D, thirty points a pixel, blurred by scipy: x is right, y is up, theta from x to y"
    f = float(kind=='elliptical')
    g = _first(df, kind, bulge_frac=f, bulge_n=n, r_bulge=2., r_disc=3., q=.6, q_bulge=.6, pa=35.)
    pix,sub,re = .4,30,2. if f else 3.
    i = (np.arange(size*sub)-(size*sub-1)/2)*pix/sub
    m = Sersic2D(1, re, n, 0, 0, ellip=.4, theta=math.radians(90+g['pa']))(i[None], -i[:,None]).reshape(size, sub, size, sub).mean((1,3))
    x = sim_galaxy(g, 'r', size, pix, psf_fwhm=0, **clean)[0]
    np.testing.assert_allclose(x/x.sum(), m/m.sum(), rtol=.05, atol=2e-5)
    s = 1.3/2.355/pix
    m = .9*gaussian_filter(m, s)+.1*gaussian_filter(m, 2.5*s)
    x = sim_galaxy(g, 'r', size, pix, **clean)[0]
    np.testing.assert_allclose((x/x.sum())[8:-8,8:-8], (m/m.sum())[8:-8,8:-8], rtol=.03, atol=2e-6)

@pytest.mark.parametrize('pa', [0.,30,90,120,179])
@pytest.mark.parametrize('size', [96,97])
def test_centroid_and_position_angle(df, pa, size):
    x = sim_galaxy(_first(df, 'edge-on', pa=pa, r_disc=4.), 'r', size, **clean)[0]
    i = np.arange(size)-(size-1)/2
    e,n = np.broadcast_arrays(-i[None], -i[:,None])  # column 0 is east, row 0 is north
    assert abs((x*e).sum()/x.sum())<.01 and abs((x*n).sum()/x.sum())<.01
    got = math.degrees(.5*math.atan2(2*(x*e*n).sum(), (x*(n*n-e*e)).sum()))
    assert (got-pa+90)%180-90==pytest.approx(0, abs=.5)

def test_arms_wind_both_ways_and_bars_show(df):
    g = _first(df, 'spiral', q=1., r_disc=5., bar=0., arms=.7, bulge_frac=.1, pitch=20.)
    x = [sim_galaxy(dict(g, **kw), 'r', **clean)[0] for kw in ({},dict(pitch=-20.),dict(arms=0.),dict(bar=.15))]
    assert all(abs(o-x[0]).max()>.05*x[0].max()/5 for o in x[1:])
    np.testing.assert_allclose(x[2], x[2].T, rtol=1e-3, atol=1e-4)  # no arms: round

def test_neighbours(df):
    n = [abs(sim_galaxy(g, 'r', noise=False)-sim_galaxy(g, 'r', **clean)).max() for g in df[:30].to_dict('records')]
    assert np.mean(np.array(n)>.05)>.5

@pytest.mark.parametrize('n_workers', [0,2])
def test_survey(tmp_path, n_workers):
    seen = []
    kw = dict(seed=2, size=48, formats=('jpg','fits'), bands='gz')
    d = sim_survey(tmp_path/'a', 5, n_workers=n_workers, progress=lambda *o: seen.append(o), **kw)
    assert seen==[(i+1,5) for i in range(5)]
    e = sim_survey(tmp_path/'b', 5, n_workers=1, progress=lambda *o: None, **kw)
    assert _digest(tmp_path/'a')==_digest(tmp_path/'b')
    pd.testing.assert_frame_equal(d, e)
    names = [f'images/{o}.jpg' for o in d.objID]+[f'fits/{o}.fits' for o in d.objID]
    assert sorted(_digest(tmp_path/'a'))==sorted(['catalog.csv','truth.csv',*names])
    c = pd.read_csv(tmp_path/'a/catalog.csv', dtype={'objID':str})
    assert [*c]==sim_cols and c.objID.tolist()==d.objID.tolist()
    np.testing.assert_allclose(c.metallicity, d.metallicity, rtol=1e-7)
    both = c.merge(pd.read_csv(tmp_path/'a/truth.csv', dtype={'objID':str}), on='objID')
    assert irreducible_rmse(both)==pytest.approx(irreducible_rmse(d), rel=1e-6)

@pytest.mark.parametrize('size', [64,65])
def test_files(tmp_path, size):
    d = sim_survey(tmp_path, 2, size=size, pixscale=.5, formats=('jpg','fits'), progress=lambda *o: None)
    for g in d.to_dict('records'):
        with fits.open(tmp_path/f"fits/{g['objID']}.fits") as f: h,x = f[0].header,f[0].data.astype('f4')
        assert (h['BITPIX'],h['NAXIS1'],h['NAXIS3'],h['BANDS'],h['BAND2'],h['BUNIT'],h['MAGZERO'])==(-32,size,3,'gri','i','nanomaggy',22.5)
        w = WCS(h).celestial
        np.testing.assert_allclose(w.pixel_to_world_values((size-1)/2, (size-1)/2), [g['ra'],g['dec']], atol=1e-9)
        (ra,_),(_,dec) = w.pixel_to_world_values(0, 0),w.pixel_to_world_values(0, size-1)
        assert ra>g['ra'] and dec>g['dec']  # left is east, the last row is north
        np.testing.assert_array_equal(x[:,::-1], sim_galaxy(g, size=size, pixscale=.5))
        pic = Image.open(tmp_path/f"images/{g['objID']}.jpg")
        assert pic.size==(size,size) and pic.format=='JPEG' and pic.quantization[0][0]==3  # as SDSS's files: quality 90
        a,b = (np.asarray(o.convert('L'), float) for o in (pic,Image.fromarray(sim_rgb(x[:,::-1], pixscale=.5))))
        near = abs(a-b).mean()  # of brightness: a JPEG keeps colour in blocks only
        assert near<3 and all(abs(a-o).mean()>2*near for o in (b[::-1],b[:,::-1],b.T))  # right way up, not mirrored

def test_rgb(df):
    g = df.iloc[0]
    assert sim_rgb(np.zeros((3,8,8))).max()==0
    x = sim_galaxy(g, 'zirg')
    np.testing.assert_array_equal(sim_rgb(x, 'zirg'), sim_rgb(x[[3,2,1]], 'gri'))
    red = np.zeros((3,8,8), np.float32); red[2] = 1
    assert sim_rgb(red)[0,0].tolist()[1:]==[0,0] and sim_rgb(red)[0,0,0]>100

def test_none_and_one(tmp_path):
    assert [len(sim_catalog(n)) for n in (0,1)]==[0,1] and [*sim_catalog(0)]==[*sim_catalog(1)]
    assert sim_catalog(0).objID.dtype==sim_catalog(1).objID.dtype
    for n in 0,1:
        d = sim_survey(tmp_path/str(n), n, size=32, progress=lambda *o: None)
        assert len(d)==n==len(list((tmp_path/str(n)/'images').iterdir()))
        assert len(pd.read_csv(tmp_path/str(n)/'catalog.csv', dtype={'objID':str}))==n
    for size in 8,9: assert sim_galaxy(d.iloc[0], 'r', size).shape==(1,size,size)

bad = dict(n=-1, seed=1.5, scatter=-.1, size=4, formats=('png',), bands='gx', pixscale=0, n_workers=-2, psf_fwhm=float('nan'))
@pytest.mark.parametrize('arg,val', bad.items())
def test_bad_arguments(tmp_path, arg, val):
    with pytest.raises(GalfastError, match=f'^`{arg}` is ') as e: sim_survey(tmp_path/'x', **{'n':1, **{arg:val}})
    assert 'must be' in str(e.value) and not (tmp_path/'x').exists()

def test_other_bad_arguments(df):
    for kw in (dict(bands=''),dict(bands='gg'),dict(bands=5),dict(formats=()),dict(n=True),dict(seed='0')):
        with pytest.raises(GalfastError, match=f'^`{[*kw][0]}` is '): sim_survey('nowhere', **kw)
    for kw in (dict(n='a'),dict(z_scatter=float('inf'))):
        with pytest.raises(GalfastError, match=f'^`{[*kw][0]}` is '): sim_catalog(**kw)
    with pytest.raises(GalfastError, match='^`row` has no .*pa'): sim_galaxy(df[sim_cols].iloc[0])
    with pytest.raises(GalfastError, match='^`target` is'): irreducible_rmse(df, 'r_mag')
    with pytest.raises(GalfastError, match='^`bands` is'): sim_rgb(np.zeros((3,8,8)), 'grz')
