"FITS files are checked before they are read; what passes is what astropy reads. tests/faults damages them"
import bz2,gzip,io,lzma,warnings

import numpy as np,pytest
from astropy.io import fits

from galfast.base.core import ImageError
from galfast.base.files import Budget
from galfast.images.fitsfile import _is_line_list,fits_errors,open_fits,quiet_header

def packed(*hdus):
    b = io.BytesIO()
    fits.HDUList([*hdus]).writeto(b)
    return b.getvalue()

rng = np.random.default_rng(0)
image = fits.PrimaryHDU(rng.normal(size=(3,4)).astype('f4'))
plain = packed(image)

def pixels(b, name='a.fits', i=0, **kw):
    with open_fits(name, body=b, **kw) as f: return np.array(f.pixels(f.hdus[i]))

@pytest.mark.parametrize('fmt', ['u1','i2','i4','i8','f4','f8','u2','u4'])
def test_every_type_as_astropy_reads_it(fmt):
    b = packed(fits.PrimaryHDU((rng.random((5,3,4))*200).astype(fmt)))
    with fits.open(io.BytesIO(b), uint=False) as f: assert np.array_equal(pixels(b), f[0].data)

def test_scaled_and_blank():
    u = fits.PrimaryHDU(np.array([[0,1,-99]], 'i2'))
    b = packed(u)
    i = b.index(b'EXTEND')
    for card in ('BSCALE  =                  0.5','BZERO   =                   10','BLANK   =                  -99'):
        b = b[:i]+card.ljust(80).encode()+b[i:]
    head = b[:b.index(b'END     ')+80]
    b = head.ljust(2880)+np.array([0,1,-99], '>i2').tobytes().ljust(2880, b'\0')
    assert np.array_equal(pixels(b), [[10,10.5,np.nan]], equal_nan=True)

@pytest.mark.parametrize('pack', [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files(pack, tmp_path):
    (tmp_path/'a.fits.x').write_bytes(pack(plain))
    with open_fits(tmp_path/'a.fits.x') as f: assert np.array_equal(f.pixels(f.hdus[0]), image.data)
    assert np.array_equal(pixels(pack(plain)), image.data)
    with pytest.raises(ImageError, match='unpacked it is 16 MB, where at most 10 MB'): pixels(pack(packed(fits.PrimaryHDU(np.zeros((2000,2000), 'f4')))), budget=Budget(most_mb=10))

def test_what_is_behind_the_last_part_is_none_of_it():
    b = plain+b'what is this'*1000
    with open_fits('a.fits', body=b) as f: assert len(f.hdus)==1 and np.array_equal(f.pixels(f.hdus[0]), image.data)

def test_tiles():
    x = rng.integers(0, 99, (20,30)).astype('i2')
    b = packed(fits.PrimaryHDU(), fits.CompImageHDU(x, compression_type='RICE_1'))
    assert np.array_equal(pixels(b, i=1), x)

def changed(b, key, value):
    i = b.index(key.ljust(8).encode()+b'= ')
    return b[:i+10]+str(value).rjust(20).encode()+b[i+30:]

@pytest.mark.parametrize('key,value,why', [('NAXIS', 2**40, 'cannot be'), ('NAXIS1', -4, 'cannot be'), ('BITPIX', 7, 'cannot be'), ('SIMPLE', '!', 'a.fits'),
                                           ('NAXIS2', 2**30, 'at most 64 million'), ('NAXIS2', 800, 'cut short')])
def test_headers_that_lie(key, value, why):
    with pytest.raises(ImageError, match=why): pixels(changed(plain, key, value))

@pytest.mark.parametrize('key,value,why', [('ZTILE2', 3, 'tiles'), ('ZVAL1', 77, 'RICE_1'), ('ZCMPTYPE', "'LZW'", "'LZW'"), ('ZNAXIS1', 2**20, 'a.fits')])
def test_tiles_that_lie(key, value, why):
    b = packed(fits.PrimaryHDU(), fits.CompImageHDU(np.arange(12, dtype='i2').reshape(3,4), compression_type='RICE_1'))
    with pytest.raises(ImageError, match=why): pixels(changed(b, key, value), i=1)

@pytest.mark.parametrize('b,why', [(b'', 'empty'), (b'no such layer', "it begins with 'no such layer'"), (b'\xff\xd8\xff\xe0', 'a JPEG image, not FITS'),
                                   (plain[:2000], 'has no END'), (plain[:2890], 'cut short'), (gzip.compress(plain)[:-9], 'does not unpack as gzip')])
def test_what_is_no_fits_file(b, why):
    with pytest.raises(ImageError, match=why) as e: pixels(b)
    assert str(e.value).startswith('a.fits')

def test_errors_name_the_file_and_warnings_are_quiet():
    with pytest.raises(ImageError, match=r'b.fits: not readable as FITS, cut short or damaged \(KeyError'), fits_errors('b.fits'): {}['NAXIS'] # noqa: B018
    with pytest.raises(ImageError, match='as it was'), fits_errors('b.fits'): raise ImageError('as it was')
    with warnings.catch_warnings(record=True) as said, quiet_header(): warnings.warn('a card breaks the standard') # noqa: B028
    assert not said

@pytest.mark.parametrize('words,ok', [([0,0,4,0x4005],True), ([0,0,5,0x4005],False), ([0,0,0,0x4005],False), ([0,7,-100,8,0,0,0,0x4005],True), ([0,0,4,0x1005],False), ([0,0,4],False)])
def test_line_lists(words, ok): assert _is_line_list(words)==ok
