"Tables that were made to do harm: a `CatalogError` each, soon and in little memory"
import gzip,json,os,re,struct,zipfile
from pathlib import Path

import numpy as np,pandas as pd
from astropy.io import fits

from damage import run

n_soak = int(os.environ.get('GALFAST_SOAK', 0)) or 30
damage = Path(__file__).parent/'damage.py'

def table(n=9): return pd.DataFrame(dict(objID=[f'12376450000{i:04}' for i in range(n)], z=np.arange(n)/7, word=['a','b','c']*(n//3)))

def texts(d):
    "Name of a file in `d` -> what the message says; None: it is read"
    long = b'objID,z\n'+b'1,2\n'*20_000_000
    (d/'bomb.csv.gz').write_bytes(gzip.compress(long))
    (d/'twice.csv.gz').write_bytes(gzip.compress(long[:40_000_000])*2)
    (d/'wide.csv').write_bytes(b'objID,'+b'a,'*20_000+b'\n'+b'1\n'*200_000)
    (d/'line.csv').write_bytes(b'objID,'+b'a,'*2_000_000)
    (d/'cut.csv.gz').write_bytes(gzip.compress(b'objID\n1\n2\n'*999)[:-30])
    (d/'nul.csv').write_bytes(bytes(9999))
    with open(d/'sparse.csv', 'wb') as f: f.write(b'objID\n'+b'1\n'*9999); f.truncate(10**12)
    head = ['# %ECSV 1.0','# ---','# datatype:','# - {name: objID, datatype: string}']
    laughs = ['# meta:']+[f'#   a{i}: &a{i} ['+', '.join([f'*a{i-1}']*9 if i else ['x']*9)+']' for i in range(12)]
    (d/'laughs.ecsv').write_text('\n'.join(head+laughs)+'\nobjID\n1\n')
    (d/'header.ecsv').write_text('\n'.join(head+['# - {name: a, datatype: string}']*50_000)+'\nobjID\n1\n')
    (d/'python.ecsv').write_text('\n'.join(head+['# meta: {a: !!python/object/apply:os.system ["touch ran"]}'])+'\nobjID\n1\n')
    (d/'array.ecsv').write_text('\n'.join(head+['# meta: {a: !numpy.ndarray {shape: [1000000000000], dtype: float64}}'])+'\nobjID\n1\n')
    return {'bomb.csv.gz': 'unpack to more', 'twice.csv.gz': 'unpack to more', 'wide.csv': 'fewer values', 'line.csv': 'a line of it', 'cut.csv.gz': '', 'nul.csv': '', 'sparse.csv': '1,000 GB', 'laughs.ecsv': None, 'header.ecsv': 'header has',
        'python.ecsv': 'not a readable', 'array.ecsv': 'not a readable'}

def excel(d):
    table().to_excel(d/'whole.xlsx', index=False)
    with zipfile.ZipFile(d/'whole.xlsx') as z: parts = {o: z.read(o) for o in z.namelist()}
    sheet = 'xl/worksheets/sheet1.xml'
    def save(name, **change):
        with zipfile.ZipFile(d/name, 'w', zipfile.ZIP_DEFLATED) as z:
            for k,v in (parts | change).items(): z.writestr(k, v)
    def rows(b): return {sheet: parts[sheet].replace(b'</sheetData>', b+b'</sheetData>')}
    save('far.xlsx', **rows(b'<row r="99999999999"><c r="A99999999999"><v>1</v></c></row>'))
    save('wide.xlsx', **rows(b''.join(b'<row r="%d"><c r="XFD%d"><v>1</v></c></row>'%(i, i) for i in range(20, 20_000))))
    save('bomb.xlsx', **{sheet: parts[sheet]+bytes(200_000_000)})
    ents = b'<!DOCTYPE a ['+b''.join(b'<!ENTITY e%d "%s">'%(i, b'&e%d;'%(i-1)*10 if i else b'x'*10) for i in range(10))+b']>'
    save('laughs.xlsx', **{sheet: re.sub(rb'(<worksheet)', ents+rb'\1', parts[sheet], count=1)})
    save('file.xlsx', **{sheet: re.sub(rb'(<worksheet)', rb'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]>\1', parts[sheet], count=1)})
    save('wide_xml.xlsx', **{sheet: '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY e "x">]><a/>'.encode('utf-16')})
    return {'whole.xlsx': None, 'far.xlsx': 'cells and rows', 'wide.xlsx': 'cells and rows', 'bomb.xlsx': 'unpack to', 'laughs.xlsx': 'words of its own', 'file.xlsx': 'words of its own', 'wide_xml.xlsx': 'words of its own'}

def parquet(d):
    import pyarrow as pa,pyarrow.parquet as pq
    table(40*3).to_parquet(d/'whole.parquet', compression=None)
    b = bytearray((d/'whole.parquet').read_bytes())
    b[b.index(b'123764500000007')+4] = 0xff
    (d/'bytes.parquet').write_bytes(b)
    pq.write_table(pa.table(dict(objID=[b'1',b'\xff\xfe',b'3'])), d/'binary.parquet')
    pq.write_table(pa.table(dict(objID=[b'1',b'2',b'3'])), d/'text.parquet')
    pq.write_table(pa.table({f'c{i}': pa.nulls(3_000_000, pa.float64()) for i in range(20)} | dict(objID=pa.array([1]*3_000_000))), d/'nulls.parquet', compression='zstd')
    one = pa.array(['x'*1_000_000])
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3000, 'i4')), one)
    pq.write_table(pa.table(dict(objID=pa.array([str(i) for i in range(3000)]), word=words)), d/'words.parquet', store_schema=False, compression='zstd')
    return {'whole.parquet': None, 'bytes.parquet': "column 'objID', row", 'binary.parquet': "column 'objID', row 2: b'\\xff\\xfe' is no text", 'text.parquet': None, 'nulls.parquet': 'no table is packed like that', 'words.parquet': 'no table is packed like that'}

def fits_tables(d):
    cols = [fits.Column('objID', '16A', array=[f'{i}' for i in range(9)]), fits.Column('v', 'PD()', array=np.array([np.arange(3.)]*9, object))]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(cols)]).writeto(d/'whole.fits')
    b = (d/'whole.fits').read_bytes()
    def card(k, v): return re.compile(rb'%-8s= {1,20}\d+'%k.encode()), f'{k:8}= {v:20}'.encode()
    def put(name, k, v, b=b):
        pat,new = card(k, v)
        i = b.index(b'XTENSION')
        (d/name).write_bytes(b[:i]+pat.sub(new, b[i:], count=1))
    put('rows.fits', 'NAXIS2', 2**40); put('row.fits', 'NAXIS1', 2**40); put('heap.fits', 'PCOUNT', 2**50); put('groups.fits', 'GCOUNT', 2**31)
    at = b.index(b'END', b.index(b'XTENSION'))//2880*2880+2880
    rows = bytearray(b)
    for i in range(9): rows[at+24*i+16:at+24*i+24] = struct.pack('>ii', 25, 0)
    (d/'shared.fits').write_bytes(rows)
    i = b.index(b'XTENSION')
    (d/'empty.fits').write_bytes(b[:i]+card('NAXIS2', 0)[0].sub(card('NAXIS2', 2**40)[1], card('NAXIS1', 0)[0].sub(card('NAXIS1', 0)[1], b[i:], count=1), count=1))
    (d/'bomb.fits.gz').write_bytes(gzip.compress(b+bytes(100_000_000)))
    (d/'end.fits').write_bytes(b.replace(b'END ', b'ENX '))
    (d/'simple.fits').write_bytes(b'SIMPLE  = T/'+b[12:])
    (d/'simple.fits.gz').write_bytes(gzip.compress(b'SIMPLE  ='+bytes(5000)))
    return {'whole.fits': None, 'rows.fits': 'headers promise', 'row.fits': 'headers promise', 'heap.fits': 'which cannot be', 'groups.fits': 'headers promise', 'shared.fits': None, 'empty.fits': 'rows in', 'bomb.fits.gz': 'unpack to', 'end.fits': 'no END', 'simple.fits': None, 'simple.fits.gz': 'no END'}

reading = """
import json,os,time,warnings
from damage import leave,most_mb
warnings.simplefilter('ignore')
from galfast.base.core import GalfastError
from galfast.base.tables import read_catalog
base = leave(4)
for f in sorted(os.listdir()):
    t,word = time.perf_counter(),''
    try: word = f'READ {len(read_catalog(f))}'
    except GalfastError as e: word = str(e)
    except BaseException as e: word = f'EXC {type(e).__name__} {e}'
    print(json.dumps([f, word[:400], time.perf_counter()-t, most_mb()-base]), flush=True)
"""

def test_tables_made_to_do_harm(tmp_path):
    (tmp_path/'in').mkdir()
    want = {k: v for make in (texts,excel,parquet,fits_tables) for k,v in make(tmp_path/'in').items()}
    (tmp_path/'read_all.py').write_text(reading)
    r = run([tmp_path/'read_all.py'], cwd=tmp_path/'in')
    assert r.returncode==0, r.stderr[-2000:]
    got = [json.loads(o) for o in r.stdout.splitlines()]
    assert [f for f,*_ in got]==sorted(want) and not (tmp_path/'in/ran').exists()
    wrong = [(f, word, s, mb) for f,word,s,mb in got if word.startswith('EXC') or s>9 or mb>900 or (not word.startswith('READ') if want[f] is None else f not in word or want[f] not in word)]
    assert not wrong, '\n'.join(map(str, wrong))

def test_damaged_tables():
    r = run([damage, 'csv,csv_gz,ecsv,parquet,fits_table,xlsx', n_soak, 1], seconds=60+n_soak)
    assert r.returncode==0, r.stderr[-500:]
    res = json.loads(r.stdout.splitlines()[-1])
    for k,v in res['kinds'].items(): assert not v['wrong'] and v['slowest']<10 and v['refused']+v['read']==n_soak, (k, v)
    assert res['peak_mb']<800
    print(json.dumps(res))
