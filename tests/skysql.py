"""What SkyServer's SqlSearch answers, from a sqlite database of a simulated catalogue; and what any reply of the double is made of"""
import json,re,sqlite3,threading
from typing import NamedTuple

import numpy as np,pandas as pd

# ---- replies

class Reply(NamedTuple):
    status:int=200; type:str='text/html'; body:bytes=b''; reason:str=None; headers:tuple=(); chunked:bool=False
    sent: str = 'good'  # For the counters: good, outside, error, or the name of a fault
    wire: str = None  # reset, short_body, slow, hang, drip, go_on, truncated

def html_reply(status, body, sent='error', **kw): return Reply(status, body=body.encode(), sent=sent, **kw)
def json_reply(status, **kw): return Reply(status, 'application/json', json.dumps(kw).encode(), sent='error')
def sky_error(status, msg):
    kind = {400:'BadRequest',404:'NotFound',500:'InternalServerError'}[status]
    return json_reply(status, ErrorCode=status, ErrorType=kind, ErrorMessage=msg, LogMessageID='0', LogTime='2020-01-01T00:00:00')

_page = '<html><head>\n<title>Skyserver Error</title>\n</head><body bgcolor=white>\n<h2>An error occured</h2><H3 BGCOLOR=pink><font color=red><br></font></H3></BODY></HTML>'
OUTSIDE = 'NOT FOUND. Requested (ra, dec) is outside the SDSS footprint.'
_timeout = 'Execution Timeout Expired.  The timeout period elapsed prior to completion of the operation or the server is not responding.'
PLAIN = dict(
    html_200=html_reply(200, _page), json_200=sky_error(500, 'Object reference not set to an instance of an object.')._replace(status=200),
    error_500=html_reply(500, '<h1>Server Error (500)</h1>'), no_overlap_500=html_reply(500, '<h1>Server Error (500)</h1>'),
    haproxy_503=html_reply(503, '<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n'),
    too_many_429=html_reply(429, '<h1>429 Too Many Requests</h1>'), forbidden_403=html_reply(403, '<h1>403 Forbidden</h1>'),
    timeout_500=sky_error(500, _timeout))

# ---- tables

def _table_set(df, odd, seed):
    "The tables of SkyServer for a simulated catalogue; a share `odd` of the galaxies has a second spectrum, as many spectra have no galaxy"
    n,rng = len(df),np.random.default_rng([seed,5])
    U = lambda lo, hi: rng.uniform(lo, hi, n)
    def gone(x): return np.where(rng.random(n)<.05, -9999., x)
    oid,k = df.objID.astype('int64').to_numpy(),rng.permutation(n)
    photo = pd.DataFrame(dict(objID=oid, ra=df.ra, dec=df.dec, run=oid>>32&65535, rerun=301, camcol=oid>>29&7, field=oid>>16&4095, obj=oid&65535,
        mode=1, type=3, clean=1, petroR50_r=df.petroR50_r, petroR90_r=df.petroR90_r, deVRad_r=df.petroR50_r*1.1, expRad_r=df.petroR50_r*.9,
        expAB_r=df.q, deVAB_r=df.q, fracDeV_r=df.bulge_frac, dered_r=df.r_mag-.08, extinction_r=.08, **{f'petroMag_{b}': df[f'{b}_mag']+.01 for b in 'ugriz'},
        **{f'modelMag_{b}': df[f'{b}_mag'] for b in 'ugriz'}, **{f'modelMagErr_{b}': U(.005, .05) for b in 'ugriz'}))
    plate,fiber = 266+k%2700,1+k//2700
    sid = plate.astype('int64')*2**50+fiber*2**38+(1600+plate)*2**24+26*2**10
    spec = pd.DataFrame(dict(specObjID=sid, bestObjID=oid, ra=df.ra, dec=df.dec, plate=plate, mjd=51600+plate, fiberID=fiber, run2d='26', survey='sdss',
        sciencePrimary=1, z=df.redshift, zErr=U(5e-6, 5e-5), zWarning=0, velDisp=U(60, 250), velDispErr=U(3, 20), rChi2=U(.9, 2.05), snMedian=U(5, 40),
        subClass=np.where(df.morphology=='elliptical', '', 'STARFORMING')))
    spec['class'] = 'GALAXY'
    two = spec[:round(odd*n)]
    again,none = two.assign(specObjID=two.specObjID+2**38*1000),two.assign(specObjID=two.specObjID+2**38*2000, bestObjID=0)
    oh,mass,sfr = gone(df.metallicity),gone(df.logmass),gone(df.logmass-10+U(-.5, .5))
    def pct(c, x, e): return {f'{c}_{p}': np.where(x>-9000, x+d*e, x) for p,d in dict(p2p5=-2, p16=-1, p50=0, p84=1, p97p5=2).items()}
    extra = pd.DataFrame(dict(specObjID=sid, bptclass=rng.choice([-1,1,2,3,4,5], n), **pct('oh', oh, .03), **pct('lgm_tot', mass, .1),
        **pct('sfr_tot', sfr, .3), **pct('specsfr_tot', np.where((mass>-9000)&(sfr>-9000), sfr-mass, -9999), .3)))
    info = pd.DataFrame(dict(specObjID=sid, plateid=plate, mjd=51600+plate, fiberid=fiber, ra=df.ra, dec=df.dec, z=df.redshift, z_warning=0, reliable=1, sn_median=spec.snMedian))
    lines = {f'{o}_{s}': U(*r) for o in 'oii_3726 h_beta oiii_5007 h_delta h_alpha nii_6584'.split() for s,r in dict(flux=(1,500), flux_err=(.5,5), eqw=(-60,0)).items()}
    return dict(PhotoObj=photo, SpecObj=pd.concat([spec,again,none]), GalSpecExtra=extra, GalSpecInfo=info, GalSpecLine=pd.DataFrame(dict(specObjID=sid, **lines)),
        GalSpecIndx=pd.DataFrame(dict(specObjID=sid, d4000=gone(U(1, 2)), d4000_err=U(.01, .05), d4000_n=gone(U(1, 2)))),
        Photoz=pd.DataFrame(dict(objID=oid, z=df.redshift+U(-.03, .03), zErr=U(.01, .04), photoErrorClass=1)), **_zoo(df, oid, sid, U))

def _zoo(df, oid, sid, U):
    el = np.where(df.morphology=='elliptical', U(.6, 1), U(0, .4))
    edge = np.where(df.morphology=='edge-on', U(.6, 1), U(0, .2))*(1-el)
    spec = dict(specobjid=sid, objid=oid, dr7objid=oid-10**15, ra=df.ra.astype('f4'), dec=df.dec.astype('f4'), nvote=30, p_el=el, p_cw=(1-el-edge)/2, p_acw=(1-el-edge)/2,
        p_edge=edge, p_dk=0., p_mg=0., p_cs=1-el, p_el_debiased=el, p_cs_debiased=1-el, spiral=(el<.2).astype(int), elliptical=(el>.8).astype(int))
    spec['uncertain'] = 1-spec['spiral']-spec['elliptical']
    zoo2 = dict(specobjid=sid, dr8objid=oid, dr7objid=oid-10**15)
    for t,f in {'t01_smooth_or_features_a01_smooth':el, 't01_smooth_or_features_a02_features_or_disk':1-el, 't02_edgeon_a04_yes':edge, 't02_edgeon_a05_no':1-edge}.items():
        zoo2 |= {f'{t}_count':(f*40).astype(int), f'{t}_weight':f*40, f'{t}_flag':(f>.8).astype(int), **{f'{t}_{o}': f for o in ('fraction','weighted_fraction','debiased')}}
    return dict(zooSpec=pd.DataFrame(spec), zoo2MainSpecz=pd.DataFrame(zoo2))

# ---- statements

def what_server_does(cmd, max_rows):
    "The statement without comments, the statement that runs, and the complaint that comes back instead of a result"
    s = re.sub(r' +', ' ', re.sub(r'--.*', '', re.sub(r'/\*.*\*/', '', cmd, flags=re.S))).strip()  # the first is greedy, as theirs is
    q = re.sub(r'([. ])(xp|sp|fn|ms|dt)_', '#', re.sub(r'[\r\n\t]', ' ', s).replace(';', '#'), flags=re.I)
    m = re.match(r'select +((all|distinct) +)?', q, re.I)
    if not m: return s,q,f'error: must be a select statement: {q}'
    head,rest = m[0],re.sub(r'(?<!\()(?<!\( )\bselect ', '#select ', q[m.end():], flags=re.I)
    if not (t := re.match(r'top +(\S+)', rest, re.I)): return s,f'{head}top {max_rows} {rest}',''
    ok = re.fullmatch(r'\d+', t[1]) and 1<=int(t[1])<=max_rows
    return s,head+rest,'' if ok else f'error: limit is  top {max_rows} {q}'

def to_sqlite(sql):
    "`dbo.` goes, and each `top N` becomes a LIMIT at the end of its SELECT"
    sql = re.sub(r'\bdbo\.', '', sql, flags=re.I)
    while m := re.search(r'\b(select\s+(?:all\s+|distinct\s+)?)top\s+(\d+)\b', sql, re.I):
        depth,i = 0,m.end()
        while i<len(sql) and depth>=0: depth,i = depth+(sql[i]=='(')-(sql[i]==')'),i+1
        i -= depth<0
        sql = f'{sql[:m.start()]}{m[1]}{sql[m.end():i]} limit {m[2]}{sql[i:]}'
    return sql

_messages = [(r'no such column: (?:.*\.)?(.*)', "Invalid column name '{}'."), (r'no such table: (.*)', "Invalid object name '{}'."),
    (r'ambiguous column name: (?:.*\.)?(.*)', "Ambiguous column name '{}'."), (r'near "(#|[^"]*).*', "Incorrect syntax near '{}'."),
    (r'unrecognized token: "(#|[^"]*).*', "Incorrect syntax near '{}'."), (r'no such function: (.*)', "'{}' is not a recognized built-in function name.")]
def server_message(e):
    "SQL Server's words for what sqlite says"
    for p,s in _messages:
        if m := re.match(p, str(e), re.S): return s.format(m[1])
    return f"Incorrect syntax near ''. ({e})"

# ---- answers

SQL_FAULTS = 'html_200 error_500 haproxy_503 truncated timeout_500 throttled'.split()

def _columns(names):
    "As their library names columns: Column1 if a column has no name, and z1 for the second z"
    out,k = [],0
    for o in names:
        if not re.fullmatch(r'[A-Za-z_]\w*', o): k += 1; o = f'Column{k}'
        base,i = o,0
        while o in out: i += 1; o = f'{base}{i}'
        out.append(o)
    return out

def _cell(x):
    if x is None: return ''
    if isinstance(x, float): return f'{x:.15g}'
    x = str(x)
    return f'"{x}"' if ',' in x and x[0]!='"' else x

def table_reply(cols, rows, fmt, query):
    "A table as SqlSearch writes it: chunked, so that nothing tells its length"
    if fmt in ('csv','txt'):
        body = '\n'.join(['#Table1',','.join(cols),*(','.join(map(_cell, o)) for o in rows)])+'\n'
        return Reply(200, 'text/plain', body.encode(), chunked=True)
    o = [dict(TableName='Table1', Rows=[dict(zip(cols, o)) for o in rows]), dict(TableName='SqlQuery', Rows=[dict(query=query)])]
    return Reply(200, 'application/json', json.dumps(o, indent=2).replace('\n', '\r\n').encode(), chunked=True)

class Tables:
    "SkyServer's database"
    def __init__(self, df, odd=0., seed=0):
        self.db,self.lock = sqlite3.connect(':memory:', check_same_thread=False),threading.Lock()
        for name,t in _table_set(df, odd, seed).items():
            for c in t.select_dtypes('number'):
                if t[c].dtype.kind=='f' and c not in ('ra','dec'): t[c] = [float(f'{o:.7g}') for o in t[c]]  # `real`, as most of theirs
            setattr(self, name, t)
            t.to_sql(name, self.db, index=False)
            for c in ('objID','specObjID','bestObjID'):
                if c in t: self.db.execute(f'create index {name}_{c} on {name}({c})')
        for v in 'Galaxy','PhotoPrimary','PhotoObjAll': self.db.execute(f'create view {v} as select * from PhotoObj where mode=1 and type=3')
        self.db.execute('create view SpecObjAll as select * from SpecObj')
    def search(self, q, max_rows):
        "The answer to a good or bad request for SqlSearch"
        if 'cmd' not in q: return sky_error(400, 'There are not enough parameters to process your request.')
        fmt,parse = q.get('format', 'json').lower(),q.get('syntax')=='Syntax'
        s,sql,complaint = what_server_does(q['cmd'], max_rows)
        if complaint: return table_reply(['error_message'], [(complaint,)], fmt, s)._replace(sent='error')
        if m := re.search(r'\b(limit)\b', sql, re.I): return sky_error(500, f"Incorrect syntax near '{m[1]}'.")  # sqlite knows it, they do not
        try:
            with self.lock:
                cur = self.db.execute(('explain ' if parse else '')+to_sqlite(sql))
                cols,rows = _columns([o[0] for o in cur.description]),cur.fetchall()
        except sqlite3.Error as e:
            if not (parse and 'no such' in str(e)): return sky_error(500, server_message(e))
        if parse: cols,rows = ['Column1'],[('Syntax is OK',)]
        return table_reply(cols, rows, fmt, s)
