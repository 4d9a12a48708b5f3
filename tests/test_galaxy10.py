"Galaxy10: downloads that break, lie or go on, files that are not what they claim, pickles that would run programs"
import codecs,hashlib,os,pickle,pickletools,subprocess,threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler,ThreadingHTTPServer

import h5py,numpy as np,pandas as pd,pytest

from galfast.core import GalfastError,ImageError
from galfast.galaxy10 import *
from galfast.net import NetError
from galfast.simsets import sim_galaxy10

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
    s.rec = Galaxy10Set('fake', 'Fake10', f'http://127.0.0.1:{s.server_port}/files/Galaxy10.h5', hashlib.sha256(body).hexdigest(), len(body), 9, 32, 'irg', tuple('abcdefghij'), (0,1,2,3,4))
    yield s
    s.shutdown(); s.server_close()

def files(d): return sorted(o.name for o in d.iterdir())

@pytest.mark.parametrize('dest,name', [('', 'Galaxy10.h5'),('new/deep', 'new/deep/Galaxy10.h5'),('mine.hdf5', 'mine.hdf5')])
def test_download_and_again(host, tmp_path, dest, name):
    p = download_galaxy10(host.rec, tmp_path/dest, **quick)
    assert p==tmp_path/name and p.read_bytes()==body and files(p.parent)==[p.name]
    assert download_galaxy10(host.rec, tmp_path/dest)==p and host.asked==[None]

def test_upper_case_checksum(host, tmp_path):
    download_galaxy10(replace(host.rec, sha256=host.rec.sha256.upper()), tmp_path)

def test_cut_off_twice_goes_on(host, tmp_path):
    host.how = dict(cut=2)
    assert download_galaxy10(host.rec, tmp_path, **quick).read_bytes()==body
    assert host.asked[0] is None and [int(o[6:-1])%mb for o in host.asked[1:]]==[0,0] and int(host.asked[2][6:-1])>int(host.asked[1][6:-1])>0

def test_cut_off_for_good_goes_on_another_day(host, tmp_path):
    host.how = dict(cut=9)
    with pytest.raises(NetError, match='cut off'): download_galaxy10(host.rec, tmp_path, **quick)
    assert files(tmp_path)==['.Galaxy10.h5.part']
    host.how,n = {},len(host.asked)
    assert download_galaxy10(host.rec, tmp_path, **quick).read_bytes()==body and len(host.asked)==n+1 and host.asked[-1]!='bytes=0-'
    assert files(tmp_path)==['Galaxy10.h5']

def test_host_without_ranges_begins_again(host, tmp_path):
    (tmp_path/'.Galaxy10.h5.part').write_bytes(b'x'*1000)
    host.how = dict(ranges=False)
    assert download_galaxy10(host.rec, tmp_path, **quick).read_bytes()==body and host.asked==['bytes=1000-']

@pytest.mark.parametrize('part,asked', [(body, []),(body+b'more', [f'bytes={len(body)+4}-',None])])
def test_part_that_is_whole_or_too_long(host, tmp_path, part, asked):
    (tmp_path/'.Galaxy10.h5.part').write_bytes(part)
    assert download_galaxy10(host.rec, tmp_path, **quick).read_bytes()==body and host.asked==asked and files(tmp_path)==['Galaxy10.h5']

def test_part_of_another_file_is_found_out(host, tmp_path):
    (tmp_path/'.Galaxy10.h5.part').write_bytes(b'x'*1000)
    with pytest.raises(NetError, match='they were removed'): download_galaxy10(host.rec, tmp_path, **quick)
    assert files(tmp_path)==[]
    assert download_galaxy10(host.rec, tmp_path, **quick).read_bytes()==body

def test_wrong_checksum(host, tmp_path):
    (tmp_path/'Galaxy10.h5').write_bytes(b'what was here')
    with pytest.raises(NetError, match='SHA-256') as e: download_galaxy10(replace(host.rec, sha256='0'*64), tmp_path, **quick)
    assert 'Fake10' in str(e.value) and files(tmp_path)==['Galaxy10.h5'] and (tmp_path/'Galaxy10.h5').read_bytes()==b'what was here'

def test_a_damaged_file_is_replaced(host, tmp_path):
    (tmp_path/'Galaxy10.h5').write_bytes(body[:-1])
    assert download_galaxy10(host.rec, tmp_path, **quick).read_bytes()==body

@pytest.mark.parametrize('how,says', [(dict(type='text/html; charset=utf-8'), 'a page instead'),(dict(status=404), 'answered 404'),(dict(status=403), 'answered 403'),
    (dict(status=302, head={'Location': 'http://example.org/elsewhere'}), 'has moved'),(dict(status=503), 'answered 503')])
def test_what_is_not_the_file_is_not_kept(host, tmp_path, how, says):
    (tmp_path/'.Galaxy10.h5.part').write_bytes(body[:mb])
    host.how = how
    with pytest.raises(NetError, match=says): download_galaxy10(host.rec, tmp_path, **quick)
    assert files(tmp_path)==['.Galaxy10.h5.part'] and (tmp_path/'.Galaxy10.h5.part').read_bytes()==body[:mb] # what had come is still good

def test_another_range_than_asked_for(host, tmp_path):
    (tmp_path/'.Galaxy10.h5.part').write_bytes(body[:mb])
    host.how = dict(other=7)
    with pytest.raises(NetError, match='another part'): download_galaxy10(host.rec, tmp_path, **quick)

def test_far_too_large(host, tmp_path):
    with pytest.raises(NetError, match='sent more than'): download_galaxy10(replace(host.rec, size=1_000_000), tmp_path, **quick)
    assert 'Galaxy10.h5' not in files(tmp_path)

def test_a_mirror(host, tmp_path):
    away = replace(host.rec, url='http://127.0.0.1:9/Galaxy10.h5')
    with pytest.raises(NetError, match='nothing answers'): download_galaxy10(away, tmp_path, **quick)
    assert download_galaxy10(away, tmp_path, url=host.rec.url, **quick).read_bytes()==body

def test_unknown_set(tmp_path):
    with pytest.raises(GalfastError, match="'hst' is no set"): download_galaxy10('hst', tmp_path)

# ---- HDF5

def write(p, images=None, ans=None, chunks=None, **kw):
    with h5py.File(p, 'w') as f:
        for k,v in dict(images=images, ans=ans, **kw).items():
            if v is not None: f.create_dataset(k, data=v, chunks=chunks if k=='images' else None, compression='gzip' if k=='images' and chunks else None)
    return p

rng = np.random.default_rng(1)
x,y = rng.integers(0, 256, (37,20,20,3), np.uint8),rng.integers(0, 10, 37).astype(np.uint8)

@pytest.mark.parametrize('chunks', [None,(5,10,10,1),(37,20,20,3),(1,20,20,3)])
@pytest.mark.parametrize('most', [1,5000,10**9])
def test_blocks_are_the_array(tmp_path, chunks, most):
    p = write(tmp_path/'a.h5', x, chunks=chunks)
    b = [*hdf5_blocks(p, most_bytes=most)]
    np.testing.assert_array_equal(np.concatenate(b), x)
    if chunks: assert all(len(o)%chunks[0]==0 for o in b[:-1])
    for rows in ([36],[0],[4,5,6,29],y>4,np.arange(37),np.zeros(37, bool),[]): 
        got = [*hdf5_blocks(p, rows=rows, most_bytes=most)]
        assert all(len(o) for o in got)
        np.testing.assert_array_equal(np.concatenate([x[:0],*got]), x[np.asarray(rows, dtype=None if len(rows) else int)])

def test_each_chunk_is_read_once(tmp_path, monkeypatch):
    p,seen = write(tmp_path/'a.h5', x, chunks=(5,10,10,1)),[]
    get = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, '__getitem__', lambda d, k: (seen.append((k.start,k.stop)), get(d, k))[1])
    [*hdf5_blocks(p, most_bytes=1)]
    assert seen==[(i,min(i+5, 37)) for i in range(0, 37, 5)]

@pytest.mark.parametrize('rows', [[3,1],[1,1],[-1],[37],[.5],['a'],[[1]],np.ones(36, bool)])
def test_bad_rows(tmp_path, rows):
    with pytest.raises(GalfastError, match='rising numbers'): next(hdf5_blocks(write(tmp_path/'a.h5', x), rows=rows))

@pytest.mark.parametrize('layout', ['sdss','decals'])
def test_read_what_was_simulated(tmp_path, layout):
    df = sim_galaxy10(tmp_path/'a.h5', 12, size=24, layout=layout, progress=False)
    a,b,names = read_galaxy10(tmp_path/'a.h5', layout)
    assert a.shape==(12,24,24,3) and a.dtype==np.uint8 and b.dtype==np.int64 and names==galaxy10_sets[layout].classes
    assert [names[i] for i in b]==df.label.tolist()
    c = galaxy10_catalog(tmp_path/'a.h5', layout)
    cols = ['objID','label']+['ra','dec','redshift','pxscale']*(layout=='decals')
    pd.testing.assert_frame_equal(c[cols], df[cols]); assert [*c]==['objID','label','ans',*cols[2:]]

@pytest.mark.parametrize('side,extra,first', [(69,{},'Disk, Face-on, No Spiral'),(256,{},'Disturbed'),(20,dict(pxscale=np.ones(3)),'Disturbed'),(20,{},'0')])
def test_which_set_it_is(tmp_path, side, extra, first):
    p = write(tmp_path/'a.h5', np.zeros((3,side,side,3), np.uint8), np.array([9,0,1]), **extra)
    assert read_galaxy10(p)[2][0]==first

def test_subsets_bands_and_scales(tmp_path):
    p = write(tmp_path/'a.h5', x, y, chunks=(5,10,10,1))
    np.savez(tmp_path/'a.npz', images=x, ans=y)
    for f in p,tmp_path/'a.npz':
        a,b,names = read_galaxy10(f, 'sdss', ['Smooth, cigar shaped',1,np.int64(8)])
        np.testing.assert_array_equal(a, x[np.isin(y, [1,3,8])])
        assert [[3,1,8][i] for i in b]==y[np.isin(y, [1,3,8])].tolist() and names==('Smooth, Cigar shaped','Smooth, Completely round','Disk, Face-on, Medium Spiral')
        hot = read_galaxy10(f, 'sdss', [3,1,8], one_hot=True)[1]
        assert hot.dtype==np.float32 and hot.shape==(len(b),3) and (hot.argmax(1)==b).all() and (hot.sum(1)==1).all()
        for band,i in (('i',0),('g',2),(1,1)): np.testing.assert_array_equal(read_galaxy10(f, 'sdss', bands=band)[0], x[...,i])
        for band in (None,'all','irg'): assert read_galaxy10(f, 'sdss', bands=band)[0].shape==x.shape
        s = read_galaxy10(f, scale=True)[0]
        assert s.dtype==np.float32; np.testing.assert_allclose(s, x/255, rtol=1e-6)
        none = read_galaxy10(write(tmp_path/'b.h5', x, np.zeros(37, int)), 'sdss', [5])
        assert none[0].shape==(0,20,20,3) and len(none[1])==0
    assert read_galaxy10(p, 'sdss', 'Smooth, Cigar shaped')[2]==('Smooth, Cigar shaped',)

@pytest.mark.parametrize('kw,says', [(dict(classes=[10]),'no class 10'),(dict(classes=[-1]),'no class -1'),(dict(classes=['Irregular']),"no class 'Irregular'; there are 0: Disk"),(dict(classes=[]),'empty'),
    (dict(classes=[1,'Smooth, Completely round']),'twice'),(dict(classes=[True]),'no class True'),(dict(bands='u'),'bands='),(dict(bands=3),'bands='),(dict(bands=-1),'bands='),(dict(bands='ir'),'bands='),(dict(which='hst'),'no set')])
def test_bad_wishes(tmp_path, kw, says):
    p = write(tmp_path/'a.h5', x, y)
    with pytest.raises(GalfastError, match=says): read_galaxy10(p, **{'which':'sdss', **kw})

@pytest.mark.parametrize('keys', [('x','y'),('images','ans'),('img','label'),('X','Y'),('arr_0','arr_1'),('data','target')])
def test_keys_of_npz(tmp_path, keys):
    np.savez(tmp_path/'a.npz', **dict(zip(keys, (x[...,0]/255,y))))
    a,b,_ = read_galaxy10(tmp_path/'a.npz')
    np.testing.assert_array_equal(a, x[...,0]/255); assert (b==y).all()

@pytest.mark.parametrize('ans', [np.eye(10)[y],y[:,None],y.astype(float),np.eye(10, dtype=bool)[y]])
def test_forms_of_labels(tmp_path, ans):
    assert (read_galaxy10(write(tmp_path/'a.h5', x, ans), 'sdss')[1]==y).all()

@pytest.mark.parametrize('images,ans,says', [(x,None,"no labels.*'images'"),(None,y,"no images.*'ans'"),(None,None,'none'),(x,y[:-1],'37 images but labels of shape .36'),(x[:0],y,'0 images'),
    (x[0,0],y[:20],r'shape \(20, 3\)'),(x,np.full(37, 10),'a label 10'),(x,np.full(37, -1),'labels must be'),(x,np.full(37, .5),'labels must be'),(x,np.full(37, np.nan),'labels must be'),
    (x,np.zeros((37,10)),'one-hot'),(x,np.array([b'a']*37),'labels must be'),(x,np.uint8(3),'labels of shape'),(x.astype('c8'),y,'type complex64')])
@pytest.mark.filterwarnings('ignore')
def test_files_that_are_not_such(tmp_path, images, ans, says):
    with pytest.raises(ImageError, match=says): read_galaxy10(write(tmp_path/'a.h5', images, ans), 'sdss')
    np.savez(tmp_path/'a.npz', **{k: v for k,v in dict(images=images, ans=ans).items() if v is not None})
    with pytest.raises(ImageError, match=says): read_galaxy10(tmp_path/'a.npz', 'sdss')

def test_broken_files(tmp_path):
    big = np.random.default_rng(2).integers(0, 256, (200,20,20,3), np.uint8)
    good = write(tmp_path/'a.h5', big, np.zeros(200, int), chunks=(20,20,20,3)).read_bytes()
    np.savez(tmp_path/'a.npz', images=big, ans=np.zeros(200, int))
    npz = (tmp_path/'a.npz').read_bytes()
    for i,(suf,b) in enumerate((('.h5',good[:len(good)//2]),('.h5',good[:100]),('.h5',b''),('.h5',b'<html></html>'),('.npz',npz[:-100]),('.npz',b''),('.npz',b'PK\x03\x04'),('.npz',npz[:3000]+b'x'*3000+npz[6000:]),('.hdf5',npz))):
        p = tmp_path/f'{i}{suf}'
        p.write_bytes(b)
        with pytest.raises(ImageError, match='not a whole'): read_galaxy10(p)
    flip = bytearray(good); k = len(good)//2; flip[k:k+2000] = bytes(2000)
    (tmp_path/'z.h5').write_bytes(flip)
    with pytest.raises(ImageError, match='not a whole'): read_galaxy10(tmp_path/'z.h5')
    for n in ('none.h5','none.npz'):
        with pytest.raises(ImageError, match='no such file'): read_galaxy10(tmp_path/n)
    for n in ('a.fits','a'):
        with pytest.raises(ImageError, match='comes as .h5'): read_galaxy10(tmp_path/n)

def test_groups_links_and_objects(tmp_path):
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f.create_group('images'); f['ans'] = y; f['lost'] = h5py.SoftLink('/nowhere')
    with pytest.raises(ImageError, match='no images'): read_galaxy10(tmp_path/'a.h5')
    with pytest.raises(ImageError, match="no 'images'"): next(hdf5_blocks(tmp_path/'a.h5'))
    with h5py.File(tmp_path/'b.h5', 'w') as f: f['images'] = 3.
    with pytest.raises(ImageError, match='a single value'): next(hdf5_blocks(tmp_path/'b.h5'))

# ---- pickles

marker = 'touched'
class Runs:
    "Makes a file when it is read by pickle"
    def __init__(self, f, *args): self.f,self.args = f,args
    def __reduce__(self): return self.f,self.args

def convert(tmp_path, data):
    (tmp_path/'a.pkl').write_bytes(data)
    with pytest.warns(UserWarning, match='is a pickle'): return convert_pickle(tmp_path/'a.pkl', tmp_path/'a.npz')

@pytest.mark.parametrize('protocol', range(6))
@pytest.mark.parametrize('form', [lambda a,b: dict(images=a, ans=b), lambda a,b: (a,b), lambda a,b: [a,b.tolist()], lambda a,b: dict(x=a, y=np.eye(10)[b], more='text', none=None)])
def test_pickles_of_arrays(tmp_path, protocol, form):
    for a in (x,np.asfortranarray(x),x[...,1]/255,x.astype('>f4')):
        p = convert(tmp_path, pickle.dumps(form(a, y), protocol))
        i,l,_ = read_galaxy10(p)
        np.testing.assert_array_equal(i, a); assert (l==y).all()

def test_old_and_scalar_pickles(tmp_path):
    "What NumPy 1 and Python 2 wrote"
    data = pickle.dumps((x,y), 2).replace(b'numpy._core', b'numpy.core')
    assert b'numpy._core' not in data and (read_galaxy10(convert(tmp_path, data))[1]==y).all()
    py2 = b"(dp0\nS'images'\np1\n"+b"cnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\nRp7\n(I1\n(I2\nI2\nI2\ntp8\n"\
        b"cnumpy\ndtype\np9\n(S'u1'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'|'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\nS'\\x01\\x02\\x03\\xff\\x05\\x06\\x07\\x08'\np15\ntp16\nbsS'ans'\np17\n(lp18\nI1\naI0\nas."
    i,l,_ = read_galaxy10(convert(tmp_path, py2))
    assert i.ravel().tolist()==[1,2,3,255,5,6,7,8] and l.tolist()==[1,0]
    assert read_galaxy10(convert(tmp_path, pickle.dumps((x[:2],[np.uint8(3),np.int64(4)]))))[1].tolist()==[3,4]

def evil(here):
    f = str(here/marker)
    inner = Runs(os.system, f'touch {f}')
    yield 'system', inner
    yield 'popen', Runs(subprocess.Popen, ['touch', f])
    yield 'eval', Runs(eval, f"open({f!r}, 'w')")
    yield 'exec', Runs(exec, f"open({f!r}, 'w')")
    yield 'open', Runs(open, f, 'w')
    yield 'getattr', Runs(getattr, inner, 'f')
    yield 'in a dict', dict(images=x, ans=y, more=inner)
    yield 'as labels', dict(images=x, ans=inner)
    yield 'as a key', {'images': x, 'ans': y, Runs(eval, f"open({f!r}, 'w')"): 1}
    yield 'object array', dict(images=np.array([inner], object), ans=y)
    yield 'object array in a list', (x, [np.array([inner, 1], object)])
    yield 'structured array', dict(images=np.zeros(3, [('a', object)]), ans=y)
    yield 'plain objects', dict(images=np.array([{}, 'a'], object), ans=y)
    yield 'load of numpy', Runs(np.load, str(here/'b.npy'))
    yield 'memmap', Runs(np.memmap, f, 'u1', 'w+', 0, 4)
    yield 'codec', Runs(codecs.encode, 'a', 'zlib_codec')
    yield 'codec of text', Runs(codecs.decode, b'a', 'unicode_escape')
    yield 'a class', pd.DataFrame(dict(a=[1]))

@pytest.mark.parametrize('protocol', [0,2,4,5])
@pytest.mark.parametrize('i', range(18))
def test_nothing_runs(tmp_path, i, protocol):
    name,o = [*evil(tmp_path)][i]
    try: data = pickle.dumps(o, protocol)
    except (TypeError,pickle.PicklingError): pytest.skip('not to be pickled so')
    assert 'GLOBAL' in str([op[0].name for op in pickletools.genops(data)])
    with pytest.raises(ImageError, match='pickle'): convert(tmp_path, data)
    assert [q.name for q in tmp_path.iterdir()]==['a.pkl']

def test_names_that_reach_out(tmp_path):
    "Dotted names, names within what is allowed, and opcodes that change what was loaded"
    for mod,name in (('numpy','dtype.__class__'),('numpy.core.multiarray','_reconstruct.__globals__'),('numpy','ndarray.tofile'),('builtins','eval'),('__builtin__','eval'),('os','system'),('posix','system'),
                     ('numpy','load'),('numpy.core.multiarray','fromfile'),('galfast.galaxy10','convert_pickle'),('copyreg','_reconstructor'),('numpy','core'),('numpy.testing','rundocs')):
        for data in (f'c{mod}\n{name}\n.'.encode(), b'\x80\x04\x8c'+bytes([len(mod)])+mod.encode()+b'\x8c'+bytes([len(name)])+name.encode()+b'\x93.'):
            with pytest.raises(ImageError, match='holds the name'): convert(tmp_path, data)
    good = pickle.dumps((x,y), 2)
    # BUILD on a name itself: the function is a new one for each use, so the next pickle is read as ever
    for state in (b"}X\x04\x00\x00\x00codeX\x01\x00\x00\x00ys", b"N}X\x0c\x00\x00\x00__defaults__NX\x0a\x00\x00\x00__kwdict__N\x86s\x86"):
        with pytest.raises(ImageError): convert(tmp_path, b'\x80\x02cnumpy\ndtype\n'+state+b'b.')
        assert (read_galaxy10(convert(tmp_path, good))[1]==y).all()

@pytest.mark.parametrize('data', [b'',b'.',b'\x80\x04',b'garbage',pickle.dumps((x,y))[:-500],pickle.dumps(5),pickle.dumps('text'),pickle.dumps((x,y,x)),pickle.dumps(dict(a=x)),pickle.dumps(dict(images=x)),
    pickle.dumps(dict(images='text', ans=y)),pickle.dumps((x.tolist(),y)),pickle.dumps((x,y[:-1])),b'Pid\n.',b'\x82\x01.',b'cnumpy\nndarray\n(tR.',b'cnumpy\ndtype\n(tR.',
    pickle.dumps((x,y), 2).replace(b'K%', b'J\xff\xff\xff\x7f')])
def test_pickles_that_are_not_such(tmp_path, data):
    with pytest.raises(ImageError): convert(tmp_path, data)
    assert not (tmp_path/'a.npz').exists()

def test_where_pickles_go(tmp_path):
    (tmp_path/'a.pickle').write_bytes(pickle.dumps((x,y)))
    for f in read_galaxy10,galaxy10_catalog:
        with pytest.raises(ImageError, match=r'convert_pickle\(.*a\.pickle.*a\.npz'): f(tmp_path/'a.pickle')
    with pytest.warns(UserWarning), pytest.raises(GalfastError, match='converted to .npz'): convert_pickle(tmp_path/'a.pickle', tmp_path/'a.h5')
    with pytest.warns(UserWarning), pytest.raises(ImageError, match='no such file'): convert_pickle(tmp_path/'b.pkl', tmp_path/'a.npz')

def test_npz_of_objects_is_not_unpickled(tmp_path):
    np.savez(tmp_path/'a.npz', images=np.array([Runs(os.system, f'touch {tmp_path/marker}')], object), ans=y)
    with pytest.raises(ImageError, match="'images' holds objects"): read_galaxy10(tmp_path/'a.npz')
    assert not (tmp_path/marker).exists()

@pytest.mark.parametrize('label', [1000,2**40,2.**40,1e300,2**63])
@pytest.mark.parametrize('suf', ['.h5','.npz'])
def test_one_large_label_makes_no_names(tmp_path, label, suf):
    ans = np.array([0,1,label])
    if ans.dtype==object: ans = np.array([0,1,label], np.uint64)
    write(tmp_path/'a.h5', x[:3], ans) if suf=='.h5' else np.savez(tmp_path/'a.npz', images=x[:3], ans=ans)
    for f in read_galaxy10,galaxy10_catalog:
        with pytest.raises(ImageError, match=f'has a label {int(label)}, where classes are numbered from 0 and at most 1,000'): f(tmp_path/f'a{suf}')

def test_as_many_classes_as_there_are(tmp_path):
    np.savez(tmp_path/'a.npz', images=x[:3], ans=[0,1,999])
    assert len(read_galaxy10(tmp_path/'a.npz')[2])==1000
