"Images from addresses in a catalogue: whole ones alone, by what they are"
import io,os,threading
from http.server import BaseHTTPRequestHandler,ThreadingHTTPServer

import numpy as np,pandas as pd,pytest
from astropy.io import fits
from PIL import Image

from galfast.base.core import CatalogError
from galfast.surveys.net import NetError
from galfast.surveys.webimages import fetch_images,image_kind

def picture(kind, v=2):
    b = io.BytesIO()
    Image.fromarray(np.full((9,9,3), v, np.uint8)).save(b, kind)
    return b.getvalue()

def fits_file():
    b = io.BytesIO()
    fits.PrimaryHDU(np.zeros((99,99), np.float32)).writeto(b)
    return b.getvalue()

@pytest.mark.parametrize('body,kind', [(picture('PNG'),'.png'), (picture('JPEG'),'.jpg'), (fits_file(),'.fits')], ids=['png','jpg','fits'])
def test_whole_images(body, kind): assert image_kind(body)==kind

@pytest.mark.parametrize('body,why,again', [(picture('PNG')[:60],'no whole image',True), (picture('JPEG')[:-2],'no whole image',True), (fits_file()[:9000],'not whole',True),
                                            (b'','empty',True), (b'objID,z','of no kind',True), (b'<html>sorry</html>','a web page',False), (picture('GIF'),'a GIF image',False)],
                         ids=['png','jpg','fits','empty','text','page','gif'])
def test_what_is_none(body, why, again):
    with pytest.raises(NetError, match=why) as e: image_kind(body)
    assert e.value.retry==again

@pytest.fixture
def host():
    "A server with two images; `asked` is what it was asked for"
    class Host(BaseHTTPRequestHandler):
        pages,asked = {'/a': picture('PNG'), '/b': picture('JPEG')},[]
        def do_GET(self):
            self.asked.append(self.path)
            body = self.pages.get(self.path, b'')
            self.send_response(200 if body else 404)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *args): pass
    srv = ThreadingHTTPServer(('127.0.0.1', 0), Host)
    threading.Thread(target=srv.serve_forever, daemon=True).start()
    Host.url = f'http://127.0.0.1:{srv.server_port}'
    yield Host
    srv.shutdown(); srv.server_close()

def test_what_is_there_is_not_asked_for_again(host, tmp_path):
    df = pd.DataFrame(dict(objID=['1','NGC 1300'], url=[f'{host.url}/a', f' {host.url}/b ']))
    got = fetch_images(df, tmp_path/'im', rate=500)
    assert list(got.filename)==['1.png','NGC 1300.jpg'] and (tmp_path/'im/1.png').read_bytes()==host.pages['/a']
    host.asked.clear()
    assert fetch_images(df, tmp_path/'im', rate=500).equals(got) and not host.asked

def test_each_row_says_what_is_wrong(host, tmp_path):
    df = pd.DataFrame(dict(objID=['1','1',None,'../2','3','4'], url=[f'{host.url}/a']*4+['ftp://x/y',f'{host.url}/none']))
    got = fetch_images(df, tmp_path/'im', rate=500, tries=1)
    for said,why in zip(got.status, ('ok','duplicate id','no id','cannot name a file','no http(s) address','404')): assert why in said
    assert os.listdir(tmp_path/'im')==['1.png']
    with pytest.raises(CatalogError, match="no column 'link'"): fetch_images(df, tmp_path/'im', url_col='link')
