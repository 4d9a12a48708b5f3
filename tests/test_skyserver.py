"SQL over a real socket, against a double that misbehaves as SkyServer does"
import hashlib,json,os,re,signal,subprocess,sys,time
from pathlib import Path
from urllib.parse import parse_qs,urlsplit

import pandas as pd,pytest
from skydouble import SQL_FAULTS,SkyDouble

from galfast.base.core import GalfastError
from galfast.base.tables import read_catalog
from galfast.surveys.net import NetError
from galfast.surveys.skyserver import SkyServer,SQLError,clean_sql,count_sql,metallicity_sql,page_sql,parse_sql_csv,query_to_file,sql_keys,sql_presets

root = Path(__file__).parent.parent
shared = Path(os.getenv('GALFAST_SHARED') or root.parent/'shared')/'data'/'skyserver'

class Double(SkyDouble):
    "Takes down what it is asked"
    def __init__(self, **kw): super().__init__(**kw); self.methods,self.cmds = [],[]
    def answer(self, h, req):
        self.methods.append(req.method)
        self.cmds.append(parse_qs(urlsplit(req.target).query).get('cmd', [''])[0])
        return super().answer(h, req)
    @property
    def lasts(self): return [m[1] for o in self.cmds if (m:=re.search(r' > (\d+) order by', o))]

def client(sky, rate=0, **kw):
    s = SkyServer('dr17', sky.url, rate, **kw)
    s.service.first_wait = .01
    return s

@pytest.fixture(scope='module')
def sky():
    with Double(n=300, odd=.1, per_minute=10**6) as o: yield o

@pytest.fixture(autouse=True)
def fresh(request):
    if 'sky' in request.fixturenames:
        o = request.getfixturevalue('sky')
        o.methods.clear(); o.cmds.clear(); o.stats.reset(); o.sql_faults.clear()

spectra = 'select S.specObjID, S.z from SpecObj S where S.z > 0 or S.z < 1'

# ---- faults

@pytest.mark.parametrize('fault', SQL_FAULTS)
def test_a_passing_fault_is_asked_again(sky, fault):
    sky.sql_faults.append(fault)
    assert len(client(sky, minute=.05).sql('select top 7 objID from Galaxy'))==7
    assert len(sky.cmds)==2 and set(sky.methods)=={'GET'}

def test_five_tries_and_no_more(sky):
    sky.sql_faults.extend(['haproxy_503']*9)
    s = client(sky, rate=50.)
    with pytest.raises(NetError, match='answered 503') as e: s.sql('select top 7 objID from Galaxy')
    assert e.value.tries==5==len(sky.cmds)

def test_a_slow_query_is_asked_once_more_only(sky):
    sky.sql_faults.extend(['timeout_500']*9)
    with pytest.raises(NetError, match='`pages` with a smaller page'): client(sky).sql('select top 7 objID from Galaxy')
    assert len(sky.cmds)==2

@pytest.mark.parametrize('query,say', [('select oh_p5 from GalSpecExtra', "Invalid column name 'oh_p5'"), ('select z from GalSpecExtr', "Invalid object name 'GalSpecExtr'"), ('select z from SpecObj where z >', 'Incorrect syntax'),
    ('select ra from SpecObj S join Galaxy G on G.objID=S.bestObjID', "Ambiguous column name 'ra'"), ('select top 5 z from SpecObj limit 5', 'Incorrect syntax')])
def test_a_wrong_query_is_asked_once_and_quoted(sky, query, say):
    with pytest.raises(SQLError, match=say) as e: client(sky).sql(query)
    assert not e.value.retry and e.value.exit_code==2 and len(sky.cmds)==1

def test_limit_of_queries_a_minute():
    with Double(n=60, per_minute=3, minute=.4) as sky:
        s = client(sky, minute=.45)
        assert len(s.pages('select objID, ra from Galaxy', 'objID', page=10))==60
        assert sky.stats.sent['throttled']>=1 and sky.stats.most_in_flight['sql']==1

def test_a_limit_lower_than_thought_is_told():
    with Double(n=60, max_rows=50) as sky:
        with pytest.raises(NetError, match='limit is top 50'): client(sky).sql('select objID from Galaxy')
        assert len(sky.cmds)==1

def test_nothing_there():
    with pytest.raises(NetError, match='nothing answers') as e:
        s = SkyServer('dr17', 'http://127.0.0.1:9', 0); s.service.first_wait = .01; s.sql('select top 1 objID from Galaxy')
    assert e.value.tries==5

# ---- results

def test_what_the_server_does_to_a_query_does_no_harm(sky):
    q = """-- spectra; all of them
    /* first */ select  objID,   -- not ra
        'it''s' as what /* second */
    from Galaxy
    where objID in ( select bestObjID from SpecObj where z > .05 ) -- select
    ;"""
    df = client(sky).sql(q)
    assert list(df)==['objID','what'] and set(df.what)=={"it's"}
    assert len(df)==client(sky).count(q)>0

def test_ids_are_exact(sky):
    for fmt in ('csv','json'):
        df = client(sky).sql('select objID, ra, dec from Galaxy', fmt)
        assert list(df.objID)==list(sky.catalog().objID) and df.ra.tolist()==sky.catalog().ra.tolist()
    assert parse_sql_csv('#Table1\nspecObjID,n\n18446744073709551615,1\n,2\n').specObjID[0]=='18446744073709551615'

def test_empty_result(sky):
    s = client(sky)
    for fmt in ('csv','json'):
        df = s.sql('select objID, ra from Galaxy where ra < -1', fmt)
        assert list(df)==['objID','ra'] and len(df)==0
    assert list(s.pages('select objID, ra from Galaxy where ra < -1', 'objID'))==['objID','ra']

def test_count(sky):
    s = client(sky)
    for q in (spectra, 'select distinct camcol from PhotoObj', 'select camcol, count(*) as n from PhotoObj group by camcol having count(*) > 40 order by camcol', 'select count(*) as n from Galaxy',
              'select top 9 objID from Galaxy order by ra', 'select objID from Galaxy where objID in (select bestObjID from SpecObj where z>.1)'):
        assert s.count(q)==len(s.sql(q)), q

@pytest.mark.skipif(not shared.exists(), reason='no recorded replies here')
def test_recorded_replies():
    im,sp = (parse_sql_csv((shared/f'xid_{o}.txt').read_text()) for o in ('im','sp')) if (shared/'xid_im.txt').read_text().startswith('#Table1') else (None,parse_sql_csv((shared/'xid_sp.txt').read_text()))
    assert sp.objid[0]=='1237652943176138868' and sp.specobjid[0]=='845594848269461504' and sp.z[0]==.04559058 and sp.instrument[0]=='SDSS'
    assert im is None or im.objid.str.len().eq(19).all()
    with pytest.raises(NetError, match='not a table'): parse_sql_csv((shared/'xid.txt').read_text())

# ---- pages

@pytest.mark.parametrize('page', [7, 110, 359, 360, 361, 20_000])
def test_pages_are_the_query(sky, page):
    s = client(sky)
    a,b = s.pages(spectra, page=page),s.sql(spectra+' order by S.specObjID')
    pd.testing.assert_frame_equal(a, b)
    assert len(a)==360 and sum('count(*)' in o for o in sky.cmds)==1
    assert len(sky.lasts)==len(set(sky.lasts)) # none twice

def test_keys_that_repeat_lose_nothing(sky):
    s = client(sky)
    q = 'select camcol, objID, ra from Galaxy'
    df = s.pages(q, 'camcol', page=90)
    assert df.objID.is_unique and set(df.objID)==set(sky.catalog().objID)
    with pytest.raises(GalfastError, match='rows or more with camcol'): s.pages(q, 'camcol', page=20)
    zero = s.pages('select S.bestObjID, S.specObjID from SpecObj S', 'bestObjID', page=50) # two spectra of a galaxy, and thirty of none
    assert len(zero)==360 and zero.specObjID.is_unique

def test_pages_past_the_limit_of_rows():
    with Double(n=150, max_rows=50, per_minute=10**6) as sky:
        s = client(sky, most_rows=50)
        with pytest.raises(GalfastError, match='`pages`'): s.sql('select objID from Galaxy')
        assert len(s.sql('select top 50 objID from Galaxy'))==50
        assert set(s.pages('select objID from Galaxy', 'objID', page=50).objID)==set(sky.catalog().objID)
        assert len(s.pages('select top 120 objID from Galaxy', 'objID', page=50))==120

def test_keys_that_will_not_do(sky):
    s = client(sky)
    for q,key,say in (('select z from SpecObj', 'specObjID', 'not among the columns'), ('select z, specObjID from SpecObj', 'z', 'whole numbers'), ('select * from SpecObj', 'objID', 'Invalid column'),
                      ('select subClass, specObjID from SpecObj', 'subClass', 'whole numbers'), ('select camcol, count(*) as n from PhotoObj group by camcol', 'camcol', 'GROUP BY')):
        with pytest.raises(GalfastError, match=say): s.pages(q, key, page=20)
    assert len(s.pages('select * from SpecObj', 'SPECOBJID', page=99))==360

def test_rows_that_go_missing_are_noticed(tmp_path):
    with Double(n=100, per_minute=10**6) as sky:
        s = client(sky)
        def fewer(real):
            def f(sql, *args):
                if len(sky.cmds)==3: sky.tables.db.execute('delete from PhotoObj where objID in (select objID from PhotoObj order by objID desc limit 4)')
                return real(sql, *args)
            return f
        s.ask = fewer(s.ask)
        with pytest.raises(NetError, match='the pages have 96 rows, but the query has 100'): s.pages('select objID, ra from Galaxy', 'objID', page=20, dest=tmp_path/'a.csv')
        assert not list(tmp_path.iterdir())

def test_faults_between_pages(sky):
    sky.sql_faults.extend([None,'html_200',None,'truncated','error_500',None,'timeout_500'])
    assert len(client(sky).pages(spectra, page=100))==360

def test_polite():
    with Double(n=40, latency=.02) as sky:
        client(sky, rate=.8).pages('select objID, ra from Galaxy', 'objID', page=21)
        assert len(sky.cmds)==3 and sky.stats.peak('sql')==1==sky.stats.most_in_flight['sql']
        assert set(sky.methods)=={'GET'} and all(o.startswith('galfast/') for o in sky.stats.agents)
    assert SkyServer('dr17').service.pacer.rate==1

# ---- presets

labels = {'metallicity': 'oh_p50', 'stellar-mass': 'lgm_tot_p50', 'sfr': 'sfr_tot_p50', 'spec-z': 'z', 'photo-z': 'z', 'galaxy-zoo1': 'p_el_debiased', 'galaxy-zoo2': 't01_smooth_or_features_a01_smooth_debiased'}

@pytest.mark.parametrize('name', sql_presets)
def test_preset(sky, name, tmp_path):
    said,s = [],client(sky)
    df = query_to_file(name, tmp_path/'a.csv', sky=s, page=60, say=said.append)
    assert set('objID ra dec petroMag_r petroR50_r petroR90_r'.split())|{labels[name]}<=set(df)
    assert len(df)>100 and df.objID.is_unique and df[labels[name]].notna().all() and df.ra.dtype==float
    assert s.count(sql_presets[name]())==int(said[0].split()[0].replace(',', ''))>=len(df)
    assert sql_keys[name].split('.')[-1] in df and sorted(o.name for o in tmp_path.iterdir())==['a.csv','a.csv.query.json']
    if name=='spec-z': assert 'rows repeat a galaxy' in said[1]
    pd.testing.assert_frame_equal(read_catalog(tmp_path/'a.csv')[['objID','ra','petroR90_r']], df[['objID','ra','petroR90_r']], check_dtype=False)

def test_metallicity_is_that_of_the_sky(sky):
    df = client(sky).pages(metallicity_sql(extra=True)).drop_duplicates('objID').merge(sky.catalog(), on='objID')
    assert len(df)>100 and (df.oh_p50-df.metallicity).abs().max()<1e-6 and {'h_alpha_flux','nii_6584_flux_err','d4000'}<=set(df) and df.d4000.isna().any()
    assert df.petroMag_r.between(10, 18).all()

# ---- files

def test_file_tells_how_it_was_made(sky, tmp_path):
    out = tmp_path/'a.parquet'
    df = query_to_file('metallicity', out, sky=client(sky), limit=50)
    o = json.loads(Path(f'{out}.query.json').read_text())
    assert len(df)==50==o['rows'] and o['sha256']==hashlib.sha256(out.read_bytes()).hexdigest() and 'top 50 ' in o['query'] and o['release']=='dr17' and o['base']==sky.url and o['date'].endswith('+00:00')
    q = tmp_path/'q.sql'
    q.write_text('select top 5 objID, ra\nfrom Galaxy -- five\norder by ra desc;\n')
    for ext in ('csv','fits','ecsv'):
        df = query_to_file(q, tmp_path/f'b.{ext}', sky=client(sky))
        assert df.ra.is_monotonic_decreasing and list(read_catalog(tmp_path/f'b.{ext}').objID)==list(df.objID)

def test_environment_says_where(sky, tmp_path, monkeypatch):
    monkeypatch.setenv('GALFAST_SDSS_URL', sky.url)
    assert len(query_to_file('select top 3 objid, ra from Galaxy', tmp_path/'a.csv', 16).objID)==3

killed = """
import sys
from galfast.surveys.skyserver import *
s = SkyServer('dr17', sys.argv[1], 0)
query_to_file(sys.argv[3], sys.argv[2], sky=s, page=30)
"""

def test_killed_runs_go_on(tmp_path):
    out,parts = tmp_path/'a.csv',tmp_path/'a.csv.parts'
    with Double(n=300, per_minute=10**6, latency=.12) as sky:
        for more in (2,5):
            p = subprocess.Popen([sys.executable, '-W', 'ignore', '-c', killed, sky.url, out, spectra], cwd=root, env={**os.environ, 'OMP_NUM_THREADS': '1'})
            t = time.monotonic()
            while len(list(parts.glob('page-*.csv')))<more and time.monotonic()-t<60 and p.poll() is None: time.sleep(.005)
            p.send_signal(signal.SIGKILL)
            assert p.wait()==-signal.SIGKILL and not out.exists()
        before,n = len(sky.cmds),sum(pd.read_csv(o).shape[0] for o in parts.glob('page-*.csv'))
        said = []
        df = query_to_file(spectra, out, sky=client(sky), page=30, say=said.append)
        assert f'{n} of them here' in said[0] and not parts.exists() and len(df)==300
        assert sum('count(*)' in o for o in sky.cmds)==1
        assert len(sky.cmds)<=1+11+2 and len(sky.cmds)-before<=-(-(300-n)//29)+1 # eleven pages; at most the page under way is asked for again after a kill
        pd.testing.assert_frame_equal(df, client(sky).sql(spectra+' order by S.specObjID'))

def test_pages_of_another_query_are_not_taken(sky, tmp_path):
    s = client(sky)
    sky.sql_faults.extend([None,None]+['timeout_500']*2)
    with pytest.raises(NetError): s.pages('select objID, ra from Galaxy', 'objID', page=50, dest=tmp_path/'a')
    assert len(list((tmp_path/'a.parts').iterdir()))==2
    df = s.pages('select objID, dec from Galaxy', 'objID', page=50, dest=tmp_path/'a')
    assert list(df)==['objID','dec'] and df.objID.is_unique and len(df)==300 and not list(tmp_path.iterdir())

def test_pure_parts_agree():
    q = 'select specObjID, z from SpecObj where z > 0 or z < 1'
    assert clean_sql(page_sql(q, 'specObjID', 10, 5))=='select top 10 specObjID, z from SpecObj where (z > 0 or z < 1) and specObjID > 5 order by specObjID'
    assert count_sql(q)=='select count(*) as n from SpecObj where z > 0 or z < 1'

def test_replies_that_are_tables():
    from galfast.surveys.skyserver import _read_csv
    df = parse_sql_csv('#Table1\nobjID,z\n')
    assert (list(df),len(df),df.z.dtype)==(['objID','z'],0,float)
    assert list(parse_sql_csv('#Table1\nobjID\n\n12\n').objID.isna())==[True,False] and list(parse_sql_csv('#Table1\r\nx,z\r\n1,2\r\n').z)==[2]
    assert _read_csv('#Table1\na,b\n"x",y"\n').b[0]=='y"' and _read_csv('#Table1\na,b\nNA,None\n').to_numpy().tolist()==[['NA','None']]

@pytest.mark.parametrize('text,again,why', [('', True, 'cut off'), ('#Tab', True, 'cut off'), ('#Table1\nobjID,z\n12,.', True, 'middle of a line'),
    ('No objects have been found', False, 'not a table'), ('#Table1\na,b\n1,2,3\n', False, '3 values for 2 columns'),
    ('#Table1\na,b\n1,2,"3\n', False, 'taken apart'), ('#Table1\na,b\n"1","2","3","4"\n', False, 'taken apart')])
def test_replies_that_are_none(text, again, why):
    from galfast.surveys.skyserver import _read_csv
    with pytest.raises(NetError, match=why) as e: _read_csv(text)
    assert e.value.retry==again

def test_replies_in_json():
    from galfast.surveys.skyserver import _read_json,_typed
    rows = [dict(objid=1237653651835781245, oh=None, z=.1, s='a,b')]
    js = json.dumps([dict(TableName='Table1', Rows=rows), dict(TableName='SqlQuery', Rows=[dict(query='')])])
    got = _typed(_read_json(js)).iloc[0]
    assert got.isna().tolist()==[False,True,False,False] and got.dropna().tolist()==['1237653651835781245',.1,'a,b']
    for o in (js[:-40], js[:90], '[]', '{"a": 1}'):
        with pytest.raises(NetError, match='cut off'): _read_json(o)
