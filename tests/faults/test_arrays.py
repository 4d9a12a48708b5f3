"Files of arrays and pickles that were made to do harm, and damaged ones: a sentence each, soon and in little memory"
import io,json,os,pickle,struct,zipfile,zlib
from pathlib import Path

import h5py,numpy as np

from damage import run

n_soak = int(os.environ.get('GALFAST_SOAK', 0)) or 40
damage = Path(__file__).parent/'damage.py'

def npz(path, how=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, 'w', how) as z:
        for k,v in members.items(): z.writestr(f'{k}.npy', v)

def npy(shape, descr='|u1', data=b'', version=1):
    "The header of an array that promises `shape`, and `data`"
    out = io.BytesIO()
    (np.lib.format.write_array_header_1_0 if version==1 else np.lib.format.write_array_header_2_0)(out, dict(descr=descr, fortran_order=False, shape=shape))
    return out.getvalue()+data

def archives(d):
    "Name of a file in `d` -> what the message says"
    ans = npy((4,), data=bytes([0,1,2,1]))
    npz(d/'huge.npz', images=npy((10**12,8,8,3)), ans=ans)
    npz(d/'zeros.npz', images=npy((4_600_000,8,8), data=bytes(300_000_000)), ans=ans) # 300 MB from 300 kB
    npz(d/'long.npz', images=npy((4,8,8), data=bytes(30_000_000)), ans=ans)
    npz(d/'short.npz', images=npy((4,8,8), data=bytes(7)), ans=ans)
    npz(d/'wide.npz', images=npy((4,20000,20000)), ans=ans)
    npz(d/'labels.npz', images=npy((4,8,8), data=bytes(256)), ans=npy((10**12,)))
    npz(d/'text.npz', images=npy((4,8,8), data=bytes(256)), ans=npy((4,), '<U500000000'))
    npz(d/'minus.npz', images=npy((-4,8,8)), ans=ans)
    npz(d/'objects.npz', images=npy((4,8,8), '|O', pickle.dumps([1])), ans=ans)
    npz(d/'header.npz', images=b'\x93NUMPY\2\0'+struct.pack('<I', 2**32-1)+bytes(30_000_000), ans=ans)
    npz(d/'nested.npz', images=b'\x93NUMPY\1\0'+struct.pack('<H', 9999)+b'('*9999, ans=ans)
    npz(d/'lzma.npz', zipfile.ZIP_LZMA, images=npy((4,8,8), data=bytes(256)), ans=ans)
    npz(d/'none.npz')
    b = (d/'short.npz').read_bytes()
    (d/'directory.npz').write_bytes(b[:-22]+b[-22:].replace(b[-10:-6], b'\xff\xff\xff\x7f'))
    (d/'notes.npz').write_bytes(b'hello')
    (d/'notes.h5').write_bytes(b'\x89HDF\r\n\x1a\n'+bytes(99))
    return {k: 'promises' for k in ('huge.npz','zeros.npz','wide.npz','labels.npz','text.npz','minus.npz')} | {'long.npz': 'goes on', 'short.npz': 'ends early', 'objects.npz': 'holds objects', 'header.npz': '4.3 GB',
        'nested.npz': 'not a whole', 'lzma.npz': 'another way', 'none.npz': 'no images', 'directory.npz': 'not a whole', 'notes.npz': 'not a whole', 'notes.h5': 'not a whole'}

def hdf5(d):
    "As `archives`"
    x,y = np.zeros((4,8,8,3), 'u1'),np.arange(4)
    (d/'secret').write_bytes(bytes(range(256))*3)
    with h5py.File(d/'other.hdf5', 'w') as f: f['images'],f['ans'] = x+7,y
    def made(name, images=None, **kw):
        with h5py.File(d/name, 'w') as f:
            f['ans'] = y
            images(f) if callable(images) else f.create_dataset('images', **kw)
    def put(o): return lambda f: f.__setitem__('images', o)
    def virtual(f):
        v = h5py.VirtualLayout((4,8,8,3), 'u1')
        v[:] = h5py.VirtualSource(str(d/'other.hdf5'), 'images', (4,8,8,3))
        f.create_virtual_dataset('images', v)
    def through(f): f['out'],f['images'] = h5py.ExternalLink('other.hdf5', '/'),h5py.SoftLink('/out/images')
    def around(f): f['images'],f['x'] = h5py.SoftLink('/x'),h5py.SoftLink('/images')
    made('external.h5', shape=(4,8,8,3), dtype='u1', external=[(str(d/'secret'), 0, 768)])
    made('link.h5', put(h5py.ExternalLink('other.hdf5', '/images')))
    made('virtual.h5', virtual); made('through.h5', through); made('around.h5', around)
    made('huge.h5', shape=(10**12,8,8,3), dtype='u1', chunks=(1000,8,8,3))
    made('unwritten.h5', shape=(10**12,8,8,3), dtype='u1')
    made('wide.h5', shape=(4,20000,20000), dtype='u1', chunks=(1,2000,2000))
    made('chunk.h5', shape=(4,30000,30000,1), dtype='u1', chunks=(1,30000,30000,1), compression='gzip')
    made('chunks.h5', shape=(10_000_000,5,5), dtype='u1', chunks=(1,1,1))
    made('strings.h5', data=['a','b','c','d'])
    made('compound.h5', data=np.zeros(4, [('a','u1'),('b','f8')]))
    made('labels.h5', data=x)
    with h5py.File(d/'labels.h5', 'a') as f:
        del f['ans']
        f.create_dataset('ans', (10**12,), 'i8', chunks=(1000,))
    def packed(f):
        z,o = zlib.compress(bytes(1000*60*60)),f.create_dataset('images', (100_000,60,60), 'u1', chunks=(1000,60,60), compression='gzip')
        for k in range(0, 90_000, 1000): o.id.write_direct_chunk((k,0,0), z)
    made('packed.h5', packed)
    with h5py.File(d/'filter.h5', 'w') as f:
        f['ans'] = y
        p = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        p.set_chunk((4,8,8,3)); p.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        h5py.h5d.create(f.id, b'images', h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple((4,8,8,3)), p)
    return {'external.h5': 'lie in other files', 'link.h5': 'link to another file', 'virtual.h5': 'lie in other files', 'through.h5': 'no images', 'around.h5': 'no images', 'huge.h5': 'promises', 'unwritten.h5': 'promises', 'wide.h5': 'promises',
        'chunk.h5': 'promises', 'chunks.h5': 'chunks', 'strings.h5': 'holds objects', 'compound.h5': 'holds objects', 'labels.h5': 'promises', 'packed.h5': 'promises', 'filter.h5': 'filter'}

def pickles(d):
    "As `archives`"
    one = np.zeros((4,8,8), 'u1')
    lists,tuples = [0]*10,(0,)*10
    for _ in range(9): lists,tuples = [lists]*10,(tuples,)*10
    key = ()
    for _ in range(60): key = (key,key)
    sound = pickle.dumps((one, np.arange(4)), 2)
    text = b'c_codecs\nencode\nq\0(X'+struct.pack('<I', 10**6)+b'a'*10**6+b'q\1X\6\0\0\0latin1q\2tq\3R'
    made = dict(images=pickle.dumps(dict(images=lists, ans=[0])), labels=pickle.dumps(dict(images=one, ans=lists)), tuples=pickle.dumps((one, tuples)), memo=b'\x80\x02]r'+struct.pack('<I', 2**27)+b'.',
        binbytes=b'\x80\x04\x8e'+struct.pack('<Q', 2**40)+b'ab.', bytearray=b'\x80\x05\x96'+struct.pack('<Q', 2**33)+b'ab.', frame=b'\x80\x04\x95'+struct.pack('<Q', 2**34)+b'K\1.', text4=b'\x80\x02X'+struct.pack('<I', 2**32-1)+b'a.',
        long4=b'\x80\x02\x8b'+struct.pack('<i', 2**31-1)+b'ab.', digits=b'L'+b'9'*10**6+b'L\n.', minus=b'\x80\x02\x8b'+struct.pack('<i', -5)+b'ab.', key=b'\x80\x02}'+pickle.dumps(key, 2)[2:-1]+b'K\1s.', sets=b'\x80\x04\x8f(K\1\x90.',
        steps=b'\x80\x02('+b']'*600_000+b't.', dup=b'\x80\x02]'+b'2\x86'*300_000+b'.', again=b'\x80\x02'+text+b'0h\0h\3R'*2000+b'.', shape=sound.replace(b'K\4K\x08K\x08', b'J\xff\xff\xff\x7fK\x08K\x08'),
        many=pickle.dumps((one, [[0]*5000]*5000)), words=pickle.dumps((one, ['x'*10**6]*10**5)), arrays=pickle.dumps((one, [np.zeros(10**6)]*10**5)), getstate=b'\x80\x02]'+b'(K\1d'*100_000+b'.')
    for k,v in made.items(): (d/f'{k}.pkl').write_bytes(v)
    return {f'{k}.pkl': '' for k in made}

reading = """
import json,os,time,warnings
from damage import leave,most_mb
warnings.simplefilter('ignore')
from galfast.base.core import GalfastError
from galfast.base.arrays import hdf5_blocks
from galfast.base.labelled import LabelledImages,convert_pickle
base = leave(4)
ways = dict(read=lambda f: LabelledImages(f).read(), catalog=lambda f: LabelledImages(f).catalog(), blocks=lambda f: sum(map(len, hdf5_blocks(f))))
for f in sorted(os.listdir()):
    for way,read in ways.items() if f.endswith(('.npz','.h5')) else [('convert', lambda f: convert_pickle(f, 'out.npz'))] if f.endswith('.pkl') else []:
        t,word = time.perf_counter(),'READ'
        try: read(f)
        except GalfastError as e: word = str(e)
        except BaseException as e: word = f'EXC {type(e).__name__} {e}'
        print(json.dumps([f, way, word[:300], time.perf_counter()-t, most_mb()-base]), flush=True)
"""

def test_arrays_made_to_do_harm(tmp_path):
    (tmp_path/'in').mkdir()
    want = {k: v for make in (archives,hdf5,pickles) for k,v in make(tmp_path/'in').items()}
    (tmp_path/'read_all.py').write_text(reading)
    r = run([tmp_path/'read_all.py'], cwd=tmp_path/'in')
    assert r.returncode==0, r.stderr[-2000:]
    got = [json.loads(o) for o in r.stdout.splitlines()]
    assert {f for f,*_ in got}==set(want)
    for f,way,word,seconds,mb in got:
        assert not word.startswith('EXC') and seconds<8 and mb<600, (f, way, word, seconds, mb)
        if way!='blocks': assert word!='READ' and f in word and want[f] in word and 0<len(word)<300, (f, way, word)
    assert not (tmp_path/'in/out.npz').exists()

def test_damaged_arrays():
    r = run([damage, 'npz,npz_stored,hdf5,hdf5_gzip,pickle,pickle2,pickle0', n_soak, 1], seconds=60+n_soak)
    assert r.returncode==0, r.stderr[-500:]
    res = json.loads(r.stdout.splitlines()[-1])
    for k,v in res['kinds'].items(): assert not v['wrong'] and v['slowest']<10 and v['refused']>n_soak//4, (k, v)
    assert res['peak_mb']<800
    print(json.dumps(res))
