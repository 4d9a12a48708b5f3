"""What the frozen runs say: `python tests/frozen/answer.py FOLDER` writes their predictions and metrics.

With the environment of `same_bits` these are the same to the bit on any processor of x86-64."""
import importlib.metadata,json,os,platform,subprocess,sys,tempfile
from contextlib import contextmanager
from pathlib import Path

frozen = Path(__file__).resolve().parent
one_view = '-one-view' # End of the names of tables that were made without --tta
format_2 = 'regression','classes','labels','votes','mixed','table','by-hand','window' # Runs that are there in format 2, too
of_timm = 'large-test_resnet','large-test_vit','large-multimodal'

def same_bits()->dict:
    "An environment in which no library chooses its instructions by the processor"
    from numpy._core._multiarray_umath import __cpu_dispatch__,__cpu_features__
    of_numpy = [k for k in __cpu_dispatch__ if __cpu_features__.get(k)]
    fixed = dict(ATEN_CPU_CAPABILITY='default', MKL_CBWR='COMPATIBLE', MKL_ENABLE_INSTRUCTIONS='SSE4_2',
                 ONEDNN_MAX_CPU_ISA='SSE41', OPENBLAS_CORETYPE='Nehalem', NPY_DISABLE_CPU_FEATURES=' '.join(of_numpy),
                 GLIBC_TUNABLES='glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX,-FMA,-FMA4')
    one_thread = {f'{o}_NUM_THREADS': '1' for o in ('OMP','MKL','OPENBLAS')}
    return os.environ|fixed|one_thread|dict(PYTHONPATH=str(frozen.parents[1]), CUDA_VISIBLE_DEVICES='')

def versions()->dict:
    "What bits depend on, beside the processor's own"
    import torch
    names = 'torchvision numpy scipy scikit-learn pandas pillow simplejpeg astropy fastai timm'.split()
    def _version(o):
        try: return importlib.metadata.version(o)
        except importlib.metadata.PackageNotFoundError: return None
    system = dict(machine=platform.machine(), system=platform.system(), libc=' '.join(platform.libc_ver()))
    return dict(torch=str(torch.__version__)) | {o: _version(o) for o in names} | system

def runs()->dict:
    "Name of a run -> `images` (folder), `rows` (of the catalogue), `arrays` (are the images given in memory?)"
    return json.loads((frozen/'fixtures.json').read_text())

def run_folder(name, tmp)->Path:
    "The folder of a run; of one whose weights are not kept, a copy in `tmp` that has them"
    d,new = frozen/'runs'/name,Path(tmp)/name
    if not (d/'weights.json').exists(): return d
    new.mkdir()
    (new/'config.json').write_bytes((d/'config.json').read_bytes())
    (new/'model.safetensors').write_bytes(seeded_weights(**json.loads((d/'weights.json').read_text())))
    return new

def seeded_weights(seed, shapes, given)->bytes:
    "Weights at random, of the size that keeps the numbers in a network what they are"
    import numpy as np
    from safetensors.numpy import save
    rng,res = np.random.default_rng(seed),{}
    for k,(dtype,shape) in shapes.items():
        fan_in = int(np.prod(shape[1:])) if len(shape)>1 else 1
        x = rng.random(shape) # float64, from 0 to 1
        if k in given: x = np.reshape(given[k], shape)
        elif len(shape)>1: x = (2*x-1)*(6/fan_in)**.5
        elif k.endswith('weight') or k.endswith('var'): x = .75+.5*x
        else: x = .2*x-.1
        res[k] = np.asarray(x, dtype)
    return save(res)

def catalog():
    import pandas as pd
    return pd.read_csv(frozen/'catalog.csv', dtype=dict(objID=str, name=str))

def pixels(ids):
    "The FITS images as an array, as `make.py` gave them to the training"
    import numpy as np
    from astropy.io import fits
    return np.stack([np.nan_to_num(fits.getdata(frozen/'fits'/f'{o}.fits')).astype('f4') for o in ids])

def stamps(x): return x[:,1:2,8:-8,8:-8]

def predictions(run, name, images, rows, arrays, tta):
    "The table of predictions of `run`"
    import galfast as gf
    df = catalog()[:rows]
    if not arrays: return gf.predict_catalog(run, df, frozen/images, tta=tta, device='cpu', fast=False)
    x = pixels(df.objID)
    return gf.predict_arrays(run, stamps(x) if name=='stamps' else x, ids=df.objID, tta=tta, device='cpu')

def metrics(table, run)->list:
    "What `galfast evaluate` says of a table of predictions"
    import galfast as gf
    cfg = json.loads((run/'config.json').read_text())
    targets = [c.removesuffix('_pred') for c in table if c.endswith('_pred')]
    res = gf.evaluate_predictions(table, catalog(), targets, cfg['id_col'], cfg['spec']['task'], n_boot=100)
    return json.loads(res.to_json(orient='records', double_precision=15))

@contextmanager
def in_float32():
    "Networks in float32, whatever is faster on this machine"
    from galfast.training import fast
    best,fast.best_math = fast.best_math,lambda *a, **k: fast.MathChoice()
    try: yield
    finally: fast.best_math = best

def command(*args):
    "What `galfast` does in a terminal"
    from galfast.cli import main
    sys.argv = ['galfast', *map(str, args)]
    try: main()
    except SystemExit as e: assert not e.code, e.code

def write_runs(out, tmp):
    "Predictions, with eight views and with one, and metrics of every frozen run"
    import galfast as gf
    scores,said = {},{}
    for name,how in runs().items():
        if name in of_timm and not versions()['timm']: continue
        run = gf.load_run(run_folder(name, tmp), 'cpu')
        said[name] = str(run)
        for tta in (True,False):
            table = predictions(run, name, tta=tta, **how)
            table.to_csv(out/f"{name}{'' if tta else one_view}.csv", index=False)
            if tta and how['rows']>3: scores[name] = metrics(table, frozen/'runs'/name)
    for name in format_2:
        table = predictions(gf.load_run(frozen/'format2'/name, 'cpu'), name, tta=True, **runs()[name])
        table.to_csv(out/f'{name}-format2.csv', index=False)
    for k,o in dict(metrics=scores, print=said).items(): (out/f'{k}.json').write_text(json.dumps(o, indent=1)+'\n')

def write_commands(out):
    "What the commands write of one of the runs"
    labels = frozen/'catalog.csv'
    what = frozen/'runs'/'regression',labels,'--images',frozen/'images','--device','cpu','--out'
    command('predict', *what, out/'command.csv')
    command('predict', *what, out/f'command{one_view}.csv', '--no-tta')
    command('evaluate', out/'command.csv', labels, '--target', 'oh', '--out', out/'command-metrics.csv')

def write_all(out):
    import torch
    torch.backends.mkldnn.set_flags(False) # its blocks are as large as the processor's caches
    torch.backends.nnpack.set_flags(False)
    with tempfile.TemporaryDirectory() as tmp, in_float32():
        write_runs(Path(out), tmp)
        write_commands(Path(out))

def answer(out, env)->subprocess.Popen:
    "Run this file in a process of its own, with the environment `env`; its words go to `log.txt` in `out`"
    Path(out).mkdir(parents=True, exist_ok=True)
    cmd = [sys.executable, '-W', 'ignore', __file__, str(out)]
    with open(Path(out)/'log.txt', 'w') as f: return subprocess.Popen(cmd, env=env, stdout=f, stderr=subprocess.STDOUT)

def write_answers():
    "Freeze what the runs say now"
    d = frozen/'answers'
    if answer(d, same_bits()).wait(): raise SystemExit((d/'log.txt').read_text())
    for o in ('print.json','log.txt'): (d/o).unlink()
    (frozen/'versions.json').write_text(json.dumps(versions(), indent=1)+'\n')

if __name__=='__main__': write_all(sys.argv[1])
