"Packs on disk: FITS with missing pixels, processes that die, two at once, sources that change or go"
import os,shutil,signal,subprocess,sys,time
from pathlib import Path

import numpy as np,pandas as pd,pytest,torch
from astropy.io import fits
from PIL import Image
from typer.testing import CliRunner

from galfast.cli import app
from galfast.data.loaders import GalaxyDataLoaders
from galfast.images.pack import *
from galfast.images.reader import ImageReader
from galfast.train import train_galaxies

def cubes(d, n=5, size=16, seed=0):
    x = np.random.default_rng(seed).normal(size=(n,3,size,size)).astype(np.float32)
    x[1,2,3,4] = np.nan
    for i,o in enumerate(x): fits.PrimaryHDU(o, fits.Header(dict(BANDS='grz'))).writeto(d/f'{i}.fits')
    return [d/f'{i}.fits' for i in range(n)]

def photos(d, n, size=24, seed=0):
    rng = np.random.default_rng(seed)
    d.mkdir(exist_ok=True)
    for i in range(n): Image.fromarray(rng.integers(0, 255, (size,size,3), np.uint8)).save(d/f'{i}.jpg')
    return [d/f'{i}.jpg' for i in range(n)]

@pytest.mark.parametrize('kw', [{}, dict(size=8), dict(bands='zg'), dict(nan='median'), dict(crop=10, size=10)])
def test_fits_pixels_are_those_of_the_reader(kw, tmp_path):
    files,read = cubes(tmp_path),ImageReader('fits', **kw)
    p = pack_images(files, tmp_path/'pack', read)
    x,errs = p.view(files)
    assert not errs and x.dtype==torch.float32
    for i,f in enumerate(files): torch.testing.assert_close(x[i], read(f).as_subclass(torch.Tensor), rtol=0, atol=0)
    m = p.missing
    assert m.shape==x.shape and m[1].any() and not m[0].any()
    if not kw: assert m[1].nonzero().tolist()==[[2,12,4]] # the file's row 3 of 16, row 0 north

def test_half_precision(tmp_path):
    files = cubes(tmp_path)
    p = pack_images(files, tmp_path/'pack', ImageReader('fits'), dtype='float16')
    assert p.images.dtype==torch.float16 and p.nbytes==2*3*16*16
    torch.testing.assert_close(p.images.float(), pack_images(files, tmp_path/'p2', ImageReader('fits')).images, rtol=1e-3, atol=1e-3)

def test_no_missing_pixels_no_mask(tmp_path):
    p = pack_images(photos(tmp_path/'i', 3), tmp_path/'pack', ImageReader())
    assert p.missing is None and p.images.shape==(3,3,24,24)

def test_sizes_that_differ(tmp_path):
    files = photos(tmp_path/'i', 4)
    Image.effect_noise((30,24), 50).convert('RGB').save(files[2])
    _,errs = pack_images(files, tmp_path/'pack', ImageReader()).view(files)
    assert list(errs)==[2] and '30 x 24 px' in errs[2]
    x,errs = pack_images(files, tmp_path/'p2', ImageReader(crop=20)).view(files)
    assert not errs and x.shape==(4,3,20,20)

code = """
import sys
from pathlib import Path
from galfast.images.reader import ImageReader
from galfast.images.pack import *
class Slow(ImageReader):
    def decode(self, f):
        import time; time.sleep(.001)
        with open(sys.argv[2]+'.log', 'a') as o: o.write(Path(f).name+chr(10))
        return super().decode(f)
files = sorted(Path(sys.argv[1]).glob('*.jpg'))
import galfast.images.pack
pack_images(files, sys.argv[2], Slow(), n_workers=2)
"""
def start(*args): return subprocess.Popen([sys.executable, '-W', 'ignore', '-c', code, *map(str, args)], stderr=subprocess.DEVNULL)

def check(files, dest):
    x,errs = ImagePack(dest).view(files)
    assert not errs
    read = ImageReader()
    for i in range(0, len(files), 97): assert (x[i]==read(files[i])).all()

def test_killed_and_gone_on_with(tmp_path):
    photos(tmp_path/'i', 3000, 8)
    log = tmp_path/'pack.log'
    p = start(tmp_path/'i', tmp_path/'pack')
    while not (log.exists() and log.stat().st_size>22_500): time.sleep(.02)
    p.send_signal(signal.SIGKILL); p.wait()
    assert 0<ImagePack(tmp_path/'pack').n<3000
    assert start(tmp_path/'i', tmp_path/'pack').wait()==0
    check(sorted((tmp_path/'i').glob('*.jpg')), tmp_path/'pack')
    assert len(log.read_text().split())<3000+1000+70 # no more than the part under way was decoded twice

def test_two_at_once(tmp_path):
    photos(tmp_path/'i', 600, 8)
    ps = [start(tmp_path/'i', tmp_path/'pack') for _ in range(2)]
    assert [p.wait() for p in ps]==[0,0]
    check(sorted((tmp_path/'i').glob('*.jpg')), tmp_path/'pack')
    assert len((tmp_path/'pack.log').read_text().split())<=610 # nine are looked at first; the second found it done

def test_changed_added_and_gone(tmp_path):
    files,read = photos(tmp_path/'i', 5),ImageReader()
    pack_images(files, tmp_path/'pack', read)
    Image.fromarray(np.r_[np.full((20,24,3), (255,0,0)), np.full((4,24,3), (255,255,0))].astype('u1')).save(files[3]); os.utime(files[3], (1,1))
    files[0].unlink()
    more = files+[tmp_path/'i'/'9.jpg']
    shutil.copy(files[1], more[-1])
    p = pack_images(more, tmp_path/'pack', read)
    x,errs = p.view(more)
    assert list(errs)==[0] and '0.jpg' in errs[0] and x[3][0][:12].min()>250 and (x[5]==x[1]).all()
    assert p.n==6 # a free row was used again

def test_loaders_and_training_use_a_pack_and_say_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('GALFAST_HOME', str(tmp_path/'home')); monkeypatch.chdir(tmp_path)
    files = photos(tmp_path/'i', 40, 32)
    df = pd.DataFrame(dict(objID=[f.stem for f in files], y=np.arange(40.)))
    monkeypatch.setattr('galfast.images.pack.most_in_memory', 1000)
    dls = GalaxyDataLoaders.from_catalog(df, tmp_path/'i', 'y', size=32, bs=8, device='cpu')
    assert 'packed in' in capsys.readouterr().out and (tmp_path/'home'/'cache'/'packs').is_dir()
    plain = GalaxyDataLoaders.from_catalog(df, tmp_path/'i', 'y', size=32, bs=8, device='cpu', pack=False, num_workers=0)
    for a,b in zip(dls.valid, plain.valid): assert (a[0]==b[0]).all() and (a[1]==b[1]).all()
    lines = []
    run = train_galaxies(df, tmp_path/'i', 'y', tmp_path/'run', device='cpu', say=lines.append, size=32, members=2, epochs=1)
    assert any('packed in' in o for o in lines) and run.info['n_train']==40

def test_the_command(tmp_path):
    photos(tmp_path/'i', 6)
    (tmp_path/'i'/'3.jpg').write_bytes(b'<html>')
    pd.DataFrame(dict(objID=range(7))).to_csv(tmp_path/'c.csv', index=False)
    def galfast(*args):
        words = ['pack', tmp_path/'c.csv', '--images', tmp_path/'i', *args]
        return CliRunner().invoke(app, [str(o) for o in words])
    r = galfast('--out', tmp_path/'p')
    assert r.exit_code==0 and '5 of 7 galaxies are packed' in r.stdout and 'web page' in r.stdout, r.stderr
    r = galfast('--out', tmp_path/'p', '--size', 12)
    assert r.exit_code==2 and 'other size' in r.stderr and 'Traceback' not in r.stderr
    assert galfast('--out', tmp_path/'p', '--size', 12, '--rebuild').exit_code==0

def test_memory_of_training_does_not_grow_with_the_images(tmp_path):
    "4,000 images of 96 px are 111 MB; what is mapped is not the process's own"
    photos(tmp_path/'i', 40, 96)
    for i in range(40, 4000): os.link(tmp_path/'i'/f'{i%40}.jpg', tmp_path/'i'/f'{i}.jpg')
    code = f"""
import ctypes,re
from galfast import *
tmp = Path({str(tmp_path)!r})
class Peak(Callback):
    most = 0
    def after_batch(self):
        ctypes.CDLL(None).malloc_trim(0) # what was freed does not count
        self.most = max(self.most, int(re.search(r'RssAnon:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])/1024)
def train(n):
    df = pd.DataFrame(dict(objID=[str(i) for i in range(n)], y=np.arange(n)/n))
    dls = GalaxyDataLoaders.from_catalog(df, tmp/'i', 'y', reader=ImageReader(), bs=64, device='cpu', pack=tmp/f'pack{{n}}', augment=GalaxyAugment(crop=32))
    learn = galaxy_learner(dls, 'galnet', dict(width=8), cbs=[peak := Peak()])
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
    return peak.most
print(train(400), train(4000))
"""
    r = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True)
    assert r.returncode==0, r.stderr[-2000:]
    few,many = map(float, r.stdout.split()[-2:])
    assert many-few<40, f'{few:.0f} MB, then {many:.0f} MB'

@pytest.mark.parametrize('harm,words', [(lambda d: (d/'pack.json').write_text('{'), 'not JSON'), (lambda d: (d/'pack.json').write_text('{"format": 99}'), 'format 99'),
                                        (lambda d: os.truncate(d/'pixels.bin', 100), 'cut off'), (lambda d: (d/'index.sqlite').write_bytes(b'no database'*99), 'index.sqlite')])
def test_damaged_packs(harm, words, tmp_path):
    "A clear error, or made anew, as asked"
    files,read = photos(tmp_path/'i', 4),ImageReader()
    pack_images(files, tmp_path/'pack', read)
    harm(tmp_path/'pack')
    with pytest.raises(PackError, match=words): ImagePack(tmp_path/'pack')
    with pytest.raises(PackError, match=words): pack_images(files, tmp_path/'pack', read)
    x,errs = pack_images(files, tmp_path/'pack', read, damaged='rebuild').view(files)
    assert not errs and (x[2]==read(files[2])).all()

def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    files,read = photos(tmp_path/'i', 6),ImageReader()
    pack_images(files[:3], tmp_path/'pack', read)
    def full(*args): raise OSError(28, 'No space left on device')
    monkeypatch.setattr('galfast.images.pack.os.fsync', full)
    with pytest.raises(OSError, match='No space'): pack_images(files, tmp_path/'pack', read)
    monkeypatch.undo()
    assert ImagePack(tmp_path/'pack').n==3
    x,errs = pack_images(files, tmp_path/'pack', read).view(files)
    assert not errs and all((x[i]==read(f)).all() for i,f in enumerate(files))

class Odd(ImageReader):
    "Fails in its own way at one file"
    def decode(self, f):
        if Path(f).stem=='3': raise ZeroDivisionError('by zero')
        return super().decode(f)
    def __call__(self, f): return torch.from_numpy(self.decode(f)[0]).permute(2,0,1)

def test_any_fault_of_a_reader_costs_one_row(tmp_path):
    files = photos(tmp_path/'i', 6)
    for x,errs in (stack_images(files, Odd()), pack_images(files, tmp_path/'pack', Odd()).view(files)):
        assert list(errs)==[3] and '3.jpg: cannot be read (ZeroDivisionError: by zero)' in errs[3] and len(x)==6

@pytest.mark.parametrize('odd', [0,1,5,15,31])
@pytest.mark.parametrize('how', [stack_images, lambda files, read: pack_images(files, files[0].parent/'pack', read).view(files)], ids=['stack','pack'])
def test_the_odd_one_is_left_out_wherever_it_stands(odd, how, tmp_path):
    files = photos(tmp_path/'i', 32)
    Image.effect_noise((30,30), 50).convert('RGB').save(files[odd])
    x,errs = how(files, ImageReader())
    assert list(errs)==[odd] and tuple(x.shape)==(32,3,24,24) and '30 x 30 px, where 24 x 24 is expected' in errs[odd]
