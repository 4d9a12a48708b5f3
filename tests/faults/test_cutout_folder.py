"A folder of cutouts by somebody else: links, names and tables that mean harm; nothing outside is read, emptied, written or removed"
import io,json,os,shutil,sqlite3,time
from pathlib import Path

import numpy as np,pandas as pd,pytest
from astropy.io import fits
from PIL import Image
from skydouble import SkyDouble

from galfast.base.core import GalfastError,ImageError
from galfast.surveys.cutouts import *
from galfast.surveys.net import HTTPService
from galfast.surveys.records import CutoutAsk

quiet = dict(say=lambda o: None)

@pytest.fixture(scope='module')
def sky():
    with SkyDouble(n=12, seed=3) as o: yield o

@pytest.fixture(scope='module')
def whole(sky, tmp_path_factory):
    dest = tmp_path_factory.mktemp('whole')/'cutouts'
    fetch(sky, sky.catalog(), dest)
    return dest

@pytest.fixture
def made(sky, whole, tmp_path):
    "A catalogue, a good folder with files of its 12 galaxies, and a folder outside with what is dear to somebody"
    df,dest,out = sky.catalog(),tmp_path/'cutouts',tmp_path/'outside'
    shutil.copytree(whole, dest)
    out.mkdir()
    (out/'dear.jpg').write_bytes(b'dear'*100)
    (out/'dear.txt').write_text('dear')
    return df,dest,out

def fetch(sky, df, dest, **kw): return download_cutouts(df, dest, size=64, service=HTTPService(sky.url, 0, 4, first_wait=.01, timeout=(5,5)), **{**quiet, **kw}).set_index('objID')
def state(folder): return {p.name: (p.read_bytes() if p.is_file() else None, os.lstat(p).st_mtime_ns) for p in sorted(folder.rglob('*'))}

def works(sky, df, dest):
    "Both verbs, and what they said"
    said = []
    for f in (lambda: fetch(sky, df, dest), lambda: fetch(sky, df, dest, retry_failed=True), lambda: describe_cutouts(df, dest, size=64), lambda: verify_cutouts(dest)):
        try: said.append(f())
        except GalfastError as e: said.append(str(e))
    return said

def link_file(df, dest, out): p = dest/f'{df.objID[0]}.jpg'; p.unlink(); p.symlink_to(out/'dear.jpg')
def link_lock(df, dest, out): (dest/'.lock').unlink(missing_ok=True); (dest/'.lock').symlink_to(out/'dear.txt')
def link_job(df, dest, out): (out/'cutouts.json').write_bytes((dest/'cutouts.json').read_bytes()); (dest/'cutouts.json').unlink(); (dest/'cutouts.json').symlink_to(out/'cutouts.json')
def link_sqlite(df, dest, out): os.replace(dest/'.manifest.sqlite', out/'m'); (dest/'.manifest.sqlite').symlink_to(out/'m')
def link_new_sqlite(df, dest, out): (dest/'.manifest.sqlite').unlink(); (dest/'.manifest.sqlite').symlink_to(out/'new')
def link_parquet(df, dest, out): (dest/'.manifest.sqlite').unlink(); os.replace(dest/'manifest.parquet', out/'m.parquet'); (dest/'manifest.parquet').symlink_to(out/'m.parquet')
def link_journal(df, dest, out): (dest/'.manifest.sqlite-journal').symlink_to(out/'dear.txt')
def link_catalog(df, dest, out): (dest/'catalog.csv').unlink(); (dest/'catalog.csv').symlink_to(out/'dear.txt')
def link_part(df, dest, out):
    r = row_of(dest, df.objID[1])
    (dest/r['file']).unlink()
    (dest/f".{r['file']}.{r['request']}.part").symlink_to(out/'dear.jpg')
def links_out(df, dest, out):
    for o in dest.glob('*.jpg'): os.replace(o, out/o.name); o.symlink_to(out/o.name)
def name_up(df, dest, out): sql(dest, "update cutouts set file='../outside/dear.jpg', bytes=400 where objID=?", df.objID[2])
def name_absolute(df, dest, out): sql(dest, "update cutouts set file=?, bytes=400 where objID=?", str(out/'dear.jpg'), df.objID[2])
def name_of_a_failed_one(df, dest, out): sql(dest, "update cutouts set file='../outside/dear.jpg', request='' where objID=?", df.objID[2])
def folder_for_file(df, dest, out): p = dest/f'{df.objID[0]}.jpg'; p.unlink(); p.mkdir()
def row_of(dest, o):
    with Manifest(dest) as m: return m.get(o)
def sql(dest, q, *args):
    with sqlite3.connect(dest/'.manifest.sqlite') as db: db.execute(q, args)
    db.close()
escapes = [link_file, link_lock, link_job, link_sqlite, link_new_sqlite, link_parquet, link_journal, link_catalog, link_part, links_out, name_up, name_absolute, name_of_a_failed_one]

@pytest.mark.parametrize('harm', escapes, ids=lambda f: f.__name__)
def test_nothing_outside_is_touched(harm, sky, made):
    df,dest,out = made
    harm(df, dest, out)
    before = state(out)
    said = works(sky, df, dest)
    assert state(out)==before
    assert harm in (link_catalog,name_up,name_absolute,name_of_a_failed_one) or any('leads out' in str(o) for o in said)

def test_a_folder_in_the_way(sky, made):
    df,dest,out = made
    folder_for_file(df, dest, out)
    try: fetch(sky, df, dest)
    except (GalfastError,OSError): pass
    assert 'no plain file' in list(verify_cutouts(dest).problem)

def test_shards_that_are_links(sky, tmp_path):
    "In a folder of more than 10,000 galaxies sub-folders hold the files; a link in the place of one leads nowhere"
    df,dest,out = sky.catalog(),tmp_path/'a',tmp_path/'outside'
    fetch(sky, df, dest)
    out.mkdir(); (out/'.x.jpg.0.part').write_text('dear')
    job = json.loads((dest/'cutouts.json').read_text())|dict(sharded=True)
    (dest/'cutouts.json').write_text(json.dumps(job))
    (dest/'.manifest.sqlite').unlink(); (dest/'manifest.parquet').unlink()
    for o in df.objID: (dest/o[-2:]).exists() or (dest/o[-2:]).symlink_to(out)
    before = state(out)
    with pytest.raises(GalfastError, match='leads out'): fetch(sky, df, dest)
    assert state(out)==before

def trigger(db): db.execute("create trigger t after insert on cutouts begin delete from cutouts; end")
def view(db): db.execute('drop table cutouts'); db.execute("create view cutouts as with recursive c(x) as (select 1 union all select x+1 from c) select x as objID from c")
def columns(db): db.execute('alter table cutouts add column x')
def blob(db): db.execute("update cutouts set file=x'00ff'")
def status(db): db.execute("update cutouts set status='fine'")
def number(db): db.execute("update cutouts set bytes='many'")
def large(db): db.execute("update cutouts set reason=cast(zeroblob(20000000) as text)")
def no_text(db): db.execute("update cutouts set reason=cast(x'ff' as text)")
@pytest.mark.parametrize('harm', [trigger, view, columns, blob, status, number, large, no_text], ids=lambda f: f.__name__)
def test_a_database_by_somebody_else(harm, sky, made):
    df,dest,_ = made
    with sqlite3.connect(dest/'.manifest.sqlite') as db: harm(db)
    db.close()
    for o in works(sky, df, dest)[:3 if harm is status else 4]: assert isinstance(o, str) and ('galfast wrote' in o or 'galfast did not write' in o), o

@pytest.mark.parametrize('body', [b'', b'SQLite format 3\0'+b'\xff'*5000, b'text'*999, bytes(4096)])
def test_no_database(body, sky, made):
    df,dest,_ = made
    (dest/'.manifest.sqlite').write_bytes(body)
    said = works(sky, df, dest)
    assert not body or all('.manifest.sqlite' in str(o) for o in said)

def parquet(dest, df): df.to_parquet(dest/'manifest.parquet'); (dest/'.manifest.sqlite').unlink()
@pytest.mark.parametrize('what', ['text','cut','other','types','status','names'])
def test_a_parquet_by_somebody_else(what, sky, made):
    df,dest,out = made
    f,m = dest/'manifest.parquet',pd.read_parquet(dest/'manifest.parquet')
    if what=='text': (dest/'.manifest.sqlite').unlink(); f.write_text('PAR1 it is not PAR1')
    if what=='cut': (dest/'.manifest.sqlite').unlink(); f.write_bytes(f.read_bytes()[:-200])
    if what=='other': parquet(dest, pd.DataFrame(dict(a=[1])))
    if what=='types': parquet(dest, m.assign(file=1.5))
    if what=='status': parquet(dest, m.assign(status='fine'))
    if what=='names': parquet(dest, m.assign(file='../outside/dear.jpg', bytes=400))
    before = state(out)
    said = works(sky, df, dest)
    assert state(out)==before
    if what!='names': assert 'manifest.parquet' in said[0]

@pytest.mark.parametrize('text', ['', '[]', '{}', 'null', '7', '['*100_000, '{"survey": "sdss"}', '\0', 'x'*200_000, *[dict(survey=1), dict(survey='nope'), dict(size='64'), dict(size=True), dict(size=1e999), dict(size=10**30), dict(size=-1), dict(scale=[]), dict(scale=float('nan')),
    dict(format='exe'), dict(format=None), dict(bands=7), dict(bands='x'*10**5), dict(sharded='yes')]], ids=lambda o: str(o)[:20])
def test_a_job_by_somebody_else(text, sky, made):
    df,dest,_ = made
    good = json.loads((dest/'cutouts.json').read_text())
    (dest/'cutouts.json').write_text(json.dumps(good|text) if isinstance(text, dict) else text)
    for o in works(sky, df, dest): assert isinstance(o, str) and len(o)<600

def test_pipes_are_not_waited_for(sky, made):
    df,dest,_ = made
    for name in ('cutouts.json','.manifest.sqlite','.lock',f'{df.objID[0]}.jpg'):
        p = dest/name
        old = p.read_bytes() if p.exists() else None
        p.unlink(missing_ok=True); os.mkfifo(p)
        t0 = time.monotonic()
        try: said = str(list(verify_cutouts(dest).problem))
        except GalfastError as e: said = str(e)
        assert 'no plain file' in said, name
        works(sky, df, dest)
        assert time.monotonic()-t0<20
        p.unlink(missing_ok=True)
        if old is not None: p.write_bytes(old)

def test_the_manifest_does_not_tell_where_it_lies(made):
    df,dest,_ = made
    text = ' '.join(map(str, pd.read_parquet(dest/'manifest.parquet').to_numpy().ravel()))+(dest/'cutouts.json').read_text()+(dest/'catalog.csv').read_text()
    assert str(dest) not in text and str(Path.home()) not in text and 'cutouts/' not in text

# bytes of a server

def card(k, v): return f'{k:<8}= {v:>20}'.ljust(80).encode()
def fits_file(cards, data=b''): return (b''.join(cards)+b'END'.ljust(80)).ljust(2880)+data
plain = [card('SIMPLE', 'T'), card('BITPIX', -32), card('NAXIS', 2), card('NAXIS1', 32), card('NAXIS2', 32)]
def compressed():
    b = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.zeros((32,32), np.float32), compression_type='HCOMPRESS_1')]).writeto(b)
    return b.getvalue()
hostile_fits = dict(huge=fits_file([*plain[:3], card('NAXIS1', 2**30), card('NAXIS2', 2**20)]), huger=fits_file([*plain[:3], card('NAXIS1', 2**40), card('NAXIS2', 2**40)]), more=fits_file(plain), negative=fits_file([*plain[:3], card('NAXIS1', -32), card('NAXIS2', -32)], bytes(5760)),
    axes=fits_file([*plain[:2], card('NAXIS', 999)]), no_end=b''.join(plain).ljust(2880*3), bits=fits_file([plain[0], card('BITPIX', 7), *plain[2:]], bytes(5760)), text=fits_file([plain[0], card('BITPIX', "'x'"), *plain[2:]], bytes(5760)), order=fits_file([plain[0], plain[2], plain[1], *plain[3:]], bytes(5760)),
    compressed=compressed(), table=fits_file(plain[:2]+[card('NAXIS', 0)], fits_file([b"XTENSION= 'BINTABLE'".ljust(80), card('BITPIX', 8), card('NAXIS', 2), card('NAXIS1', 8), card('NAXIS2', 2**30), card('PCOUNT', 0), card('GCOUNT', 1), card('TFIELDS', 1)])))

@pytest.mark.parametrize('what', hostile_fits)
def test_fits_of_a_server(what):
    with pytest.raises(ImageError): judge_fits(hostile_fits[what], CutoutAsk(1., 2., 32, .262, 'fits', 'r'), '')

def test_a_jpeg_of_a_server():
    "Other kinds under its name start nothing, and thousands of scans are not decoded"
    b = io.BytesIO(); Image.fromarray(np.random.default_rng(0).integers(0, 255, (64,64,3), np.uint8)).save(b, 'JPEG', progressive=True)
    good = b.getvalue()
    assert judge_jpeg(good, 64)['status']=='ok'
    i = good.rfind(b'\xff\xda'); scan = good[i:-2]
    for bad in (good[:-2]+scan*3000+b'\xff\xd9', b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n', b'\xc5\xd0\xd3\xc6'+bytes(90), b'%PDF-1.4', b'<svg/>', b'\x89PNG\r\n\x1a\n', b'GIF89a', b'BM', b'II*\0', b'RIFF0000WEBP'):
        t0 = time.monotonic()
        with pytest.raises(ImageError): judge_jpeg(bad, 64)
        assert time.monotonic()-t0<5
