"Replies of SkyServer that are no table: a sentence each, soon, and in little memory"
import json,os,random,time

import pytest
from skydouble import SkyDouble
from skypictures import Reply

from galfast.base.core import GalfastError
from galfast.surveys.net import NetError
from galfast.surveys.skyserver import SkyServer

soak = int(os.environ.get('GALFAST_SOAK', 0))

class Says(SkyDouble):
    "Says `body` to whatever it is asked"
    def __init__(self, body, status=200, type='text/plain'): super().__init__(n=3); self.reply = Reply(status, type, body); self.n_asked = 0
    def answer(self, h, req): self.n_asked += 1; return h.send(self.reply)

def client(sky):
    s = SkyServer('dr17', sky.url, 0, minute=.01)
    s.service.first_wait,s.service.tries = .001,2
    return s

def table(*rows): return ('#Table1\n'+'\n'.join(rows)+'\n').encode()
quotes = '"'*4000
bodies = dict(empty=b'', blank=b' \n', short=b'#Ta', title=b'#Table1', title_blank=b'#Table1 ', title_line=b'#Table1\n', blank_title=b'#Table1 \n', nul=table('n','1\0'), nuls=bytes(100_000), utf16='#Table1\nn\n1\n'.encode('utf-16'), latin=table('n')+b'\xe9\n', noise=bytes(range(256))*40,
    columns=table(','.join(['n']*1_000_000), '1'), many_values=table('n', ','.join('1'*1_000_000)), quotes=table('n', quotes), quotes_commas=table('a,b', '",'*4000), quotes_both=table(','.join('abcdefgh'), ('"a,'*500+'"x",')*8), open_quote=table('"n', '1'), half=table('objID,ra', '1,2')+b'3,',
    deep=b'['*100_000, deep_object=b'{"a":'*100_000, deep_error=b'{"ErrorMessage":'+b'['*100_000, html=b'<html><title>Skyserver Error</title>', html_open=b'<'*1_000_000, html_doctype=b'<!DOCTYPE html>'+b'<p '*300_000, json=b'{}', number=b'7', text=b'nothing', long_line=b'x'*5_000_000, crlf=b'#Table1\r\nn\r\n1', cr=b'#Table1\rn\r1\r',
    error=b'{"ErrorMessage": "\\u001b[2J\\u0007 evil \\n'+b'x'*100_000+b'"}', error_rows=table('error_message', '"ERROR: \x1b[2J'+'x'*100_000+'"'), gzip=b'\x1f\x8b\x08'+bytes(99), fits=b'SIMPLE  =                    T', pickle=b'\x80\x04\x95')

@pytest.mark.parametrize('what', bodies)
def test_what_is_no_table(what):
    with Says(bodies[what]) as sky:
        for f in (lambda s: s.sql('select top 5 objID, ra from Galaxy'), lambda s: s.count('select objID from Galaxy'), lambda s: s.pages('select objID, ra from Galaxy', 'objID', page=10)):
            t0 = time.monotonic()
            with pytest.raises(GalfastError) as e: f(client(sky))
            assert time.monotonic()-t0<10 and 10<len(str(e.value))<900 and str(e.value).isprintable()

tables = dict(no_end=[dict(TableName='Table1', Rows=[])], no_rows=[dict(TableName='Table1'), dict(TableName='SqlQuery')], rows_text=[dict(Rows='x'), dict(TableName='SqlQuery')], rows_numbers=[dict(Rows=[1,2]), dict(TableName='SqlQuery')], nested=[dict(Rows=[dict(objID=[1], ra={})]), dict(TableName='SqlQuery')],
    no_tables=[1, 'SqlQuery'], last_text=[dict(Rows=[]), 'SqlQuery'], none=None, ragged=[dict(Rows=[dict(objID=1, ra=2), dict(objID=1)]), dict(TableName='SqlQuery')], wide=[dict(Rows=[{str(i): i for i in range(100_000)}]), dict(TableName='SqlQuery')], large=[dict(Rows=[dict(objID=1, ra='9'*10**6)]*2), dict(TableName='Other')])
@pytest.mark.parametrize('what', [*tables, 'deep', 'cut'])
def test_json_that_is_no_table(what):
    body = b'['*100_000 if what=='deep' else b'[{"TableName": "Table1", "Rows": [{"objID": 1' if what=='cut' else json.dumps(tables[what]).encode()
    with Says(body, type='application/json') as sky:
        with pytest.raises(NetError) as e: client(sky).sql('select top 5 objID, ra from Galaxy', 'json')
        assert len(str(e.value))<900

@pytest.mark.parametrize('n', ['many', '', '-1', '1.5', '1e3', '0x10', '9'*5000, '\u0663', 'NaN', '1,2'])
def test_a_count_that_is_no_number(n):
    with Says(table('n', n)) as sky:
        with pytest.raises(NetError) as e: client(sky).count('select objID from Galaxy')
        assert len(str(e.value))<400

def test_keys_that_are_no_numbers():
    for key in ('9'*5000, 'x', '\u0663'):
        with Says(table('objID,ra', f'{key},1', f'{key},2')) as sky:
            s = client(sky)
            s.count = lambda q: 2
            with pytest.raises(GalfastError): s.pages('select objID, ra from Galaxy', 'objID', page=10)

def test_numbers_of_any_length():
    with Says(table('objID,ra', '1,'+'9'*5000, '2,-'+'1'*400)) as sky: assert len(client(sky).sql('select top 5 objID, ra from Galaxy'))==2

def test_a_reply_without_end():
    with Says(table('n', *['1']*100_000)) as sky:
        s = client(sky); s.service.most_bytes = 50_000
        with pytest.raises(NetError, match='50,000'): s.count('select objID from Galaxy')

@pytest.mark.parametrize('seed', range(max(soak//100, 2)))
def test_fuzz(seed):
    "100 replies with bytes changed, cut out, doubled: the right number of rows, or a sentence"
    rng,whole = random.Random(seed),table('objID,name', *(f'{i},"a, b{i}"' for i in range(20)))
    with Says(whole) as sky:
        s = client(sky); s.service.tries = 1
        for _ in range(100):
            b = bytearray(whole)
            for _ in range(rng.randint(1, 4)):
                i = rng.randrange(len(b)+1); j = min(i+rng.randint(1, 9), len(b))
                b[i:j] = rng.choice([b'', bytes(rng.randrange(256) for _ in range(4)), b[i:j]*2, b'"', b',', b'\n', b'\r'])
            sky.reply = Reply(200, 'text/plain', bytes(b))
            try: df = s.sql('select top 50 objID, name from Galaxy')
            except GalfastError: pass
            else: assert list(df)==['objID','name']
            s.service.row = 0; s.service.pacer.trust()
