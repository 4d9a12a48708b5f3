"""A local double of the survey services: SkyServer (SQL, `getjpeg`), the Legacy viewer, Pan-STARRS and hips2fits, with their failures

In a test:                `with SkyDouble(n=200, rate=.1) as sky: requests.get(sky.url+'/dr17/SkyServerWS/ImgCutout/getjpeg?ra=150&dec=2')`
In a process of its own:  `python -m tests.skydouble --port 8765 --n 5000 --faults 0.1 --log requests.tsv`

One base URL stands for the host of every service. All answers are functions of `seed` and the request, except for faults, of which
some last for an object's first requests only (`FAULTS` names them), and for the SQL limit of so many queries a minute. A picture is that of
some galaxy; with `true_pictures` it is that of the catalogue's galaxy, of which `catalog(truth=True)` tells all."""
import argparse,inspect,json,math,re,signal,socket,struct,sys,threading,time
from array import array
from collections import Counter,defaultdict,deque,namedtuple
from functools import lru_cache
from http.client import responses
from http.server import ThreadingHTTPServer
from socketserver import StreamRequestHandler,TCPServer
from urllib.parse import parse_qsl,unquote

import numpy as np,pandas as pd
from fastcore.basics import store_attr

if __package__: from .skypictures import *
else: from skypictures import *

# ---- counters

_families = dict(SqlSearch='sql', getjpeg='getjpeg', ps1filenames='ps1', fitscut='ps1', hips2fits='hips', **{'jpeg-cutout':'legacy', 'fits-cutout':'legacy'})

class Stats:
    "What was asked and sent; a request is in flight from its arrival until the last of its answer is about to be sent"
    def __init__(self, log=None, clock=time.monotonic):
        self.lock,self.log,self.now,self.clock = threading.Lock(),open(log, 'a', buffering=1) if log else None,Counter(),clock
        self.reset()
    def reset(self):
        with self.lock:
            self.endpoints,self.sent,self.agents,self.most_in_flight = Counter(),Counter(),Counter(),Counter()
            self.objects,self.times,self.order = {},defaultdict(lambda: array('d')),[]  # objects: key -> [requests, good answers]
    @property
    def total(self): return sum(self.endpoints.values())
    def enter(self, endpoint, key, agent):
        with self.lock:
            self.endpoints[endpoint] += 1
            self.agents[agent] += 1
            for f in (_families.get(endpoint, 'other'),'all'):
                self.times[f].append(self.clock())
                self.now[f] += 1
                self.most_in_flight[f] = max(self.most_in_flight[f], self.now[f])
            if key is None: return
            if key not in self.objects:
                self.objects[key] = [0,0]
                if len(self.order)<100_000: self.order.append(key)
            self.objects[key][0] += 1
    def leaver(self, endpoint, key):
        "A function to call with what is sent; only its first call counts"
        done = []
        def leave(sent):
            if done: return
            done.append(sent)
            with self.lock:
                self.sent[sent] += 1
                for f in (_families.get(endpoint, 'other'),'all'): self.now[f] -= 1
                if key in self.objects and sent in ('good','slow'): self.objects[key][1] += 1
                if self.log: self.log.write(f"{time.time():.6f}\t{endpoint}\t{key or '-'}\t{sent}\n")
        return leave
    def peak(self, family='all'):
        "The largest number of requests that arrived within one second"
        with self.lock: t = np.array(self.times[family]) if family in self.times else np.zeros(0)
        return int(max(np.searchsorted(t, t+1)-np.arange(len(t)), default=0))
    def to_dict(self):
        peaks = {f: self.peak(f) for f in [*self.times]}
        with self.lock:
            return dict(total=self.total, endpoints=dict(self.endpoints), sent=dict(self.sent), peak=peaks, most_in_flight=dict(self.most_in_flight),
                agents=dict(self.agents), objects={k: [*v] for k,v in self.objects.items()}, order=[*self.order])
    def table(self):
        d = self.to_dict()
        rows = [('requests',d['total']),('objects',len(d['objects']))]
        for name,c in dict(endpoints='asked', sent='sent', peak='most in one second,', most_in_flight='most in flight,', agents='agent').items():
            rows += [(f'{c} {k}',v) for k,v in d[name].items()]
        return '\n'.join(f'{k:<44} {v:>9}' for k,v in rows)

# ---- the wire

Request = namedtuple('Request', 'method target headers body')

class Handler(StreamRequestHandler):
    "HTTP/1.1 with keep-alive, and no more of it than the double needs"
    disable_nagle_algorithm = True
    def handle(self):
        self.server.sockets.add(self.connection)
        try:
            while (req := self.read()) and self.server.sky.answer(self, req) and req.headers.get('connection', '').lower()!='close': pass
        except OSError: pass  # the client has gone
        finally: self.server.sockets.discard(self.connection)
    def read(self):
        line,headers = self.rfile.readline(65537).split(),{}
        if len(line)!=3:
            if line: self.send(html_reply(400, '<html><body><h1>400 Bad request</h1>\nYour browser sent an invalid request.\n</body></html>\n'))
            return None
        while (h := self.rfile.readline(65537)).strip():
            k,_,v = h.decode('latin1').partition(':')
            headers[k.strip().lower()] = v.strip()
        if line[2]==b'HTTP/1.0': headers['connection'] = 'close'
        return Request(line[0].decode('latin1'), line[1].decode('latin1'), headers, self.rfile.read(int(headers.get('content-length', 0))))
    def send(self, r, leave=lambda: None, head_only=False):
        "Send `r`, well or badly; calls `leave` just before the last of it. True if the connection can be used again"
        length = 'Transfer-Encoding: chunked' if r.chunked else f'Content-Length: {len(r.body)}'
        head = '\r\n'.join([f'HTTP/1.1 {r.status} {r.reason or responses[r.status]}',f'Content-Type: {r.type}',length,*(f'{k}: {v}' for k,v in r.headers),'\r\n']).encode()
        if r.wire: return self.misbehave(r, head, leave)
        leave()
        body = b'%x\r\n%s\r\n0\r\n\r\n'%(len(r.body),r.body) if r.chunked else r.body
        self.connection.sendall(head if head_only else head+body)
        return True
    def misbehave(self, r, head, leave):
        sky,put,n = self.server.sky,self.connection.sendall,len(r.body)
        if r.wire=='slow':
            put(head)
            for i in range(10):
                sky.stop.wait(sky.slow_s/10)
                if i==9: leave()
                put(r.body[n*i//10:n*(i+1)//10])
            return True
        if r.wire=='hang': sky.stop.wait(sky.hang_s)
        end = time.monotonic()+sky.hang_s
        for i in range(len(head)+n-1 if r.wire=='drip' else 10**9 if r.wire=='go_on' else 0): # never the last byte
            put((head+r.body)[i:i+1] if r.wire=='drip' else b'HTTP/1.1 100 Continue\r\n\r\n')
            if sky.stop.wait(.02) or time.monotonic()>end: break
        leave()
        if r.wire=='truncated': put(head+b'%x\r\n%s'%(n,r.body[:n*6//10]))
        if r.wire=='short_body': put(head+r.body[:n*6//10])
        if r.wire=='reset':
            put(head+r.body[:n//2])
            sky.stop.wait(.02)  # let what was sent be read
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            self.rfile.close(); self.connection.close()  # no orderly shutdown
        return False

class Server(ThreadingHTTPServer):
    request_queue_size,daemon_threads = 256,True
    def __init__(self, address, sky): self.sky,self.sockets = sky,set(); super().__init__(address, Handler)
    server_bind = TCPServer.server_bind  # without a look-up of the host's name
    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError): super().handle_error(request, client_address)

@lru_cache(1024)
def route(path):
    "The endpoint at a path, None if there is none"
    p = path.lower().rstrip('/')
    m = re.fullmatch(r'/(?:dr\d+|public)/skyserverws/(?:searchtools/(sqlsearch)|imgcutout/(getjpeg))', p)
    if m: return 'SqlSearch' if m[1] else 'getjpeg'
    return {'/viewer/jpeg-cutout':'jpeg-cutout', '/viewer/cutout.jpg':'jpeg-cutout', '/viewer/fits-cutout':'fits-cutout', '/viewer/cutout.fits':'fits-cutout',
        '/cgi-bin/ps1filenames.py':'ps1filenames', '/cgi-bin/fitscut.cgi':'fitscut', '/hips-image-services/hips2fits':'hips2fits'}.get(p)

_asks = dict(getjpeg=ask_getjpeg, fitscut=ask_fitscut, hips2fits=ask_hips)
_asks |= {'jpeg-cutout':lambda q: ask_legacy(q, 'jpg'), 'fits-cutout':lambda q: ask_legacy(q, 'fits')}

class SkyDouble:
    "The services at `url`, between `start` and `close` or inside `with`"
    def __init__(self,
        n:int=300, # Galaxies in the SQL tables
        seed:int=0, # Of the catalogue, the pictures and the faults that `rate` draws
        faults=None, # {key: name or (name, times)}, key as of `sky_key`; or (path, query, nth request of that object) -> name or None
        rate:float=0., # Share of the objects that `faults` does not name and that get a fault
        kinds:list=None, # Names that `rate` draws from; None for `DRAWN`
        times:int=None, # A transient fault's number of requests; None for 1 or 2 by object
        sql_faults=(), # Names from `SQL_FAULTS`, or None, of successive SQL requests; then all is well
        outside_status:int=404, # Of `getjpeg` outside the footprint: 404, or 200 as some release does
        per_minute:int=60, # SQL queries answered within `minute`
        minute:float=60., # Seconds
        max_rows:int=500_000, # SQL's limit
        odd:float=0., # Share of galaxies with a second spectrum, and as many spectra without a galaxy
        latency:float=0., # Seconds before each answer: lets requests be in flight
        retry_after:int=1,slow_s:float=1.,hang_s:float=30., # Seconds
        pool:int=32, # Different galaxies in the pictures
        true_pictures:bool=False, # At the position of a galaxy of the SQL tables, its own picture? Each is drawn when it is asked for
        port:int=0, # 0 for a free one
        log=None, # A file to append a line to for each request: time, endpoint, object, what was sent
        clock=time.monotonic, # Seconds: of arrivals, and of the SQL limit
    ):
        store_attr('n,seed,rate,times,per_minute,minute,max_rows,latency,slow_s,hang_s,port,clock')
        self.kinds,self.sql_faults = kinds or DRAWN,deque(sql_faults)
        self.faults = faults if callable(faults) else {sky_key(*k.split(',')): v if isinstance(v, tuple) else (v,None) for k,v in (faults or {}).items()}
        named = [*self.kinds,*([] if callable(faults) else [o for o,_ in self.faults.values()])]
        bad = [o for o in named if o not in FAULTS]+[o for o in sql_faults if o and o not in SQL_FAULTS]
        if bad: raise ValueError(f'no such fault: {bad}')
        self.stats,self.stop,self.lock,self.nth,self.asked = Stats(log, clock),threading.Event(),threading.Lock(),Counter(),deque()
        self.tables = Tables(sky_galaxies(seed, n), odd, seed)
        self.pictures = Pictures(seed, n, pool, true_pictures, outside_status, retry_after)
    def start(self):
        self.server = Server(('127.0.0.1',self.port), self)
        self.url = f'http://127.0.0.1:{self.server.server_address[1]}'
        threading.Thread(target=self.server.serve_forever, args=(.05,), daemon=True).start()
        return self
    def close(self):
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()
        for o in self.server.sockets.copy():
            try: o.shutdown(socket.SHUT_RDWR)
            except OSError: pass  # closed already
    def __enter__(self): return self.start()
    def __exit__(self, *_): self.close()

    def catalog(self,
        n:int=None, # Rows; None for all that SQL knows
        outside:int=0, # This many more that no survey has seen and SQL does not know
        truth:bool=False, # Also `true_metallicity`, and the columns of `sim_catalog` not named below?
    )->pd.DataFrame: # objID (str), ra, dec (degrees), petroR90_r (arcsec), metallicity (oh_p50; NaN where SQL says -9999)
        "The galaxies of this sky, in the order of the tables"
        n = self.n if n is None else n
        if n>self.n: raise ValueError(f'{n} galaxies wanted of {self.n}')
        photo,oh = self.tables.PhotoObj[:n],self.tables.GalSpecExtra.oh_p50[:n]
        d = photo[['objID','ra','dec','petroR90_r']].assign(metallicity=oh.where(oh>-9000))
        if outside or truth: o = sky_galaxies(self.seed, self.n+outside)
        if outside: d = pd.concat([d,o[self.n:].assign(dec=-72-o.dec/4)[[*d]]], ignore_index=True)
        d = d.assign(objID=d.objID.astype(str))
        if not truth: return d
        o = o.assign(true_metallicity=o.metallicity).drop(columns=[*d])
        return d.join(pd.concat([o[:n],o[self.n:]], ignore_index=True))

    def _drawn(self, ask):
        some = [o for o in self.kinds if FAULTS[o].of in ('any',ask.fmt)]
        if not some or hash64(self.seed, ask.key, 'rate')>=self.rate*2**64: return None,None
        return some[hash64(self.seed, ask.key, 'kind')%len(some)],None
    def fault(self, ask, path, query, nth):
        "The name of what goes wrong with the `nth` request of an object, or None"
        if callable(self.faults): name,times = self.faults(path, query, nth),math.inf
        else: name,times = self.faults.get(ask.key) or self._drawn(ask)
        if name is None or FAULTS[name].of not in ('any',ask.fmt): return None
        if times is None: times = (self.times or 1+hash64(self.seed, ask.key, 'times')%2) if FAULTS[name].transient else math.inf
        return name if nth<=times else None

    def _plain(self, endpoint, method, target, body=b''):
        "The query, the request for an image if it is one, and else the answer, or what makes it"
        if len(target)>8192:
            return {},None,html_reply(400, 'The length of the query string for this request exceeds the configured maxQueryStringLength value.')
        q = dict(parse_qsl(target.partition('?')[2], keep_blank_values=True))
        if endpoint is None: return q,None,html_reply(200, '<html><body>This page has moved.</body></html>') if target.startswith('/moved/') else html_reply(404, '<h1>404 Not Found</h1>')
        if endpoint=='SqlSearch':
            if method=='POST' and not q: return q,None,sky_error(400, 'Query parameters in request URI are missing.')
            return q,None,lambda: self.tables.search(q, self.max_rows)
        if endpoint=='ps1filenames': return q,None,lambda: ps1_filenames(q, method, body)
        if method not in ('GET','HEAD'): return q,None,json_reply(405, Message=f"The requested resource does not support http method '{method}'.")
        a = _asks[endpoint](q)
        return (q,a,None) if isinstance(a, Ask) else (q,None,a)

    def expected_bytes(self,
        target:str, # Path and query, as sent, or the whole URL
    )->bytes: # The body
        "What is sent to a GET when nothing goes wrong; a function of `seed`, `n` and the like, not of what was asked before"
        target = re.sub('^https?://[^/]+', '', target)
        _,ask,reply = self._plain(route(target.partition('?')[0]), 'GET', target)
        if callable(reply): reply = reply()
        return (reply or self.pictures.good(ask)).body

    def _sql(self, q, make):
        "Faults and the limit of queries a minute; one that was refused does not count"
        with self.lock:
            now,name = self.clock(),self.sql_faults.popleft() if self.sql_faults else None
            while self.asked and self.asked[0]<=now-self.minute: self.asked.popleft()
            full = len(self.asked)>=self.per_minute
            if not full: self.asked.append(now)
        if name=='truncated': return make()._replace(wire=name, sent=name)
        if name=='throttled' or full:
            s = re.sub(r'^(\S+) ', r'\1\n', what_server_does(q.get('cmd', ''), self.max_rows)[0])
            text = f'ERROR: Maximum {self.per_minute} queries allowed per minute. Rejected query: {s}'
            return table_reply(['error_message'], [(text,)], q.get('format', 'json').lower(), s)._replace(sent='throttled')
        return PLAIN[name]._replace(sent=name) if name else make()

    def answer(self, h, req):
        "Answer one request; true if the connection can be used again"
        path,_,query = req.target.partition('?')
        if path.startswith('/_'): return h.send(self._control(req.method, path, query))
        endpoint = route(path)
        q,ask,reply = self._plain(endpoint, req.method, req.target, req.body)
        key,name = ask and ask.key,endpoint or 'other'
        self.stats.enter(name, key, req.headers.get('user-agent', ''))
        leave = self.stats.leaver(name, key)
        try:
            if self.latency: self.stop.wait(self.latency)
            if ask:
                with self.lock: self.nth[key] += 1; nth = self.nth[key]
                bad = self.fault(ask, path, q, nth)
                reply = self.pictures.spoilt(bad, ask) if bad else self.pictures.good(ask)
            elif 'cmd' in q and name=='SqlSearch': reply = self._sql(q, reply)
            elif callable(reply): reply = reply()
            return h.send(reply, lambda: leave(reply.sent), req.method=='HEAD')
        finally: leave('broken off')
    def _control(self, method, path, query):
        if path=='/_stats': return Reply(type='application/json', body=json.dumps(self.stats.to_dict()).encode())
        if path=='/_reset' and method=='POST': self.stats.reset(); return Reply(204)
        if path=='/_expected': return Reply(type='application/octet-stream', body=self.expected_bytes(unquote(query.partition('url=')[2])))
        return html_reply(404, 'no such page')

_help = dict(n='galaxies in the SQL tables', seed='of the catalogue, the pictures and the faults', port='0 for a free one', rate='share of the objects that get a fault',
    times='requests that a transient fault lasts; 0 for 1 or 2 by object', outside_status='of getjpeg outside the footprint', per_minute='SQL queries answered within `minute`',
    minute='seconds', max_rows='that SQL gives at most', odd='share of galaxies with a second spectrum', latency='seconds before each answer', retry_after='seconds',
    slow_s='seconds that a slow body takes', hang_s='seconds without an answer', pool='different galaxies in the pictures')
def main():
    p = argparse.ArgumentParser(prog='python -m tests.skydouble', description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for k,what in _help.items():
        v = inspect.signature(SkyDouble).parameters[k].default
        p.add_argument(*(['--faults'] if k=='rate' else []), '--'+k.replace('_', '-'), dest=k, type=int if v is None else type(v), default=v or 0, help=what)
    p.add_argument('--kinds', type=lambda s: s.split(','), help='comma-separated faults to draw from; all are '+' '.join(FAULTS))
    p.add_argument('--sql-faults', type=lambda s: s.split(','), default=(), help='comma-separated faults of the first SQL requests: '+' '.join(SQL_FAULTS))
    p.add_argument('--true-pictures', action='store_true', help='at the position of a galaxy of the SQL tables, its own picture')
    p.add_argument('--log', help='file to append a line to for each request: time, endpoint, object, what was sent')
    for s in signal.SIGINT,signal.SIGTERM: signal.signal(s, signal.default_int_handler)
    with SkyDouble(**vars(p.parse_args())) as sky:
        print(sky.url, flush=True)
        try: threading.Event().wait()
        except KeyboardInterrupt: print(sky.stats.table(), flush=True)

if __name__=='__main__': main()
