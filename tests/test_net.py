"One host, asked politely: what is asked again, what ends a run, and who waits for whom"
import math,threading
from collections import deque
from http.server import BaseHTTPRequestHandler,ThreadingHTTPServer

import pytest

from galfast.base.core import GalfastError
from galfast.surveys.net import Again,HTTPService,HostStopped,Interrupted,NetError,Pacer,Reply,Tries,_moved
from galfast.surveys.net import check_status,in_parallel,retry_after,user_agent

class Host:
    "A server that gives the `replies` in turn, (status, headers, body), and then 'fine'; `seen`: what it was asked for"
    def __init__(self): self.replies,self.seen = deque(),[]
    def __call__(self, *replies, **kw):
        "A service that asks it"
        self.seen.clear(); self.replies.clear(); self.replies.extend(replies)
        return HTTPService(self.base, **dict(rate=0, first_wait=.01, timeout=(2,2))|kw)

@pytest.fixture(scope='module')
def host():
    h = Host()
    class Handler(BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'
        def log_message(self, *args): pass
        def do_GET(self):
            h.seen.append((self.path, self.headers['User-Agent']))
            status,head,body = h.replies.popleft() if h.replies else (200, {}, b'fine')
            self.send_response(status)
            for k,v in ({'Content-Length': str(len(body))}|head).items(): self.send_header(k, v)
            self.end_headers()
            self.wfile.write(body)
            if int(head.get('Content-Length', 0))>len(body): self.close_connection = True
    srv = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    srv.daemon_threads = True
    threading.Thread(target=srv.serve_forever, daemon=True).start()
    h.base = f'http://127.0.0.1:{srv.server_port}'
    yield h
    srv.shutdown(); srv.server_close()

def error(s):
    with pytest.raises(NetError) as e: s.get('/x')
    return e.value

def test_asked_again_until_it_is_whole(host):
    s = host((503,{},b''), (200,{'Content-Length': '99'},b'cut'), (500,{},b''))
    _,reply,tries = s.get('/a?b=c')
    assert (reply.body,tries)==(b'fine',4) and host.seen==[('/a?b=c', user_agent())]*4

def test_what_is_not_there_is_not_asked_for_again(host):
    e = error(host((404,{},b'')))
    assert (e.status,e.retry,e.tries,len(host.seen))==(404,False,1,1)
    e = error(host(*[(500,{},b'')]*9))
    assert (e.status,e.tries,len(host.seen))==(500,5,5)

def test_a_refusal_ends_the_run(host):
    s = host((403,{},b''))
    assert isinstance(error(s), HostStopped)
    with pytest.raises(Interrupted): s.get('/x')
    assert len(host.seen)==1

@pytest.mark.parametrize('to', ['http://[', 'ftp://127.0.0.1/x', 'file:///x', ''])
def test_redirects_that_lead_nowhere(host, to): assert not isinstance(error(host(*[(301,{'Location': to},b'')]*5)), HostStopped)

def test_redirects(host):
    e = error(host((301,{'Location': '/elsewhere'},b'')))
    assert 'has moved /x to' in str(e) and not e.retry
    assert host((301,{'Location': '/x'},b'')).get('/x')[1].body==b'fine'
    for to in ('http://a.org/x', 'http://b.org/', 'HTTP://a.org:443/x'):
        with pytest.raises(NetError, match='https to http'): _moved('https://a.org/x', to, 3, 301)
    for url,to,there in (('http://a.org/x', 'https://a.org/x', 'https://a.org/x'), ('https://a.org/x', 'https://a.org:8443/x', 'https://a.org:8443/x'),
                         ('https://a.org/x?b', '//a.org/x?b', 'https://a.org/x?b')): assert _moved(url, to, 3, 301)==there

def test_too_much_and_too_long(host):
    assert 'more than 50' in str(error(host((200,{},b'x'*100), most_bytes=50)))
    e = error(host((503,{'Retry-After': '3600'},b'')))
    assert (e.tries,e.status)==(1,503) and 'asks to wait 60 min' in str(e) # nobody waits that long, nobody asks sooner
    e = error(host(*[(429,{'Retry-After': '0'},b'')]*5, rate=40.))
    assert (e.status,e.tries)==(429,5)
    with pytest.raises(NetError, match='nothing answers'): HTTPService('http://127.0.0.1:9', 0, first_wait=.01).get('/x')

@pytest.mark.parametrize('value,s', [('7',7.), (None,None), ('soon',None), ('-3',0.), ('1e9',1e9), ('nan',None), ('inf',None), ('',None)])
def test_how_long_to_wait(value, s): assert retry_after(value)==s

@pytest.mark.parametrize('status,again', [(200,None), (204,None), (404,False), (400,False), (408,True), (425,True), (429,True), (500,True), (504,True)])
def test_statuses(status, again):
    r = Reply('https://a.org/x', status, {'Retry-After': '3'}, b'')
    if again is None: return check_status(r)
    with pytest.raises(NetError) as e: check_status(r)
    assert (e.value.status,e.value.retry,e.value.wait)==(status,again,3. if again else None)

def test_twenty_failures_in_a_row(host):
    s = host(*[(500,{},b'')]*99, patience=0.)
    for i in range(19):
        with pytest.raises(NetError, match='answered 500'): s.once(f'/{i}')
    assert not s.down
    with pytest.raises(HostStopped, match='nothing of use'): s.once('/19')
    with pytest.raises(Interrupted): s.once('/')

def fail(s, n):
    for i in range(n):
        with pytest.raises(NetError): s.once(f'/{i}')

def test_what_came_before_tells_whose_fault_it_is(host):
    s = host((200,{},b'fine'), *[(500,{},b'')]*20)
    s.get('/good'); fail(s, 20)
    assert (host.seen[-1][0],s.down)==('/good',False) # it was asked for what it had sent before, and sent it
    s = host((200,{},b'fine'), *[(500,{},b'')]*21)
    s.get('/good'); t = Tries(s, patient=True); fail(s, 20)
    assert s.down and all(t.again(NetError('', 500, retry=True)) is not None for _ in range(9)) # nobody's fault

@pytest.mark.parametrize('n', [1, 3])
def test_many_at_a_time(n):
    assert sorted(o for os in in_parallel(lambda o: o*o, range(20), n) for o in os)==[o*o for o in range(20)]
    with pytest.raises(ZeroDivisionError): list(in_parallel(lambda o: 1/o, [1,0], n))

def test_others_go_on_while_some_wait():
    order,late = [],set()
    def f(o):
        if o<2 and o not in late: late.add(o); return Again(o, .1)
        order.append(o)
        return o
    assert sorted(o for os in in_parallel(f, range(9), 1) for o in os)==list(range(9)) and set(order[-2:])=={0,1}

@pytest.mark.parametrize('rate', [-1, math.nan])
def test_a_rate_is_a_number(rate):
    with pytest.raises(GalfastError, match='a rate is a number'): Pacer(rate)

def test_the_pace_is_kept():
    "By a clock of the test's own, on which waiting takes the time that it says"
    now = [0.]
    p = Pacer(10., clock=lambda: now[0])
    def sleep(s): now[0] += s
    p.sleep = sleep
    for _ in range(11):
        with p.turn(): pass
    assert 10*.102-.05-1e-9<=now[0]<=10*.102+1e-9 # the first may make up for 50 ms
