"""What the double answers to a request for an image, good and spoilt"""
import hashlib,io,math,re,struct,textwrap
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from astropy.io import fits
from fastcore.basics import store_attr
from PIL import Image,ImageDraw,ImageOps

from galfast.sim.galaxies import sim_catalog,sim_galaxy,sim_rgb

if __package__: from .skysql import *
else: from skysql import *

# ---- what may go wrong

class Fault(NamedTuple):
    transient: bool  # Only the first requests of an object?
    what: str  # What is sent
    of: str = 'any'  # 'jpg' or 'fits' if only such requests can have it

FAULTS = dict(
    outside_404=Fault(False, 'black JPEG that says "outside the SDSS footprint", status 404', 'jpg'),
    outside_200=Fault(False, 'the same with status 200', 'jpg'),
    partial_black=Fault(False, 'about 20 % of the pixels exactly 0', 'jpg'),
    mostly_black=Fault(False, 'about 70 % of the pixels exactly 0', 'jpg'),
    black=Fault(False, 'all pixels 0', 'jpg'),
    grey_tile=Fault(False, 'all pixels (32, 32, 32)', 'jpg'),
    truncated_jpeg=Fault(True, 'the first half of the file, Content-Length to match', 'jpg'),
    error_500_jpeg=Fault(True, 'status 500, a JPEG with a text', 'jpg'),
    html_200=Fault(True, 'a page of HTML that tells of an error, status 200'),
    json_200=Fault(True, 'an error as JSON, status 200'),
    empty_body=Fault(True, 'the right type, no bytes, status 200'),
    wrong_type=Fault(True, 'the right bytes, called text/html'),
    error_500=Fault(True, 'status 500, HTML'),
    haproxy_503=Fault(True, 'status 503, the page of a balancer'),
    too_many_429=Fault(True, 'status 429 with Retry-After'),
    reset=Fault(True, 'connection reset after half of the body'),
    short_body=Fault(True, 'connection closed after 60 % of the bytes that Content-Length promises'),
    slow=Fault(True, 'the right body, a piece at a time over `slow_s` seconds'),
    hang=Fault(True, 'no answer, and the connection closed after `hang_s` seconds'),
    drip=Fault(True, 'the right answer a byte at a time, and the connection closed after `hang_s` seconds'),
    go_on=Fault(True, '`100 Continue` again and again, and the connection closed after `hang_s` seconds'),
    postscript=Fault(False, 'a program of PostScript, called an image'),
    garbage=Fault(True, 'right length, first and last bytes, noise between'),
    clamped=Fault(False, 'half the size that was asked for, or twice'),
    forbidden_403=Fault(False, 'status 403, HTML'),
    moved_301=Fault(False, 'status 301 to another path, which has a page of HTML'),
    truncated_fits=Fault(True, 'a file cut off between blocks of 2880 bytes', 'fits'),
    wrong_bands=Fault(False, 'other bands than asked for', 'fits'),
    zeros_part=Fault(False, 'about 20 % of the pixels exactly 0', 'fits'),
    no_overlap_500=Fault(False, 'status 500, HTML', 'fits'),
    nan_fits=Fault(False, 'all pixels NaN', 'fits'))
DRAWN = [o for o in FAULTS if o not in ('hang','drip','go_on','postscript','forbidden_403','moved_301')]  # what `rate` draws from: nothing that should stop a run

# ---- where things are

SOUTH = dict(sdss=-25., legacy=-70., ps1=-30.)  # degrees: each survey sees what lies north of this

def outside(survey, dec): return dec<SOUTH[survey]
def sky_key(ra, dec): return f'{float(ra)%360:.5f},{round(float(dec), 5)+0:.5f}'  # no -0
def hash64(*o): return int.from_bytes(hashlib.blake2b('/'.join(map(str, o)).encode(), digest_size=8).digest(), 'big')

# ---- pictures

@lru_cache(8)
def sky_galaxies(seed, n): return sim_catalog(n, seed).round({'ra':9, 'dec':9})
@lru_cache(8)
def _places(seed, n): return {sky_key(*o): i for i,o in enumerate(zip(*(sky_galaxies(seed, n)[c] for c in ('ra','dec'))))}

def _galaxy(seed, n, i, size=192, scale=.396, **kw):
    "Flux (griz, size, size) in nanomaggies and picture of galaxy `i` of `n`; a picture's sky is a few counts above 0, as SDSS's is"
    f = sim_galaxy(sky_galaxies(seed, n).iloc[i].to_dict(), 'griz', size, scale, seed=seed, **kw)
    return f,Image.fromarray(np.maximum(sim_rgb(f, 'griz', scale), 6))
_pooled = lru_cache(256)(_galaxy)

@lru_cache(64)
def _true(seed, n, i, w, h, scale):
    "The same as a request sees it; above 1024 pixels it is enlarged, from 300 arcsec on it has no neighbours: drawing should end"
    side = max(w, h)
    size = min(max(side, 8), 1024)
    s = min(60, max(.02, scale*side/size))
    f,im = _galaxy(seed, n, i, size, s, neighbours=size*s<300)
    w,h = (max(round(o*size/side), 1) for o in (w,h))
    x,y = (size-w)//2,(size-h)//2
    return f[:,y:y+h,x:x+w],im.crop((x, y, x+w, y+h))

def _encode(im, **kw):
    out = io.BytesIO()
    im.save(out, 'JPEG', **{'quality':85, **kw})
    return out.getvalue()

@lru_cache(4096)
def _jpeg(w, h, black, draw, *galaxy):
    "Bytes of a JPEG of `draw(*galaxy)`; the part `black` of its rows is 0 in every decoder: whole blocks, and colour as fine as brightness"
    im = ImageOps.fit(draw(*galaxy)[1], (w,h))
    if black: im.paste((0,0,0), (0,0,w,round(black*h/8)*8 if black<1 else h))
    return _encode(im, subsampling=0) if black else _encode(im)

@lru_cache(64)
def _tile(w, h, colour, text=''):
    im = Image.new('RGB', (w,h), colour)
    if text: ImageDraw.Draw(im).multiline_text((4,h//3), textwrap.fill(text, max(w//6, 10)), 'white')
    return _encode(im)

def _noise(n, *key): return np.random.default_rng(hash64(*key)).integers(0, 255, n, np.uint8).tobytes()  # no 255: no marker of JPEG

class Ask(NamedTuple):
    "A request for an image; `scale` is arcsec a pixel"
    endpoint:str; survey:str; fmt:str; ra:float; dec:float; w:int; h:int; scale:float; bands:str='griz'; layer:str=''; invvar:bool=False
    @property
    def key(self): return sky_key(self.ra, self.dec)
    @property
    def text(self): return f'ra={self.ra:.8f} dec={self.dec:.8f} scale={self.scale:g} size={self.w}x{self.h}'

def _header(ask, hdu='IMAGE'):
    h,ps = fits.Header(),ask.scale/3600
    if ask.endpoint=='fits-cutout':
        h.update(SURVEY='LegacySurvey', VERSION=ask.layer[3:].upper(), IMAGETYP=hdu, BANDS=ask.bands, **{f'BAND{i}': b for i,b in enumerate(ask.bands)})
    elif ask.endpoint=='fitscut': h['EXPTIME'],h['HIERARCH FPA.FILTER'] = 900.,f'{ask.bands}.00000'
    h.update(CTYPE1='RA---TAN', CTYPE2='DEC--TAN', CRVAL1=ask.ra, CRVAL2=ask.dec, CRPIX1=(ask.w+1)/2, CRPIX2=(ask.h+1)/2,
             CD1_1=-ps, CD1_2=0., CD2_1=0., CD2_2=ps, IMAGEW=ask.w, IMAGEH=ask.h)
    h['COMMENT'] = ask.text
    return h

def _fits(flux, ask, zero=0., nan=False):
    "Bytes of a FITS file whose row 0 is south; `zero` is the share of rows without data"
    x = flux[['griz'.index(b.replace('y', 'z')) for b in ask.bands]]
    x = x[:,::-1][:,np.arange(ask.h)*x.shape[1]//ask.h][:,:,np.arange(ask.w)*x.shape[2]//ask.w]  # nearest pixels
    if ask.endpoint=='fitscut':
        x = x*10**(.4*(25+2.5*math.log10(900)-22.5))  # counts
        x[:,:1+ask.h//50] = np.nan  # masked
    if zero: x[:,:round(zero*ask.h)] = 0
    if nan: x[:] = np.nan
    x = x.astype('>f4', order='C')  # astropy writes other orders a number at a time
    if len(x)==1: x = x[0]
    hdus,out = [fits.PrimaryHDU(x, _header(ask))],io.BytesIO()
    if ask.invvar: hdus.append(fits.ImageHDU(np.where(x==0, 0, 900).astype('>f4'), _header(ask, 'INVVAR')))
    fits.HDUList(hdus).writeto(out)
    return out.getvalue()

# ---- requests for images: each function makes an `Ask` of a query, or the `Reply` to a bad one

_ranges = 'ra must be in [0,360], dec must be in [-90,90], scale must be in [0.015, 60.0]'
def ask_getjpeg(q):
    if 'ra' not in q or 'dec' not in q:
        return sky_error(400, f'There are not enough parameters to process your request. Enter position (ra,dec) values properly.{_ranges}. ')
    try: w,h = (min(max(int(q.get(k, 128)), 64), 2048) for k in ('width','height'))
    except ValueError: return json_reply(400, Message='The request is invalid.')
    try:
        ra,dec,scale = (float(o) for o in (q['ra'],q['dec'],q.get('scale', .396127)))
        if not math.isfinite(ra+dec+scale): raise ValueError('not finite')
    except ValueError as e:
        return sky_error(400, f'The input values are not in correct format. {_ranges}, height and width must be in [64,2048]. \n Detail Error Message: {e}')
    if abs(dec)>90: dec = math.copysign(180, dec)-dec
    return Ask('getjpeg', 'sdss', 'jpg', ra%360, dec, w, h, min(max(scale, .015), 2400))

LAYERS = {'ls-dr9':'grz', 'ls-dr10':'griz'}  # and their bands
def ask_legacy(q, fmt):
    try: ra,dec = float(q['ra']),float(q['dec'])
    except (KeyError,ValueError): return html_reply(400, 'Need ra,dec keywords')
    layer = q.get('layer', 'ls-dr9')
    if layer not in LAYERS: return html_reply(200, 'no such layer')
    try:
        size,ps = int(q.get('size', 256)),float(q.get('pixscale', .262))
        w,h = (min(int(q.get(k, size)), 3000) for k in ('width','height'))
        if min(w, h)<1 or not ps>0: raise ValueError('nothing to show')
    except ValueError: return PLAIN['error_500']
    b = q.get('bands', '')
    if not b or not set(b)<=set(LAYERS[layer]): b = LAYERS[layer]
    return Ask('fits-cutout' if fmt=='fits' else 'jpeg-cutout', 'legacy', fmt, ra%360, dec, w, h, ps, b, layer, 'invvar' in q)

def ask_fitscut(q):
    try: ra,dec,size,f = float(q['ra']),float(q['dec']),int(q.get('size', 240)),q['red']
    except (KeyError,ValueError) as e: return html_reply(400, f'fitscut: bad or missing parameter {e}')
    fmt = 'fits' if q.get('format')=='fits' else 'jpg'
    out = int(q.get('output_size', size)) if fmt=='jpg' else size
    return Ask('fitscut', 'ps1', fmt, ra%360, dec, out, out, .25*size/out, (re.findall(r'\.([grizy])\.unconv', f) or ['r'])[0])

HIPS = {'CDS/P/SDSS9/':'sdss', 'CDS/P/DESI-Legacy-Surveys/DR10/':'legacy', 'CDS/P/PanSTARRS/DR1/':'ps1'}
def ask_hips(q):
    base,_,band = q.get('hips', '').rpartition('/')
    survey = HIPS.get(base+'/')
    try: ra,dec,fov,w,h = (f(q[k]) for k,f in dict(ra=float, dec=float, fov=float, width=int, height=int).items())
    except (KeyError,ValueError) as e: return json_reply(400, title='Bad Request', description=f'Parameter missing or not a number: {e}')
    if survey is None: return json_reply(404, title='Not Found', description=f"HiPS {q.get('hips')} not found")
    if w*h>50_000_000 or min(w, h)<1: return json_reply(400, title='Bad Request', description='Too many pixels')
    return Ask('hips2fits', survey, 'fits' if q.get('format', 'fits')=='fits' else 'jpg', ra%360, dec, w, h, fov*3600/max(w, h), band if band in 'griz' else 'r')

def ps1_filenames(q, method='GET', body=b''):
    "A row for each position and filter; near the edge of a sky cell, as one object in ten is, two of them"
    pos = [(q.get('ra'),q.get('dec'))]
    if method=='POST':
        m = re.search(rb'name="file".*?\r\n\r\n(.*?)\r\n--', body, re.S)
        pos = [o.split()[:2] for o in m[1].decode().splitlines() if o.strip()] if m else []
    rows = ['projcell subcell ra dec filter mjd type filename shortname badflag']
    try:
        for ra,dec in pos:
            k = hash64(sky_key(ra, dec))
            for cell in [] if outside('ps1', float(dec)) else [50,51] if k%10==0 else [50]:
                for b in q.get('filters', 'grizy'):
                    p,s = 1000+k%1600,f'{cell:03d}'
                    name = f'rings.v3.skycell.{p}.{s}.stk.{b}.unconv.fits'
                    rows.append(f'{p} {s} {ra} {dec} {b} 0.0 stack /rings.v3.skycell/{p}/{s}/{name} {name} 0')
    except (TypeError,ValueError): return html_reply(400, 'ra and dec must be numbers')
    return Reply(type='text/plain', body=('\n'.join(rows)+'\n').encode())

# ---- answers

class Pictures:
    "Of one of `pool` galaxies at any position; if `true`, where one of the catalogue's `n` galaxies is, of that galaxy"
    def __init__(self, seed, n, pool, true, outside_status, retry_after): store_attr()
    def _which(self, ask):
        "A function that draws, and its arguments"
        i = _places(self.seed, self.n).get(ask.key) if self.true else None
        if i is None: return _pooled,self.seed,self.pool,hash64(self.seed, ask.key)%self.pool
        return _true,self.seed,self.n,i,ask.w,ask.h,ask.scale
    def _jpg(self, ask, black=0.):
        b,c = _jpeg(ask.w, ask.h, black, *self._which(ask)),ask.text.encode()
        return b'\xff\xd8\xff\xfe'+struct.pack('>H', len(c)+2)+c+b[2:]
    def _fits(self, ask, **kw):
        draw,*galaxy = self._which(ask)
        return _fits(draw(*galaxy)[0], ask, **kw)

    def good(self, ask):
        "The answer to a request for an image when nothing is wrong"
        tile = lambda *o, **kw: Reply(type='image/jpeg', body=_tile(ask.w, ask.h, *o), sent='outside', **kw)
        off = outside(ask.survey, ask.dec)
        if ask.fmt=='fits':
            if off and ask.endpoint=='fits-cutout': return PLAIN['no_overlap_500']._replace(sent='outside')
            extra = (('Content-Disposition',f'attachment; filename="cutout_{ask.ra:.4f}_{ask.dec:.4f}.fits"'),) if ask.endpoint=='fits-cutout' else ()
            return Reply(type='image/fits', body=self._fits(ask, nan=off), headers=extra, sent='outside' if off else 'good')
        if not off: return Reply(type='image/jpeg', body=self._jpg(ask))
        if ask.endpoint=='jpeg-cutout': return tile((32,32,32))
        if ask.endpoint!='getjpeg': return tile('black')
        return tile('black', OUTSIDE)._replace(status=self.outside_status, reason=OUTSIDE if self.outside_status==404 else None)

    def spoilt(self, name, ask):
        "What the fault `name` makes of the answer to `ask`"
        r = self.good(ask)
        b,fmt = r.body,dict(jpg=self._jpg, fits=self._fits)[ask.fmt]
        def tile(*o, **kw): return Reply(type='image/jpeg', body=_tile(ask.w, ask.h, *o), **kw)
        def body(b): return r._replace(body=b)
        half = lambda x: x//2 if x>=128 else 2*x
        make = dict(
            outside_404=lambda: tile('black', OUTSIDE, status=404, reason=OUTSIDE), outside_200=lambda: tile('black', OUTSIDE),
            partial_black=lambda: body(fmt(ask, black=.2)), mostly_black=lambda: body(fmt(ask, black=.7)), black=lambda: tile('black'),
            grey_tile=lambda: tile((32,32,32)), truncated_jpeg=lambda: body(b[:len(b)//2]), truncated_fits=lambda: body(b[:len(b)//2//2880*2880+1000]),
            error_500_jpeg=lambda: tile('black', 'Tile could not be read.', status=500, reason='INTERNAL SERVER ERROR. Tile could not be read.'),
            postscript=lambda: body(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n'), empty_body=lambda: body(b''), wrong_type=lambda: r._replace(type='text/html'),
            garbage=lambda: body(b[:80]+_noise(max(len(b)-82, 0), ask.key)+b[-2:]), clamped=lambda: body(fmt(ask._replace(w=half(ask.w), h=half(ask.h)))),
            wrong_bands=lambda: body(fmt(ask._replace(bands=ask.bands[1:] or ('r' if ask.bands!='r' else 'g')))),
            zeros_part=lambda: body(fmt(ask, zero=.2)), nan_fits=lambda: body(fmt(ask, nan=True)),
            too_many_429=lambda: PLAIN[name]._replace(headers=(('Retry-After',self.retry_after),)),
            moved_301=lambda: html_reply(301, '<h1>Moved Permanently</h1>', headers=(('Location','/moved/page.html'),)))
        out = make[name]() if name in make else PLAIN[name] if name in PLAIN else r._replace(wire=name)
        return out._replace(sent=name)
