"Tiles of compressed FITS are decoded in a process of their own, as astropy decodes them"
import io,os,signal,struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np,pytest
from astropy.io import fits

from galfast.images.decoder import Undecoded,_idle,_read_all,decode_tiles

def tiles(x, how='RICE_1', **kw):
    b = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(x, compression_type=how, **kw)]).writeto(b)
    return b.getvalue()[2880:]

def by_astropy(b):
    with fits.open(io.BytesIO(fits.PrimaryHDU().header.tostring().encode()+b)) as f: return f[1].data

x = np.random.default_rng(0).integers(0, 900, (40,50)).astype('i2')

@pytest.mark.parametrize('how', ['RICE_1','GZIP_1','GZIP_2','PLIO_1','HCOMPRESS_1'])
def test_every_way_of_packing(how):
    got = decode_tiles(tiles(x, how))
    assert (got==x).all() and got.dtype.isnative

@pytest.mark.parametrize('kw', [{}, dict(quantize_level=4.), dict(quantize_method=2, dither_seed=1), dict(tile_shape=(7,11))], ids=str)
def test_floats_as_astropy_reads_them(kw):
    b = tiles(np.random.default_rng(1).normal(9, 2, (30,40)).astype('f4'), **kw)
    assert np.array_equal(decode_tiles(b), by_astropy(b))

def test_it_is_asked_anew_where_it_died_of_something_else():
    b = tiles(x)
    decode_tiles(b)
    w = _idle[-1]
    os.kill(w.p.pid, signal.SIGKILL); w.p.wait()
    assert (decode_tiles(b)==x).all()

def test_what_breaks_it_costs_one_file():
    b = tiles(x, 'HCOMPRESS_1', tile_shape=(40,50))
    i = b.index(b'\xdd\x99')
    bad = b[:i+2]+struct.pack('>ii', 4000, 5000)+b[i+10:]
    for o in (bad, b'no HDU'):
        with pytest.raises(Undecoded): decode_tiles(o)
    assert (decode_tiles(b)==x).all()

def test_memory_and_time_have_limits():
    large = tiles(np.zeros((3000,4000), 'i4'))
    with pytest.raises(Undecoded, match='Memory'): decode_tiles(large, most_mb=20)
    with pytest.raises(Undecoded, match='has not decoded in 0.001 s'): decode_tiles(large, most_seconds=.001)
    assert decode_tiles(large).shape==(3000,4000)

def test_threads_have_their_own():
    b = tiles(x)
    with ThreadPoolExecutor(3) as pool: assert all((o==x).all() for o in pool.map(decode_tiles, [b]*12))

@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork here')
def test_a_forked_process_starts_its_own():
    b = tiles(x)
    decode_tiles(b)
    kept = [o.p.pid for o in _idle]
    r,w = os.pipe()
    if not (pid := os.fork()):
        try: os.write(w, b'1' if (decode_tiles(b)==x).all() and _idle[0].p.pid not in kept else b'0')
        finally: os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(r, 1)==b'1' and (decode_tiles(b)==x).all()

def test_bytes_are_read_to_the_end():
    assert bytes(_read_all(io.BytesIO(b'galaxy'), 3))==b'gal'
    with pytest.raises(EOFError): _read_all(io.BytesIO(b'galaxy'), 7)
