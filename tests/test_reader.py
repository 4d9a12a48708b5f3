"Pixels of JPEGs as PIL decodes them, whatever kind of JPEG, and PIL's words where a file is not one; borders of small images"
import io,os,struct
from pathlib import Path

import numpy as np,pytest,torch
from astropy.io import fits
from PIL import Image

from galfast.core import ImageError
from galfast.reader import ImageReader,read_rgb,rgb_pixels

shared = Path(os.getenv('GALFAST_SHARED', Path(__file__).parent.parent.parent/'shared'))/'data'

def scene(h=61, w=83, seed=0):
    y,x = np.mgrid[:h,:w]
    a = np.stack([200*np.exp(-((y-h/2)**2+(x-w/2)**2)/k) for k in (90,140,200)], -1)
    return (a+np.random.default_rng(seed).normal(20, 6, a.shape)).clip(0, 255).astype('u1')

def jpeg(mode='RGB', **kw):
    out = io.BytesIO()
    Image.fromarray(scene()).convert(mode).save(out, 'JPEG', **kw)
    return out.getvalue()

kinds = {**{f'subsampling{i}': dict(subsampling=i) for i in (0,1,2)}, 'progressive': dict(progressive=True), 'grey': dict(mode='L'), 'cmyk': dict(mode='CMYK'),
         'rgb': dict(keep_rgb=True), 'restarts': dict(restart_marker_rows=1), 'coarse': dict(quality=5), 'fine': dict(quality=100, optimize=True), 'exif': dict(exif=b'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0')}

@pytest.mark.parametrize('kw', kinds.values(), ids=kinds)
def test_pixels_are_those_of_pil(kw, tmp_path):
    f = tmp_path/'a.jpg'
    f.write_bytes(jpeg(**kw))
    x = rgb_pixels(f)
    assert x.dtype==np.uint8 and x.flags.writeable and (x==np.asarray(Image.open(f).convert('RGB'))).all() and x.std()>10

@pytest.mark.parametrize('mode', ['RGB','L','RGBA','P'])
def test_png(mode, tmp_path):
    Image.fromarray(scene()).convert(mode).save(tmp_path/'a.png')
    assert (rgb_pixels(tmp_path/'a.png')==np.asarray(read_rgb(tmp_path/'a.png'))).all()

def test_every_cut_of_a_file_is_what_pil_makes_of_it(tmp_path):
    whole,f = jpeg(),tmp_path/'a.jpg'
    refused = 0
    for n in range(0, len(whole)+1, 37):
        f.write_bytes(whole[:n])
        try: want = np.asarray(read_rgb(f))
        except ImageError as e:
            refused += 1
            with pytest.raises(ImageError) as r: rgb_pixels(f)
            assert str(r.value)==str(e)
        else: assert (rgb_pixels(f)==want).all()
    assert refused>10

@pytest.mark.parametrize('seed', range(3))
def test_flipped_bits_are_what_pil_makes_of_them(seed, tmp_path):
    whole,f,rng = bytearray(jpeg()),tmp_path/'a.jpg',np.random.default_rng(seed)
    for _ in range(60):
        b = bytearray(whole)
        for i in rng.integers(0, len(b), 3): b[i] ^= 1<<rng.integers(8)
        f.write_bytes(b)
        try: want = np.asarray(read_rgb(f))
        except ImageError:
            with pytest.raises(ImageError): rgb_pixels(f)
        else: assert (rgb_pixels(f)==want).all()

def test_a_header_that_asks_for_gigabytes(tmp_path):
    b = bytearray(jpeg())
    i = b.index(b'\xff\xc0')
    b[i+5:i+9] = struct.pack('>HH', 65500, 65500)
    (tmp_path/'a.jpg').write_bytes(b)
    with pytest.raises(ImageError, match='a.jpg'): rgb_pixels(tmp_path/'a.jpg')

@pytest.mark.parametrize('data,words', [(b'', 'the file is empty'), (b'<html>', 'web page'), (b'\xff\xd8\xff', 'no image'), (None, 'cannot be opened')])
def test_what_is_no_image(data, words, tmp_path):
    if data is not None: (tmp_path/'a.jpg').write_bytes(data)
    with pytest.raises(ImageError, match=words): rgb_pixels(tmp_path/'a.jpg')

@pytest.mark.skipif(not shared.exists(), reason=f'no real galaxies in {shared}')
@pytest.mark.parametrize('name', ['metallicity','morphology','bars'])
def test_real_galaxies(name):
    files = sorted((shared/name).rglob('*.jp*g'))
    assert len(files)>=40
    for f in files[::max(len(files)//100, 1)]: assert (rgb_pixels(f)==np.asarray(read_rgb(f))).all()

@pytest.mark.parametrize('hw', [(20,30), (31,24), (40,41)])
@pytest.mark.parametrize('kw', [dict(crop=32), dict(crop=33, size=16)])
def test_borders_of_small_images(hw, kw, tmp_path):
    "JPEG, PNG and FITS alike: zeros around, and for FITS the mask says so"
    h,w = hw
    a = scene(h, w)
    Image.fromarray(a).save(tmp_path/'a.png')
    fits.PrimaryHDU(a.transpose(2,0,1)[:,::-1].astype('f4')).writeto(tmp_path/'a.fits')
    if min(hw)<kw['crop']:
        for kind in ('rgb','fits'):
            with pytest.raises(ImageError, match='smaller than the crop'): ImageReader(kind, **kw)(tmp_path/('a.png' if kind=='rgb' else 'a.fits'))
    p,read = ImageReader('rgb', pad=True, **kw)(tmp_path/'a.png'),ImageReader('fits', pad=True, **kw)
    q = read(tmp_path/'a.fits')
    assert p.shape==q.shape==(3,)+(kw.get('size', kw['crop']),)*2
    assert np.abs(p.numpy().astype(float)-q.numpy()).max()<2
    x,missing = read.decode(tmp_path/'a.fits')
    assert (x==q.numpy()).all()
    if 'size' in kw: return
    c,y0,x0 = kw['crop'],(h-kw['crop'])//2,(w-kw['crop'])//2
    want = np.zeros((c,c,3), 'u1')
    ys,xs = (np.arange(c)+o for o in (y0, x0))
    inside = ((ys>=0)&(ys<h))[:,None]&((xs>=0)&(xs<w))
    want[inside] = a[np.ix_(ys.clip(0, h-1), xs.clip(0, w-1))][inside]
    assert (p.numpy()==want.transpose(2,0,1)).all() and ((missing==~inside).all() if min(hw)<c else missing is None)

def test_place_on_the_sky_with_a_border(tmp_path):
    from galfast.image import CropResize,FITSImage
    hdr = fits.Header(dict(CTYPE1='RA---TAN', CTYPE2='DEC--TAN', CRVAL1=150., CRVAL2=2., CRPIX1=10., CRPIX2=8., CD1_1=-1e-4, CD2_2=1e-4))
    fits.PrimaryHDU(np.ones((20,30), 'f4'), hdr).writeto(tmp_path/'a.fits')
    x = FITSImage.create(tmp_path/'a.fits')
    y = CropResize(40, 40, pad=True)(x)
    assert y.wcs.pixel_to_world(5+3, 10+4).separation(x.wcs.pixel_to_world(3, 4)).arcsec<1e-6
    assert y.sum()==600 and y.shape==(1,40,40)

def test_arrays_are_cropped_and_resized():
    x = torch.arange(3*8*8, dtype=torch.uint8).view(3,8,8)
    assert (ImageReader('array', crop=4)(x)==x[:,2:6,2:6]).all() and ImageReader('array', size=4)(x).shape==(3,4,4) and (ImageReader('array')(x)==x).all()
