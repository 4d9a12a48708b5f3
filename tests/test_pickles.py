"Pickles that would run programs when they are read"
import codecs,os,pickle,pickletools,subprocess

import numpy as np,pandas as pd,pytest

from galfast.base.core import ImageError
from galfast.base.labelled import LabelledImages,convert_pickle

rng = np.random.default_rng(1)
x,y = rng.integers(0, 256, (37,20,20,3), np.uint8),rng.integers(0, 10, 37).astype(np.uint8)

def read(p): return LabelledImages(p).read()

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
        i,l,_ = read(p)
        np.testing.assert_array_equal(i, a); assert (l==y).all()

def test_old_and_scalar_pickles(tmp_path):
    "What NumPy 1 and Python 2 wrote"
    data = pickle.dumps((x,y), 2).replace(b'numpy._core', b'numpy.core')
    assert b'numpy._core' not in data and (read(convert(tmp_path, data))[1]==y).all()
    py2 = b"(dp0\nS'images'\np1\n"+b"cnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\nRp7\n(I1\n(I2\nI2\nI2\ntp8\n"\
        b"cnumpy\ndtype\np9\n(S'u1'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'|'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\nS'\\x01\\x02\\x03\\xff\\x05\\x06\\x07\\x08'\np15\ntp16\nbsS'ans'\np17\n(lp18\nI1\naI0\nas."
    i,l,_ = read(convert(tmp_path, py2))
    assert i.ravel().tolist()==[1,2,3,255,5,6,7,8] and l.tolist()==[1,0]
    assert read(convert(tmp_path, pickle.dumps((x[:2],[np.uint8(3),np.int64(4)]))))[1].tolist()==[3,4]

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
                     ('numpy','load'),('numpy.core.multiarray','fromfile'),('galfast.base.labelled','convert_pickle'),('copyreg','_reconstructor'),('numpy','core'),('numpy.testing','rundocs')):
        for data in (f'c{mod}\n{name}\n.'.encode(), b'\x80\x04\x8c'+bytes([len(mod)])+mod.encode()+b'\x8c'+bytes([len(name)])+name.encode()+b'\x93.'):
            with pytest.raises(ImageError, match='holds the name'): convert(tmp_path, data)
    good = pickle.dumps((x,y), 2)
    # BUILD on a name itself: the function is a new one for each use, so the next pickle is read as ever
    for state in (b"}X\x04\x00\x00\x00codeX\x01\x00\x00\x00ys", b"N}X\x0c\x00\x00\x00__defaults__NX\x0a\x00\x00\x00__kwdict__N\x86s\x86"):
        with pytest.raises(ImageError): convert(tmp_path, b'\x80\x02cnumpy\ndtype\n'+state+b'b.')
        assert (read(convert(tmp_path, good))[1]==y).all()

@pytest.mark.parametrize('data', [b'',b'.',b'\x80\x04',b'garbage',pickle.dumps((x,y))[:-500],pickle.dumps(5),pickle.dumps('text'),pickle.dumps((x,y,x)),pickle.dumps(dict(a=x)),pickle.dumps(dict(images=x)),
    pickle.dumps(dict(images='text', ans=y)),pickle.dumps((x.tolist(),y)),pickle.dumps((x,y[:-1])),b'Pid\n.',b'\x82\x01.',b'cnumpy\nndarray\n(tR.',b'cnumpy\ndtype\n(tR.',
    pickle.dumps((x,y), 2).replace(b'K%', b'J\xff\xff\xff\x7f')])
def test_pickles_that_are_not_such(tmp_path, data):
    with pytest.raises(ImageError): convert(tmp_path, data)
    assert not (tmp_path/'a.npz').exists()
