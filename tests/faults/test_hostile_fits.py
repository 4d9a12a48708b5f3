"FITS files of somebody who means harm, and damaged ones: the same pixels twice or a refusal, in little memory and time"
import bz2,gzip,lzma,os,signal,subprocess,sys,time,warnings
from io import BytesIO

import numpy as np
import pytest
from astropy.io import fits
from damage import run

from galfast.images import fits as image
from galfast.base.core import ImageError
from galfast.images.fits import read_fits

soak = int(os.environ.get('GALFAST_SOAK', 0))
data = np.random.default_rng(0)
ints = data.integers(0, 3000, (40,50)).astype('i2')
floats = data.normal(0, 3, (40,50)).astype('f4')

def written(*hdus):
    "The bytes of a file"
    o = BytesIO()
    fits.HDUList(list(hdus)).writeto(o)
    return o.getvalue()

def tiled(x, how, **kw): return written(fits.PrimaryHDU(), fits.CompImageHDU(x, compression_type=how, **kw))

def sky():
    "A header with a WCS, names and comments"
    h = fits.Header(dict(BANDS='gri', EXPTIME=53.9, OBJECT="Hubble's", CTYPE1='RA---TAN', CTYPE2='DEC--TAN'))
    h.update(CRVAL1=150.1, CRVAL2=2.2, CRPIX1=25.5, CRPIX2=20.5, CD1_1=-1e-4, CD1_2=0., CD2_1=0., CD2_2=1e-4)
    return h

cube = written(fits.PrimaryHDU(data.normal(size=(3,40,50)).astype('f4'), sky()))
scaled = written(fits.PrimaryHDU(), fits.ImageHDU(ints.astype('u2'), sky(), name='SCI'), fits.BinTableHDU.from_columns([fits.Column('a', 'E', array=[1.,2.])]))
same,both = (lambda b: b),('RICE_1','GZIP_1','GZIP_2','HCOMPRESS_1')
kinds = dict(plain=(cube, same), scaled=(scaled, same), gz=(cube, gzip.compress), bz2=(cube, bz2.compress), xz=(scaled, lambda b: lzma.compress(b, preset=0)))
kinds |= {how: (tiled(ints, how, tile_shape=(16,50)), same) for how in (*both, 'PLIO_1')}
kinds |= {f'{how} of floats': (tiled(floats, how, tile_shape=(16,50)), same) for how in both}

nasty = ('-1', '0', '1', '2', '7', '999', '65536', '2147483647', '4294967296', '1099511627776', '9'*30, '1E9', '-32', '64', 'T', 'F', "'text'", "'open", '', 'NaN', '1_0', '0x10')

def damaged(b, rng):
    "`b` with bytes changed, cut, or a card that says something else"
    o = bytearray(b)
    heads = [i for i in range(0, len(b), 80) if b[i+8:i+10]==b'= ' and b[i:i+8].strip().replace(b'_', b'').replace(b'-', b'').isalnum()]
    for _ in range(rng.integers(1, 4)):
        how = rng.integers(6)
        if how==0:
            for i in rng.integers(0, len(o), rng.integers(1, 9)): o[i] = rng.integers(256)
        elif how==1: o[rng.integers(len(o))] ^= 1<<int(rng.integers(8))
        elif how==2 and rng.random()<.3: del o[rng.integers(len(o)):]
        elif how==3 and rng.random()<.3:
            i,n = rng.integers(len(o)),rng.integers(1, 3000)
            o[i:i+n] = b'' if rng.random()<.5 else bytes(o[i:i+n])*2
        elif heads:
            i = heads[rng.integers(len(heads))]
            if how==4: o[i+10:i+80] = nasty[rng.integers(len(nasty))].rjust(20).ljust(70).encode()
            else: o[i:i+8] = o[(j := heads[rng.integers(len(heads))]):j+8]
        if len(o)<9: break
    return bytes(o)

def read(fn):
    "The pixels, or why not; anything but an `ImageError` that names the file is a fault"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            return read_fits(fn, nan='keep')[0]
    except ImageError as e:
        assert fn.name in str(e) and '\n' not in str(e) and len(str(e))<600
        return None

def same_pixels(x, y): return np.array_equal(x, y, equal_nan=True)

def check(fn, b):
    "Was it read? Twice the same, within ten seconds"
    fn.write_bytes(b)
    t = time.monotonic()
    x,y = read(fn),read(fn)
    assert (x is None)==(y is None) and (x is None or np.array_equal(x, y, equal_nan=True)), 'other pixels the second time'
    assert time.monotonic()-t<30
    return x is not None

@pytest.mark.parametrize('kind', list(kinds))
def test_damage(tmp_path, kind):
    b,pack = kinds[kind]
    fn,refused,n = tmp_path/'a.fits',0,soak or 40
    assert check(fn, pack(b))
    for seed in range(n):
        rng = np.random.default_rng([seed, list(kinds).index(kind)])
        inside = pack is not same and seed%2
        o = pack(damaged(b, rng)) if inside else damaged(pack(b), rng)
        try: refused += not check(fn, o)
        except BaseException:
            print(f'{kind}: seed {seed}')
            raise
    assert n<20 or 0<refused, refused

# The short way and astropy's

def card(k, v, c=''): return f'{k:<8}= {v:>20}{c}'.ljust(80)[:80]

odd_cards = ['END     = 5', 'END', 'ENDING  =                    1', 'END-    =                    1', 'end', "CONTINUE  'more'", 'HIERARCH BSCALE = 2.0', 'HIERARCH ESO DET = 1',
             'HISTORY END', 'COMMENT', '', 'bscale  =                  2.0', ' BSCALE =                  2.0', 'BSCALE  =                  2.0', 'BSCALE= 2.0', 'BZERO   =                  1.0',
             'BZERO   =                  1D0', 'BLANK   =                    3', 'BLANK   = 3', 'NAXIS   =                    2', 'NAXIS1  =                    3', 'naxis1  =                    3',
             'GROUPS  =                    T', 'EXTEND  =                    T', 'PCOUNT  =                    4', 'GCOUNT  =                    2', 'SIMPLE  =                    F',
             "BANDS   = 'r'", "BANDS   = 'r", "BANDS   = 'it''s'", "BANDS   = 'r&'", "BAND0   = 'g' / it's", "BUNIT   = 'mag'", "BUNIT   = 'nmgy'", "bunit   = 'mag'", 'HIERARCH BUNIT = \'mag\'',
             "BUNIT   =      'mag' / 'x'", 'BSOFTEN =                  1.0', 'BOFFSET =                  0.0', "FILTER  = 'r.00000'", "CTYPE1  = 'RA---TAN'", "CTYPE2  = 'DEC--TAN'", 'CRVAL1  =                150.0',
             'CRVAL2  =                  2.0', 'CD1_1   =                1D-4', 'CD1_1   =               -1E-4', 'CD2_2   =                1E-4', 'CD2_2   =                1e-4', 'CD2_2   =               1_0.0',
             'CD1_2   =                  nan', 'CDELT1  =               0.0001', 'CROTA2  =                 30.0', 'PC1_1   =                  0.0', 'PC1_2   =                  1.0', 'PC2_1   =                  1.0',
             'CRPIX1  = 3.5/no blank', "OBJECT  = 'caf\xe9'", 'OBJECT  = \t1', 'OBJECT\0 = 1', "LONGSTRN= 'OGIP 1.0'", 'XTENSION= \'IMAGE   \'', 'A       =                    1', '= 3', '        = 3']

def header_file(seed):
    "A small image whose header has odd cards in odd places"
    rng = np.random.default_rng(seed)
    bits = int(rng.choice([8,16,32,-32,-64,64]))
    shape = [(6,8), (3,6,8), (1,6,8), (20,5)][rng.integers(4)]
    dtype = {8: 'u1', 16: '>i2', 32: '>i4', 64: '>i8', -32: '>f4', -64: '>f8'}[bits]
    x = rng.integers(1, 100, shape).astype(dtype)
    cards = [card('SIMPLE', 'T'), card('BITPIX', bits), card('NAXIS', len(shape)), *(card(f'NAXIS{i+1}', n) for i,n in enumerate(shape[::-1]))]
    if rng.random()<.5: cards += [card('CRVAL1', '150.0'), card('OBJECT', "'M 51'", ' / its name'), card('BANDS', "'gri'")]
    for _ in range(rng.integers(0, 4)): cards.insert(int(rng.integers(1, len(cards)+1)) if rng.random()<.9 else 0, odd_cards[rng.integers(len(odd_cards))].ljust(80))
    how = rng.integers(9)
    i,j,k = rng.integers(len(cards)),rng.integers(len(cards)),rng.integers(80)
    if how==0: cards[i],cards[j] = cards[j],cards[i]
    elif how==1: cards[i] = cards[i].lower()
    elif how==2: cards[i] = (' '+cards[i])[:80]
    elif how==3: cards[i] = cards[i].replace('= ', '=', 1).ljust(80)
    elif how==4: cards[i] = cards[i][:k]+chr(rng.integers(32, 127))+cards[i][k+1:]
    elif how==5: cards.append(cards[i])
    end = ('END'.ljust(80) if rng.random()<.9 else 'END     =           ')
    head = (''.join(cards)+end).encode('latin-1')
    return head.ljust(-(-len(head)//2880)*2880)+x.tobytes().ljust(2880, b'\0')

def text(hdr):
    try: return hdr.tostring()
    except Exception as e: return str(e) # a card that cannot be written

def test_the_short_way(tmp_path, monkeypatch):
    "Headers of a generator: what the short way reads, astropy reads; otherwise it is left to astropy"
    fn,short = tmp_path/'a.fits',0
    for seed in range(soak*2 or 500):
        fn.write_bytes(header_file(seed))
        got = read(fn)
        if got is None: continue
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            want = fits.getdata(fn, 0, memmap=False, uint=False) # an image that astropy cannot read fails here
            plain = image._short_way(fn, image._Turning())
            with monkeypatch.context() as m:
                m.setattr(image, '_short_way', lambda *args: None)
                there = read_fits(fn, nan='keep') # astropy's way
        if 'BSOFTEN' not in there[2]: assert same_pixels(np.sort(got.ravel()), np.sort(want.astype('f4').ravel())), seed # others are made linear
        assert same_pixels(got, there[0]), seed
        if plain:
            short += 1
            assert same_pixels(plain.x, got) and text(plain.hdr)==text(there[2]) and plain.names==there[1], seed
    assert short>50

# What asks for more than there is

def head(*cards):
    b = (''.join(card(*o) for o in cards)+'END'.ljust(80)).encode()
    return b.ljust(-(-len(b)//2880)*2880)

first = (('SIMPLE','T'), ('BITPIX',-32), ('NAXIS',2), ('NAXIS1',8), ('NAXIS2',8))
def other(**kw): return head(*((k, kw.get(k, v)) for k,v in first), *((k, v) for k,v in kw.items() if k not in dict(first)))+bytes(2880)
broken = cube.replace(b'                   T ', b'             !     T ', 1)
def endless(pack): return pack(head(('SIMPLE','T'), ('BITPIX',8), ('NAXIS',0)))+pack(bytes(1<<24))*100
def table(**kw):
    "A file of tiles with other cards in its table"
    b = bytearray(tiled(ints, kw.pop('how', 'RICE_1'), tile_shape=(16,50)))
    for k,v in kw.items():
        i = b.index(k.ljust(8).encode()+b'= ')
        b[i:i+80] = card(k, v).encode()
    return bytes(b)

bombs = {f'NAXIS = {n}': other(NAXIS=n) for n in (-1, 1000, 2**31, 2**40, 2**70, '1E9', 'T')} | {f'NAXIS1 = {n}': other(NAXIS1=n) for n in (-8, 2**31, 2**40, 2**70, '8.0')}
bombs |= dict(bitpix=other(BITPIX=0), pcount=other(PCOUNT=2**50), gcount=other(GCOUNT=2**50), twice=other()[:400]+card('NAXIS1', 2**40).encode()+other()[480:],
    noend=b'SIMPLE  =                    T'.ljust(80)*10**6, simple_gz=gzip.compress(broken), simple_bz2=bz2.compress(broken), simple_xz=lzma.compress(broken), simple=broken,
    endless_gz=endless(gzip.compress), endless_bz2=endless(bz2.compress), endless_xz=endless(lzma.compress), many=head(*first[:2], ('NAXIS',0))+head(('XTENSION',"'IMAGE   '"), ('BITPIX',8), ('NAXIS',0))*3000,
    rows=table(NAXIS2=2**40), heap=table(PCOUNT=2**40), theap=table(NAXIS1=2**40), tiles=table(ZTILE1=0), thin=table(ZTILE1=1), axes=table(ZNAXIS=2**40), wide=table(ZNAXIS1=2**40), large=table(ZNAXIS1=16000, ZTILE1=16000),
    block=table(ZVAL1=2**30), bytes_a_pixel=table(ZVAL2=8), codec=table(ZCMPTYPE="'LZW'"), bits=table(ZBITPIX=2**20), columns=table(TFIELDS=10**6), form=table(TFORM1="'9999999PB'"))

def overlapping():
    "4,000 tiles that all are the whole heap"
    b = bytearray(tiled(np.zeros((4000,16), 'i4'), 'HCOMPRESS_1', tile_shape=(4,16)))
    at,n = b.rindex(b'END'.ljust(80))//2880*2880+2880,1000
    for i in range(n): b[at+8*i:at+8*i+8] = (4000).to_bytes(4, 'big')+(8*i).to_bytes(4, 'big')
    return bytes(b)
bombs |= dict(overlap=overlapping(), headers=b''.join([head(*first[:2], ('NAXIS',0)), *(head(('XTENSION',"'IMAGE   '"), ('BITPIX',8), ('NAXIS',0), *[('A',1)]*35000) for _ in range(12))]))

reader = """
import sys
from damage import most_mb
from galfast.base.core import ImageError
from galfast.base.files import Budget
from galfast.images.fitsfile import open_fits
base = most_mb()
for fn in sys.argv[1:]:
    try:
        with open_fits(fn, Budget(most_mb=100)) as f:
            for u in f.hdus:
                if u.is_image and u.shape: f.pixels(u)
        print('read')
    except ImageError as e: print('refused', str(e)[:300].encode())
print(most_mb()-base)
"""

def test_bombs(tmp_path):
    "Each is refused, all of them in less than 700 MB beside what is imported"
    fns = []
    for k,b in bombs.items():
        fns.append(tmp_path/f'{k}.fits')
        fns[-1].write_bytes(b)
    p = run(['-c', reader, *fns], seconds=400)
    *lines,mb = p.stdout.splitlines() or ['']
    assert p.returncode==0 and len(lines)==len(bombs), p.stderr[-2000:]
    assert not (bad := [(k, o) for k,o in zip(bombs, lines) if not o.startswith('refused')]), bad
    assert float(mb)<700

def test_tiles_larger_than_their_place(tmp_path):
    "HCOMPRESS streams that say another size; each is refused before it is decoded, or by the process that dies of it"
    b,fn = tiled(ints, 'HCOMPRESS_1', tile_shape=(16,50)),tmp_path/'a.fits.fz'
    i = b.index(b'\xdd\x99')
    for size in ((17,50), (16,51), (50,16), (4000,5000), (2**31-1,2**31-1), (0,0), (-16,50)):
        fn.write_bytes(b[:i+2]+b''.join(o.to_bytes(4, 'big', signed=True) for o in size)+b[i+10:])
        with pytest.raises(ImageError, match='tile 0 is no HCOMPRESS of 16 x 50 pixels'): read_fits(fn)
    fn.write_bytes(b)
    np.testing.assert_array_equal(read_fits(fn)[0][0,::-1], ints)

def test_a_file_of_several_kinds_is_read_as_astropy_reads_it(tmp_path):
    for i,(b,pack) in enumerate(kinds.values()):
        (tmp_path/f'{i}.fits').write_bytes(pack(b))
        with fits.open(BytesIO(b), uint=False) as h: want = next(u.data for u in h if u.is_image and u.shape).astype('f4')
        got = read_fits(tmp_path/f'{i}.fits')[0]
        np.testing.assert_array_equal(got.squeeze()[...,::-1,:], want)

def test_a_distortion_of_any_order(tmp_path):
    "SIP has orders up to 9; 3000 would take half a gigabyte and a quarter of a minute"
    h = sky()
    h.update(CTYPE1='RA---TAN-SIP', CTYPE2='DEC--TAN-SIP', A_ORDER=3000, B_ORDER=3000)
    fits.PrimaryHDU(floats, h).writeto(tmp_path/'a.fits')
    t = time.process_time()
    x = image.FITSImage.create(tmp_path/'a.fits')
    assert x.wcs is None and time.process_time()-t<3

# The process that decodes

def test_decoders_in_workers_and_after_a_fork(tmp_path):
    "Tiles are read in this process, in workers that were forked from it, and here again"
    from torch.utils.data import DataLoader
    for i in range(8): (tmp_path/f'{i}.fz').write_bytes(tiled(ints+i, 'RICE_1'))
    files = [tmp_path/f'{i}.fz' for i in range(8)]
    want = [ints[::-1]+i for i in range(8)]
    for workers in (0, 2, 0):
        got = DataLoader(files, batch_size=None, num_workers=workers, collate_fn=lambda f: read_fits(f)[0][0], multiprocessing_context='fork' if workers else None)
        for a,b in zip(got, want): np.testing.assert_array_equal(np.asarray(a), b)

alone = """
import os,signal,sys
from galfast.images.decoder import _idle
from galfast.images.fitsfile import open_fits
with open_fits(sys.argv[1]) as f: f.pixels(f.hdus[1])
if os.fork()==0: # a child holds the pipes as well
    import time
    time.sleep(30)
    os._exit(0)
print(_idle[0].p.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

@pytest.mark.skipif(not os.path.isdir('/proc'), reason='no /proc to see processes in')
def test_a_decoder_ends_with_whoever_started_it(tmp_path):
    (tmp_path/'a.fz').write_bytes(tiled(ints, 'RICE_1'))
    p = subprocess.Popen([sys.executable, '-W', 'ignore', '-c', alone, str(tmp_path/'a.fz')], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        pid = int(p.stdout.readline())
        p.wait(30)
        end = time.monotonic()+20
        while time.monotonic()<end and running(pid): time.sleep(.1)
        assert not running(pid)
    finally: os.killpg(p.pid, signal.SIGKILL)

def running(pid):
    "Is there such a process, and does it do anything?"
    try: return open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError: return False

@pytest.mark.parametrize('at', [2, 3, 4, 1])
def test_a_line_list_that_says_it_is_longer(tmp_path, at):
    "PLIO's decoder would read what lies in memory behind it, something else each time"
    b,fn = bytearray(tiled(ints, 'PLIO_1', tile_shape=(16,50))),tmp_path/'a.fits.fz'
    assert check(fn, bytes(b))
    hdus = fits.open(BytesIO(bytes(b)), disable_image_compression=True)
    heap = hdus[1].header.get('THEAP', hdus[1].header['NAXIS1']*hdus[1].header['NAXIS2'])+hdus[1].fileinfo()['datLoc']
    words = {1: {2: 0, 1: 30000}, 2: {2: 30000}, 3: {2: 0, 3: 30000, 4: 0}, 4: {2: 0, 4: 30000}}[at] # where it begins, how long it is, short and long
    for i,w in words.items(): b[heap+2*i:heap+2*i+2] = w.to_bytes(2, 'big')
    fn.write_bytes(bytes(b))
    with pytest.raises(ImageError, match='tile 0 is no PLIO line list'): read_fits(fn)
