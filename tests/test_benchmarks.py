"The benchmarks run, and write what their readers expect"
import json,subprocess,sys
from pathlib import Path

def test_benchmarks_run(tmp_path):
    names = ['loading-crops', 'packing', 'fits-reading']
    r = subprocess.run([sys.executable, '-W', 'ignore', Path(__file__).parent.parent/'benchmarks'/'speed.py', *names, '--n', '200', '--out', tmp_path], capture_output=True, text=True)
    assert r.returncode==0, r.stderr[-2000:]
    for k in names:
        o = json.loads((tmp_path/f'{k}.json').read_text())
        assert list(o)[:7]==['name','galfast','baseline','ratio','unit','n','device'] and o['name']==k and o['ratio']>0 and f'| {k} |' in r.stdout

def test_unknown_benchmark():
    r = subprocess.run([sys.executable, '-W', 'ignore', Path(__file__).parent.parent/'benchmarks'/'speed.py', 'nope'], capture_output=True, text=True)
    assert r.returncode==2 and 'no benchmark is called nope' in r.stderr
