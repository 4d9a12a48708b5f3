"Packs by somebody else: whatever pack.json and index.sqlite say, there are images or a sentence, and no file outside the folder is touched"
import json,os,random,shutil,sqlite3,struct,time

import numpy as np
import pytest
from PIL import Image

from galfast.base.core import GalfastError
from galfast.images.pack import ImagePack,PackError,pack_images
from galfast.images.reader import ImageReader

soak = int(os.environ.get('GALFAST_SOAK', 0))

@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "Six images, and their pack"
    d,rng = tmp_path_factory.mktemp('packs'),np.random.default_rng(0)
    files = [d/f'{i}.png' for i in range(6)]
    for f in files: Image.fromarray(rng.integers(0, 255, (12,12,3), np.uint8)).save(f)
    pack_images(files, d/'pack', ImageReader())
    return files,d/'pack'

def again(made, d):
    "A copy of the pack"
    shutil.rmtree(d, ignore_errors=True)
    shutil.copytree(made[1], d)
    return d

def use(files, d):
    "Open a pack, look up and add to it: 'used', or what it says"
    try:
        x,errs = ImagePack(d).view(files)
        [x[i].sum() for i in range(len(files)) if i not in errs]
        x,errs = pack_images(files, d, ImageReader(), n_workers=1).view(files)
        [x[i].sum() for i in range(len(files)) if i not in errs]
        return 'used'
    except GalfastError as e:
        assert len(str(e))<1000 and not set(str(e))&set(map(chr, range(32))), repr(str(e))[:1500]
        return str(e)

def sql(d, *lines):
    with sqlite3.connect(d/'index.sqlite') as db:
        for o in lines: db.execute(o)
    db.close()

odd = {'row': ['-1', '2', '1e3', '5e18', "'many'", 'null', '1152921504606846976', "x'00ff'"], 'source': ['3', 'null', "x'ff'", "cast(x'ff80' as text)", "zeroblob(2000000)"], 'error': ['7', "x'00'", "zeroblob(2000000)"],
       'size': ["'big'", '-5', '9e99'], 'mtime': ["x'00'", 'null']}

@pytest.mark.parametrize('col,value', [(c,v) for c,vs in odd.items() for v in vs])
def test_an_entry_that_cannot_be(col, value, made, tmp_path):
    d = again(made, tmp_path/'pack')
    sql(d, f'update images set {col}={value} where row=3')
    says = use(made[0], d)
    harmless = (col,value) in (('row','1e3'), ('size','-5'), ('mtime','null'), ('source','3'), ('error',"7")) # numbers become text where a column is text
    assert says=='used' or 'index.sqlite' in says or 'cut off' in says
    assert harmless or says!='used', says

@pytest.mark.parametrize('lines', [['drop table images'], ['create table other (a)'], ['create view v as select 1'], ["create trigger t after insert on images begin delete from images; end"], ['drop table images', 'create view images as select 1 source, 0 row, 1 size, 1 mtime, null error'],
    ['drop table images', "create table images (source text primary key, row integer, size integer, mtime integer, error text default (load_extension('x')))"], ['pragma journal_mode=wal']])
def test_other_tables(lines, made, tmp_path):
    d = again(made, tmp_path/'pack')
    sql(d, *lines)
    says = use(made[0], d)
    assert says=='used' if lines==['drop table images'] else 'index.sqlite' in says

@pytest.mark.parametrize('name', ['pack.json', 'pixels.bin', 'missing.bin', 'index.sqlite', 'index.sqlite-journal', 'index.sqlite-wal', '.lock'])
@pytest.mark.parametrize('damaged', ['raise', 'rebuild'])
def test_links_out_are_not_followed(name, damaged, made, tmp_path):
    "Neither read, emptied, written nor deleted"
    d,mine = again(made, tmp_path/'pack'),tmp_path/'mine'
    data = (d/name).read_bytes() if (d/name).is_file() and name!='.lock' else b'my own'
    mine.write_bytes(data)
    (d/name).unlink(missing_ok=True); (d/name).symlink_to(mine)
    more = [*made[0], tmp_path/'7.png']
    shutil.copy(made[0][0], more[-1])
    try: pack_images(more, d, ImageReader(), damaged=damaged)
    except PackError as e: assert 'leads out of' in str(e)
    else: assert damaged=='rebuild' and not (d/name).is_symlink()
    assert mine.read_bytes()==data

def test_a_journal_that_names_another_file(made, tmp_path):
    "SQLite deletes the file that the end of a journal names"
    d,mine = again(made, tmp_path/'pack'),tmp_path/'mine'
    mine.write_bytes(b'\0'*100)
    name = str(mine).encode()
    head = bytes.fromhex('d9d505f920a163d7')+struct.pack('>IIIII', 0, 0, 6, 512, 4096)
    tail = struct.pack('>I', 4096//4096+1)+name+struct.pack('>II', len(name), sum(name)&0xffffffff)+bytes.fromhex('d9d505f920a163d7')
    (d/'index.sqlite-journal').write_bytes(head.ljust(512, b'\0')+tail)
    assert 'names another file' in use(made[0], d) and mine.exists()
    pack_images(made[0], d, ImageReader(), damaged='rebuild')
    assert mine.exists() and not (d/'index.sqlite-journal').exists()

def test_files_that_are_none(made, tmp_path):
    for name in ('pack.json', 'pixels.bin', 'index.sqlite'):
        d = again(made, tmp_path/'pack')
        (d/name).unlink(); os.mkfifo(d/name)
        assert 'is no file' in use(made[0], d)
        (d/name).unlink(); (d/name).mkdir()
        with pytest.raises(PackError): pack_images(made[0], d, ImageReader(), damaged='rebuild')

def places(o, at=()):
    yield at
    for k,v in (o.items() if isinstance(o, dict) else enumerate(o) if isinstance(o, list) else ()): yield from places(v, (*at, k))

def put(o, at, value):
    o = json.loads(json.dumps(o))
    if not at: return None if value is ... else value
    inner = o
    for k in at[:-1]: inner = inner[k]
    if value is ...: del inner[at[-1]]
    else: inner[at[-1]] = value
    return o

values = [None, True, ..., [], {}, [[]], [0]*1000, 0, -1, 1, 3, 12, 65536, 10**9, 2**63, 10**30, .5, 1e300, '', 'uint8', 'float32', 'float64', 'object', 'V8', 'O', 'any', '../../etc', '\x1b[31m', '\ud800', 'x'*10**6, json.loads('['*60+']'*60), {str(i): i for i in range(3000)}, 'yxb', 'byx', [12,12,3], [3,12,12], [65536]*3, [1,1,1], [4,4,27]]

def test_any_pack_json(made, tmp_path):
    slow,used = 0,0
    meta = json.loads((made[1]/'pack.json').read_text())
    d = again(made, tmp_path/'pack')
    for seed in range(max(150, soak)):
        rng = random.Random(seed)
        o = meta
        for _ in range(rng.choice([1,1,1,2,4])): o = put(o, rng.choice(list(places(o))), rng.choice(values)) if isinstance(o, (dict,list)) else o
        text = json.dumps(o).encode()
        if rng.random()<.1: i = rng.randrange(len(text)); text = text[:i]+rng.choice([b'NaN', b'1e999', b'"', b'[', b'\xff', b''])+text[i+rng.choice([0,1,30]):]
        (d/'pack.json').write_bytes(text)
        t = time.process_time()
        try: used += use(made[0], d)=='used'
        except Exception as e: raise AssertionError(f'seed {seed}: {e!r}'[:600]) from e
        slow = max(slow, time.process_time()-t)
        if (d/'pixels.bin').stat().st_size>10**7 or seed%20==19: d = again(made, d)
    print(f'{max(150, soak)} pack.json: {used} used, the slowest {slow:.2f} s of the processor')
    assert slow<5

def test_any_index(made, tmp_path):
    "Bytes of the database changed, at its start more than elsewhere, or it was cut off"
    slow,used = 0,0
    data = (made[1]/'index.sqlite').read_bytes()
    for seed in [743, 4551, *range(max(150, soak))]: # a message of SQLite with a control in it, and one that is no UTF-8
        rng = random.Random(seed)
        d = again(made, tmp_path/'pack')
        b = bytearray(data)
        if rng.random()<.2: b = b[:rng.randrange(len(b))]
        for _ in range(rng.choice([1,3,10,100,1000])):
            if b: b[min(rng.choice([rng.randrange(100), 4096*rng.randrange(len(data)//4096)+rng.randrange(40), rng.randrange(len(data))]), len(b)-1)] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        (d/'index.sqlite').write_bytes(b)
        t = time.process_time()
        try: used += use(made[0], d)=='used'
        except Exception as e: raise AssertionError(f'seed {seed}: {e!r}'[:600]) from e
        slow = max(slow, time.process_time()-t)
    print(f'{max(150, soak)} index.sqlite: {used} used, the slowest {slow:.2f} s of the processor')
    assert slow<5
