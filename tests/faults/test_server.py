"A server that means harm, or has bad luck: every request ends, in time, with a sentence or with what was asked for"
import gzip,os,random,shutil,socket,ssl,struct,subprocess,threading,time

import pytest

from galfast.base.core import GalfastError
from galfast.surveys.net import HTTPService,NetError,in_parallel

soak = int(os.environ.get('GALFAST_SOAK', 0))

class Wire:
    "A server whose connections are handled by `play(send, request)`: raw bytes; it closes the connection afterwards"
    def __init__(self, play): self.play,self.asked,self.stop = play,[],threading.Event()
    def __enter__(self):
        self.srv = socket.create_server(('127.0.0.1', 0), backlog=128)
        self.url = f'http://127.0.0.1:{self.srv.getsockname()[1]}'
        threading.Thread(target=self.accept, daemon=True).start()
        return self
    def __exit__(self, *_): self.stop.set(); self.srv.close()
    def accept(self):
        while not self.stop.is_set():
            try: c,_ = self.srv.accept()
            except OSError: return
            threading.Thread(target=self.handle, args=(c,), daemon=True).start()
    def handle(self, c):
        req = b''
        with c:
            try:
                while b'\r\n\r\n' not in req:
                    if not (o := c.recv(65536)): return
                    req += o
                self.asked.append(req.split()[1].decode())
                self.play(c, req)
            except OSError: pass
    def forever(self, c, o, every=.01):
        while not self.stop.is_set():
            c.sendall(o)
            if every: time.sleep(every)

def client(url, **kw): return HTTPService(url, **{**dict(rate=0, in_flight=8, first_wait=.01, timeout=(.15,.15), most_bytes=1_000_000), **kw})

ok,chunked = b'HTTP/1.1 200 OK\r\n',b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
# what is sent at first, what for ever after it, and how many seconds lie between
endless = dict(nothing=(b'', b'', .05), first_line=(b'', b'H', .05), headers=(ok, b'x', .05), header_lines=(ok, b'A: b\r\n', .05), header_lines_at_once=(ok, b'A: b\r\n'*50, 0), one_long_header=(ok+b'A: ', b'b'*1000, 0),
    go_on=(b'', b'HTTP/1.1 100 Continue\r\n\r\n', .05), go_on_at_once=(b'', b'HTTP/1.1 100 Continue\r\n\r\n'*100, 0), body=(ok+b'Content-Length: 999999\r\n\r\n', b'x', .05), body_without_end=(ok+b'\r\n', b'x', .05),
    body_at_once=(ok+b'\r\n', b'x'*10_000, 0), chunks=(chunked, b'1\r\nx\r\n', .05), chunks_at_once=(chunked, b'1\r\nx\r\n'*500, 0), chunk_size=(chunked, b'0', .05), chunk_extension=(chunked+b'1;', b'x', .05),
    trailers=(chunked+b'0\r\n', b'A: b\r\n', .05), redirect=(b'HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 999999\r\n\r\n', b'x', .05), error=(b'HTTP/1.1 503 Busy\r\nContent-Length: 999999\r\n\r\n', b'x', .05))

@pytest.mark.parametrize('what', endless)
def test_nothing_waits_for_ever(what):
    start,again,every = endless[what]
    def play(c, req): c.sendall(start); w.forever(c, again, every)
    with Wire(play) as w:
        s,t0 = client(w.url),time.monotonic()
        with pytest.raises(NetError) as e: s.get('/x')
        assert time.monotonic()-t0<3*.15+2 and len(str(e.value))<400 # all tries together; 2 s for a machine at work

def test_the_handshake_of_tls():
    with Wire(None) as w:
        def handle(c):
            try: w.forever(c, b'\x16', .05)
            except OSError: pass
        w.handle,t0 = handle,time.monotonic()
        with pytest.raises(NetError): client(w.url.replace('http', 'https')).get('/x')
        assert time.monotonic()-t0<5*.15+2

@pytest.fixture(scope='module')
def tls(tmp_path_factory):
    "A certificate for localhost, and the context of a server that has it"
    if not shutil.which('openssl'): pytest.skip('needs openssl to make a certificate')
    d = tmp_path_factory.mktemp('tls')
    subprocess.run(['openssl','req','-x509','-newkey','rsa:2048','-nodes','-keyout',d/'k.pem','-out',d/'c.pem','-days','2','-subj','/CN=localhost','-addext','subjectAltName=DNS:localhost'], check=True, capture_output=True)
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(d/'c.pem', d/'k.pem')
    return d/'c.pem',c

def over_tls(w, tls):
    "A client of `w`, which speaks TLS from now on"
    plain,(cert,context) = w.handle,tls
    def handle(c):
        try: plain(context.wrap_socket(c, server_side=True))
        except OSError: pass
    w.handle = handle
    s = client(w.url.replace('http://127.0.0.1', 'https://localhost'), timeout=(.5,.5))
    s.session.verify = str(cert)
    return s

@pytest.mark.parametrize('what', ['headers','go_on','body','chunks_at_once'])
def test_nothing_waits_for_ever_over_tls(what, tls):
    start,again,every = endless[what]
    def play(c, req): c.sendall(start); w.forever(c, again, every)
    with Wire(play) as w:
        s,t0 = over_tls(w, tls),time.monotonic()
        with pytest.raises(NetError): s.get('/x')
        assert time.monotonic()-t0<3*.5+3

def test_a_redirect_to_plain_http_is_not_followed(tls):
    with Wire(lambda c, req: c.sendall(reply(b'plain'))) as plain, Wire(lambda c, req: c.sendall(reply(b'', b'301 Moved', b'Location: '+plain.url.encode().replace(b'127.0.0.1', b'localhost')+b'/x'))) as w:
        s = over_tls(w, tls)
        with pytest.raises(NetError, match='from https to http'): s.get('/x')
        assert not plain.asked and len(w.asked)==1
    with Wire(lambda c, req: c.sendall(reply())) as w: assert over_tls(w, tls).get('/x')[1].body==b'fine'

def reply(body=b'fine', status=b'200 OK', *heads): return b'\r\n'.join([b'HTTP/1.1 '+status, b'Content-Length: %d'%len(body), b'Connection: close', *heads, b'', body]) # `Wire` closes after each
odd = dict(empty=b'', garbage=bytes(range(256))*4, http_09=b'fine', no_number=b'HTTP/1.1 abc OK\r\n\r\n', a_large_number=b'HTTP/1.1 99999 OK\r\n\r\n', other_protocol=b'ICY 200 OK\r\n\r\n', half_a_line=b'HTTP/1.1 20', half_the_headers=b'HTTP/1.1 200 OK\r\nContent-Le',
    cut=ok+b'Content-Length: 99\r\n\r\nfine', negative=ok+b'Content-Length: -5\r\n\r\nfine', no_length=ok+b'Content-Length: many\r\n\r\nfine', two_lengths=ok+b'Content-Length: 4\r\nContent-Length: 9\r\n\r\nfine', petabyte=ok+b'Content-Length: 1000000000000000\r\n\r\nfine',
    bad_chunk=chunked+b'zz\r\nfine\r\n', minus_chunk=chunked+b'-4\r\nfine\r\n', large_chunk=chunked+b'ffffffffffffffff\r\nfine\r\n', cut_chunk=chunked+b'4\r\nfi', gzip_that_is_none=reply(b'fine', b'200 OK', b'Content-Encoding: gzip'),
    gzip_cut=reply(gzip.compress(os.urandom(9999))[:5000], b'200 OK', b'Content-Encoding: gzip'), bomb=reply(gzip.compress(bytes(200_000_000), 1), b'200 OK', b'Content-Encoding: gzip'), many_headers=ok+b'A: b\r\n'*500+b'\r\n',
    a_long_line=ok+b'A: '+b'b'*100_000+b'\r\n\r\n', nul=ok+b'A\0: b\r\nContent-Length: 4\r\n\r\nfine', waits_a_year=reply(b'', b'503 Busy', b'Retry-After: 31536000'), waits_nonsense=reply(b'', b'503 Busy', b'Retry-After: \xff9e999'))
odd |= {f'to {to[:20]}': reply(b'', b'302 Found', b'Location: '+to) for to in (b'', b'/', b'http://[', b'http://127.0.0.1:99999999/x', b'file:///etc/passwd', b'gopher://a', b'//', b'javascript:1', b'\xff\xfe', b'/x'*5000, b'http://127.0.0.1:port/x')}

# how often each is asked for: once; what may have been broken on its way five times; where it redirects to itself, three times more
asks = dict.fromkeys(odd, 1)|dict.fromkeys(["to b''", "to b'//'"], 1+3)
broken = '''empty garbage http_09 no_number a_large_number other_protocol half_a_line many_headers a_long_line
    cut bad_chunk large_chunk cut_chunk gzip_that_is_none waits_nonsense'''
asks |= dict.fromkeys(broken.split(), 5)

@pytest.mark.parametrize('what', odd)
def test_odd_replies(what):
    with Wire(lambda c, req: c.sendall(odd[what])) as w:
        s = client(w.url, timeout=(60,60))
        try: _,r,tries = s.get('/x')
        except NetError as e:
            assert str(e) and '\n' not in str(e) and not e.timed_out
            tries = e.tries
        else: assert len(r.body)<=1_000_000
        assert w.asked==['/x']*asks[what] and tries==(1 if what[:3]=='to ' else asks[what])

def test_resets():
    def play(c, req):
        c.sendall(reply(b'x'*9999)[:500]); time.sleep(.02)
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    with Wire(play) as w:
        with pytest.raises(NetError, match='cut'): client(w.url, timeout=(60,60)).get('/x')
        assert len(w.asked)==5

def test_a_redirect_that_goes_round():
    def play(c, req): c.sendall(reply(b'', b'301 Moved', b'Location: '+w.url.encode()+b'/x'))
    with Wire(play) as w:
        with pytest.raises(NetError, match='has moved'): client(w.url, timeout=(60,60)).get('/x')
        assert len(w.asked)==1+3

def test_slow_ones_do_not_keep_the_others():
    "Of eight under way three never end; the others are asked meanwhile"
    def play(c, req):
        if b'/slow' in req: w.forever(c, b'H', .05)
        else: c.sendall(reply())
    with Wire(play) as w:
        s,done = client(w.url, timeout=(1,1)),[]
        def f(o):
            try: s.get(o)
            except NetError: return o,time.monotonic()
            return o,time.monotonic()
        t0 = time.monotonic()
        for os in in_parallel(f, ['/slow1','/slow2','/slow3',*(f'/{i}' for i in range(60))], 8): done += os
        assert len(done)==63 and max(t for o,t in done if 'slow' not in o)-t0<2.9<max(t for o,t in done)-t0<9

@pytest.mark.parametrize('seed', range(max(soak//200, 2)))
def test_fuzz(seed):
    "200 replies with bytes changed, cut out, doubled: an answer or a `NetError`, and never more than 1 MB"
    rng = random.Random(seed)
    whole = [reply(b'fine'*50, b'200 OK', b'Content-Type: image/jpeg'), chunked+b'4\r\nfine\r\n0\r\n\r\n', reply(gzip.compress(b'fine'*50), b'200 OK', b'Content-Encoding: gzip'), reply(b'', b'301 Moved', b'Location: /y'), reply(b'', b'429 Slow', b'Retry-After: 0')]
    def spoil(b):
        b = bytearray(b)
        for _ in range(rng.randint(1, 5)):
            i = rng.randrange(len(b)+1); j = min(i+rng.randint(1, 9), len(b))
            b[i:j] = rng.choice([b'', bytes(rng.randrange(256) for _ in range(4)), b[i:j]*2, b'\r\n', b'9'*20])
        return bytes(b)
    with Wire(lambda c, req: c.sendall(spoil(rng.choice(whole)))) as w:
        s = client(w.url, tries=1, timeout=(.4,.1), patience=1e9)
        for i in range(200):
            try: assert len(s.get(f'/{i}')[1].body)<=1_000_000
            except GalfastError as e:
                assert isinstance(e, NetError) and str(e)
                if s.pacer.stop.is_set(): s = client(w.url, tries=1, timeout=(.4,.1), patience=1e9) # a 403 by chance
            s.pacer.trust(); s.row = 0
