"The double of the survey services: that it speaks, misbehaves and counts as it says"
import io,json,os,signal,subprocess,sys,threading,time
from pathlib import Path
from urllib.parse import quote,urlencode

import numpy as np,pandas as pd,pytest,requests
from astropy.io import fits
from PIL import Image
from skydouble import FAULTS,SQL_FAULTS,SkyDouble,ask_getjpeg,outside,sky_key,to_sqlite,what_server_does

from galfast.sim.galaxies import sim_catalog,sim_galaxy

@pytest.fixture(scope='module')
def sky():
    with SkyDouble(n=120, seed=3, pool=4, per_minute=1000, max_rows=100, odd=.1) as o: yield o

_sql,_jpg = '/dr17/SkyServerWS/SearchTools/SqlSearch','/dr17/SkyServerWS/ImgCutout/getjpeg'
_img = dict(getjpeg=_jpg, legacy='/viewer/jpeg-cutout', fits='/viewer/fits-cutout', ps1='/cgi-bin/fitscut.cgi', hips='/hips-image-services/hips2fits')

def target(path, **kw): return path+'?'+urlencode(kw)
def get(sky, path, **kw): return requests.get(sky.url+target(path, **kw), allow_redirects=False, timeout=10)
def sql(sky, cmd, **kw): return get(sky, _sql, cmd=cmd, **{'format':'csv', **kw})
def rows(r): return [o.split(',') for o in r.text.splitlines()[1:]]
def pixels(b): return np.asarray(Image.open(io.BytesIO(b)))
def zeros(b): return (pixels(b)==0).all(-1).mean()
def hdu(b): return fits.open(io.BytesIO(b))

# ---- SQL

def test_csv(sky):
    r = sql(sky, 'select top 3 p.objid, ra, petroR90_r from dbo.photoobj p order by p.objID')
    assert r.status_code==200 and r.headers['Content-Type']=='text/plain' and r.headers['Transfer-Encoding']=='chunked' and 'Content-Length' not in r.headers
    head,*got = rows(r)
    assert r.text.startswith('#Table1\n') and r.text.endswith('\n') and head==['objID','ra','petroR90_r']
    d = sky.catalog().sort_values('objID')[:3]
    assert [o[0] for o in got]==d.objID.tolist() and [float(o[1]) for o in got]==d.ra.tolist() and [float(o[2]) for o in got]==d.petroR90_r.tolist()
    assert sql(sky, 'select ra from Galaxy where ra>999').text=='#Table1\nra\n'

def test_json(sky):
    r = sql(sky, 'select top 2 specObjID, null as x, z from SpecObj', format='json')
    assert r.headers['Content-Type']=='application/json' and '\r\n' in r.text
    a,b = r.json()
    assert a['TableName']=='Table1' and len(a['Rows'])==2 and a['Rows'][0]['x'] is None and a['Rows'][0]['specObjID']>2**53
    assert b==dict(TableName='SqlQuery', Rows=[dict(query='select top 2 specObjID, null as x, z from SpecObj')])

def test_every_table_and_the_metallicity_query(sky):
    for t in 'SpecObj Galaxy PhotoObj GalSpecExtra GalSpecInfo GalSpecLine GalSpecIndx zooSpec zoo2MainSpecz Photoz'.split():
        n = int(rows(sql(sky, f'select count(*) from {t}'))[1][0])
        assert n==(144 if t=='SpecObj' else 120)  # a tenth twice, and as many without a galaxy
    q = '''select distinct G.objID, GSE.specObjID, G.ra, G.dec, S.z, zErr, velDisp, G.petroR90_r, nii_6584_flux, h_alpha_flux_err, d4000_err, bptclass,
        oh_p2p5, oh_p50, lgm_tot_p50, sfr_tot_p50 /* all */ from SpecObj S join Galaxy G on G.objID=S.bestObjID join GalSpecLine GSL on GSL.specObjID=S.specObjID
        join GalSpecIndx GSX on GSX.specObjID=S.specObjID join GalSpecExtra GSE on GSE.specObjID=S.specObjID -- the paper's
        where G.petroMag_r > 10 and G.petroMag_r < 18 and G.modelMag_u - G.modelMag_r > 0 and S.rChi2 < 2 and S.z > 0.02 and GSE.oh_p50 != -9999'''
    head,*got = rows(sql(sky, q))
    assert head[0]=='objID' and head[2:5]==['ra','dec','z'] and 50<len(got)<120
    d = sky.catalog().set_index('objID')
    assert all(float(o[13])==d.metallicity[o[0]] for o in got) and d.metallicity.isna().any()

@pytest.mark.parametrize('cmd,status,text', [
    ('select oh_p5 from GalSpecExtra', 500, "Invalid column name 'oh_p5'."), ('select g.nope from Galaxy g', 500, "Invalid column name 'nope'."),
    ('select z from GalSpecExtr', 500, "Invalid object name 'GalSpecExtr'."), ('select ra from Galaxy;', 500, "Incorrect syntax near '#'."),
    ('select 1 union select 2', 500, "Incorrect syntax near '#'."), ('select ra frm Galaxy g', 500, "Incorrect syntax near 'Galaxy'."),
    ('select ra from Galaxy limit 5', 500, "Incorrect syntax near 'limit'."), ('select ra from Galaxy g join SpecObj s on s.bestObjID=g.objID', 500, "Ambiguous column name 'ra'."),
    ('delete from Galaxy', 200, 'error: must be a select statement: delete'), ('with a as (select 1) select 1', 200, 'error: must be a select'),
    ('select top 101 ra from Galaxy', 200, 'error: limit is  top 100 select'), ('select top (10) ra from Galaxy', 200, 'error: limit'), ('select top 0 ra from Galaxy', 200, 'error: limit')])
def test_refused_sql(sky, cmd, status, text):
    r = sql(sky, cmd)
    assert r.status_code==status
    if status==500: assert r.json()['ErrorMessage']==text and r.json()['ErrorCode']==500 and r.headers['Content-Type']=='application/json'
    else: assert rows(r)[0]==['error_message'] and rows(r)[1][0].startswith(text) and sql(sky, cmd, format='json').json()[0]['Rows'][0]['error_message'].startswith(text)

def test_bad_sql_requests(sky):
    assert 'not enough parameters' in get(sky, _sql, CMD='select 1', format='csv').json()['ErrorMessage']  # keys have their case
    r = requests.post(sky.url+_sql, data=dict(cmd='select 1'))
    assert r.status_code==400 and r.json()['ErrorMessage']=='Query parameters in request URI are missing.'
    r = sql(sky, 'select 1 '+' '*9000)
    assert r.status_code==400 and r.headers['Content-Type']=='text/html' and 'maxQueryStringLength' in r.text
    assert rows(sql(sky, 'select nope from Galaxy', syntax='Syntax'))[1]==['Syntax is OK'] and sql(sky, 'select from', syntax='Syntax').status_code==500

def test_sql_translation(sky):
    assert to_sqlite('select top 3 x from dbo.T where y in (select top 2 z from u) order by x')=='select  x from T where y in (select  z from u limit 2) order by x limit 3'
    assert len(rows(sql(sky, 'select ra from Galaxy')))==101  # cut, and nothing says so
    assert rows(sql(sky, 'select distinct top 2 camcol, ra+1, count(*), ra as z, ra as z from galaxy group by camcol'))[0]==['camcol','Column1','Column2','z','z1']
    assert what_server_does('select 1 /* a */ from x /* b */ y -- c\nwhere 2', 9)[0]=='select 1 y \nwhere 2'  # theirs is greedy
    assert what_server_does('select a, sp_x from t', 9)[1]=='select top 9 a,#x from t'
    last,seen = 0,[]
    while got := rows(sql(sky, f'select top 50 specObjID from SpecObj where specObjID > {last} order by specObjID'))[1:]:
        seen += [int(o[0]) for o in got]
        last = seen[-1]
    assert len(set(seen))==len(seen)==144

def test_throttle():
    now = [100.]
    with SkyDouble(n=5, per_minute=2, clock=lambda: now[0]) as sky:
        q = 'select ra, dec from Galaxy'
        a = [sql(sky, q).text.splitlines()[1] for _ in range(3)]
        assert a==['ra,dec','ra,dec','error_message']
        assert sql(sky, q).text=='#Table1\nerror_message\n"ERROR: Maximum 2 queries allowed per minute. Rejected query: select\nra, dec from Galaxy"\n'
        now[0] += 59.9
        assert 'error_message' in sql(sky, q).text
        now[0] += .1
        assert sql(sky, q).text.startswith('#Table1\nra,dec')

def test_sql_faults():
    q = 'select ra, dec from Galaxy'
    with SkyDouble(n=30, sql_faults=[o for o in SQL_FAULTS if o!='truncated']+['truncated']) as sky:
        r = {o: sql(sky, q) for o in SQL_FAULTS if o!='truncated'}
        with pytest.raises(requests.exceptions.ChunkedEncodingError): sql(sky, q)
        assert sql(sky, q).content==sky.expected_bytes(target(_sql, cmd=q, format='csv'))
    assert {k: v.status_code for k,v in r.items()}==dict(html_200=200, error_500=500, haproxy_503=503, timeout_500=500, throttled=200)
    assert 'An error occured' in r['html_200'].text and 'Timeout Expired' in r['timeout_500'].json()['ErrorMessage'] and rows(r['throttled'])[0]==['error_message']

# ---- images

def ask(kind, ra=150.1, dec=20.2, size=96, **kw):
    p = dict(getjpeg=dict(width=size, height=size), ps1=dict(size=size, red='rings.v3.skycell.1.050.stk.i.unconv.fits', format='jpg'),
             hips=dict(width=size, height=size, fov=.02, hips='CDS/P/SDSS9/color', format='jpg')).get(kind, dict(size=size))
    return target(_img[kind], ra=ra, dec=dec, **{**p, **kw})
def fetch(sky, kind, **kw): return requests.get(sky.url+ask(kind, **kw), timeout=10)

@pytest.mark.parametrize('kind', ['getjpeg','legacy','ps1','hips'])
def test_jpeg(sky, kind):
    r = fetch(sky, kind, size=112)
    assert r.status_code==200 and r.headers['Content-Type']=='image/jpeg' and int(r.headers['Content-Length'])==len(r.content)
    assert r.content[:3]==b'\xff\xd8\xff' and r.content[-2:]==b'\xff\xd9' and pixels(r.content).shape==(112,112,3) and zeros(r.content)<.01
    assert Image.open(io.BytesIO(r.content)).info['comment'].startswith(b'ra=150.10000000 dec=20.20000000 scale=')
    assert r.content==sky.expected_bytes(ask(kind, size=112)) and r.content!=sky.expected_bytes(ask(kind, size=112, ra=150.100001))
    assert requests.get(f'{sky.url}/_expected?url={quote(ask(kind, size=112), safe="")}').content==r.content

def test_getjpeg_limits_and_errors(sky):
    P = _jpg.upper().replace('GETJPEG', 'getJpeg')
    assert [pixels(get(sky, P, ra=150, dec=2, width=w, height=80).content).shape[1] for w in (10,3000)]==[64,2048]
    assert pixels(get(sky, P, ra=150, dec=2).content).shape==(128,128,3)
    for kw,text in ((dict(dec=2),'not enough parameters'),(dict(ra='abc', dec=2),'not in correct format'),(dict(ra=1, dec=2, scale='x'),'not in correct format')):
        r = get(sky, _jpg, **kw)
        assert r.status_code==400 and text in r.json()['ErrorMessage']
    assert 'invalid' in get(sky, _jpg, ra=1, dec=2, width='x').json()['Message']

def test_outside(sky):
    r = fetch(sky, 'getjpeg', dec=-40, size=224)
    assert r.status_code==404 and r.headers['Content-Type']=='image/jpeg' and .85<zeros(r.content)<.99 and 'outside the SDSS footprint' in r.reason
    assert np.ptp(pixels(fetch(sky, 'legacy', dec=-75).content))==0 and pixels(fetch(sky, 'legacy', dec=-75).content)[0,0].tolist()==[32]*3
    assert fetch(sky, 'fits', dec=-75).status_code==500 and zeros(fetch(sky, 'hips', dec=-40).content)==1
    assert np.isnan(hdu(fetch(sky, 'hips', dec=-40, format='fits').content)[0].data).all()
    with SkyDouble(n=3, outside_status=200) as o: assert fetch(o, 'getjpeg', dec=-40, size=224).content==r.content
    d = sky.catalog(10, outside=4)
    assert len(d)==14 and all(outside(s, d.dec[10:]).all() and not outside(s, d.dec[:10]).any() for s in ('sdss','legacy','ps1'))
    assert len(set(d.objID)|set(sky.catalog().objID))==124

def test_legacy_fits(sky):
    r = fetch(sky, 'fits', layer='ls-dr10', bands='rgz', invvar=1, pixscale=.5, width=80)
    assert r.headers['Content-Type']=='image/fits' and len(r.content)%2880==0 and 'cutout_150.1000_20.2000.fits' in r.headers['Content-Disposition']
    a,b = hdu(r.content)
    assert a.data.shape==(3,96,80) and a.header['BITPIX']==-32 and b.header['IMAGETYP']=='INVVAR' and b.data.shape==a.data.shape
    want = dict(BANDS='rgz', BAND0='r', BAND2='z', SURVEY='LegacySurvey', VERSION='DR10', CRVAL1=150.1, CRPIX1=40.5, CRPIX2=48.5, CTYPE1='RA---TAN')
    assert {k: a.header[k] for k in want}==want and r.content==sky.expected_bytes(ask('fits', layer='ls-dr10', bands='rgz', invvar=1, pixscale=.5, width=80))
    assert hdu(fetch(sky, 'fits', bands='r').content)[0].data.shape==(96,96)
    assert [hdu(fetch(sky, 'fits', bands=b, layer=l).content)[0].header['BANDS'] for b,l in (('gi','ls-dr9'),('gi','ls-dr10'),('q','ls-dr10'))]==['grz','gi','griz']
    # row 0 is south in the file, north in the picture
    x,p = hdu(fetch(sky, 'fits', size=192, bands='r').content)[0].data,pixels(fetch(sky, 'legacy', size=192).content)[:,:,1]
    c = [np.corrcoef(np.arcsinh(o/.1).ravel(), p.ravel())[0,1] for o in (x[::-1],x,x[::-1,::-1])]
    assert c[0]>.6 and c[0]>max(c[1:])+.1

def test_legacy_errors(sky):
    assert (fetch(sky, 'fits', ra='x').status_code,fetch(sky, 'fits', ra='x').text)==(400,'Need ra,dec keywords')
    assert (fetch(sky, 'legacy', layer='ls-dr1').status_code,fetch(sky, 'legacy', layer='ls-dr1').text)==(200,'no such layer')
    assert fetch(sky, 'legacy', size='256.0').status_code==500
    assert pixels(fetch(sky, 'legacy', width=3500, height=64).content).shape==(64,3000,3)

def test_pan_starrs(sky):
    names = '/cgi-bin/ps1filenames.py'
    head,*got = get(sky, names, ra=150.1, dec=20.2, filters='gri', type='stack').text.splitlines()
    assert head.startswith('projcell subcell ra dec filter') and [o.split()[4] for o in got[:3]]==['g','r','i']
    assert get(sky, names, ra=150.1, dec=-31, filters='gri').text.splitlines()==[head]
    pos = sky.catalog(60)
    text = '\n'.join(f'{o.ra} {o.dec}' for o in pos.itertuples())
    many = requests.post(sky.url+names, params=dict(filters='r'), files=dict(file=('pos.txt', text))).text.splitlines()[1:]
    assert len({o.split()[2] for o in many})==60 and 60<len(many)<75  # some lie in two cells
    a = hdu(fetch(sky, 'ps1', format='fits').content)[0]
    assert a.data.shape==(96,96) and 0<np.isnan(a.data).mean()<.05 and a.header['EXPTIME']==900 and fetch(sky, 'ps1', format='fits').headers['Content-Type']=='image/fits'
    assert get(sky, '/cgi-bin/fitscut.cgi', ra=1, dec=2).status_code==400 and pixels(fetch(sky, 'ps1', output_size=64).content).shape==(64,64,3)

def test_hips(sky):
    assert hdu(fetch(sky, 'hips', format='fits', hips='CDS/P/DESI-Legacy-Surveys/DR10/g').content)[0].data.shape==(96,96)
    for kw,status in ((dict(hips='CDS/P/None/g'),404),(dict(fov='x'),400),(dict(width=10**5, height=10**5),400)):
        r = fetch(sky, 'hips', **kw)
        assert r.status_code==status and {*r.json()}=={'title','description'}

# ---- true pictures

def test_true_pictures():
    kw = dict(n=80, seed=3, pool=2)
    with SkyDouble(**kw, true_pictures=True, faults=lambda path, q, nth: 'clamped' if q.get('size')=='128' else None) as sky:
        d,twin,pool = sky.catalog(truth=True),SkyDouble(**kw, true_pictures=True),SkyDouble(**kw)
        bright = []
        for o in d.itertuples():
            r = fetch(sky, 'getjpeg', ra=f'{o.ra:.9f}', dec=f'{o.dec:.9f}', size=64)
            bright.append(pixels(r.content)[26:38,26:38].mean())
            if o.Index<5: assert r.content==twin.expected_bytes(r.url)!=pool.expected_bytes(r.url) and pixels(r.content).shape==(64,64,3) and zeros(r.content)<.01
        assert np.corrcoef(bright, d.r_mag)[0,1]<-.8
        t = dict(ra=d.ra[7], dec=d.dec[7], layer='ls-dr10', pixscale=.5)
        a,want = hdu(fetch(sky, 'fits', **t, size=80, bands='rz').content)[0].data,sim_galaxy(sim_catalog(80, 3).iloc[7], 'rz', 80, .5, seed=3)
        np.testing.assert_allclose(a[:,::-1], want, atol=1e-5)
        wide = hdu(fetch(sky, 'fits', **t, size=80, height=40, bands='rz').content)[0].data
        np.testing.assert_array_equal(wide, a[:,20:60])
        assert hdu(fetch(sky, 'fits', **t, size=128).content)[0].data.shape==(4,64,64)  # clamped
        for size in (1,3,1100): assert hdu(sky.expected_bytes(ask('fits', **t, size=size)))[0].data.shape==(4,size,size)
        for scale in (.001,99999): assert pixels(sky.expected_bytes(ask('getjpeg', ra=d.ra[7], dec=d.dec[7], scale=scale))).shape==(96,96,3)  # ends soon
        for k in _img: assert sky.expected_bytes(ask(k))==pool.expected_bytes(ask(k)) # no galaxy of the catalogue is there

def test_truth(sky):
    a,b,want = sky.catalog(50, outside=3),sky.catalog(50, outside=3, truth=True),sim_catalog(123, 3)
    pd.testing.assert_frame_equal(a, b[[*a]])
    want = pd.concat([want[:50],want[120:]], ignore_index=True).rename(columns=dict(metallicity='true_metallicity'))
    pd.testing.assert_frame_equal(b[[o for o in want if o not in a]], want.drop(columns=['ra','dec','objID','petroR90_r']))
    assert (b.objID==want.objID).all() and a.metallicity.isna().any() and np.nanmax(abs(b.metallicity-b.true_metallicity))<1e-5
    assert len(sky.catalog(truth=True))==120 and len(sky.catalog(0, truth=True))==0

# ---- faults

broken = dict(reset=requests.exceptions.ChunkedEncodingError, short_body=requests.exceptions.ChunkedEncodingError, hang=requests.ConnectionError, drip=requests.exceptions.RequestException, go_on=requests.exceptions.RequestException)
status = dict(outside_404=404, error_500_jpeg=500, error_500=500, haproxy_503=503, too_many_429=429, forbidden_403=403, moved_301=301, no_overlap_500=500)
types = dict(html_200='text/html', json_200='application/json', wrong_type='text/html', error_500='text/html', haproxy_503='text/html',
    too_many_429='text/html', forbidden_403='text/html', moved_301='text/html', no_overlap_500='text/html')
share = dict(partial_black=.2, mostly_black=.7, black=1, outside_404=.93, outside_200=.93)

@pytest.fixture(scope='module')
def faulty():
    obj = {o: (100+i,10.) for i,o in enumerate(FAULTS)}
    with SkyDouble(n=3, faults={sky_key(*v): k for k,v in obj.items()}, times=1, slow_s=.1, hang_s=.1, pool=4) as sky:
        sky.obj = obj
        yield sky

@pytest.mark.filterwarnings('ignore::astropy.utils.exceptions.AstropyUserWarning')
@pytest.mark.parametrize('name', FAULTS)
@pytest.mark.parametrize('kind', ['getjpeg','fits'])
def test_fault(faulty, name, kind):
    sky,f,(ra,dec) = faulty,FAULTS[name],faulty.obj[name]
    fmt = dict(getjpeg='jpg', fits='fits')[kind]
    sky.nth.clear()
    kw = dict(ra=ra, dec=dec, size=160)
    good = sky.expected_bytes(ask(kind, **kw))
    def go(): return requests.get(sky.url+ask(kind, **kw), allow_redirects=False, timeout=5)
    before = sky.stats.to_dict()['sent'].get(name, 0)
    if f.of not in ('any',fmt): assert go().content==good; return
    t = time.monotonic()
    if name in broken:
        with pytest.raises(broken[name]): go()
    else: check(name, fmt, go(), good)
    if name in ('slow','hang'): assert time.monotonic()-t>.09
    assert sky.stats.to_dict()['sent'][name]==before+1
    if f.transient: assert go().content==good
    else: assert go().content!=good

def check(name, fmt, r, good):
    b = r.content
    assert r.status_code==status.get(name, 200) and r.headers['Content-Type']==types.get(name, dict(jpg='image/jpeg', fits='image/fits')[fmt])
    assert int(r.headers['Content-Length'])==len(b)
    if name in ('slow','wrong_type'): assert b==good
    if name in share: assert zeros(b)==pytest.approx(share[name], abs=.06) and pixels(b).shape==(160,160,3)
    if name=='outside_404': assert 'footprint' in r.reason
    if name=='grey_tile': assert (pixels(b)==32).all()
    if name=='too_many_429': assert r.headers['Retry-After']=='1'
    if name=='moved_301': assert r.headers['Location']=='/moved/page.html'
    if name=='json_200': assert 'ErrorMessage' in r.json()
    if name=='empty_body': assert b==b''
    if name=='truncated_jpeg': assert len(b)==len(good)//2 and b[-2:]!=b'\xff\xd9' and good.startswith(b)
    if name=='truncated_fits': assert len(b)%2880 and good.startswith(b)
    if name=='garbage': assert len(b)==len(good) and b[:3]==good[:3] and b[-2:]==good[-2:]
    if name in ('garbage','truncated_jpeg'):
        with pytest.raises(Exception): pixels(b) if fmt=='jpg' else hdu(b)[0].data.sum()  # noqa: B017
    if name=='clamped': assert (pixels(b).shape if fmt=='jpg' else hdu(b)[0].data.shape[1:])[:2]==(80,80)
    if name=='wrong_bands': assert hdu(b)[0].header['BANDS']=='rz'
    if name=='zeros_part': assert (hdu(b)[0].data==0).mean()==pytest.approx(.2, abs=.02)
    if name=='nan_fits': assert np.isnan(hdu(b)[0].data).all()

def test_drawn_faults():
    def drawn(**kw):
        sky = SkyDouble(n=1, **kw)
        return {ra: sky.fault(ask_getjpeg(dict(ra=str(ra), dec='5')), '', {}, 1) for ra in range(300)}
    a = drawn(rate=.3, seed=1)
    assert a==drawn(rate=.3, seed=1)!=drawn(rate=.3, seed=2) and 60<sum(o is not None for o in a.values())<120 and len(set(a.values()))>10
    assert {FAULTS[o].of for o in a.values() if o}=={'jpg','any'} and set(drawn(kinds=['black'], rate=1).values())=={'black'}
    with pytest.raises(ValueError, match='blakc'): SkyDouble(n=1, kinds=['blakc'])

def test_named_times_and_callable_faults():
    k = '100.00000,10.00000'
    with SkyDouble(n=1, faults={k:('error_500',3), '100.1,10':('forbidden_403',1)}) as sky:
        assert [fetch(sky, 'getjpeg', ra=100, dec=10).status_code for _ in range(5)]==[500,500,500,200,200]
        assert [fetch(sky, 'getjpeg', ra=100.1, dec=10).status_code for _ in range(2)]==[403,200]
        assert sky.stats.objects[k]==[5,2]
    seen = []
    def f(path, q, nth): seen.append((path, q['width'], nth)); return 'haproxy_503' if nth==2 else None
    with SkyDouble(n=1, faults=f) as sky: assert [fetch(sky, 'getjpeg').status_code for _ in range(3)]==[200,503,200]
    assert seen==[(_jpg,'96',o) for o in (1,2,3)]

# ---- the double itself

def test_same_seed_same_sky(sky):
    a,b,c = SkyDouble(n=20, seed=5, pool=2),SkyDouble(n=20, seed=5, pool=2),SkyDouble(n=20, seed=6, pool=2)
    assert a.catalog().equals(b.catalog()) and not a.catalog().equals(c.catalog())
    for k in _img: assert a.expected_bytes(ask(k))==b.expected_bytes(ask(k))!=c.expected_bytes(ask(k))
    t = target(_sql, cmd='select * from GalSpecExtra')
    assert a.expected_bytes(t)==b.expected_bytes(t)!=c.expected_bytes(t)

def test_counters():
    now = [0.]
    def later(): now[0] += .6
    four = threading.Barrier(4, later, timeout=60) # so many are in flight at one time; the next four come .6 s later
    def together(path, q, nth):
        if 'getjpeg' in path.lower(): four.wait()
    with SkyDouble(n=5, pool=2, faults=together, clock=lambda: now[0]) as sky:
        def go(i):
            with requests.Session() as s:
                for j in range(3): s.get(sky.url+ask('getjpeg', ra=100+i, dec=j), headers={'User-Agent':f'me/{i%2}'})
        ts = [threading.Thread(target=go, args=(i,)) for i in range(4)]
        for o in ts: o.start()
        for o in ts: o.join()
        now[0] = 1.5
        sql(sky, 'select 1')
        d = requests.get(sky.url+'/_stats').json()
        assert d==json.loads(json.dumps(sky.stats.to_dict()))
        assert d['total']==13 and d['endpoints']==dict(getjpeg=12, SqlSearch=1) and d['sent']==dict(good=13)
        assert d['most_in_flight']==dict(getjpeg=4, sql=1, all=4)
        assert d['peak']==dict(getjpeg=8, sql=1, all=9) # four each at 0, .6 and 1.2 s, and SQL at 1.5 s
        assert d['agents']['me/0']==d['agents']['me/1']==6 and len(d['order'])==12 and set(d['order'])==set(d['objects']) and set(map(tuple, d['objects'].values()))=={(1,1)}
        sky.stats.times['x'].extend([0.,.5,.99,1.,1.4,3.])
        assert sky.stats.peak('x')==4 and sky.stats.peak('none')==0
        assert requests.post(sky.url+'/_reset').status_code==204 and sky.stats.total==0
        assert requests.get(sky.url+'/nowhere').status_code==404

def test_command(tmp_path):
    cmd = [sys.executable,'-m','tests.skydouble','--n','5','--faults','1.0','--kinds','error_500','--times','1','--true-pictures','--log',tmp_path/'log']
    p = subprocess.Popen(cmd, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1], env={**os.environ, 'OMP_NUM_THREADS':'1'})
    url = p.stdout.readline().strip()
    assert [requests.get(url+ask('getjpeg')).status_code for _ in range(2)]==[500,200]
    log = [o.split('\t') for o in (tmp_path/'log').read_text().splitlines()]
    assert [o[1:] for o in log]==[['getjpeg','150.10000,20.20000',o] for o in ('error_500','good')]
    twin = SkyDouble(n=5, true_pictures=True)
    t = ask('getjpeg', **twin.catalog()[['ra','dec']].iloc[2])
    assert [requests.get(url+t).content==twin.expected_bytes(t) for _ in range(2)]==[False,True] and twin.expected_bytes(t)!=SkyDouble(n=5).expected_bytes(t)
    p.send_signal(signal.SIGINT)
    out,_ = p.communicate(timeout=10)
    assert p.returncode==0 and 'sent error_500' in out
