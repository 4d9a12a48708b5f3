"Pixels of JPEGs as PIL decodes them, whatever kind of JPEG, and PIL's words where a file is not one; borders of small images"
import io,json,os,struct,zlib
from pathlib import Path

import numpy as np,pandas as pd,pytest,torch
from astropy.io import fits
from PIL import Image

from galfast.base.core import ImageError
from fastai.data.core import TfmdLists

from galfast.images.pack import ImagePack,PackError,pack_images,read_images,stack_images
from galfast.images.reader import ImageReader,blank_images,deep_pixels,guess_reader,read_rgb,rgb_pixels

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
    from galfast.images.fits import CropResize,FITSImage
    hdr = fits.Header(dict(CTYPE1='RA---TAN', CTYPE2='DEC--TAN', CRVAL1=150., CRVAL2=2., CRPIX1=10., CRPIX2=8., CD1_1=-1e-4, CD2_2=1e-4))
    fits.PrimaryHDU(np.ones((20,30), 'f4'), hdr).writeto(tmp_path/'a.fits')
    x = FITSImage.create(tmp_path/'a.fits')
    y = CropResize(40, 40, pad=True)(x)
    assert y.wcs.pixel_to_world(5+3, 10+4).separation(x.wcs.pixel_to_world(3, 4)).arcsec<1e-6
    assert y.sum()==600 and y.shape==(1,40,40)

def test_arrays_are_cropped_and_resized():
    x = torch.arange(3*8*8, dtype=torch.uint8).view(3,8,8)
    assert (ImageReader('array', crop=4)(x)==x[:,2:6,2:6]).all() and ImageReader('array', size=4)(x).shape==(3,4,4) and (ImageReader('array')(x)==x).all()

def png16(a):
    "A PNG of 16 bits from uint16 (y, x) or (y, x, 2 to 4), by the letter of the standard: PIL writes none in colours"
    a = a if a.ndim==3 else a[...,None]
    h,w,c = a.shape
    def part(t, d): return struct.pack('>I', len(d))+t+d+struct.pack('>I', zlib.crc32(t+d))
    rows = b''.join(b'\0'+o.astype('>u2').tobytes() for o in a)
    head = struct.pack('>IIBBBBB', w, h, 16, {1: 0, 2: 4, 3: 2, 4: 6}[c], 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n'+part(b'IHDR', head)+part(b'IDAT', zlib.compress(rows))+part(b'IEND', b'')

@pytest.mark.parametrize('bands', [1,2,3,4])
def test_16_bits_of_png_are_numbers(bands, tmp_path):
    f,a = tmp_path/'a.png',np.random.default_rng(0).integers(0, 65536, (21,30,bands)).astype('u2')
    f.write_bytes(png16(a))
    if bands==1: assert (np.asarray(Image.open(f))==a[...,0]).all() # PIL agrees on grey
    want = a[...,:1 if bands<3 else 3].transpose(2,0,1)
    for x in (deep_pixels(f), ImageReader('deep')(f).numpy(), ImageReader('deep').decode(f)[0]): assert x.dtype==np.float32 and (x==want).all()
    for read in (rgb_pixels, read_rgb, ImageReader('rgb'), ImageReader('grey')):
        with pytest.raises(ImageError, match='a.png: 16 bits'): read(f)

def tiff16(a, order, deflate):
    "A TIFF of 16 bits from uint16 (y, x, 3), by the letter of the standard"
    h,w,c = a.shape
    data = a.astype(order+'u2').tobytes()
    data = zlib.compress(data) if deflate else data
    at = 8+2+12*9+4
    tags = [(256,3,1,w), (257,3,1,h), (258,3,c,at), (259,3,1,8 if deflate else 1), (262,3,1,2), (273,4,1,at+2*c), (277,3,1,c), (278,3,1,h), (279,4,1,len(data))]
    out = (b'II' if order=='<' else b'MM')+struct.pack(order+'HIH', 42, 8, len(tags))
    for t,typ,n,v in tags: out += struct.pack(order+'HHI', t, typ, n)+(struct.pack(order+'HH', v, 0) if typ==3 and n==1 else struct.pack(order+'I', v))
    return out+bytes(4)+struct.pack(f'{order}{c}H', *[16]*c)+data

@pytest.mark.parametrize('order', ['<','>'])
@pytest.mark.parametrize('deflate', [False, True])
def test_colours_of_16_bits_in_a_tiff(order, deflate, tmp_path):
    f,a = tmp_path/'a.tif',np.random.default_rng(0).integers(0, 65536, (17,19,3)).astype('u2')
    f.write_bytes(tiff16(a, order, deflate))
    assert (deep_pixels(f)==a.transpose(2,0,1)).all()
    with pytest.raises(ImageError, match='16 bits'): rgb_pixels(f)

@pytest.mark.parametrize('dtype', ['uint16','>u2','int32','float32'])
def test_tiff_of_numbers(dtype, tmp_path):
    f,a = tmp_path/'a.tif',(np.random.default_rng(0).random((20,30))*60000).astype(dtype)
    Image.fromarray(a).save(f)
    assert (deep_pixels(f)==a.astype('f4')[None]).all() and ImageReader('deep', size=10)(f).shape==(1,10,10)
    with pytest.raises(ImageError, match='numbers with a point' if dtype=='float32' else 'bits'): rgb_pixels(f)

def test_missing_pixels_of_a_float_tiff(tmp_path):
    f,a = tmp_path/'a.tif',np.random.default_rng(0).random((20,30)).astype('f4')
    a[2,3] = np.nan
    Image.fromarray(a).save(f)
    x,missing = ImageReader('deep').decode(f)
    assert x[0,2,3]==0 and missing.sum()==1 and missing[0,2,3] and (np.delete(x.ravel(), 63)==np.delete(a.ravel(), 63)).all()
    assert ImageReader('deep', nan='median')(f)[0,2,3]==np.nanmedian(a) and torch.isnan(ImageReader('deep', nan='keep')(f)[0,2,3])

@pytest.mark.parametrize('mode', ['RGB','L','RGBA','P','LA','1','CMYK'])
@pytest.mark.parametrize('typ', ['png','tif','webp','jpg'])
def test_modes_and_types_are_what_pil_shows(mode, typ, tmp_path):
    f = tmp_path/f'a.{typ}'
    try: Image.fromarray(scene()).convert(mode).save(f)
    except (OSError,ValueError): pytest.skip(f'PIL writes no {typ} of mode {mode}')
    want = np.asarray(Image.open(f).convert('RGB'))
    assert (rgb_pixels(f)==want).all() and want.std()>10

def test_several_pictures_in_a_file(tmp_path):
    ims = [Image.fromarray(scene(seed=i)) for i in range(3)]
    ims[0].save(tmp_path/'a.tif', save_all=True, append_images=ims[1:])
    with pytest.raises(ImageError, match='a.tif: 3 pictures'): rgb_pixels(tmp_path/'a.tif')

@pytest.mark.parametrize('kind', ['rgb','grey'])
@pytest.mark.parametrize('typ', ['jpg','png','webp','tif'])
@pytest.mark.parametrize('colour', [(0,0,0), (32,32,32), (200,30,77), (255,255,255)])
def test_one_colour_all_over_is_blank(colour, typ, kind, tmp_path):
    f = tmp_path/f'a.{typ}'
    Image.new('RGB', (45,37), colour).save(f)
    for read in (ImageReader(kind), ImageReader(kind, crop=20), ImageReader(kind, size=16)):
        for o in (read, read.decode):
            with pytest.raises(ImageError, match=f'a.{typ}: blank, one colour all over'): o(f)

def write(f, a):
    if f.suffix=='.fits': fits.PrimaryHDU(a.astype('f4')).writeto(f)
    else: Image.fromarray(a.astype('f4')[0]).save(f)
    return f

@pytest.mark.parametrize('typ,kind', [('.fits','fits'), ('.tif','deep')])
@pytest.mark.parametrize('value', [0., -3., 1e-28, 1e28, np.nan])
def test_constant_numbers_are_blank(value, typ, kind, tmp_path):
    a = np.full((1,40,40), value)
    f,g,h = (write(tmp_path/f'{o}{typ}', x) for o,x in (('a', a), ('b', np.where(np.arange(40)<3, np.nan, a)), ('c', np.pad(np.random.default_rng(0).normal(size=(1,4,40)), ((0,0),(0,36),(0,0))))))
    for o in (f, g):
        with pytest.raises(ImageError, match=f'{o.name}: .*(blank|no valid pixel)'): ImageReader(kind)(o)
    assert ImageReader(kind)(h).std()>0
    with pytest.raises(ImageError, match='blank'): ImageReader(kind, crop=20)(h) # nothing in what is used

def test_faint_is_not_blank(tmp_path):
    y,x = np.mgrid[:21,:21]-10
    disc = np.exp(-np.hypot(x, y)/3)
    Image.fromarray((30+3.4*disc).round().astype('u1')).save(tmp_path/'a.png')
    Image.fromarray(np.random.default_rng(0).poisson(.05, (21,21)).astype('u1')).save(tmp_path/'b.png')
    Image.fromarray((20+12*disc).astype('u1')).save(tmp_path/'c.jpg', quality=95)
    for o in ('a.png','b.png','c.jpg'): assert ImageReader()(tmp_path/o).float().std()>0
    for s in (1e-30, 1., 1e30): assert ImageReader('array')((disc*s)[None]).std()>0
    for bands in ((0,), (0,1)): # dropped bands
        a = np.stack([disc]*3)
        a[list(bands)] = 5
        fits.PrimaryHDU(a.astype('f4')).writeto(tmp_path/'d.fits', overwrite=True)
        assert ImageReader('fits')(tmp_path/'d.fits').shape==(3,21,21)

@pytest.mark.parametrize('colour', [(10,20,30), (0,0,255)])
def test_one_colour_of_a_rough_webp_is_blank(colour, tmp_path):
    Image.new('RGB', (48,48), colour).save(tmp_path/'a.webp', quality=80)
    with pytest.raises(ImageError, match='blank'): ImageReader()(tmp_path/'a.webp')

def test_blank_among_arrays():
    x = np.random.default_rng(0).integers(0, 255, (6,3,21,21)).astype('u1')
    x[2],x[4],x[5,0] = 7,0,0
    assert blank_images(x).tolist()==[False,False,True,False,True,False] and blank_images(x.astype('f8')*1e-30).tolist()==blank_images(x).tolist()
    assert len(ImageReader('array')(x))==6 # a batch is its owner's
    with pytest.raises(ImageError, match='in memory: blank'): ImageReader('array')(x[2])

@pytest.mark.parametrize('scale,fine', [(1e-30, True), (1e30, True), (1e39, False), (1e-42, False)])
def test_arrays_of_any_unit(scale, fine):
    a = np.random.default_rng(0).normal(size=(2,9,9))*scale
    if fine: x = ImageReader('array')(a); assert x.dtype==torch.float32; np.testing.assert_allclose(x.numpy(), a, rtol=1e-6)
    else:
        with pytest.raises(ImageError, match='another unit'): ImageReader('array')(a)
    assert (ImageReader('array')(np.arange(32, dtype='u2').reshape(2,4,4)+60000).numpy()==np.arange(32).reshape(2,4,4)+60000).all()

def survey(d, n, size, odd=(), typ='png', other=None):
    d.mkdir(exist_ok=True)
    for i in range(n): Image.fromarray(scene(*(other or size) if i in odd else size, seed=i)).save(d/f'{i}.{typ}')
    return [str(d/f'{i}.{typ}') for i in range(n)]

@pytest.mark.parametrize('odd', [(0,), (15,), (29,), (0,1,2,3)])
def test_the_size_of_most_is_expected(odd, tmp_path):
    files,read = survey(tmp_path/'i', 30, (48,48), odd, other=(40,48)),ImageReader(size=32)
    x,errs = stack_images(files, read)
    assert sorted(errs)==list(odd) and all(f'{i}.png: 48 x 40 px, where 48 x 48' in e for i,e in errs.items()) and read.native==(48,48)
    p = pack_images(files, tmp_path/'p', ImageReader())
    assert sorted(p.view(files)[1])==list(odd) and p.shape==(48,48,3)
    x,errs,_ = read_images(files, ImageReader())
    assert sorted(errs)==list(odd)

@pytest.mark.parametrize('odd', [0, 7])
def test_the_bands_of_most_are_expected(odd, tmp_path):
    files = [tmp_path/f'{i}.fits' for i in range(9)]
    for i,f in enumerate(files): fits.PrimaryHDU(np.random.default_rng(i).normal(size=(1 if i==odd else 4,16,16)).astype('f4')).writeto(f)
    assert list(stack_images(files, ImageReader('fits'))[1])==[odd]==list(pack_images(files, tmp_path/'p', ImageReader('fits')).view(files)[1])

def test_the_kind_is_that_of_most(tmp_path):
    d,told = tmp_path/'i',[]
    survey(d, 9, (48,48), typ='jpg')
    for i in range(9,13): fits.PrimaryHDU(scene()[...,0].astype('f4')).writeto(d/f'{i}.fits')
    for i in range(13,16): (d/f'{i}.png').write_bytes(png16(scene().astype('u2')*200))
    df = pd.DataFrame(dict(objID=[str(o) for o in range(16)][::-1]))
    read = guess_reader(df, d, say=told.append)
    assert read.kind=='rgb' and '9 .jpg, 4 .fits, 3 .png' in told[0]
    errs = stack_images([str(d/f'{o}.fits') for o in (9,10)]+[str(d/'13.png'), str(d/'3.jpg')], read)[1]
    assert 'it is FITS' in errs[0] and '16 bits' in errs[2] and 3 not in errs
    assert guess_reader(df[:7], d, say=told.append).kind=='fits' and guess_reader(df[:3], d).kind=='deep'
    assert guess_reader(df, d, pattern='{objID}.jpg').kind=='rgb' and guess_reader(df, d, pattern='{objID}_{band}.fits').kind=='fits'
    with pytest.raises(ImageError, match='a .jpg, where the others are FITS'): ImageReader('fits')(d/'3.jpg')

def test_any_fault_of_a_decoder_names_its_file(tmp_path, monkeypatch):
    f = write(tmp_path/'a.fits', np.random.default_rng(0).normal(size=(1,9,9)))
    def broken(*args, **kw): raise RuntimeError('no bits left')
    monkeypatch.setattr('galfast.images.reader.FITSImage.create', broken)
    with pytest.raises(ImageError, match=r'a.fits: cannot be read \(RuntimeError: no bits left'): ImageReader('fits')(f)
    with pytest.raises(ImageError, match='0.png.*smaller than the crop'): ImageReader(crop=99)(survey(tmp_path, 1, (9,9))[0])

def test_data_blocks_refuse_what_readers_do(tmp_path):
    Image.new('RGB', (40,40)).save(tmp_path/'a.png'); (tmp_path/'b.png').write_bytes(png16(scene()[...,0].astype('u2')*200)); Image.fromarray(scene()).save(tmp_path/'c.png')
    for kind in ('rgb','grey'):
        tfm = TfmdLists([tmp_path/'c.png'], ImageReader(kind).block().type_tfms)
        assert tfm[0].size==(83,61) and tfm[0].mode==dict(rgb='RGB', grey='L')[kind]
        for o,words in (('a','blank'), ('b','16 bits')):
            with pytest.raises(ImageError, match=words): ImageReader(kind).block().type_tfms[-1](tmp_path/f'{o}.png')
    assert TfmdLists([tmp_path/'b.png'], ImageReader('deep').block().type_tfms)[0].shape==(1,61,83)

def test_a_pack_of_an_earlier_galfast(tmp_path):
    "JPEG pixels are what they were, and blank ones are told; all else is made anew"
    jpgs,pngs = survey(tmp_path/'j', 5, (24,24), typ='jpg'),survey(tmp_path/'p', 5, (24,24))
    for files in (jpgs, pngs):
        dest = tmp_path/f'pack-{Path(files[0]).suffix[1:]}'
        pack_images(files, dest, ImageReader())
        meta = json.loads((dest/'pack.json').read_text())
        del meta['pixels']
        (dest/'pack.json').write_text(json.dumps(meta))
        assert len(ImagePack(dest).images)==5 # it loads
    with open(tmp_path/'pack-jpg'/'pixels.bin', 'r+b') as f: f.seek(2*24*24*3); f.write(bytes(24*24*3))
    row = pack_images(jpgs, tmp_path/'pack-jpg', ImageReader()).view(jpgs)[1]
    assert len(row)==1 and 'blank' in next(iter(row.values()))
    with pytest.raises(PackError, match='earlier galfast'): pack_images(pngs, tmp_path/'pack-png', ImageReader())
    assert not pack_images(pngs, tmp_path/'pack-png', ImageReader(), damaged='rebuild').view(pngs)[1]
