"""All of galfast's figures on a GPU in one go, beside plain fastai on the same card

    python benchmarks/gpu.py [--minutes 8] [--device cuda] [--out DIR]
    python benchmarks/gpu.py --device cpu --small       # all of it on a processor in two minutes

Needs Python 3.10 or later, fastai with what it depends on, and this source tree; nothing has to be installed, nothing is read from the
network. Each part runs in a process of its own: one that fails or takes too long leaves the others alone. What is found is written to
DIR/PART.json as it comes, and all together, with the card, its driver and the date, to DIR/gpu.json. The time is shared out: what does
not fit is made smaller, and says so under `shrunk`."""
import argparse,importlib.abc,importlib.machinery,importlib.util,json,multiprocessing,os,platform,subprocess,sys,tempfile,time,traceback,warnings
from datetime import datetime,timezone
from importlib.metadata import version
from pathlib import Path

root = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(root), str(root/'benchmarks')]
start = time.monotonic()

class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    "Modules in the place of packages that are not installed and that these benchmarks can do without"
    optional = 'simplejpeg','astropy','h5py','safetensors'
    def __init__(self): self.missing = [o for o in self.optional if importlib.util.find_spec(o) is None]
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in self.missing: return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec): return None
    def exec_module(self, module):
        def _lacks(*args, **kwargs): raise ValueError(f"{module.__name__} is not installed")
        module.__getattr__ = lambda k: _refuse(module.__name__, k, _lacks)

def _refuse(module, name, lacks):
    if name.startswith('__'): raise AttributeError(f"{module} has no {name}") # what Python itself asks modules for
    return lacks

def say(text): print(f"[{time.monotonic()-start:4.0f} s] {text}", flush=True)

weights = {'cutouts': 8, 'tests': 8, 'formats': 8, 'loader': 8, 'story-galfast': 25, 'story-plain': 30, 'predict': 8, 'photometry': 5} # Shares of the time
sizes = dict(full=dict(n=130_000, epochs=7, arch='xresnet34', sa=True, bs=128, window=144, size=112, workers=None, steps=30),
             small=dict(n=400, epochs=1, arch='xresnet18', sa=False, bs=32, window=72, size=56, workers=None, steps=4),
             tiny=dict(n=60, epochs=1, arch='xresnet18', sa=False, bs=16, window=40, size=32, workers=0, steps=1))

def load_parts():
    "The parts, with all that they need imported once in a process"
    if 'gpu_parts' not in sys.modules:
        sys.meta_path.append(StandIns())
        warnings.filterwarnings('ignore')
    import gpu_parts
    return gpu_parts.parts

def run_part(name, o, out):
    "In a process of its own: what a part finds, in a file as it comes"
    res,t0 = {},time.monotonic()
    def save(**found):
        res.update({k: rounded(v) for k,v in found.items()})
        write(out/f'{name}.json', dict(part=name, part_s=round(time.monotonic()-t0, 1), **res))
    try: load_parts()[name](o, save)
    except BaseException as e:
        save(error=f'{type(e).__name__}: {e}', traceback=traceback.format_exc()[-2000:])
    else: save()

def rounded(v):
    if isinstance(v, float): return float(f'{v:.4g}')
    if isinstance(v, dict): return {k: rounded(x) for k,x in v.items()}
    return [rounded(x) for x in v] if isinstance(v, list) else v

def write(path, res):
    "JSON, whole or not at all"
    tmp = path.with_suffix('.tmp')
    tmp.write_text(json.dumps(res, indent=1)+'\n')
    os.replace(tmp, path)

def machine(device):
    "The card, its driver and the versions"
    res = dict(date=datetime.now(timezone.utc).isoformat(timespec='seconds'), python=platform.python_version(), torch=version('torch'), fastai=version('fastai'), cpus=os.cpu_count(), device=device) # noqa: UP017
    ask = 'nvidia-smi','--query-gpu=name,driver_version,memory.total','--format=csv,noheader'
    try: res['card'] = subprocess.run(ask, capture_output=True, text=True, timeout=30, check=True).stdout.strip().splitlines()
    except (OSError,subprocess.SubprocessError): res['card'] = None
    return res

def plan(o, out, left):
    "How many galaxies both stories can have in `left` seconds, by what the loader measured"
    n = read(out/'cutouts.json').get('n', o['n'])
    rates = [read(out/'loader.json').get(k, {}).get('images_per_s') for k in ('galfast','plain')]
    if not all(rates): return n,False
    each = o['epochs']*(.8+.2/3)*sum(1/r for r in rates) # a fifth is validated, at a third of the cost
    fits = int(.8*left/each)
    return max(min(n, fits), min(n, 10*o['bs'])),fits<n

def read(path): return json.loads(path.read_text()) if path.is_file() else {}

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--minutes', type=float, default=8., help='for all of it')
    p.add_argument('--device', default='cuda')
    p.add_argument('--small', action='store_true', help='a few hundred galaxies and one epoch')
    p.add_argument('--tiny', action='store_true', help='only whether it runs')
    p.add_argument('--n', type=int, help='galaxies')
    p.add_argument('--out', type=Path, default=Path('gpu-results'), help='folder of the results')
    p.add_argument('--parts', nargs='+', choices=weights, default=list(weights), help=', '.join(weights))
    a = p.parse_args()
    size = 'tiny' if a.tiny else 'small' if a.small else 'full'
    o = dict(sizes[size], device=a.device, shrunk=False, start=start)
    if a.n: o['n'] = a.n
    a.out.mkdir(parents=True, exist_ok=True)
    for k in weights: (a.out/f'{k}.json').unlink(missing_ok=True)
    o['missing'] = missing = StandIns().missing
    if missing: say(f"not installed, done without: {', '.join(missing)}" + (' (JPEGs are decoded by PIL, which is slower)' if 'simplejpeg' in missing else ''))
    o['method'] = 'fork' if a.device=='cpu' else 'spawn' # fastai touches the card when it is imported, and after that no process can be forked
    if o['method']=='fork': load_parts() # once for all
    all_found = dict(**machine(a.device), size=size, minutes=a.minutes, not_installed=o['missing'])
    say(f"{', '.join(all_found['card'] or ['no card'])}; torch {all_found['torch']}")
    failed = []
    with tempfile.TemporaryDirectory() as d:
        o['data'] = d
        for i,name in enumerate(a.parts):
            left = 60*a.minutes-(time.monotonic()-start)
            rest = sum(weights[k] for k in a.parts[i:])
            o['allowance'] = max(left, 20)*weights[name]/rest
            if name.startswith('story') and 'n_story' not in o:
                share = sum(weights[k] for k in a.parts[i:] if k.startswith('story'))/rest
                o['n_story'],o['shrunk'] = plan(o, a.out, max(left, 20)*share)
            say(f"{name}: {o['allowance']:.0f} s at most" + (f", {o['n_story']:,} galaxies" if name.startswith('story') else ''))
            found = alone(name, o, a.out, limit=max(2*o['allowance'], 60))
            if 'error' in found: failed.append(name)
            say(f"{name}: {found.get('error') or summary(found)}")
            all_found[name] = found
            write(a.out/'gpu.json', dict(all_found, seconds=round(time.monotonic()-start, 1), failed=failed))
    say(f"written to {a.out/'gpu.json'}" + (f"; failed: {', '.join(failed)}" if failed else ''))
    return 1 if failed else 0

def alone(name, o, out, limit):
    "Run a part in a process of its own, and return what it found"
    process = multiprocessing.get_context(o['method']).Process(target=run_part, args=(name, o, out))
    process.start()
    process.join(limit)
    late = process.is_alive()
    if late:
        process.terminate(); process.join(10)
        if process.is_alive(): process.kill()
    found = read(out/f'{name}.json')
    if late: found['error'] = f'stopped after {limit:.0f} s; what it had found until then is kept'
    elif process.exitcode: found.setdefault('error', f'ended with {process.exitcode}')
    write(out/f'{name}.json', found)
    return found

def summary(found): return ', '.join(f"{k} {v}" for k,v in found.items() if isinstance(v, (int,float,str)) and k not in ('part',) and len(str(v))<40)

if __name__=='__main__': sys.exit(main())
