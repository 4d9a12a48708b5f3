"What a file is, and what reading it may cost"
import bz2,gzip,hashlib,io,lzma,os

import numpy as np,pytest

from galfast.base.core import GalfastError,ImageError
from galfast.base.files import Budget,OverBudget,_budget,_piece,_raw,_starts,_text_starts
from galfast.base.files import check_pixels,file_budget,file_kind,kind_of,kind_words,own_file,sha256_of,unpacked

def made(kind):
    "The bytes of a file of a kind, as other libraries write it"
    b = io.BytesIO()
    if kind in ('jpeg','png','tiff','webp','gif','bmp'):
        from PIL import Image
        Image.new('RGB', (4,4)).save(b, kind)
    elif kind=='fits':
        from astropy.io import fits
        fits.PrimaryHDU(np.zeros((2,2))).writeto(b)
    elif kind=='hdf5':
        import h5py
        with h5py.File(b, 'w') as f: f['a'] = 1
    elif kind=='numpy': np.save(b, np.zeros(2))
    elif kind=='zip': np.savez(b, a=1)
    else: b.write(dict(gzip=gzip, bzip2=bz2, xz=lzma)[kind].compress(b'a'))
    return b.getvalue()

@pytest.mark.parametrize('kind', 'jpeg png tiff webp gif bmp fits hdf5 numpy zip gzip bzip2 xz'.split())
def test_files_of_other_libraries(kind): assert file_kind(made(kind)[:512])==kind

@pytest.mark.parametrize('head,kind', [(b'', 'empty'), (b'\xef\xbb\xbf \n<html>', 'web page'), (b'{"a": 1}', 'json'), (b'%!PS', 'postscript'),
                                       (b'%PDF-1.7', 'pdf'), (b'objID,z\n', ''), (b'RIFF\0\0\0\0WAVE', '')])
def test_other_kinds(head, kind): assert file_kind(head)==kind

def test_each_kind_has_a_word(): assert {k for _,k in _starts+_text_starts}|{'webp','empty'}<=set(kind_words)

def test_what_cannot_be_opened(tmp_path):
    for name,why in (('', 'a folder or a device'), ('no.jpg', 'no such file')):
        with pytest.raises(ImageError, match=why): kind_of(tmp_path/name)
    if hasattr(os, 'mkfifo'): # it would be waited for
        os.mkfifo(tmp_path/'pipe')
        with pytest.raises(ImageError, match='not a file'): kind_of(tmp_path/'pipe')

def test_budget_of_the_settings(tmp_path, monkeypatch):
    monkeypatch.setenv('GALFAST_HOME', str(tmp_path)); monkeypatch.chdir(tmp_path)
    def write(said): (tmp_path/'settings.ini').write_text(f'[DEFAULT]\nlib_name = galfast\n{said}\n'); _budget.cache_clear()
    try:
        write('most_mpix = 300\nmost_mb = 4000')
        assert file_budget()==Budget(300, 4000, 10)
        check_pixels('huge.fits', (16000,16000), 4)
        for said,why in (('most_mb = many', 'most_mb are numbers'), ('most_seconds = 0', 'most_seconds must be above 0')):
            write(said)
            with pytest.raises(GalfastError, match=why): file_budget()
    finally: _budget.cache_clear()

@pytest.mark.parametrize('shape,itemsize,why', [((2**40,1), 1, '64 million'), ((8001,8000), 1, 'most_mpix'), ((4000,10000), 16, '640 MB'), ((8000,8000), 1, None)])
def test_pixels_are_counted_before_they_are_read(shape, itemsize, why):
    if why is None: return check_pixels('a', shape, itemsize, Budget())
    with pytest.raises(ImageError, match=why): check_pixels('a', shape, itemsize, Budget())

@pytest.mark.parametrize('pack', [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize('n', [0, 1, _raw, _piece-1, _piece, _piece+1])
def test_all_is_unpacked(tmp_path, pack, n):
    b = np.random.default_rng(n).integers(0, 256, n, dtype=np.uint8).tobytes()
    for x,behind in ((b, b''), (bytes(n), b'\0'*600), (b, b'\0'*2*_raw)):
        (tmp_path/'a').write_bytes(pack(x)+behind)
        assert unpacked(tmp_path/'a')==x==unpacked('a', body=pack(x)+behind)

@pytest.mark.parametrize('pack', [gzip.compress, bz2.compress, lzma.compress])
def test_many_members(tmp_path, pack):
    (tmp_path/'a').write_bytes(pack(b'1')*200)
    assert unpacked(tmp_path/'a')==b'1'*200
    (tmp_path/'a').write_bytes(pack(b'')*400)
    with pytest.raises(ImageError, match='has not unpacked in 1e-09 s'): unpacked(tmp_path/'a', Budget(most_seconds=1e-9))
    with pytest.raises(OverBudget, match='unpacks to more than 16 MB'): unpacked('a', Budget(most_mb=16), body=pack(bytes(17_000_000)))
    with pytest.raises(ImageError, match='cut short or damaged'): unpacked('a', body=pack(b'galaxy'*1000)[:-9])

def test_what_is_not_packed(tmp_path):
    (tmp_path/'a').write_bytes(b'as it is')
    assert unpacked(tmp_path/'a')==b'as it is'
    greedy = lzma.compress(bytes(100), preset=9) # asks for 64 MB
    with pytest.raises(ImageError, match='does not unpack as xz'): unpacked('a', Budget(most_mb=10), body=greedy)
    with pytest.raises(ImageError, match='no such file'): unpacked(tmp_path/'none')

def test_hashes(tmp_path):
    assert sha256_of(b'abc')=='ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad' # FIPS 180-4
    (tmp_path/'a').write_bytes(bytes(range(256))*9000)
    assert sha256_of(tmp_path/'a')==hashlib.sha256(bytes(range(256))*9000).hexdigest()
    with pytest.raises(TypeError): sha256_of('abc')

def test_no_name_leads_out_of_a_folder(tmp_path):
    (tmp_path/'in').mkdir()
    assert own_file(tmp_path/'in', 'sub/a.csv')==tmp_path/'in/sub/a.csv'
    for name in ('../a.csv', str(tmp_path/'in/a.csv'), '.', 'sub/../../a'):
        with pytest.raises(GalfastError, match='leads out of'): own_file(tmp_path/'in', name)
    (tmp_path/'in/link').symlink_to(tmp_path/'a.csv')
    with pytest.raises(GalfastError, match='a link is not followed'): own_file(tmp_path/'in', 'link')
