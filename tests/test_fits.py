"Images: every kind of FITS file, hostile ones, and the real ones"
import bz2,copy,gzip,os,pickle,warnings
from pathlib import Path

import numpy as np, pandas as pd, pytest, torch
from astropy.io import fits
from astropy.stats import sigma_clipped_stats
from astropy.wcs import WCS
from fastai.vision.all import DataBlock,Dihedral,Flip,IndexSplitter,IntToFloatTensor,Normalize,PILImage,RegressionBlock,Rotate,TensorImage
from PIL import Image

from galfast.base.core import GalfastError,ImageError
from galfast.base.find import fill_pattern,find_images
from galfast.images.fits import *

rng = np.random.default_rng(42)
real = Path(os.getenv('GALFAST_SHARED', Path(__file__).parents[2]/'shared'))/'data'/'fits'
needs_real = pytest.mark.skipif(not real.is_dir(), reason=f'no real FITS files at {real}')

def _write(path, x, hdr=None, **kw): fits.PrimaryHDU(x, hdr, **kw).writeto(path, overwrite=True); return path

def _wcs_header(n, sip=False, cd=True):
    w = WCS(naxis=2)
    w.wcs.ctype = ['RA---TAN-SIP','DEC--TAN-SIP'] if sip else ['RA---TAN','DEC--TAN']
    w.wcs.crval,w.wcs.crpix = [150.,30.],[n/3,n/2]
    m = np.array([[-7e-5,2e-5],[2.5e-5,6e-5]])
    if cd: w.wcs.cd = m
    else: w.wcs.cdelt,w.wcs.pc = [1e-4,2e-4],m/[[1e-4],[2e-4]]
    h = w.to_header(relax=True)
    if sip:
        h['A_ORDER'],h['B_ORDER'],h['A_2_0'],h['A_1_1'],h['A_0_2'],h['B_0_2'],h['B_2_1'] = 2,3,1e-4,3e-5,-2e-4,2e-4,1e-6
    return h

# Reading: number types, byte order, compression

@pytest.mark.parametrize('dt', ['u1','i2','u2','i4','u4','i8','f4','f8','>f4','>i2','<f8'])
@pytest.mark.parametrize('shape', [(7,9), (3,7,9), (1,1,7,9), (1,3,7,9)])
def test_dtypes(tmp_path, dt, shape):
    x = rng.integers(0, 200, shape).astype(dt)
    o,bands,hdr = read_fits(_write(tmp_path/'a.fits', x))
    assert o.dtype==np.float32 and o.dtype.isnative and o.flags.c_contiguous and o.flags.writeable and bands is None
    np.testing.assert_array_equal(o, x.reshape(-1,7,9)[:,::-1].astype('f4'))

def test_scaled_and_blank(tmp_path):
    raw = rng.integers(-1000, 1000, (8,8)).astype('i2')
    h = fits.PrimaryHDU(raw); h.header['BSCALE'],h.header['BZERO'],h.header['BLANK'] = 0.5,100.,int(raw[0,0])
    # written by hand: astropy drops BSCALE of an array in memory
    b = bytearray(_bytes(h, tmp_path)); (tmp_path/'s.fits').write_bytes(b)
    o = read_fits(tmp_path/'s.fits', nan='keep')[0][0,::-1]
    bad = raw==raw[0,0]
    np.testing.assert_array_equal(np.isnan(o), bad)
    np.testing.assert_allclose(o[~bad], (raw*0.5+100)[~bad], rtol=1e-6)
    assert (read_fits(tmp_path/'s.fits')[0][0,::-1][bad]==0).all()

def _bytes(h, tmp):
    cards,data = h.header.copy(),h.data.astype('>i2').tobytes()
    txt = ''.join(str(c) for c in cards.cards)+'END'.ljust(80)
    return txt.ljust(-(-len(txt)//2880)*2880).encode()+data.ljust(-(-len(data)//2880)*2880, b'\0')

def test_unsigned_with_blank(tmp_path):
    x = rng.integers(10, 60000, (8,8)).astype('u2'); x[2,3] = 7
    h = fits.PrimaryHDU(x); h.header['BLANK'] = 7-32768
    h.writeto(tmp_path/'u.fits')
    o = read_fits(tmp_path/'u.fits', nan=-5)[0][0,::-1]
    assert o[2,3]==-5 and (o!=-5).sum()==63
    np.testing.assert_array_equal(np.where(o==-5, 7, o), x.astype('f4'))

@pytest.mark.parametrize('suf,f', [('.gz', gzip.compress), ('.bz2', bz2.compress)])
def test_compressed_whole(tmp_path, suf, f):
    x = rng.normal(size=(3,8,9)).astype('f4')
    b = _write(tmp_path/'a.fits', x, fits.Header([('BANDS','gri')])).read_bytes()
    (tmp_path/f'a.fits{suf}').write_bytes(f(b))
    o,bands,_ = read_fits(tmp_path/f'a.fits{suf}', bands='ig')
    np.testing.assert_array_equal(o, x[[2,0],::-1])
    assert bands==['i','g']

@pytest.mark.parametrize('how', ['RICE_1','GZIP_1','GZIP_2','HCOMPRESS_1'])
@pytest.mark.parametrize('dt', ['i2','f4'])
def test_tile_compressed(tmp_path, how, dt):
    x = (rng.normal(size=(40,40))*100).astype(dt)
    u = fits.CompImageHDU(x, fits.Header([('FILTER','r')]), compression_type=how)
    fits.HDUList([fits.PrimaryHDU(), u]).writeto(tmp_path/'a.fits.fz')
    o,bands,_ = read_fits(tmp_path/'a.fits.fz')
    np.testing.assert_allclose(o[0,::-1], x, atol=0 if dt=='i2' else 20) # quantised floats are lossy
    assert bands==['r'] and FITSImage.create(tmp_path/'a.fits.fz').shape==(1,40,40)

# Reading: bands, HDUs, invalid pixels

@pytest.mark.parametrize('key', [dict(BANDS='grz'), dict(BANDS='g,r,z'), dict(BANDS='g r z'), dict(BAND0='g', BAND1='r', BAND2='z'), {}])
def test_bands(tmp_path, key):
    x = rng.normal(size=(3,5,6)).astype('f4')
    p = _write(tmp_path/'a.fits', x, fits.Header(list(key.items())))
    for bands in ('zr', ['g'], 'rgz', None):
        o,b,_ = read_fits(p, bands, names=None if key else 'grz')
        idx = ['grz'.index(k) for k in bands or 'grz']
        np.testing.assert_array_equal(o, x[idx,::-1])
        assert b==list(bands or 'grz')
    with pytest.raises(ImageError, match='no band u, y; it has g, r, z'): read_fits(p, 'guy', names=None if key else 'grz')

def test_no_names(tmp_path):
    x = rng.normal(size=(3,5,6)).astype('f4')
    p = _write(tmp_path/'a.fits', x)
    assert read_fits(p)[1] is None
    assert read_fits(p, 'grz')[1]==list('grz')
    with pytest.raises(ImageError, match="3 bands without names.*names="): read_fits(p, 'gr')
    with pytest.raises(ImageError, match="3 bands, but 2 names"): read_fits(p, 'gr', names='gr')

def test_hdus(tmp_path):
    a,b = rng.normal(size=(2,6,6)).astype('f4')
    t = fits.BinTableHDU.from_columns([fits.Column('a', 'E', array=[1.,2.])])
    i,j = fits.ImageHDU(a, fits.Header([('FILTER','F606W')]), name='A'),fits.ImageHDU(b, fits.Header([('FILTER','F814W')]), name='B')
    p = tmp_path/'m.fits'
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.arange(5.)), t, i, j, fits.ImageHDU(np.zeros((2,2,3,3)))]).writeto(p)
    np.testing.assert_array_equal(read_fits(p)[0][0], a[::-1])
    np.testing.assert_array_equal(read_fits(p, hdu='b')[0][0], b[::-1])
    o,bs,_ = read_fits(p, ['F814W','F606W'], hdu=[3,'B'])
    np.testing.assert_array_equal(o, np.stack([b,a])[:,::-1])
    for k in (0, 1, 2, 5): # empty, one axis, a table, four axes
        has = '0 PRIMARY: empty; 1: an image of 5; 2: a table; 3 A: an image of 6 x 6'
        with pytest.raises(ImageError, match=f'no image of 2 or 3 axes in HDU {k}; it has {has}'): read_fits(p, hdu=k)
    for k in (9, 'sci', 1.5):
        with pytest.raises(ImageError, match='there is no HDU'): read_fits(p, hdu=k)

def test_band_in_primary_header(tmp_path):
    fits.HDUList([fits.PrimaryHDU(header=fits.Header([('FILTER','F814W')])), fits.ImageHDU(np.ones((4,4)))]).writeto(tmp_path/'a.fits')
    assert read_fits(tmp_path/'a.fits')[1]==['F814W']

@pytest.mark.parametrize('kind', ['pattern','dict','list'])
def test_file_a_band(tmp_path, kind):
    x = rng.normal(size=(3,5,6)).astype('f4')
    fs = {b: str(_write(tmp_path/f'1[2]_{b}.fits', o)) for b,o in zip('gri', x)}
    src = dict(pattern=tmp_path/'1[2]_{band}.fits', dict=fs, list=[fs[b] for b in 'irg'])[kind]
    o,b,_ = read_fits(src, 'irg')
    np.testing.assert_array_equal(o, x[::-1,::-1])
    assert b==list('irg')
    if kind=='list': return
    with pytest.raises(ImageError, match=r'no file for band z; there are .*_g'): read_fits(src, 'gz')

@pytest.mark.parametrize('pattern', ['{objID}_{band}.fits','{id}-{band}.fits','{band}/{objID}.fits','{name}/x{band}.fits'])
def test_a_pattern_means_one_thing(tmp_path, pattern):
    "A folder of images, an item of a `DataBlock` and a name of one's own find the same files"
    x = rng.normal(size=(2,5,6)).astype('f4')
    for b,o in zip('gr', x):
        f = tmp_path/pattern.format(objID='17', id='17', name='17', band=b)
        f.parent.mkdir(exist_ok=True)
        _write(f, o[::-1])
    found = find_images(pd.DataFrame(dict(name=['17','18'])), tmp_path, 'name', pattern, 'rg')
    assert list(found[0])==['r','g'] and found[1] is None
    np.testing.assert_array_equal(read_fits(found[0])[0], x[::-1])
    np.testing.assert_array_equal(read_fits(tmp_path/fill_pattern(pattern, '17', id_col='name'), 'rg')[0], x[::-1])
    if '{name}' in pattern: # the column has a name in a catalogue alone
        with pytest.raises(GalfastError, match="knows only {objID} and {band}, not 'name'"): FITSImage.create(tmp_path/'17', 'rg', pattern=pattern)
        return
    im = FITSImage.create(tmp_path/'17', 'rg', pattern=pattern)
    np.testing.assert_array_equal(im.numpy(), x[::-1])
    assert im.bands==['r','g']

def test_file_a_band_shapes(tmp_path):
    for b,n in zip('gr', (5,6)): _write(tmp_path/f'a_{b}.fits', np.ones((n,n)))
    with pytest.raises(ImageError, match=r'differ in size.*\(5, 5\), \(6, 6\)'): read_fits(tmp_path/'a_{band}.fits', 'gr')
    with pytest.raises(ImageError, match='say which bands'): read_fits(tmp_path/'a_{band}.fits')
    with pytest.raises(ImageError, match='empty list'): read_fits([])
    with pytest.raises(ImageError, match='no file for band g'): read_fits({}, 'g')
    with pytest.raises(ImageError, match='no file for band g; there are none'): read_fits(tmp_path/'no'/'a_{band}.fits', 'g')
    _write(tmp_path/'c_g.fits', np.ones((2,5,5))); _write(tmp_path/'c_r.fits', np.ones((2,5,5)))
    with pytest.raises(ImageError, match='4 bands in 2 files'): read_fits(tmp_path/'c_{band}.fits', 'gr')

@pytest.mark.parametrize('val', [np.nan, np.inf, -np.inf])
def test_nan(tmp_path, val):
    x = rng.normal(5, 1, size=(2,6,6)); x[1,0,0] = val
    p = _write(tmp_path/'a.fits', x)
    for nan,want in (('zero',0), ('median',np.median(x[1].ravel()[1:])), (-9,-9), (2.5,2.5)):
        o = read_fits(p, nan=nan)[0]
        np.testing.assert_allclose(o[1,-1,0], want, rtol=1e-6)
        assert np.isfinite(o).all()
    o = read_fits(p, nan='keep')[0]
    assert np.isnan(o[1,-1,0]) and np.isnan(o).sum()==1
    with pytest.raises(ImageError, match="nan='mean': use 'zero', 'keep'"): read_fits(p, nan='mean')

def test_void(tmp_path):
    x = np.ones((2,4,4)); x[1] = np.nan
    p = _write(tmp_path/'a.fits', x, fits.Header([('BANDS','gr')]))
    with pytest.raises(ImageError, match='band r has no valid pixel'): read_fits(p)
    assert np.isnan(read_fits(p, nan='keep')[0][1]).all()
    assert read_fits(p, 'g')[0].min()==1 # the band without data was not asked for
    for nan in ('zero','keep'):
        with pytest.raises(ImageError, match='the image has no valid pixel'): read_fits(p, 'r', nan=nan)

# Hostile files

def _hostile(tmp):
    good = _write(tmp/'good.fits', rng.normal(size=(3,50,50)).astype('f4')).read_bytes()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(rng.normal(size=(200,200)).astype('f4'))]).writeto(tmp/'good.fits.fz')
    fz = (tmp/'good.fits.fz').read_bytes()
    huge = fits.Header([('SIMPLE',True), ('BITPIX',-64), ('NAXIS',3), ('NAXIS1',10**6), ('NAXIS2',10**6), ('NAXIS3',1000)])
    large = fits.Header([('SIMPLE',True), ('BITPIX',-32), ('NAXIS',2), ('NAXIS1',20000), ('NAXIS2',20000)])
    (tmp/'good.fits').unlink(); (tmp/'good.fits.fz').unlink()
    table = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([fits.Column('a', 'E', array=[1.])])])
    table.writeto(tmp/'table.fits'); t = (tmp/'table.fits').read_bytes(); (tmp/'table.fits').unlink()
    return {
        'empty.fits': (b'', '0 bytes'),
        'page.fits': (b'\n <!DOCTYPE html><p>no', 'web page'),
        'j.fits': (b'\xff\xd8\xff\xe0'+b'0'*99, 'JPEG'),
        'p.fits': (b'\x89PNG\r\n', 'PNG'),
        'json.fits': (b'{"title": "no"}', 'JSON'),
        'noise.fits': (rng.bytes(9000), 'damaged'),
        'text.fits': (b'no such layer', 'damaged'),
        'cut0.fits': (good[:1000], 'damaged'),
        'cut1.fits': (good[:2880], 'cut short'),
        'cut2.fits': (good[:2880+29999], 'cut short'),
        'cut.fits.gz': (gzip.compress(good)[:-2000], 'damaged'),
        'cut.fits.bz2': (bz2.compress(good)[:-2000], 'damaged'),
        'bad.fits.gz': (b'\x1f\x8b'+rng.bytes(500), 'damaged'),
        'page.fits.gz': (gzip.compress(b'<html>'), 'damaged'),
        'cut.fits.fz': (fz[:len(fz)//2], 'cut short|damaged'),
        'table.fits': (t, 'it has 0 PRIMARY: empty; 1: a table'),
        'zip.fits': (b'PK\x03\x04'+rng.bytes(99), 'zip'),
        'simple.fits': (b'SIMPLE  =                    T', 'damaged'),
        'huge.fits': (huge.tostring().encode(), 'at most 64 million'),
        'huge.fits.gz': (gzip.compress(huge.tostring().encode()), 'at most 512 MB'),
        'large.fits': (large.tostring().encode(), 'at most 64 million'),
    }

def test_hostile(tmp_path):
    for name,(b,msg) in _hostile(tmp_path).items():
        p = tmp_path/name
        p.write_bytes(b)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            with pytest.raises(ImageError, match=msg) as e: read_fits(p)
        assert str(p) in str(e.value) and '\n' not in str(e.value) and len(str(e.value))<500, name
    with pytest.raises(ImageError, match='no such file'): read_fits('http://example.org/a.fits')
    with pytest.raises(ImageError, match='a folder'): read_fits(tmp_path)

def test_every_cut(tmp_path):
    "A file cut anywhere gives an ImageError, or, where only padding is missing, the same pixels"
    x = rng.normal(size=(20,20)).astype('f4')
    b = _write(tmp_path/'a.fits', x, _wcs_header(20)).read_bytes()
    for n in range(0, len(b), 97):
        (tmp_path/'c.fits').write_bytes(b[:n])
        try: o = read_fits(tmp_path/'c.fits')[0]
        except ImageError: continue
        np.testing.assert_array_equal(o[0,::-1], x)

def test_damaged_headers(tmp_path):
    "Bytes changed at random in header and data: an image, or an ImageError that names the file"
    b = _write(tmp_path/'a.fits', rng.normal(size=(2,20,20)).astype('f4'), _wcs_header(20, sip=True)).read_bytes()
    read = 0
    for i in range(200):
        o,r = bytearray(b),np.random.default_rng(i)
        for k in r.integers(0, 2880, 3): o[k] = r.integers(32, 127) if i%2 else r.integers(0, 256)
        (tmp_path/'c.fits').write_bytes(o)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            try: read += FITSImage.create(tmp_path/'c.fits').wcs is not False
            except ImageError as e: assert 'c.fits' in str(e)
    assert read>20

def test_nonstandard_header_is_quiet(tmp_path):
    h = fits.Header([('FILTER','g'), ('BLANK', 5)]) # BLANK has no meaning for floats
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        p = _write(tmp_path/'a.fits', np.full((4,4), 5., 'f4'), h)
    b = p.read_bytes().replace(b"FILTER  = 'g ", b"filter  = 'g "); p.write_bytes(b)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert read_fits(p)[0].max()==5
        assert FITSImage.create(p).wcs is None

# The tensor

@pytest.mark.parametrize('kw', [dict(), dict(cd=False), dict(sip=True)])
def test_wcs(tmp_path, kw):
    h = _wcs_header(60, **kw)
    p = _write(tmp_path/'a.fits', rng.normal(size=(2,60,50)).astype('f4'), h)
    x,w = FITSImage.create(p),WCS(h, naxis=2)
    pts = rng.uniform(5, 45, (20,2))
    def off(a, b): return a.separation(b).arcsec.max()
    assert off(x.wcs.pixel_to_world(pts[:,0], 59-pts[:,1]), w.pixel_to_world(*pts.T))<1e-5
    y = CropResize(20, 40)(x) # the crop begins at column 5, row 10 of the turned image
    px,py = (pts[:,0]-5+.5)/2-.5, (59-pts[:,1]-10+.5)/2-.5
    assert off(y.wcs.pixel_to_world(px, py), w.pixel_to_world(*pts.T))<1e-5
    back = np.array(x.wcs.world_to_pixel(w.pixel_to_world(*pts.T))).T
    np.testing.assert_allclose(back, np.c_[pts[:,0], 59-pts[:,1]], atol=1e-4)
    assert x[:,1:].wcs is None and torch.stack([x,x])[0].wcs is None and x.header['CRVAL1']==150

def test_star_found_on_the_sky(tmp_path):
    img = np.zeros((40,30), 'f4'); img[31,7] = 1
    p = _write(tmp_path/'a.fits', img, _wcs_header(40))
    x = FITSImage.create(p)
    row,col = divmod(int(x[0].argmax()), 30)
    assert (row,col)==(8,7) and x.wcs.pixel_to_world(col, row).separation(WCS(_wcs_header(40)).pixel_to_world(7, 31)).arcsec<1e-6

def test_metadata(tmp_path):
    x = FITSImage.create(_write(tmp_path/'a.fits', rng.normal(size=(3,9,9)), fits.Header([('BANDS','grz'), ('OBJECT','NGC 1')])))
    for o in (x+1, x.clone(), copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.to('cpu'), x.float(), AsinhTfm()(x), CropResize(4)(x)):
        assert type(o) is FITSImage and o.bands==['g','r','z'] and o.header['OBJECT']=='NGC 1'
    assert (x+1)._hdr is x._hdr # shared, not copied

@pytest.mark.parametrize('nw', [0,2])
def test_datablock(tmp_path, nw):
    xs = rng.normal(100, 5, (8,3,16,16)).astype('f4')
    for i,o in enumerate(xs): _write(tmp_path/f'{i}.fits', o, fits.Header([('BANDS','grz')]))
    db = DataBlock((FITSImageBlock('zrg', stretch=LinearTfm(2.)),RegressionBlock),
                   get_x=lambda i: tmp_path/f'{i}.fits', get_y=lambda i: i/2, splitter=IndexSplitter([4,5,6,7]))
    xb,yb = next(iter(db.dataloaders(range(8), bs=4, num_workers=nw).valid))
    assert type(xb) is FITSImage and xb.bands==list('zrg') and xb.header is None
    np.testing.assert_allclose(xb.cpu(), xs[4:,::-1,::-1]/2, rtol=1e-6)

def test_fastai_transforms():
    x = FITSImage(torch.randn(4,3,8,8)*50)
    assert (IntToFloatTensor()(x)==x).all() and (IntToFloatTensor().decode(x)==x).all()
    def four(v): return lambda x: torch.full((4,), v)
    for t in (Flip(p=1.), Rotate(p=1., draw=four(20.)), Dihedral(p=1., draw=four(3)), Normalize.from_stats([1.]*3, [2.]*3, cuda=False)):
        o = t(x.clone(), split_idx=0)
        assert type(o) is FITSImage and (o!=x).any()

# Stretches, statistics, sizes

stretches = [AsinhTfm(0.3), AsinhTfm([1,2,3]), LinearTfm(np.float32(2)), LogTfm([.1,.2,.3]),
              MinMaxTfm([-9,-8,-7], 100), SubtractBackground(), SubtractBackground(2, 3)]

@pytest.mark.parametrize('t', stretches, ids=lambda t: str(t.config()))
@pytest.mark.parametrize('typ', [TensorImage,FITSImage])
@pytest.mark.parametrize('n', [None,1,4])
def test_stretches(t, typ, n):
    x = typ(torch.randn(*([n] if n else []), 3, 12, 12)*4+2)
    y = t(x)
    assert type(y) is typ and y.dtype==torch.float32 and y.shape==x.shape and (y!=x).any()
    torch.testing.assert_close(stretch_from_config(t.config())(x), y)
    if not isinstance(t, SubtractBackground): torch.testing.assert_close(t.decode(y), x, rtol=1e-4, atol=1e-4)
    assert t(x.double()).dtype==torch.float64

@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
@pytest.mark.parametrize('t', stretches, ids=lambda t: str(t.config()))
def test_stretches_cuda(t):
    x = FITSImage(torch.randn(2,3,12,12))
    y = t(x.cuda())
    assert y.is_cuda and type(y) is FITSImage
    torch.testing.assert_close(y.cpu(), t(x))

@pytest.mark.parametrize('border', [None,5])
def test_sky_stats(border):
    x = rng.normal(10, 2, (4,60,61)); x[:,20:30,20:30] += 100; x[0,0,0] = np.nan
    med,sd = sky_stats(x, 3, border)
    m = np.zeros((60,61), bool)
    if border: m[border:-border,border:-border] = True
    for i,o in enumerate(x):
        _,a,s = sigma_clipped_stats(o, mask=m|np.isnan(o), sigma=3, maxiters=5)
        assert abs(med[i]-a)<0.01*s and abs(sd[i]-s)<0.01*s

def test_image_stats():
    xs = [rng.normal(1e4, 1, (3,*rng.integers(3, 20, 2))).astype('f4') for _ in range(7)]
    xs[2][1,0] = np.nan
    flat = np.concatenate([o.reshape(3,-1) for o in xs], 1).astype(float)
    np.testing.assert_allclose(image_stats(iter(xs)), [np.nanmean(flat, 1),np.nanstd(flat, 1)], rtol=1e-10)
    n = Normalize.from_stats(*image_stats(xs), cuda=False)
    assert n(TensorImage(xs[0][None])).dtype==torch.float32
    with pytest.raises(ImageError, match='no valid pixel'): image_stats([xs[0]*np.nan])

@pytest.mark.parametrize('hw', [(61,61), (60,61), (100,71), (424,424)])
@pytest.mark.parametrize('size,crop', [(32,None), (61,None), (50,60), (17,51)])
def test_crop_resize(hw, size, crop):
    yy,xx = np.mgrid[:hw[0],:hw[1]]
    a = (250*np.exp(-((yy-hw[0]*.4)/hw[0]*4)**2-((xx-hw[1]*.6)/hw[1]*3)**2)).astype('u1')[...,None].repeat(3, 2)
    t = CropResize(size, crop)
    p,q,u = t(PILImage.create(a)),t(FITSImage(torch.tensor(a.transpose(2,0,1)).float())),t(TensorImage(a.transpose(2,0,1).copy()))
    assert isinstance(p, PILImage) and type(q) is FITSImage and u.dtype==torch.uint8
    d = np.abs(np.asarray(p).transpose(2,0,1)-q.numpy())
    assert q.shape==(3,size,size) and d.max()<2 and np.abs(u.numpy()-q.numpy()).max()<=0.5

@pytest.mark.parametrize('side', [7,24,61,90])
@pytest.mark.parametrize('shape', [(61,61), (40,75)])
def test_resize_has_the_pixels_of_others(shape, side):
    from torchvision.transforms.functional import resize
    x = torch.tensor(np.random.default_rng(side).lognormal(0, 1, (2,3,*shape)).astype('f4'))
    y = resize_square(x, side)
    pil = np.array([[np.asarray(Image.fromarray(o).resize((side,side), Image.Resampling.BILINEAR)) for o in im] for im in x.numpy()])
    np.testing.assert_allclose(y, pil, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(y, resize(x, [side,side], antialias=True))
    torch.testing.assert_close(y, torch.stack([resize_square(o, side) for o in x]))
    for dtype in (torch.uint8,torch.int16): # rounded, and of the type that they were
        z = (x*20).clamp(0, 255).to(dtype)
        torch.testing.assert_close(resize_square(z, side), resize_square(z.float(), side).round().to(dtype), rtol=0, atol=0)

def test_crop_resize_too_small():
    for o in (PILImage.create(np.zeros((20,30,3), 'u1')), FITSImage(torch.zeros(3,20,30))):
        with pytest.raises(ImageError, match='30 x 20 px.*crop of 21 px'): CropResize(8, 21)(o)

# The real ones

expected = {
    'abell2670/*band.fits': (1,256,256), 'hsc/Cut_HSC1.fits': (5,50,50), 'hsc/Cut_HST1.fits': (1,250,250),
    'hst/AEGIS_*_01.fits': (1,46,70), 'hst/AEGIS_*_02.fits': (1,44,39), 'hst/M51_int16.fits': (1,512,512),
    'legacysurvey_dr9/grz_cube.fits': (3,256,256), 'sdss_frame/frame*.bz2': (1,100,100), 'sdss_reprojected/*.bz2': (1,682,496),
    'sn2006bh/DES_?.fits': (1,241,241), 'sn2006bh/PS1_?.fits': (1,240,240), 'sn2006bh/SDSS_?.fits': (1,240,240)}

@needs_real
def test_every_real_file():
    seen = set()
    for g,shape in expected.items():
        fs = sorted(real.glob(g))
        assert fs, g
        for f in fs:
            with warnings.catch_warnings():
                warnings.simplefilter('error')
                x = FITSImage.create(f)
                w = x.wcs
            assert x.shape==shape and x.isfinite().all() and x.std()>0 and rgb_image(x).max()>100, f
            assert (w is None)==(f.parent.name=='hst'), f
            seen.add(f)
    left = {o for o in real.rglob('*.fits*') if o not in seen}
    assert {o.name for o in left}=={'photoObj-001000-1-0100.fits'}
    with pytest.raises(ImageError, match='it has 0 PRIMARY: empty; 1: a table'): read_fits(left.pop())

@needs_real
def test_real_bands():
    for b in 'griz':
        for s in ('DES','PS1','SDSS'): assert read_fits(real/f'sn2006bh/{s}_{b}.fits')[1]==[b]
    assert read_fits(real/'legacysurvey_dr9/grz_cube.fits', 'zg')[1]==['z','g']
    p = real/'sdss_reprojected'
    x,b,_ = read_fits(p/'reprojected_sdss_{band}.fits.bz2', 'irg')
    assert b==list('irg') and x.shape==(3,682,496) # stored on its side
    np.testing.assert_array_equal(x, read_fits([p/f'reprojected_sdss_{k}.fits.bz2' for k in 'irg'], 'irg')[0])
    with pytest.raises(ImageError, match='no band r; it has g'): read_fits(p/'reprojected_sdss_r.fits.bz2', 'r') # its header is wrong
    assert read_fits(p/'reprojected_sdss_r.fits.bz2', 'r', names='r')[1]==['r']
    with pytest.raises(ImageError, match='no file for band r; there are 731_gband.fits'):
        read_fits(real/'abell2670/731_{band}band.fits', 'gr')
    with pytest.raises(ImageError, match='5 bands without names'): read_fits(real/'hsc/Cut_HSC1.fits', 'gri')
    assert read_fits(real/'hsc/Cut_HSC1.fits', 'gri', names='grizy')[0].shape==(3,50,50)
    with pytest.raises(ImageError, match='differ in size'): read_fits(real/'hst/AEGIS_F606w_images_01.fits', hdu=[0,1])
    assert read_fits([real/f'hst/AEGIS_F{k}w_images_01.fits' for k in (606,814)], ['F606W','F814W'], hdu=1)[0].shape==(2,156,142)

@needs_real
def test_real_orientation():
    "The FITS cube and the sky agree: row 0 is north, column 0 east"
    w = FITSImage.create(real/'legacysurvey_dr9/grz_cube.fits').wcs
    a,b,c = (w.pixel_to_world(*o) for o in ((128,0), (128,255), (0,128)))
    assert a.dec>b.dec and c.ra>a.ra

def plain_kinds():
    "Headers and data that a plain image can have, and some that must be left to astropy"
    rng = np.random.default_rng(0)
    for dt in ('u1','>i2','>i4','>f4','>f8'):
        for shape in ((5,7), (1,5,7), (3,19,17)): yield f'{dt}{len(shape)}{shape[0]}',rng.integers(0, 99, shape).astype(dt),{}
    x = rng.normal(size=(3,19,17)).astype('>f4')
    yield 'bands',x,dict(BANDS='grz', BAND0='g', BAND1='r', BAND2='z')
    yield 'long',x,{f'KEY{i}': i for i in range(90)}
    yield 'text',x,dict(FILTER="it's / not", OBJECT='x'*200)
    yield 'turned',x,dict(CTYPE1='RA---TAN', CTYPE2='DEC--TAN', CRVAL1=150., CRVAL2=2., CRPIX1=9., CRPIX2=9., CD1_1=0., CD1_2=1e-4, CD2_1=1e-4, CD2_2=0., BAND0='g', BAND1='r', BAND2='z')
    yield 'asinh',x,dict(BSOFTEN=30., BOFFSET=5.)
    yield 'nan',np.where(rng.random(x.shape)<.1, np.nan, x).astype('>f4'),{}

@pytest.mark.parametrize('name,x,head', list(plain_kinds()), ids=lambda o: o if isinstance(o, str) else '')
def test_the_short_way_reads_as_astropy_does(name, x, head, tmp_path):
    from galfast.images.fits import _read_parts,_short_way,_Turning
    fits.PrimaryHDU(x, fits.Header(head)).writeto(tmp_path/'a.fits')
    got = _short_way(tmp_path/'a.fits', _Turning())
    assert got is not None
    want, = _read_parts(tmp_path/'a.fits', [0], _Turning()) # a list of HDUs goes astropy's way
    assert got.grid==want.grid and got.placed==want.placed==(name=='turned')
    np.testing.assert_array_equal(got[0], want[0])
    assert got[0].dtype==np.float32 and got[0].flags.c_contiguous and (got[1]==want[1] or want[1]==['PRIMARY'])
    assert {k: v for k,v in got[2].items() if k!='EXTEND'}=={k: v for k,v in want[2].items() if k!='EXTEND'}

@pytest.mark.parametrize('what', ['scaled','blank','unsigned','extension','gz','short','groups','no end'])
def test_the_rest_is_left_to_astropy(what, tmp_path):
    from galfast.images.fits import _short_way,_Turning
    f,x = tmp_path/('a.fits.gz' if what=='gz' else 'a.fits'),np.arange(35, dtype='>i2').reshape(5,7)
    h = fits.PrimaryHDU(np.arange(35, dtype=np.uint16).reshape(5,7) if what=='unsigned' else x if what!='extension' else None)
    if what=='scaled': h.header['BSCALE'] = 2.
    if what=='blank': h.header['BLANK'] = 3
    if what=='groups': h.header['GROUPS'] = True
    fits.HDUList([h]+([fits.ImageHDU(x)] if what=='extension' else [])).writeto(f)
    b = f.read_bytes()
    if what=='short': f.write_bytes(b[:2900])
    if what=='no end': f.write_bytes(b[:2880].replace(b'END', b'XYZ')+b[2880:])
    assert _short_way(f, _Turning()) is None
    if what not in ('short','no end','groups'): assert read_fits(f)[0].shape==(1,5,7)
    else:
        with pytest.raises(ImageError): read_fits(f)

# What a header says of the pixels

a_ps1 = 2.5/np.log(10) # Waters et al. 2020: flux = BOFFSET + BSOFTEN (exp(v/a) - exp(-v/a))

@pytest.mark.parametrize('how', ['plain','gz','hdu','primary','fz','int16'])
def test_asinh_stacks_are_made_linear(tmp_path, how):
    soft,off = 30.,5.
    flux = rng.normal(0, 20, (20,24))+4000*np.exp(-np.hypot(*(np.mgrid[:20,:24]-10))/3)
    v = (a_ps1*np.arcsinh((flux-off)/(2*soft))).astype('f4')
    v[3,4] = np.nan
    h,f = fits.Header([('BSOFTEN',soft), ('BOFFSET',off), ('HIERARCH FPA.FILTER','g.00000')]),tmp_path/('a.fits.gz' if how=='gz' else 'a.fits')
    if how=='int16': # BSCALE and BZERO come first
        u = fits.PrimaryHDU(np.nan_to_num(v), h); u.scale('int16', bscale=6e-4, bzero=1.); u.header['BLANK'] = -32768
        u.data[3,4] = -32768
        u.writeto(f)
    elif how in ('plain','gz'): fits.PrimaryHDU(v, h).writeto(f)
    elif how=='primary': fits.HDUList([fits.PrimaryHDU(header=h), fits.ImageHDU(v)]).writeto(f) # whose header is that of the file
    else: fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(v, h) if how=='hdu' else fits.CompImageHDU(v, h, quantize_level=0, compression_type='GZIP_1')]).writeto(f)
    x,bands,_ = read_fits(f, nan='keep')
    want = off + soft*(np.exp(v.astype(float)/a_ps1)-np.exp(-v.astype(float)/a_ps1))
    np.testing.assert_allclose(x[0,::-1], want, rtol=1e-3 if how=='int16' else 1e-6, atol=.1 if how=='int16' else 1e-5)
    assert bands==['g'] and np.isnan(x[0,-4,4]) and np.isnan(x).sum()==1

def test_pixels_that_are_no_fluxes_are_named(tmp_path):
    x = np.full((8,9), 22.5, 'f4')
    for unit in ('mag','mag/arcsec**2','MAG','log(W)','dex','mmag'):
        for f in ('a.fits','a.fits.gz'):
            with pytest.raises(ImageError, match='a.fits.*no fluxes .BUNIT'): read_fits(_write(tmp_path/f, x, fits.Header([('BUNIT',unit)])))
    for unit in ('nanomaggy','maggies','nmgy','electrons/s','','Jy','1E-17 erg/s/cm2'): read_fits(_write(tmp_path/'a.fits', x, fits.Header([('BUNIT',unit)])))
    for bad in (dict(BSOFTEN='no', BOFFSET=0.), dict(BSOFTEN=0., BOFFSET=1.)):
        with pytest.raises(ImageError, match='BSOFTEN and BOFFSET'): read_fits(_write(tmp_path/'a.fits', x, fits.Header(list(bad.items()))))
    with pytest.raises(ImageError, match='BSOFTEN.*reach 2.25e.*take the two cards out'):
        read_fits(_write(tmp_path/'a.fits', x*1000, fits.Header([('BSOFTEN',30.), ('BOFFSET',5.)])))

@pytest.mark.parametrize('k', [1e300, 1e40, 1e-60])
def test_64_bits_that_32_do_not_hold(tmp_path, k):
    x = rng.normal(5, 1, (6,6))
    for f in ('a.fits','a.fits.gz'):
        with pytest.raises(ImageError, match='beyond what 32 bits hold'): read_fits(_write(tmp_path/f, x*k))
    for ok in (1e-30, 1e30): np.testing.assert_allclose(read_fits(_write(tmp_path/'b.fits', x*ok))[0][0,::-1]/ok, x, rtol=1e-6)

# Which axis is that of the bands

@pytest.mark.parametrize('shape', [(48,48,3), (48,40,3), (1,48,40,3), (48,40,3,1), (48,40,12), (48,40,1), (48,1,40,3)])
def test_bands_last(tmp_path, shape):
    x = rng.normal(size=shape).astype('f4')
    o = read_fits(_write(tmp_path/'a.fits', x))[0]
    want = x.squeeze() if shape[-1]!=1 or shape[-2]==3 else x.squeeze()[...,None]
    np.testing.assert_array_equal(o, np.moveaxis(want, -1, 0)[:,::-1])

@pytest.mark.parametrize('shape', [(3,48,48), (48,40,40), (1,3,48,40), (3,1,48,40), (40,48,56), (1,1,48,40), (46,70,60)])
def test_bands_first(tmp_path, shape):
    x = rng.normal(size=shape).astype('f4')
    s = x.squeeze()
    np.testing.assert_array_equal(read_fits(_write(tmp_path/'a.fits', x))[0], s.reshape(-1, *s.shape[-2:])[:,::-1])

def test_a_header_knows_the_axis_of_the_bands(tmp_path):
    x = rng.normal(size=(5,48,3)).astype('f4')
    with pytest.raises(ImageError, match='a.fits: which axis of 5 x 48 x 3'): read_fits(_write(tmp_path/'a.fits', x))
    first,last = x[:,::-1],np.moveaxis(x, -1, 0)[:,::-1]
    for h,want in ((dict(BANDS='grizy'),first), (dict(BANDS='gri'),last), (dict(BAND1='g', BAND2='r', BAND3='i'),last), (dict(BANDS='g,r,i'),last),
                   (dict(CTYPE1='RA---TAN', CTYPE2='DEC--TAN', CTYPE3='WAVE', CDELT1=-1e-4),first), (dict(CTYPE1='RA---TAN', CTYPE2='DEC--TAN', CDELT1=-1e-4),first),
                   (dict(CTYPE1='FILTER', CTYPE2='RA---TAN', CTYPE3='DEC--TAN', CDELT2=-1e-4),last), (dict(CTYPE2='RA---TAN', CTYPE3='DEC--TAN', CDELT2=-1e-4),last)):
        np.testing.assert_array_equal(read_fits(_write(tmp_path/'a.fits', x, fits.Header(list(h.items()))))[0], want)
    _write(tmp_path/'a.fits', x)
    np.testing.assert_array_equal(read_fits(tmp_path/'a.fits', names='gri')[0], last)
    np.testing.assert_array_equal(read_fits(tmp_path/'a.fits', 'grizy')[0], first)
    y,copied = rng.normal(size=(48,48,3)).astype('f4'),fits.Header([('CTYPE1','RA---TAN'), ('CTYPE2','DEC--TAN'), ('CDELT1',-1e-4)])
    with pytest.raises(ImageError, match='looks like an image with the bands last, but its WCS'): read_fits(_write(tmp_path/'a.fits', y, copied))
    np.testing.assert_array_equal(read_fits(tmp_path/'a.fits', names='gri')[0], np.moveaxis(y, -1, 0)[:,::-1])
    o,b,_ = read_fits(_write(tmp_path/'a.fits', y, fits.Header([('BANDS','gri')])), 'ig')
    np.testing.assert_array_equal(o, np.moveaxis(y, -1, 0)[[2,0],::-1])

# Filters

@pytest.mark.parametrize('cards,name', [(dict(FILTER='CLEAR', PUPIL='F115W'), 'F115W'), (dict(FILTER='F277W', PUPIL='CLEARP'), 'F277W'), (dict(FILTER='F200W', PUPIL='CLEAR'), 'F200W')])
def test_filters_of_two_wheels(cards, name, tmp_path): # of NIRISS, the short ones are in the other
    assert read_fits(_write(tmp_path/'a.fits', rng.normal(size=(6,6)).astype('f4'), fits.Header(list(cards.items()))))[1]==[name]

@pytest.mark.parametrize('names,order', [(['F115W','F200W','F444W'],'BGR'), (['F200W','F356W','F150W'],'GRB'), (['F814W','F160W','F606W'],'GRB'), (['F410M','F275W','F606W'],'GBR'), (list('gri'),'BGR')])
def test_colours_follow_the_wavelength(names, order):
    for i,c in enumerate(order):
        x = np.random.default_rng(0).normal(0, 1, (3,60,60))
        x[i] += 100*np.exp(-np.hypot(*(np.mgrid[:60,:60]-30))/4)
        assert 'RGB'[rgb_image(x, names)[30,30].argmax()]==c, (names,i)

# Units carry no information

powers = [2.**-99, 2.**-30, 2.**40, 2.**99]
others = [1e-30, 3.7e-17, 1e-9, 1e9, 2.3e19, 1e30]

@pytest.mark.parametrize('seed', range(3))
def test_units_do_not_matter(seed):
    r = np.random.default_rng(seed)
    x = (r.normal(.3, .02, (2,3,40,41))+np.exp(-np.hypot(*(np.mgrid[:40,:41]-20))/5)*[[[[1]],[[3]],[[.2]]]]).astype('f4')
    x[0,0,:2] = 0
    ways = dict(level=lambda x,k: sky_stats(x)[0].numpy()/k, noise=lambda x,k: sky_stats(x, border=5)[1].numpy()/k, mean=lambda x,k: np.array(image_stats(x)[0])/k,
                std=lambda x,k: np.array(image_stats(x)[1])/k, stamp=lambda x,k: StampTfm()(TensorImage(x)).numpy(), background=lambda x,k: SubtractBackground()(TensorImage(x)).numpy()/np.float32(k),
                minmax=lambda x,k: MinMaxTfm.from_images(x)(TensorImage(x)).numpy(), asinh=lambda x,k: AsinhTfm(.1*k)(TensorImage(x)).numpy(),
                asinh_std=lambda x,k: np.array(image_stats(x, AsinhTfm(.1*k))))
    want = {n: f(x, 1.) for n,f in ways.items()}
    rgb = {how: rgb_image(x[0], how=how).astype(int) for how in ('asinh','lupton')}
    for k in powers+others:
        for n,f in ways.items():
            got = f((x.astype(float)*k).astype('f4'), k)
            if k in powers and 'asinh' not in n: np.testing.assert_array_equal(got, want[n], err_msg=f'{n} {k}')
            else: np.testing.assert_allclose(got, want[n], rtol=1e-4, atol=1e-5, err_msg=f'{n} {k}')
        for how in rgb: assert np.abs(rgb_image(x[0].astype(float)*k, how=how)-rgb[how]).max()<=(0 if k in powers else 1)

def test_sky_stats_beyond_32_bits():
    x = rng.normal(10, 2, (60,61))
    for k in (1e-200, 1e200): np.testing.assert_allclose([o/k for o in sky_stats(x*k)], [o for o in sky_stats(x)], rtol=1e-6)
    assert sky_stats(x)[0].dtype==torch.float64 and sky_stats(x.astype('f4'))[0].dtype==torch.float32 and sky_stats(x.astype('u1'))[0].dtype==torch.float32

@pytest.mark.parametrize('v', [.1, 1/3, 1e-30, 1e30, -7.7, 0.])
def test_a_constant_band_has_no_scatter(v):
    x = np.full((3,2,7,9), v)
    assert image_stats(x)==([v]*2,[0.]*2) and image_stats([*x, *x])==([v]*2,[0.]*2)
    med,sd = sky_stats(x)
    assert (med==torch.tensor(v)).all() and sd.max()<=abs(v)*1e-7
    assert np.isfinite(rgb_image(x[0])).all() and (StampTfm()(TensorImage(x)).abs()<1).all()

def test_minmax_of_a_narrow_range():
    x = (1e4+np.linspace(0, 1, 50)).reshape(1,5,10)
    t = MinMaxTfm.from_images(x)
    y = t(TensorImage(torch.from_numpy(x)))
    np.testing.assert_allclose([y.min(),y.max()], [0,1], atol=1e-2)
