"Tables as people have them; the right values are written by hand, by pandas or by astropy"
import gzip,re
from decimal import Decimal

import numpy as np,pandas as pd,pytest
from astropy.io import fits
from astropy.table import MaskedColumn,QTable,Table

from galfast.base.core import CatalogError
from galfast.base.tables import *

long = ['1237648704043942146', '1237667292122513532', '1237648674532688017']
plain = pd.DataFrame(dict(objID=long, oh=[8.52, 9.01, -3.]))
text = plain.to_csv(index=False)

def read(tmp_path, body, name='t.csv', **kw):
    "What `read_catalog` makes of a file"
    p = tmp_path/name
    p.write_bytes(body if isinstance(body, bytes) else body.encode())
    return read_catalog(p, **kw)

def same(got, want=plain):
    assert list(got.objID)==list(want.objID) and list(got.oh)==list(want.oh), got

def fails(*words):
    "A `CatalogError` with all the words"
    return pytest.raises(CatalogError, match=''.join(f'(?=(?s:.*){re.escape(o)})' for o in words))

# ids

def random_ids(digits, n, rng):
    lo,hi = 10**(digits-1),min(10**digits, 2**64)
    return [str(int(rng.integers(lo, hi, dtype=np.uint64) if hi<2**64 else rng.integers(lo, 2**64-1, dtype=np.uint64))) for _ in range(n)]

def as_types(ids):
    "The same ids (None: a gap) in every type that can hold them"
    ints,gap = [None if o is None else int(o) for o in ids],None in ids
    most = max(o for o in ints if o is not None)
    yield 'object',pd.Series(ids, dtype=object)
    yield 'string',pd.Series(ids, dtype='string')
    yield 'bytes',pd.Series([o and o.encode() for o in ids], dtype=object)
    yield 'category',pd.Series(ids, dtype=object).astype('category')
    yield 'Decimal',pd.Series([None if o is None else Decimal(o) for o in ints], dtype=object)
    yield 'mixed',pd.Series([o if i%2 or o is None else int(o) for i,o in enumerate(ids)], dtype=object)
    yield 'UInt64',pd.Series(ints, dtype='UInt64')
    yield 'arrow',pd.Series(ints, dtype='uint64[pyarrow]')
    if not gap: yield 'uint64',pd.Series(ints, dtype='uint64')
    if most<2**63: yield 'Int64',pd.Series(ints, dtype='Int64')
    if most<2**63 and not gap: yield 'int64',pd.Series(ints, dtype='int64')
    if most<=2**53: yield 'float',pd.Series(ints, dtype=float)
    if most<=2**24: yield 'float32',pd.Series(ints, dtype='float32')
    if most<=2**53: yield '1.0',pd.Series([o and f'{o}.0' for o in ids], dtype=object)

@pytest.mark.parametrize('digits', range(1, 21))
@pytest.mark.parametrize('gap', [False,True])
def test_ids_of_every_type(digits, gap):
    ids = random_ids(digits, 7, np.random.default_rng(digits))
    if gap: ids[3] = None
    for kind,o in as_types(ids):
        assert list(read_catalog(pd.DataFrame(dict(objID=o, v=1.))).objID)==ids, kind

@pytest.mark.parametrize('digits', [1, 7, 15, 16, 19, 20])
@pytest.mark.parametrize('gap', [False,True])
def test_ids_through_every_format(digits, gap, tmp_path):
    ids = random_ids(digits, 5, np.random.default_rng(digits))
    if gap: ids[1] = None
    for kind,o in as_types(ids):
        if kind in ('bytes','Decimal','mixed','float32'): continue
        for typ in table_types:
            if typ in ('.txt','.dat','.fit'): continue
            p = write_table(pd.DataFrame(dict(objID=o, v=1.)), tmp_path/f't{typ}')
            assert list(read_catalog(p).objID)==ids, (kind, typ)

def test_ids_that_others_wrote(tmp_path):
    ids = [*long, None]
    ints = [0 if o is None else int(o) for o in ids]
    t = Table(dict(objID=MaskedColumn(ints, mask=[o is None for o in ids]), v=np.arange(4.)))
    df = pd.DataFrame(dict(objID=pd.array([None if o is None else int(o) for o in ids], dtype='Int64'), v=1.))
    t.write(tmp_path/'a.fits'); t.write(tmp_path/'a.ecsv', format='ascii.ecsv')
    df.to_parquet(tmp_path/'a.parquet'); df.to_csv(tmp_path/'a.csv'); df.to_csv(tmp_path/'a.tsv', sep='\t', index=False)
    df.astype({'objID': object}).assign(objID=[o or '' for o in ids]).to_excel(tmp_path/'a.xlsx', index=False)
    for p in sorted(tmp_path.glob('a.*')): assert list(read_catalog(p).objID)==ids, p.name
    assert list(read_catalog(t).objID)==ids
    assert list(read_catalog(df.set_index('objID')).objID)==ids

def test_small_floats_are_no_alarm(tmp_path):
    same(read(tmp_path, 'objID,oh\n1.0,8.52\n2.0,9.01\n3.0,-3.0\n'), plain.assign(objID=['1','2','3']))
    same(read(tmp_path, 'objID;oh\n1,0;8,52\n2,0;9,01\n3,0;-3,0\n'), plain.assign(objID=['1','2','3']))
    for ids,want in (([1., np.nan, 2.**53], ['1', None, str(2**53)]), (['1.50','2.25'], ['1.50','2.25']), (['A1.0','2.0'], ['A1.0','2.0']), ([1., None, 'NGC 1'], ['1', None, 'NGC 1']),
                     (['12e5','1e9'], ['12e5','1e9']), (['1.0E7','1.2345678E7'], ['10000000','12345678']), (['1.000000000000000000e+00','2.500000000000000000e+01'], ['1','25']),
                     (['007','010'], ['007','010']), ([10**18, 10**19], [str(10**18), str(10**19)]), (['1','nan'], ['1', None]), (['nan','None','x'], ['nan','None','x'])):
        assert list(read_catalog(pd.DataFrame(dict(objID=pd.Series(ids, dtype=None if isinstance(ids[0], float) else object)))).objID)==want

def test_floats_that_hold_spec_obj_ids():
    ids = [(p<<50)+(f<<38)+((53000+p-50000)<<24)+(26<<10) for p,f in ((266,1),(267,44),(1345,332),(2890,17),(951,580),(300,9),(404,61))] # plate, fibre, MJD - 50000, rerun: SDSS's rule
    assert all(int(float(o))==o for o in ids) # they end in ten zero bits
    assert list(read_catalog(pd.DataFrame(dict(objID=np.array(ids, float)))).objID)==[str(o) for o in ids]

cut = dict(excel='objID,oh\n1.23765E+18,1\n1.23765E+18,2\n', german='objID;oh\n1,23765E+18;1,5\n1,23767E+18;2\n', numpy='objID,oh\n1.237648704043942146e+18,1\n'.replace('2146', '2144'),
           pandas='objID,oh\n1.2376487040439421e+18,1\n,2\n', dotted='objID,oh\n1237648704043942144.0,1\n1237667292122513408.0,1\n', digits='objID,oh\n1237648704043940000,1\n1237667292122510000,1\n',
           c='objID,oh\n1.234568e+11,1\n1.234569e+11,2\n', one='objID,oh\nNGC 1300,1\n1.24E+18,2\n',
           field='objID,oh\n1237648674532680000,1\n1237648674532680000,2\n')
@pytest.mark.parametrize('how', cut)
def test_ids_that_lost_digits(how, tmp_path):
    with fails("'objID'", 'lost their last digits', 'Excel', cut[how].splitlines()[-2 if how in ('pandas','numpy') else -1].split(',1' if how!='german' else ';')[0].split(',2')[0][:4].replace(',', '.')): read(tmp_path, cut[how])

def test_floats_that_lost_digits(tmp_path):
    x = np.array([float(o) for o in long])
    for df in (pd.DataFrame(dict(objID=x)), pd.DataFrame(dict(objID=[*x, None])), pd.DataFrame(dict(objID=pd.Series([x[0], 'a'], dtype=object))), pd.DataFrame(dict(objID=np.array([2**24+2, 5], 'f4'))), Table(dict(objID=x))):
        with fails('lost their last digits', 'scientific'): read_catalog(df)
    pd.DataFrame(dict(objID=x)).to_excel(tmp_path/'a.xlsx', index=False)
    with fails('lost their last digits'): read_catalog(tmp_path/'a.xlsx')

# text

texts = {
    'comma': text, 'semicolon': text.replace(',', ';'), 'tab': text.replace(',', '\t'), 'bar': text.replace(',', '|'), 'blank': text.replace(',', ' '), 'blanks': '  '+text.replace(',', '   \t'),
    'decimal comma': text.replace(',', ';').replace('.', ','), 'decimal comma and tab': text.replace(',', '\t').replace('.', ','),
    'blank after comma': text.replace(',', ', '), 'blank before comma': text.replace(',', ' ,'), 'crlf': text.replace('\n', '\r\n'), 'cr': text.replace('\n', '\r'),
    'comments': '# my sample\n# of galaxies, objID first\n\n'+text, 'comment within': text.replace('\n', '\n# a note\n', 2), 'comment at the end': text+'# end\n',
    'commented header': '# '+text.replace(',', ' '), 'commented header of commas': '#'+text, 'comment and commented header': '# of the survey\n#\n# '+text.replace(',', ' '),
    'SkyServer': '#Table1\n'+text, 'BOM': '\ufeff'+text, 'BOM and SkyServer': '\ufeff#Table1\r\n'+text, 'quoted': re.sub(r'([^,\n]+)', r'"\1"', text), 'no end of line': text[:-1],
    'comma at the end': text.replace('\n', ',\n'), 'commas at the ends of rows': text.replace('\n', ',\n').replace(',\n', '\n', 1),
    'psql': ' objID | oh\n------+-----\n'+''.join(f' {a} | {b}\n' for a,b in zip(plain.objID, plain.oh)), 'markdown': '| objID | oh |\n|---|---|\n'+''.join(f'| {a} | {b} |\n' for a,b in zip(plain.objID, plain.oh)),
    'VizieR': '#\n#   VizieR Astronomical Server\n#Column\tobjID\t(A19)\tname\t[ucd=meta.id]\n#Column\toh\t(F6.3)\n\nobjID\toh\n \tdex\n'+'-'*19+'\t------\n'+''.join(f'{a}\t{b:6.2f}\n' for a,b in zip(plain.objID, plain.oh))+'\n',
    'a title': 'Galaxies of 2026, all\n'+text, 'Excel\'s sep': 'sep=;\n'+text.replace(',', ';').replace('.', ','),
    'kept from Excel': re.sub(r'(\d{19})', r'="\1"', text), 'kept from Excel by a mark': re.sub(r'(\d{19})', r"'\1", text),
    'IPAC': '\\fixlen = T\n\\ of IRSA\n|              objID|     oh|\n|               char| double|\n|                   |    dex|\n'+''.join(f' {a} {b:7.2f} \n' for a,b in zip(plain.objID, plain.oh)),
    'VizieR ;': '#\nobjID;oh\n;dex\n---;---\n'+text.split('\n', 1)[1].replace(',', ';')}
@pytest.mark.parametrize('how', texts)
@pytest.mark.parametrize('name', ['t.csv','t.txt','t.TSV','t.dat'])
def test_layouts(how, name, tmp_path):
    got = read(tmp_path, texts[how], name)
    same(got)
    assert list(got)==['objID','oh'] and got.oh.dtype==float

def test_a_value_missing_between_blanks(tmp_path):
    rows = 'objID oh z\n1 8.5 0.1\n2     0.1\n3 9.0 0.1\n'
    with fails('t.txt: row 2 has 2 values, not 3', 'cannot be told'): read(tmp_path, rows, 't.txt')
    assert read(tmp_path, rows.replace('2     0.1', '2 nan 0.1').replace('9.0 0.1', '9.0 nan'), 't.txt').isna().sum().to_dict()==dict(objID=0, oh=1, z=1)

def test_encodings(tmp_path):
    df = plain.assign(type=['Sérsic','Sb','Ωμ'])
    t = df.to_csv(index=False)
    for body in (t.encode(), t.encode('utf-8-sig'), t.encode('utf-16'), b'\xfe\xff'+t.encode('utf-16-be'), t.replace('\n', '\r\n').encode('utf-16'), t.encode('utf-16-le')):
        for b,name in ((body,'t.csv'), (gzip.compress(body),'t.csv.gz'), (gzip.compress(body),'u.csv')):
            assert list(read(tmp_path, b, name).type)==list(df.type)
    got = read(tmp_path, t.replace('Ωμ', '“é”').encode('cp1252'))
    assert list(got.type)==['Sérsic','Sb','“é”']

def test_only_an_empty_cell_is_missing(tmp_path):
    got = read(tmp_path, 'objID,a,b,c,d,e,f\n1,None,1.5,1, x ,,nan\n2,NA,nan,,--,,x\n3,null,NaN,3,<8.5,,\n4,,,4,  ,,y\n')
    assert list(got.a[:3])==['None','NA','null'] and got.a.isna()[3]
    assert got.b.dtype==float and list(got.b.isna())==[False,True,True,True]
    assert got.c.dtype==float and list(got.c.dropna())==[1,3,4]
    assert list(got.d[:3])==['x','--','<8.5'] and got.d.isna()[3] and got.e.isna().all()
    assert list(got.f)[:2]==['nan','x'] and got.f.isna()[2]

def test_numbers_of_text(tmp_path):
    x = np.random.default_rng(0).normal(size=50)*10.**np.arange(-25, 25)
    got = read(tmp_path, pd.DataFrame({'objID': range(50), 'x': x, 'i': [str(2**62+1)]+['']*49, 'n': [-5]*50, 'big': [2**63+5]*50}).to_csv(index=False))
    assert (got.x==x).all() and got.n.dtype=='int64' and got.big[0]==2**63+5
    assert got.i[0]==2**62+1 and got.i.isna()[1:].all()

def test_quotes_and_blanks_in_words(tmp_path):
    got = read(tmp_path, 'objID,ra,note\nNGC 1300, 49.9,"a, ""b"""\nMrk #5,1,x\n')
    assert list(got.objID)==['NGC 1300','Mrk #5'] and list(got.note)==['a, "b"','x']
    assert list(read(tmp_path, 'objID\nNGC 1300\nM 51\n').objID)==['NGC 1300','M 51']
    assert list(read(tmp_path, 'objID\tsize\nNGC 1300\t"5\nM 51\t6\n', 't.tsv')['size'])==['"5','6']

def test_a_column_named_as_a_comment(tmp_path):
    assert list(read(tmp_path, '#id,ra\n1,2\n', id_col='#id'))==['#id','ra']
    assert list(read(tmp_path, '#id,ra\n1,2\n', id_col='id'))==['id','ra']

nothing = dict(html=('<!DOCTYPE html><html>sorry', 'web page'), page=('\n <html>', 'web page'), json=('{"error": "too many queries"}', 'JSON'), rows=('[{"objID": 1}]', 'JSON'), empty=('', 'empty'), blank=(' \n\n', 'empty'),
               png=(b'\x89PNG\r\n\x1a\n\0\0', 'PNG'), fits=(b'SIMPLE  =     T', '.fits'), parquet=(b'PAR1\0\0', '.parquet'), excel=(b'PK\x03\x04\0', '.xlsx'), xls=(b'\xd0\xcf\x11\xe0\0', '.xls;'), binary=(bytes(range(200)), 'binary'),
               votable=('<?xml version="1.0"?><VOTABLE/>', 'VOTable'), gz=(gzip.compress(text.encode())[:40], 'cannot be read'), comments=('# only\n# comments\n', "'objID'"))
@pytest.mark.parametrize('how', nothing)
def test_what_is_no_table(how, tmp_path):
    body,word = nothing[how]
    with fails(word): read(tmp_path, body)

def test_a_text_file_called_fits(tmp_path):
    for name in ('t.fits','t.parquet','t.xlsx'):
        with fails('a text file', name[1:]): read(tmp_path, text, name)
        with fails('web page'): read(tmp_path, '<html>', name)
    with fails('folder'): read_catalog((tmp_path/'d.csv').mkdir() or tmp_path/'d.csv')

def test_messages_quote_the_file(tmp_path):
    with fails("no column 'objID'", 'it has objid, oh', "Did you mean 'objid'?", "'objid,oh'", 'id_col'): read(tmp_path, text.replace('objID', 'objid'))
    with fails("Did you mean 'OBJ_ID'?"): read(tmp_path, text.replace('objID', 'OBJ_ID'))
    with fails('first line', long[0]): read(tmp_path, text.split('\n', 1)[1])
    with fails('row 2', '3 values, not 2', '2,3,4'): read(tmp_path, 'objID,oh\n1,2\n2,3,4\n'+'5,6\n'*40)
    with fails('3 values', '2 names'): read(tmp_path, 'objID,oh\n'+'1,2,3\n'*5)
    with fails('no rows'): read(tmp_path, 'objID,oh\n')
    with fails('several tables'): read(tmp_path, texts['VizieR']+texts['VizieR'], 't.tsv')
    with fails("no column 'OH'", "Did you mean 'oh'?"): check_columns(plain, ['OH'])

# FITS, Excel, Parquet

def fits_of(tmp_path, *tables):
    p = tmp_path/'t.fits'
    fits.HDUList([fits.PrimaryHDU(), *(fits.BinTableHDU(Table(t), name=k) for k,t in tables)]).writeto(p, overwrite=True)
    return p

def test_several_tables_in_a_fits(tmp_path):
    ints = [int(o) for o in long]
    p = fits_of(tmp_path, ('META', dict(seed=[1,2])), ('CATALOG', dict(objID=ints, oh=plain.oh.to_numpy())), ('OTHER', dict(objID=[7], oh=[1.])))
    same(read_catalog(p))
    for hdu in (3, '3', 'OTHER', 'other'): assert list(read_catalog(p, hdu=hdu).objID)==['7']
    with fails('no table', 'CATALOG'): read_catalog(p, hdu='x')
    with fails('none of its 3 tables', 'CATALOG with objID, oh', 'META with seed'): read_catalog(p, 'specObjID')
    fits.PrimaryHDU(np.zeros((3,3))).writeto(tmp_path/'i.fits')
    with fails('without a table'): read_catalog(tmp_path/'i.fits')

def test_arrays_become_columns(tmp_path):
    t = dict(objID=[1,2], oh=np.arange(10.).reshape(2,5), spec=np.zeros((2,100)), cube=np.zeros((2,3,4)), one=np.ones((2,1)))
    for got in (read_catalog(fits_of(tmp_path, ('A', t))), read_catalog(Table(t))):
        assert list(got.oh_2)==[2.,7.] and list(got.one)==[1.,1.]
        with fails("'oh' is an array of 5 values", 'oh_0 to oh_4'): check_columns(got, ['oh'])
        with fails("'spec' is an array of 100 values"): check_columns(got, ['spec'])
        with fails("'cube' is an array of 3 x 4 values"): check_columns(got, ['cube'])
    pd.DataFrame(dict(objID=['1','2'], mag=[[1.,2.],[3.,4.]])).to_parquet(tmp_path/'t.parquet')
    assert list(read_catalog(tmp_path/'t.parquet').mag_1)==[2.,4.]

def test_columns_of_astropy(tmp_path):
    import astropy.units as u
    from astropy.time import Time
    t = QTable(dict(objID=MaskedColumn(['a','b',''], mask=[0,1,0]), r=[1,2,3]*u.arcsec, t=Time([2450000.5]*3, format='jd'), b=MaskedColumn([True,False,True], mask=[0,1,0]), f=MaskedColumn([1.,2.,3.], mask=[0,0,1])))
    got = read_catalog(t)
    assert list(got.objID)==['a',None,None] and list(got.r)==[1,2,3] and got.t[0].startswith('1995-10-10') and list(got.b)==[True,None,True] and np.isnan(got.f[2])
    Table(dict(objID=np.array([b'x ', 'é'.encode()]), v=np.arange(2, dtype='>i4'))).write(tmp_path/'t.fits')
    got = read_catalog(tmp_path/'t.fits')
    assert list(got.objID)==['x','é'] and got.v.dtype.isnative

def test_excel(tmp_path):
    import openpyxl
    book = openpyxl.Workbook()
    book.active.append(['read me'])
    s = book.create_sheet('galaxies')
    for r in (['Galaxies of 2026'], [], ['objID ','oh','type','n',None], [long[0], 8.5, 'E', 1, None], [long[1], '8.75', ' S ', None, None], [None, None, '<8.5', 3], []): s.append(r)
    book.save(tmp_path/'t.xlsx')
    got = read_catalog(tmp_path/'t.xlsx')
    assert list(got)==['objID','oh','type','n'] and list(got.objID)==[*long[:2], None] and list(got.oh[:2])==[8.5,8.75] and list(got['type'])==['E','S','<8.5'] and got.n[2]==3
    assert list(read_catalog(tmp_path/'t.xlsx', hdu='galaxies').objID)==list(got.objID)
    with fails('none of its 2 tables', 'read me'): read_catalog(tmp_path/'t.xlsx', 'x')

def test_excel_without_openpyxl(tmp_path, monkeypatch):
    write_table(plain, tmp_path/'t.xlsx')
    monkeypatch.setitem(__import__('sys').modules, 'openpyxl', None)
    with fails('pip install galfast[excel]'): read_catalog(tmp_path/'t.xlsx')
    with fails('pip install galfast[excel]'): check_table_names(['a'], tmp_path/'t.xlsx')

def test_integers_with_gaps_in_parquet(tmp_path):
    pd.DataFrame(dict(objID=pd.array([2**60+1,None], dtype='Int64'), n=pd.array([5,None], dtype='Int64'), m=[1,2])).to_parquet(tmp_path/'t.parquet')
    got = read_catalog(tmp_path/'t.parquet')
    assert list(got.objID)==[str(2**60+1),None] and got.n.dtype==float and got.m.dtype=='int64'

# writing

everything = pd.DataFrame({'objID': long, 'bar_prob_Sérsic': [.1,.2,np.nan], 'Sb±': ['Sérsic','Sb±',None], 'r': [1,2,3], 'R': [1.5,np.nan,-np.inf], 'R ': [True,False,True], 'log(M*) [/Lsun]': np.array([1,2,3], 'f4'),
    'x'*80: pd.array([1,None,999999], dtype='Int64'), 'x'*80+'é': pd.array([2**63+1,None,7], dtype='UInt64'), "it's": pd.array([True,None,False], dtype='boolean'), 'obj': [True,None,False], 'cat': pd.Categorical(['a',None,'b']),
    'cat2': pd.Categorical([2,None,1]), 'str': pd.array(['x',None,'y'], dtype='string'), 'mixed': [1,'a',None], 'num': pd.Series([1,None,2.5], dtype=object), 'none': [None]*3, 'b': np.array([1,2,3], 'u1'), 'i1': np.array([-1,2,3], 'i1'), 'i2': np.array([-1,2,3], 'i2'), 'u2': np.array([1,2,65535], 'u2'), 'u4': np.array([1,2,2**32-1], 'u4'), 'u8': np.array([1,2,2**64-1], 'u8'), 'i4': pd.array([1,None,-3], dtype='Int8'),
    'h': np.array([1,.5,2], 'f2'), 'big': pd.array([2**62+1,-2**62,None], dtype='Int64'), 'arrow': pd.array([1,None,3], dtype='int64[pyarrow]'), 'later': [1,2,.5], 'word': pd.Series([1,2,'E'], dtype=object), '日本': ['日','ß','a,"b";c\td'], 'a=b': [1,2,3], 'α': [1,2,3], 'β': [4,5,6]})

def flat(o): return [None if pd.isna(v) else v if isinstance(v, str) else float(v) if abs(v)<2**53 else int(v) if np.isfinite(v) else v for v in o.astype(object)]

@pytest.mark.parametrize('typ', [*table_types, '.csv.gz', '.fits.gz', '.ecsv.gz'])
@pytest.mark.parametrize('rows', [False,True])
def test_what_is_written_is_read(typ, rows, tmp_path):
    df,p = everything.rename(columns={'R ': 'R_'}),tmp_path/f't{typ}'
    if rows:
        with table_writer(p) as add: add(df[:2]); add(df[2:])
    else: write_table(df, p)
    got = read_catalog(p)
    assert list(got)==list(df)
    for c in df:
        want = [None if v is None else str(v) for v in flat(df[c])] if c in ('mixed','word') else flat(df[c])
        assert flat(got[c])==[None if v is None else v.removesuffix('.0') if c in ('mixed','word') else v for v in want], c
    assert [o.name for o in tmp_path.iterdir()]==[p.name]

def test_a_fits_file_is_what_others_read(tmp_path):
    write_table(everything.rename(columns={'R ': 'R_'}), tmp_path/'t.fits')
    t = Table.read(tmp_path/'t.fits')
    assert 'bar_prob_Sersic' in t.colnames and len({o.lower() for o in t.colnames})==len(t.colnames) and all(o.isascii() and len(o)<=68 for o in t.colnames)
    assert list(t['Sb_'])[:2]==['Sérsic','Sb±'] and t['x'*68].mask.tolist()==[False,True,False] and list(t['R_'] if 'R_' in t.colnames else [])
    with fits.open(tmp_path/'t.fits') as h: h.verify('exception')

def test_names_like_comments_are_written(tmp_path):
    df = pd.DataFrame({'#id': ['#1','#2'], 'v': [1.5,2.]})
    assert list(read_catalog(write_table(df, tmp_path/'t.csv'), '#id')['#id'])==['#1','#2']

def test_what_is_no_catalogue():
    with fails('not list'): read_catalog([1,2])

def test_no_rows(tmp_path):
    for typ in table_types:
        write_table(everything[:0].rename(columns={'R ': 'R_'}), tmp_path/f't{typ}')
        with fails('no rows'): read_catalog(tmp_path/f't{typ}')

def test_names_are_refused_before_the_work(tmp_path):
    check_table_names(everything.columns, tmp_path/'p.fits')
    with fails('999', '1,000'): check_table_names(range(1000), tmp_path/'p.fits')
    with fails('two columns', "'a'"): check_table_names(['a','b','a'], tmp_path/'p.csv')
    with fails('line breaks'): check_table_names(['a\nb'], tmp_path/'p.csv')
    with fails('is a folder'): check_table_names(['a'], (tmp_path/'q.csv').mkdir() or tmp_path/'q.csv')
    with fails("'.doc'"): check_table_names(['a'], 'p.doc')

@pytest.mark.parametrize('src,kw,why', [
    (plain.astype({'objID': 'int64'}).astype({'objID': float}), {}, 'lost their last digits'), (plain, dict(id_col='dr7objid'), "no column 'dr7objid'; it has objID, oh"),
    (plain, dict(id_col='objid'), "Did you mean 'objID'\\?"), (plain[:0], {}, 'no rows'), ('nowhere.csv', {}, 'no such file'), ('a.docx', {}, "'.docx' is not known"), (3, {}, 'not int')])
def test_errors_name_the_way_out(src, kw, why):
    with pytest.raises(CatalogError, match=why): read_catalog(src, **kw)
