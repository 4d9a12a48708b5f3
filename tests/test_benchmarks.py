"The benchmarks run, and write what their readers expect"
import json,subprocess,sys
from pathlib import Path

bench = Path(__file__).parent.parent/'benchmarks'

def test_benchmarks_run(tmp_path):
    names = ['loading-crops', 'packing', 'fits-reading']
    r = subprocess.run([sys.executable, '-W', 'ignore', bench/'speed.py', *names, '--n', '200', '--out', tmp_path], capture_output=True, text=True)
    assert r.returncode==0, r.stderr[-2000:]
    for k in names:
        o = json.loads((tmp_path/f'{k}.json').read_text())
        assert list(o)[:7]==['name','galfast','baseline','ratio','unit','n','device'] and o['name']==k and o['ratio']>0 and f'| {k} |' in r.stdout

def test_unknown_benchmark():
    r = subprocess.run([sys.executable, '-W', 'ignore', bench/'speed.py', 'nope'], capture_output=True, text=True)
    assert r.returncode==2 and 'no benchmark is called nope' in r.stderr

def gpu(tmp_path, *args):
    r = subprocess.run([sys.executable, '-W', 'ignore', bench/'gpu.py', '--device', 'cpu', '--tiny', '--minutes', '60', '--out', tmp_path, *args], capture_output=True, text=True)
    assert r.returncode==0, (r.stdout+r.stderr)[-3000:]
    return json.loads((tmp_path/'gpu.json').read_text()),r.stdout

def test_all_of_the_gpu_benchmark_on_a_processor(tmp_path):
    res,text = gpu(tmp_path)
    assert res['device']=='cpu' and res['torch'] and res['date'] and res['failed']==[] and 'card' in res
    for k in ('cutouts','tests','formats','loader','story-galfast','story-plain','predict','photometry'):
        assert json.loads((tmp_path/f'{k}.json').read_text())==res[k] and 'error' not in res[k] and f' s] {k}: ' in text
    a,b = res['story-galfast'],res['story-plain']
    assert all(a[k]==b[k] for k in ('n','epochs','arch','bs','augment')) and min(a['images_per_s'], b['images_per_s'], a['rmse'], b['rmse'], a['host_MB'], b['host_MB'])>0
    assert res['tests']['passed']>5 and res['tests']['failed']==0 and res['formats']['float32']['images_per_s']>0 and res['loader']['plain']['who']

def test_the_gpu_benchmark_without_packages_that_it_can_do_without(tmp_path):
    "As on a machine with fastai alone: they are not found, and what stands in for them is enough"
    code = """if True:
        import importlib.util, sys
        sys.path.insert(0, sys.argv.pop(1))
        names = 'simplejpeg','astropy','h5py','safetensors'
        find = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *args: None if name in names else find(name, *args)
        import gpu
        used = gpu.StandIns.__init__
        def first(self):
            used(self)
            sys.meta_path.insert(0, self)
        gpu.StandIns.__init__ = first
        raise SystemExit(gpu.main())"""
    args = '--device','cpu','--tiny','--minutes','60','--out',tmp_path,'--parts','cutouts','story-galfast'
    r = subprocess.run([sys.executable, '-W', 'ignore', '-c', code, bench, *args], capture_output=True, text=True)
    assert r.returncode==0, (r.stdout+r.stderr)[-3000:]
    res = json.loads((tmp_path/'gpu.json').read_text())
    assert 'PIL' in r.stdout and res['not_installed']==['simplejpeg','astropy','h5py','safetensors'] and res['story-galfast']['rmse']>0
