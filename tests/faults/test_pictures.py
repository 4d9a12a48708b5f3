"Pictures that were made to do harm, and damaged ones: a sentence each, soon and in little memory, and no program is started"
import io,json,os,re,struct,zlib
from pathlib import Path

import numpy as np
from PIL import Image

from damage import run,pictures,scene

n_soak = int(os.environ.get('GALFAST_SOAK', 0)) or 15
damage = Path(__file__).parent/'damage.py'

def chunk(what, data): return struct.pack('>I', len(data))+what+data+struct.pack('>I', zlib.crc32(what+data))
def tiff(tags, tail=b'', after=0):
    "A little-endian TIFF of tags (number, type, count, value) without an image"
    return b'II*\0'+struct.pack('<IH', 8, len(tags))+b''.join(struct.pack('<HHII', *o) for o in tags)+struct.pack('<I', after)+tail
def tags(w=64, h=64, how=1, **more): return [(256,4,1,w), (257,4,1,h), (258,3,1,8), (259,3,1,how), (262,3,1,1), (273,4,1,200), (277,3,1,1), (278,4,1,h), (279,4,1,min(w*h, 2**32-1))]

def attacks():
    "Name of the file -> (its bytes, what the message says; None: it is read, the bomb beside the pixels left out)"
    whole = pictures()
    png,jpg,webp = whole['png'],whole['jpeg'],whole['webp']
    scans = whole['progressive']
    i = scans.rindex(b'\xff\xda')
    eps = io.BytesIO()
    Image.new('RGB', (40,40)).save(eps, 'EPS')
    sof = jpg.index(b'\xff\xc0')
    zeros = zlib.compress(bytes(200_000_000))
    exif = b'Exif\0\0'+tiff([(1000+k, 7, 60_000, 8) for k in range(4000)], bytes(12_500))
    parts = [exif[k:k+60_000] for k in range(0, len(exif), 60_000)]
    exif = b''.join(b'\xff\xe1'+struct.pack('>H', len(o)+8)+(o if o[:6]==b'Exif\0\0' else b'Exif\0\0'+o)[:60_006] for o in parts)
    loop = tiff(tags(), bytes(4096), 8)
    res = {'eps.jpg': (eps.getvalue(), 'PostScript'), 'eps.png': (b'\xc5\xd0\xd3\xc6'+bytes(60), 'PostScript'), 'pdf.jpg': (b'%PDF-1.4\n', 'PDF'), 'gif.jpg': (b'GIF89a'+bytes(40), 'GIF'),
        'zip.png': (b'PK\3\4'+bytes(40), 'zip'), 'page.jpg': (b'\n <html>', 'web page'), 'json.jpg': (b'{"a": 1}', 'JSON'), 'ppm.jpg': (b'P6 4 4 255\n'+bytes(48), 'no image'),
        'ico.png': (b'\0\0\1\0\1\0'+bytes(40), 'no image'), 'text.jpg': (b'hello'*99, 'no image'), 'pickle.jpg': (b'\x80\x04K\x01.', 'no image'),
        'size.png': (png[:16]+struct.pack('>II', 2**31-1, 2**31-1)+png[24:], '2147483647 x 2147483647'), 'text.png': (png[:33]+chunk(b'zTXt', b'a\0\0'+zeros)*20+png[33:], None),
        'profile.png': (png[:33]+chunk(b'iCCP', b'a\0\0'+zeros)+png[33:], None), 'itxt.png': (png[:33]+chunk(b'iTXt', b'a\0\1\0\0\0'+zeros)+png[33:], None),
        'parts.png': (png[:33]+chunk(b'aaAa', b'')*1_000_000+png[33:], 'more than 100,000 parts'), 'idats.png': (png[:33]+chunk(b'IDAT', b'')*1_000_000+png[33:], 'more than 100,000 parts'),
        'size.jpg': (jpg[:sof+5]+struct.pack('>HH', 65500, 65500)+jpg[sof+9:], '65500 x 65500'), 'scans.jpg': (scans[:-2]+scans[i:-2]*9000+b'\xff\xd9', '9,010 scans'), 'exif.jpg': (jpg[:2]+exif+jpg[2:], None),
        'junk.jpg': (jpg[:20]+b'\0\xff\0\xff\xd0'+exif+jpg[20:], None), 'parts.jpg': (jpg[:2]+b'\xff\xfe\0\2'*1_000_000+jpg[2:], 'more than 100,000 parts'),
        'size.tif': (tiff(tags(2**31-1, 2**31-1)), 'pixels'), 'wide.tif': (tiff(tags()[:6]+[(277,3,1,60_000)]+tags()[7:], bytes(9000)), '64 x 64 x 60000'), 'bands.tif': (tiff(tags(8000, 8000)[:6]+[(277,3,1,60_000)]+tags()[7:]), '8000 x 8000 x 60000'),
        'tiles.tif': (tiff(sorted(tags()+[(322,4,1,2**31-16), (323,4,1,2**31-16), (324,4,1,200), (325,4,1,4096)]), bytes(4096)), 'pixels'),
        'tags.tif': (tiff(sorted(tags()+[(1000+k, 7, 1_000_000, 8) for k in range(9000)]), bytes(900_000)), 'tags take'), 'lzma.tif': (tiff(tags(how=34925), bytes(4096)), 'compression 34925'), 'fax.tif': (tiff(tags(how=4), bytes(4096)), 'compression 4'),
        'loop.tif': (loop, 'pictures in one file'), 'strips.tif': (tiff(tags()[:5]+[(273,4,60_000,150), (277,3,1,1), (278,4,1,1), (279,4,60_000,150+240_000)], b'\xff\xff\xff\x7f'*121_000), 'parts of'),
        'big.tif': (b'II+\0\10\0\0\0'+struct.pack('<QQ', 16, 2**40)+bytes(500), 'damaged'), 'count.tif': (tiff([(256,4,2**31,8)]+tags()[1:], bytes(99)), 'damaged'),
        'size.webp': (webp[:12]+b'VP8X\n\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff'+webp[12:], '16777216 x 16777216'), 'blank.webp': (b'RIFF\x10\0\0\0WEBP', 'broken header')}
    chain = b''.join(struct.pack('<HI', 0, 8+6*(k+1)) for k in range(200_000))
    res['chain.tif'] = (b'II*\0\10\0\0\0'+chain+struct.pack('<HI', 0, 0), 'pictures in one file')
    return res

reading = """
import json,os,sys,time
from damage import leave,most_mb
from galfast.base.core import GalfastError
from galfast.images.reader import ImageReader,read_rgb
base = leave(4)
for f in sorted(os.listdir()):
    for read in (ImageReader('rgb', native='any'), read_rgb, ImageReader('deep', native='any')):
        t,word = time.perf_counter(),'READ'
        try: read(f)
        except GalfastError as e: word = str(e)
        except BaseException as e: word = f'EXC {type(e).__name__} {e}'
        print(json.dumps([f, word[:300], time.perf_counter()-t, most_mb()-base]))
"""

def test_pictures_made_to_do_harm(tmp_path):
    (tmp_path/'im').mkdir()
    (tmp_path/'bin').mkdir()
    gs = tmp_path/'bin/gs'
    gs.write_text(f'#!/bin/sh\necho ran >> {tmp_path}/gs.log\n')
    gs.chmod(0o755)
    made = attacks()
    for k,(b,_) in made.items(): (tmp_path/'im'/k).write_bytes(b)
    with open(tmp_path/'im/sparse.jpg', 'wb') as f: f.write(b'\xff\xd8\xff\xe0'); f.truncate(10**12)
    os.mkfifo(tmp_path/'im/pipe.jpg')
    (tmp_path/'read_all.py').write_text(f"import os; os.environ['PATH'] = '{tmp_path}/bin:'+os.environ['PATH']\n"+reading)
    r = run([tmp_path/'read_all.py'], cwd=tmp_path/'im')
    assert r.returncode==0, r.stderr[-2000:]
    got = [json.loads(o) for o in r.stdout.splitlines()]
    assert len(got)==3*(len(made)+2) and not (tmp_path/'gs.log').exists()
    want = {k: w for k,(_,w) in made.items()} | {'sparse.jpg': '1,000 GB', 'pipe.jpg': 'not a file'}
    for i,(f,word,seconds,mb) in enumerate(got):
        assert not word.startswith('EXC') and seconds<5 and mb<400, (f, word, seconds, mb)
        if i%3==2 and want[f] is None or i%3==0 and f=='parts.jpg': continue # not one of numbers; libjpeg itself minds no comments
        assert f in word and want[f] in word if want[f] else word=='READ', (f, word)

def test_damaged_pictures(tmp_path):
    kinds = [*pictures()]
    r = run([damage, ','.join(kinds), n_soak, 1], seconds=60+n_soak)
    assert r.returncode==0, r.stderr[-500:]
    res = json.loads(r.stdout.splitlines()[-1])
    for k,v in res['kinds'].items(): assert not v['wrong'] and v['slowest']<10 and v['refused']>n_soak//4, (k, v)
    assert sum(v['read'] for v in res['kinds'].values())>n_soak and res['peak_mb']<800
    print(json.dumps(res))

def test_what_is_left_out_made_no_pixels(tmp_path):
    "An orientation, a profile, a comment, a gamma: the pixels are those of a plain file, PIL's own"
    from galfast.base.pictures import open_picture
    a = scene()
    for kind,kw in (('JPEG', dict(exif=b'Exif\0\0'+tiff([(274,3,1,6)]), comment=b'galaxy', icc_profile=bytes(300), dpi=(72,72))), ('PNG', dict(icc_profile=bytes(300), dpi=(72,72)))):
        for mode in ('RGB','L','CMYK') if kind=='JPEG' else ('RGB','L','P','RGBA','LA','1'):
            im = Image.fromarray(a).convert(mode)
            im.save(tmp_path/'a.jpg', kind, **kw)
            with open_picture(tmp_path/'a.jpg') as p,Image.open(tmp_path/'a.jpg') as q: assert p.mode==q.mode and (np.asarray(p)==np.asarray(q)).all() and (np.asarray(p.convert('RGBA'))==np.asarray(q.convert('RGBA'))).all()

def test_nothing_of_pil_is_changed():
    for f in (damage.parent.parent.parent/'galfast').rglob('*.py'): assert not re.search(r'MAX_IMAGE_PIXELS\s*=[^=]|LOAD_TRUNCATED_IMAGES|MAX_TEXT', f.read_text()), f
