"Where the parts of a FITS file lie: as astropy finds them"
import io

import numpy as np,pytest
from astropy.io import fits

from galfast.base.core import ImageError
from galfast.base.hdus import fits_block,walk_fits,whole_fits

def packed(*hdus):
    b = io.BytesIO()
    fits.HDUList([*hdus]).writeto(b)
    return b.getvalue()

@pytest.fixture(scope='module')
def file():
    "An image, a table with arrays of any length, and an image in tiles"
    col = fits.Column('v', 'PJ()', array=np.array([np.arange(3), np.arange(2000)], dtype=object))
    tiles = fits.CompImageHDU(np.arange(10000, dtype='i4').reshape(100,100))
    return packed(fits.PrimaryHDU(np.zeros((7,5), 'i2')), fits.BinTableHDU.from_columns([col]), tiles)

def test_parts_as_astropy_has_them(file):
    parts,end = whole_fits(file)
    with fits.open(io.BytesIO(file), disable_image_compression=True) as hdus:
        where = [o.fileinfo() for o in hdus]
        assert [*parts]==[o['hdrLoc'] for o in where] and [o.at for o in parts.values()]==[o['datLoc'] for o in where]
        image,*tables = hdus
        sizes = [o.header['NAXIS1']*o.header['NAXIS2']+o.header['PCOUNT'] for o in tables]
        assert [o.size for o in parts.values()]==[image.data.nbytes, *sizes]
    assert end==len(file) and end%fits_block==0

def test_what_lies_behind_is_no_part(file):
    parts,end = whole_fits(file+b'what is this'*500)
    assert (len(parts),end)==(3,len(file))

@pytest.mark.parametrize('cut', [1, 2880, 8640])
def test_a_file_cut_short(file, cut):
    with pytest.raises(ImageError, match='its headers promise|no END|missing'): whole_fits(file[:-cut-fits_block])

def card(b, k, v):
    "`b` with another value on the first card of the keyword `k`"
    i = b.index(k.ljust(8).encode()+b'=')
    return b[:i]+f'{k:<8}= {v:>20}'.ljust(80).encode()+b[i+80:]

@pytest.mark.parametrize('k,v,why', [('BITPIX', 12, 'cannot be'), ('NAXIS', 17, 'cannot be'), ('NAXIS1', -3, 'cannot be'), ('NAXIS1', '1E3', 'cannot be'),
                                     ('NAXIS1', 10**9, 'promise'), ('SIMPLE', 'F', 'not with SIMPLE = T')])
def test_headers_that_cannot_be(k, v, why):
    b = packed(fits.PrimaryHDU(np.zeros((7,5), 'i2')))
    with pytest.raises(ImageError, match=why): whole_fits(card(b, k, v))

def test_a_header_that_says_it_twice():
    b = packed(fits.PrimaryHDU(np.zeros((7,5), 'i2')))
    i = b.index(b'EXTEND')
    with pytest.raises(ImageError, match='says twice'): whole_fits(b[:i]+b'NAXIS1  =                    9'.ljust(80)+b[i+80:])

def test_headers_without_end():
    long = b'SIMPLE  =                    T'.ljust(80)+b'COMMENT'.ljust(80)*36*1001
    with pytest.raises(ImageError, match='more than 36,000 cards'): walk_fits(io.BytesIO(long), len(long))
    with pytest.raises(ImageError, match='a header is missing'): whole_fits(b'objID,z\n1,.2\n')

def test_random_groups(tmp_path):
    "Their first axis has no pixels (FITS standard 4.0, section 6.1)"
    groups = fits.GroupData(np.zeros((3,2,4), 'f4'), parnames=['u','v'], pardata=[np.zeros(3)]*2, bitpix=-32)
    fits.GroupsHDU(groups).writeto(tmp_path/'a.fits')
    assert whole_fits((tmp_path/'a.fits').read_bytes())[0][0].size==3*4*(2*4+2)
