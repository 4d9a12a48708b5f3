"Downloads of one large file that break, lie or go on"
import hashlib,threading
from http.server import BaseHTTPRequestHandler,ThreadingHTTPServer

import numpy as np,pytest

from galfast.surveys.download import download_file
from galfast.surveys.net import NetError

body = np.random.default_rng(0).bytes(3_500_000)
quick = dict(rate=0, first_wait=.01, tries=3)
mb = 2**20

class Host(BaseHTTPRequestHandler):
    "Answers as `how` says: how many replies break off in the middle, status, type, whether it knows ranges"
    protocol_version = 'HTTP/1.1'
    def log_message(self, *args): pass
    def do_GET(self):
        s,want = self.server,self.headers.get('Range')
        s.asked.append(want)
        how = s.how
        lo = int(want[6:-1]) if want and how.get('ranges', True) else 0
        if lo>=len(s.body): return self.reply(416, b'', {})
        part = s.body[lo:]
        head = {'Content-Range': f"bytes {how.get('other', lo)}-{len(s.body)-1}/{len(s.body)}"} if lo else {}
        status = how.get('status') or (206 if lo else 200)
        self.reply(status, part, head | {'Content-Type': how.get('type', 'application/octet-stream')} | how.get('head', {}), cut=how.get('cut', 0)>len(s.asked)-1)
    def reply(self, status, part, head, cut=False):
        self.send_response(status)
        for k,v in ({'Content-Length': str(len(part))} | head).items(): self.send_header(k, v)
        self.end_headers()
        try: self.wfile.write(part[:len(part)//2] if cut else part)
        except OSError: pass # the other side had enough
        self.close_connection = self.close_connection or cut

@pytest.fixture
def host():
    s = ThreadingHTTPServer(('127.0.0.1', 0), Host)
    s.daemon_threads,s.asked,s.how,s.body = True,[],{},body
    threading.Thread(target=s.serve_forever, daemon=True).start()
    s.file = dict(url=f'http://127.0.0.1:{s.server_port}/files/sky.h5', sha256=hashlib.sha256(body).hexdigest(), size=len(body), title='Fake10')
    yield s
    s.shutdown(); s.server_close()

def get(host, folder, **kw): return download_file(**{**host.file, 'dest': folder/'sky.h5', **quick, **kw})
def files(d): return sorted(o.name for o in d.iterdir())

@pytest.mark.parametrize('folder', ['','new/deep'])
def test_download_and_again(host, tmp_path, folder):
    p = get(host, tmp_path/folder)
    assert p==tmp_path/folder/'sky.h5' and p.read_bytes()==body and files(p.parent)==[p.name]
    assert get(host, tmp_path/folder)==p and host.asked==[None]

def test_upper_case_checksum(host, tmp_path):
    get(host, tmp_path, sha256=host.file['sha256'].upper())
    get(host, tmp_path, sha256=host.file['sha256'].upper())
    assert host.asked==[None]

def test_dest_as_text(host, tmp_path):
    assert get(host, tmp_path, dest=str(tmp_path/'a.h5'))==tmp_path/'a.h5' and files(tmp_path)==['a.h5']

def test_cut_off_twice_goes_on(host, tmp_path):
    host.how = dict(cut=2)
    assert get(host, tmp_path).read_bytes()==body
    assert host.asked[0] is None and [int(o[6:-1])%mb for o in host.asked[1:]]==[0,0] and int(host.asked[2][6:-1])>int(host.asked[1][6:-1])>0

def test_cut_off_for_good_goes_on_another_day(host, tmp_path):
    host.how = dict(cut=9)
    with pytest.raises(NetError, match='cut off'): get(host, tmp_path)
    assert files(tmp_path)==['.sky.h5.part']
    host.how,n = {},len(host.asked)
    assert get(host, tmp_path).read_bytes()==body and len(host.asked)==n+1 and host.asked[-1]!='bytes=0-'
    assert files(tmp_path)==['sky.h5']

def test_host_without_ranges_begins_again(host, tmp_path):
    (tmp_path/'.sky.h5.part').write_bytes(b'x'*1000)
    host.how = dict(ranges=False)
    assert get(host, tmp_path).read_bytes()==body and host.asked==['bytes=1000-']

@pytest.mark.parametrize('part,asked', [(body, []),(body+b'more', [f'bytes={len(body)+4}-',None])])
def test_part_that_is_whole_or_too_long(host, tmp_path, part, asked):
    (tmp_path/'.sky.h5.part').write_bytes(part)
    assert get(host, tmp_path).read_bytes()==body and host.asked==asked and files(tmp_path)==['sky.h5']

def test_part_of_another_file_is_found_out(host, tmp_path):
    (tmp_path/'.sky.h5.part').write_bytes(b'x'*1000)
    with pytest.raises(NetError, match='they were removed'): get(host, tmp_path)
    assert files(tmp_path)==[]
    assert get(host, tmp_path).read_bytes()==body

def test_wrong_checksum(host, tmp_path):
    (tmp_path/'sky.h5').write_bytes(b'what was here')
    with pytest.raises(NetError, match='SHA-256') as e: get(host, tmp_path, sha256='0'*64)
    assert 'Fake10' in str(e.value) and files(tmp_path)==['sky.h5'] and (tmp_path/'sky.h5').read_bytes()==b'what was here'

def test_a_damaged_file_is_replaced(host, tmp_path):
    (tmp_path/'sky.h5').write_bytes(body[:-1])
    assert get(host, tmp_path).read_bytes()==body

@pytest.mark.parametrize('how,says', [(dict(type='text/html; charset=utf-8'), 'a page instead'),(dict(status=404), 'answered 404'),(dict(status=403), 'answered 403'),
    (dict(status=302, head={'Location': 'http://example.org/elsewhere'}), 'has moved'),(dict(status=503), 'answered 503')])
def test_what_is_not_the_file_is_not_kept(host, tmp_path, how, says):
    (tmp_path/'.sky.h5.part').write_bytes(body[:mb])
    host.how = how
    with pytest.raises(NetError, match=says): get(host, tmp_path)
    assert files(tmp_path)==['.sky.h5.part'] and (tmp_path/'.sky.h5.part').read_bytes()==body[:mb] # what had come is still good

def test_another_range_than_asked_for(host, tmp_path):
    (tmp_path/'.sky.h5.part').write_bytes(body[:mb])
    host.how = dict(other=7)
    with pytest.raises(NetError, match='another part'): get(host, tmp_path)

def test_far_too_large(host, tmp_path):
    with pytest.raises(NetError, match='sent more than'): get(host, tmp_path, size=1_000_000)
    assert 'sky.h5' not in files(tmp_path)
