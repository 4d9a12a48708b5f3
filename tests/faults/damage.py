"Files that are damaged by a generator, and the long run over them: `python tests/faults/damage.py KINDS N SEED`"
import importlib,io,json,os,re,resource,subprocess,sys,time,warnings
from pathlib import Path

import numpy as np

root = Path(__file__).parent.parent.parent

def damage(b, rng):
    "`b` with one to three faults, of the kinds that disks, networks and people make"
    b = bytearray(b)
    for _ in range(rng.integers(1, 4)):
        n,head = len(b),rng.random()<.5
        at = int(rng.integers(min(n, 300) if head else n)) if n else 0
        match rng.integers(6):
            case 0:
                for i in rng.integers(0, max(min(n, 300) if head else n, 1), rng.integers(1, 9)): b[i:i+1] = bytes(o^(1<<int(rng.integers(8))) for o in b[i:i+1])
            case 1: del b[at:]
            case 2: del b[at:at+int(rng.integers(1, 64))]
            case 3: b[at:at] = b[at:at+int(rng.integers(1, 64))]
            case 4: b[at:at+4] = [b'\0\0\0\0',b'\xff\xff\xff\xff',b'\x7f\xff\xff\xff',b'\xff\xff\xff\x7f',b'\0\1\0\0'][rng.integers(5)][:max(n-at, 0)]
            case 5: b[at:at+16] = rng.bytes(min(16, max(n-at, 0)))
    return bytes(b)

def scene(h=61, w=83, dtype='u1', seed=0):
    y,x = np.mgrid[:h,:w]
    a = np.stack([200*np.exp(-((y-h/2)**2+(x-w/2)**2)/k) for k in (90,140,200)], -1)
    return ((a+np.random.default_rng(seed).normal(20, 6, a.shape)).clip(0, 255)*(1 if dtype=='u1' else 200)).astype(dtype)

def _saved(x, kind, mode=None, **kw):
    from PIL import Image
    im,out = Image.fromarray(x),io.BytesIO()
    (im.convert(mode) if mode else im).save(out, kind, **kw)
    return out.getvalue()

def pictures():
    "Name -> bytes of a sound picture"
    a,deep = scene(),scene(dtype='u2')[...,0]
    return dict(jpeg=_saved(a, 'JPEG'), progressive=_saved(a, 'JPEG', progressive=True), grey=_saved(a, 'JPEG', 'L'), cmyk=_saved(a, 'JPEG', 'CMYK'),
        png=_saved(a, 'PNG'), png16=_saved(deep, 'PNG'), palette=_saved(a, 'PNG', 'P'), alpha=_saved(a, 'PNG', 'RGBA'),
        tiff=_saved(a, 'TIFF'), tiff_lzw=_saved(a, 'TIFF', compression='tiff_lzw'), tiff_deflate=_saved(a, 'TIFF', compression='tiff_adobe_deflate'), tiff_jpeg=_saved(a, 'TIFF', compression='jpeg'),
        tiff16=_saved(deep, 'TIFF'), tiff_float=_saved(deep.astype('f4')/7, 'TIFF'), webp=_saved(a, 'WEBP'), webp_lossless=_saved(a, 'WEBP', lossless=True))

def _read_picture(f):
    from galfast.images.reader import ImageReader
    return ImageReader('rgb', native='any')(f).numpy()

def _read_numbers(f):
    from galfast.images.reader import ImageReader
    return ImageReader('deep', native='any')(f).numpy()

def arrays():
    "Name -> (bytes of a sound file of arrays, how its name ends)"
    import h5py,pickle
    x,y,res = np.stack([scene(20, 20, seed=i) for i in range(12)]),np.arange(12)%5,{}
    for k,save in dict(npz=np.savez_compressed, npz_stored=np.savez).items():
        out = io.BytesIO()
        save(out, images=x, ans=y)
        res[k] = out.getvalue(),'.npz'
    for k,kw in dict(hdf5={}, hdf5_gzip=dict(chunks=(5,10,10,1), compression='gzip', shuffle=True, fletcher32=True)).items():
        out = io.BytesIO()
        with h5py.File(out, 'w') as f: f['ans'] = y; f.create_dataset('images', data=x, **kw)
        res[k] = out.getvalue(),'.h5'
    return res | {f"pickle{p if p<5 else ''}": (pickle.dumps(dict(images=x, ans=y, more=[1,'text',None]), p), '.pkl') for p in (0,2,5)}

def _read_arrays(f):
    from galfast.base.labelled import LabelledImages,convert_pickle
    if f.suffix=='.pkl': f = convert_pickle(f, f.with_suffix('.npz'))
    return list(LabelledImages(f).read())

def tables():
    "Name -> (bytes of a sound table, how its name ends)"
    import pandas as pd,tempfile
    from galfast.base.tables import write_table
    df,res = pd.DataFrame(dict(objID=[f'12376450000{i:04}' for i in range(60)], z=np.arange(60)/7, n=range(60), word=['a','b','ccc']*20)),{}
    with tempfile.TemporaryDirectory() as d:
        for k,end in dict(csv='.csv', csv_gz='.csv.gz', ecsv='.ecsv', parquet='.parquet', fits_table='.fits', xlsx='.xlsx').items(): res[k] = write_table(df, Path(d)/f't{end}').read_bytes(),end
    return res

def _read_table(f):
    from galfast.base.tables import read_catalog
    return read_catalog(f).to_json()

def makers():
    "Kind -> (bytes of a sound file, how its name ends, how it is read)"
    return {k: (*v, _read_arrays) for k,v in arrays().items()} | {k: (*v, _read_table) for k,v in tables().items()} | {k: (v, '.jpg', _read_numbers if k in ('png16','tiff16','tiff_float') else _read_picture) for k,v in pictures().items()}

class Refused(str): "What a reader said"

def soak(kinds, n, seed, folder):
    "Read `n` damaged files of each kind; what came of them, as a dict"
    from galfast.base.core import GalfastError
    made,res = makers(),{}
    for kind in kinds:
        whole,end,read = made[kind]
        rng,f,r = np.random.default_rng([seed, *kind.encode()]),Path(folder)/f'a{end}',dict(read=0, refused=0, wrong=[], slowest=0.)
        for i in range(n):
            f.write_bytes(damage(whole, rng))
            print(kind, i, file=sys.stderr)
            got,t = [],time.perf_counter()
            for _ in range(2):
                try: got.append(read(f))
                except GalfastError as e: got.append(Refused(str(e)))
                except BaseException as e: got.append(None); r['wrong'].append(f'{i}: {type(e).__name__} {str(e)[:80]}')
            r['slowest'] = max(r['slowest'], (time.perf_counter()-t)/2)
            if isinstance(got[0], Refused) or isinstance(got[1], Refused):
                r['refused'] += 1
                if not isinstance(got[0], Refused) or not isinstance(got[1], Refused): r['wrong'].append(f'{i}: once read, once refused')
            elif got[0] is not None:
                r['read'] += 1
                if not same(*got): r['wrong'].append(f'{i}: other pixels the second time')
        res[kind] = dict(r, wrong=r['wrong'][:20])
    return res

def same(a, b):
    if isinstance(a, np.ndarray): return a.shape==b.shape and a.dtype==b.dtype and a.tobytes()==b.tobytes()
    return len(a)==len(b) and all(same(x, y) for x,y in zip(a, b)) if isinstance(a, (list,tuple)) else a==b

def leave(gb):
    "From here on this process may take so much more memory; what it has taken at most, MB"
    with open('/proc/self/statm') as f: now = int(f.read().split()[0])*resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now+int(gb*2**30),)*2)
    return most_mb()

def most_mb():
    "The memory that this process has taken at most, MB; `ru_maxrss` would count that of the process which started it"
    with open('/proc/self/status') as f: return int(re.search(r'VmHWM:\s*(\d+)', f.read())[1])/1024

def run(args, seconds=120, **kw):
    "Run Python with `args`"
    env = {**os.environ, 'PYTHONPATH': f'{root}:{Path(__file__).parent}', 'OMP_NUM_THREADS': '1'}
    return subprocess.run([sys.executable, '-W', 'ignore', *map(str, args)], capture_output=True, text=True, timeout=seconds, env=env, errors='replace', **kw)

if __name__=='__main__':
    warnings.simplefilter('ignore')
    kinds,n,seed = sys.argv[1].split(','),int(sys.argv[2]),int(sys.argv[3])
    import tempfile
    for o in ('base.labelled','images.reader','base.tables'): importlib.import_module(f'galfast.{o}') # what libraries take is not what files take
    base = leave(4)
    with tempfile.TemporaryDirectory() as d:
        t = time.perf_counter()
        res = soak([*makers()] if kinds==['all'] else kinds, n, seed, d)
        print(json.dumps(dict(kinds=res, seconds=time.perf_counter()-t, peak_mb=round(most_mb()-base))))
