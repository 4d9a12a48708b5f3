"Which way up images lie, and on which sky; the truth comes from astropy and from the pixels"
import itertools
import os
from pathlib import Path

import numpy as np, pytest
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from galfast.base.core import ImageError
from galfast.images.fits import FITSImage,read_fits
from galfast.images.wcs import *

real = Path(os.getenv('GALFAST_SHARED', Path(__file__).parents[2]/'shared'))/'data'/'fits'
needs_real = pytest.mark.skipif(not real.is_dir(), reason=f'no real FITS files at {real}')
nx,ny = 24,30
sip = dict(A_ORDER=2, B_ORDER=3, A_2_0=1e-4, A_1_1=3e-5, A_0_2=-2e-4, B_0_2=2e-4, B_2_1=1e-6, AP_ORDER=1, BP_ORDER=1, AP_1_0=0., BP_0_1=0.)

def matrix(angle=0., mirror=False, scale=7e-5):
    "Of pixels that are turned by `angle` degrees from north up, east left in the file"
    c,s = np.cos(np.radians(angle)),np.sin(np.radians(angle))
    return scale*np.array([[-c,s],[s,c]])@np.diag([-1 if mirror else 1,1])

def header(m=None, how='CD', ctype=('RA---TAN','DEC--TAN'), crval=(150.,30.), crpix=(12.5,15.5), **kw):
    "The header of the matrix `m`, written as `how`"
    m = matrix() if m is None else m
    h = dict(CTYPE1=ctype[0], CTYPE2=ctype[1], CRVAL1=crval[0], CRVAL2=crval[1], CRPIX1=crpix[0], CRPIX2=crpix[1])
    name = {'CD': 'CD{}_{}', 'PC': 'PC{}_{}', 'PC00': 'PC00{}00{}'}[how]
    if how!='CD': h |= dict(CDELT1=2e-5, CDELT2=2e-5)
    h |= {name.format(i+1, j+1): float(m[i,j]/(1 if how=='CD' else 2e-5)) for i in (0,1) for j in (0,1)}
    return fits.Header(list((h|kw).items()))

def write(path, x, h): fits.PrimaryHDU(x, h).writeto(path, overwrite=True); return path

def agrees(im, x, h):
    "Does each pixel of `im`, which are all different, lie where astropy puts it in the file?"
    pix = {v: divmod(i, x.shape[1]) for i,v in enumerate(x.ravel().tolist())}
    r,c = np.indices(im.shape[-2:])
    y,u = np.array([[pix[v] for v in o] for o in im[0].tolist()]).transpose(2,0,1)
    return im.wcs.pixel_to_world(c, r).separation(WCS(h).pixel_to_world(u, y)).arcsec.max()<1e-5

def is_up(im):
    "Degrees of north from up, and of east from the left, in the middle of the image"
    h,w = im.shape[-2:]
    o = im.wcs.pixel_to_world([w/2,w/2,w/2+1], [h/2,h/2-1,h/2]).icrs
    up,right = o[0].spherical_offsets_to(o[1]),o[0].spherical_offsets_to(o[2])
    north = np.degrees(np.arctan2(up[0].deg, up[1].deg))
    return abs(north),abs(np.degrees(np.arctan2(right[1].deg, -right[0].deg)))

@pytest.mark.parametrize('how', ['CD','PC','PC00'])
@pytest.mark.parametrize('suffix', ['.fits','.fits.gz'])
def test_any_angle_and_mirror(tmp_path, how, suffix):
    x = np.random.default_rng(0).permutation(nx*ny).reshape(ny,nx).astype('f4')
    for angle,mirror in itertools.product((0,30,60,90,120,180,-90,-100,-44,44), (False,True)):
        h = header(matrix(angle, mirror), how)
        im = FITSImage.create(write(tmp_path/f'a{suffix}', x, h))
        assert agrees(im, x, h) and max(is_up(im))<45.1, (angle,mirror)
        assert np.array_equal(im[0], x[::-1]) or abs(angle)>45 or mirror # as before where a file is nearly north up

@pytest.mark.parametrize('kw', [dict(how='CD'), dict(how='PC'), dict(how='CD', ctype=('RA---TAN-SIP','DEC--TAN-SIP'), **sip)])
def test_eight_ways_of_storing_one_sky(tmp_path, kw):
    sky = np.random.default_rng(0).normal(size=(ny,nx)).astype('f4')
    up = matrix()@np.diag([1,-1]) # row 0 north
    for swap,left,down in itertools.product((0,1), repeat=3):
        x,m = sky,up
        if left: x,m = x[:,::-1],m@np.diag([-1,1])
        if down: x,m = x[::-1],m@np.diag([1,-1])
        if swap: x,m = x.T,m@np.array([[0,1],[1,0]])
        h = header(m, **kw)
        for f in ('a.fits','a.fits.gz'):
            im = FITSImage.create(write(tmp_path/f, x, h))
            np.testing.assert_array_equal(im[0], sky)
            assert agrees(im, x, h)

def test_crota_swapped_axes_and_other_coordinates(tmp_path):
    x = np.random.default_rng(0).permutation(nx*ny).reshape(ny,nx).astype('f4')
    crota = header(); [crota.remove(k) for k in ('CD1_1','CD1_2','CD2_1','CD2_2')]
    crota.update(CDELT1=-7e-5, CDELT2=7e-5)
    for a in (0,20,100,180):
        crota['CROTA2'] = float(a)
        im = FITSImage.create(write(tmp_path/'a.fits', x, crota))
        assert agrees(im, x, crota) and max(is_up(im))<45.1, a
    kinds = [dict(ctype=('DEC--TAN','RA---TAN'), crval=(30.,150.), m=matrix()[::-1]), dict(ctype=('GLON-TAN','GLAT-TAN')), dict(ctype=('RA---CAR','DEC--CAR'), crval=(150.,0.)),
             dict(ctype=('GLON-CAR','GLAT-CAR'), crval=(33.,0.)), dict(crpix=(15000.,-9000.), crval=(10.,88.)), dict(LONPOLE=90.), dict(crval=(150.,-89.9)),
             dict(PC1_1=-7e-5, PC2_2=7e-5, CDELT1=1., CDELT2=1.)] # a CD and a PC matrix at once
    for kw in kinds:
        h = header(**kw)
        im = FITSImage.create(write(tmp_path/'a.fits', x, h))
        assert agrees(im, x, h) and max(is_up(im))<46, kw # galactic north, too, is turned to the north of the equator

def test_no_or_broken_wcs_is_turned_over_as_ever(tmp_path):
    x = np.random.default_rng(0).normal(size=(ny,nx)).astype('f4')
    for h in (fits.Header(), fits.Header([('CTYPE1','LINEAR'), ('CTYPE2','LINEAR'), ('CDELT2',-1.)]), header(np.zeros((2,2))),
              header(CRVAL2='north'), fits.Header([('CTYPE1','RA---TAN')])):
        for f in ('a.fits','a.fits.gz'): np.testing.assert_array_equal(read_fits(write(tmp_path/f, x, h))[0][0], x[::-1])

def test_cubes_and_colours_last_are_turned(tmp_path):
    sky = np.random.default_rng(0).normal(size=(3,ny,nx)).astype('f4')
    up = matrix()@np.diag([1,-1])
    np.testing.assert_array_equal(read_fits(write(tmp_path/'a.fits', sky, header(up)))[0], sky)
    np.testing.assert_array_equal(read_fits(write(tmp_path/'a.fits', sky[None], header(up)))[0], sky)
    last = header(up) # the same on axes 2 and 3
    moved = fits.Header([('CTYPE1','BAND')]+[(k.replace('2', 'c').replace('1', '2').replace('c', '3'), v) for k,v in last.items()])
    im = FITSImage.create(write(tmp_path/'b.fits', np.moveaxis(sky, 0, -1).copy(), moved))
    np.testing.assert_array_equal(im, sky)
    assert im.wcs.pixel_to_world(3, 5).separation(WCS(last).pixel_to_world(3, 5)).arcsec<1e-6

# Bands on one sky

def pair(tmp, a, b, xa=None, xb=None):
    x = np.random.default_rng(1).normal(size=(ny,nx)).astype('f4')
    write(tmp/'g.fits', x if xa is None else xa, a); write(tmp/'r.fits', x if xb is None else xb, b)
    return tmp/'{band}.fits'

def test_bands_of_other_orientation_become_one(tmp_path):
    sky = np.random.default_rng(0).normal(size=(ny,nx)).astype('f4')
    for angle in (0., 45., 30.): # at 45 degrees rounding must not turn one of them
        a = matrix(angle)
        for m,x in ((a@np.diag([-1,-1]),sky[::-1,::-1]), (a@np.diag([1,-1]),sky[::-1]), (a@[[0,1],[1,0]],sky.T), (a*(1+1e-12)+1e-17,sky)):
            o = read_fits(pair(tmp_path, header(a), header(m, crpix=(12.5,15.5) if x.shape==sky.shape else (15.5,12.5)), sky, x), 'gr')[0]
            np.testing.assert_array_equal(o[0], o[1])

@pytest.mark.parametrize('kw,said', [(dict(crpix=(15.5,15.5)), '3.00 px off'), (dict(m=matrix(2.)), 'turned by .*2.00 degrees'), (dict(m=matrix(scale=1.05e-4)), '1.5 times as large'),
                                     (dict(crval=(190.,30.)), 'elsewhere on the sky, 34'), (dict(crval=(330.,-30.)), 'elsewhere on the sky, 180')])
def test_bands_elsewhere_are_named(tmp_path, kw, said):
    src = pair(tmp_path, header(), header(**kw))
    with pytest.raises(ImageError, match=f'r.fits.*{said}.*g.fits.*half a pixel.*aligned=True') as e: read_fits(src, 'gr')
    assert '--aligned' in e.value.typed
    assert read_fits(src, 'gr', aligned=True)[0].shape==(2,ny,nx)
    h = fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(np.ones((ny,nx)), o, name=k) for k,o in zip('gr', (header(),header(**kw))))])
    h.writeto(tmp_path/'two.fits')
    with pytest.raises(ImageError, match='image 2'): read_fits(tmp_path/'two.fits', hdu=[1,2])

def test_bands_that_agree_to_half_a_pixel(tmp_path):
    for d in (.49, -.3, 1e-9): assert read_fits(pair(tmp_path, header(), header(crpix=(12.5+d,15.5-d))), 'gr')[0].shape==(2,ny,nx)
    assert read_fits(pair(tmp_path, header(how='CD'), header(how='PC')), 'gr')[0].shape==(2,ny,nx)
    assert read_fits(pair(tmp_path, header(RADESYS='ICRS'), header(RADESYS='FK5', EQUINOX=2000.)), 'gr')[0].shape==(2,ny,nx)
    assert read_fits(pair(tmp_path, fits.Header(), fits.Header()), 'gr')[0].shape==(2,ny,nx)
    with pytest.raises(ImageError): read_fits(pair(tmp_path, header(), header(crpix=(12.5,16.02))), 'gr')

def test_a_band_without_wcs_is_named(tmp_path):
    with pytest.raises(ImageError, match='r.fits: no WCS, while .*g.fits has one'): read_fits(pair(tmp_path, header(), fits.Header()), 'gr')
    south = header(matrix(180))
    x = read_fits(pair(tmp_path, south, fits.Header()), 'gr', aligned=True)[0]
    np.testing.assert_array_equal(x[0], x[1]) # they lie on the same pixels: both are turned

# Real files

@needs_real
def test_real_files_are_north_up():
    for g in ('abell2670/*band.fits','hsc/*.fits','legacysurvey_dr9/*.fits','sdss_frame/frame*','sdss_reprojected/*','sn2006bh/*'):
        for f in sorted(real.glob(g)): assert max(is_up(FITSImage.create(f)))<45.1, f

@needs_real
def test_real_fits_lie_as_their_jpegs():
    "DECam stores these on their side and in a mirror; the JPEGs are the survey's own"
    n = 0
    for o in (132,150,360,731):
        f,j = real/f'abell2670/{o}_gband.fits',real/f'abell2670/jpeg/L{o}.jpg'
        if not j.exists(): continue
        a = FITSImage.create(f)[0].numpy()
        b = np.asarray(Image.open(j).convert('L').resize(a.shape[::-1]), float)
        a = np.arcsinh((a-np.median(a))/a.std())
        seen = {(k,m): np.corrcoef(np.rot90(a[:,::-1] if m else a, k).ravel(), b.ravel())[0,1] for k in range(4) for m in (0,1)}
        assert max(seen, key=seen.get)==(0,0), (o,seen)
        n += 1
    assert n==4

@needs_real
def test_real_bands_that_agree_and_that_do_not():
    d = real/'sn2006bh'
    for s in ('DES','PS1'): assert len(read_fits(d/f'{s}_{{band}}.fits', 'griz')[0])==4
    with pytest.raises(ImageError, match='SDSS_r.fits .*9.7. px off'): read_fits(d/'SDSS_{band}.fits', 'gr') # frames of a scan: a filter is some pixels from the next
    assert len(read_fits(d/'SDSS_{band}.fits', 'gr', aligned=True)[0])==2
    assert len(read_fits(real/'sdss_reprojected/reprojected_sdss_{band}.fits.bz2', 'gri')[0])==3
