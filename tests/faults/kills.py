"""Train again and again in children of this process, kill them with SIGKILL at chosen moments, go on, and compare

`python kills.py FOLDER N`: prints a JSON list of what was wrong, and how many were killed where"""
import json,os,random,shutil,signal,sys,time
from collections import Counter
from pathlib import Path

import torch
torch.set_num_threads(1) # threads do not outlive a fork

from galfast.sim.galaxies import sim_survey
from galfast.train import train_galaxies

def child(f):
    "Run `f` in a child; its number"
    pid = os.fork()
    if pid: return pid
    code = 1
    try:
        f()
        code = 0
    except BaseException as e: print(f'child: {type(e).__name__}: {e}', file=sys.stderr, flush=True)
    finally: os._exit(code)

def die_at(k, counted):
    "Kill this process at its `k`th change of a name, before it or after it; `counted` is a file that is told of each"
    n = [0]
    def _dying(was):
        def _inner(*args, **kw):
            n[0] += 1
            if counted: Path(counted).write_text(str(n[0]))
            if k==2*n[0]: os.kill(os.getpid(), signal.SIGKILL)
            res = was(*args, **kw)
            if k==2*n[0]+1: os.kill(os.getpid(), signal.SIGKILL)
            return res
        return _inner
    for o in ('replace','unlink','rmdir'): setattr(os, o, _dying(getattr(os, o)))

def killed_after(f, seconds):
    "Is a child that runs `f` still at work after `seconds`? Then it is killed"
    pid,end = child(f),time.monotonic()+seconds
    while time.monotonic()<end:
        if os.waitpid(pid, os.WNOHANG)[0]: return False
        time.sleep(.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return True

def status(f): return os.waitpid(child(f), 0)[1]

def contents(run):
    "Name -> bytes of what has to be the same; other files by name alone"
    return {o.name: o.read_bytes() if o.name in ('model.safetensors','predictions.csv','metrics.json','history.csv') else None for o in run.iterdir()}

def main(folder, n):
    folder,rng = Path(folder),random.Random(0)
    df = sim_survey(folder, 24, size=32, seed=1)
    def train(out, k=None, counted=None):
        "A function that trains into `out`"
        def _inner():
            if k or counted: die_at(k, counted)
            train_galaxies(df, folder/'images', 'metallicity', out, size=24, epochs=3, members=2, device='cpu', resume=True)
        return _inner
    t = time.monotonic()
    if status(train(folder/'whole', counted=folder/'counted')): return ['the whole run failed'],{}
    whole,took,changes = contents(folder/'whole'),time.monotonic()-t,int((folder/'counted').read_text())
    wrong,where = [],Counter()
    for i in range(n):
        out,twice = folder/f'run{i}',i%2+1
        for j in range(twice):
            at = (i+rng.random())/n if j==0 else rng.random()*(1-i/n) # what is left to do is less
            if i%4<2: hit = killed_after(train(out), took*at)
            else: hit = status(train(out, 2+int(2*changes*at)))==signal.SIGKILL
            where[_stage(out) if hit else 'not killed'] += 1
        if code := status(train(out)): wrong.append(f'{i}: going on ended with {code}')
        elif contents(out)!=whole: wrong.append(f'{i}: other files: {_differ(contents(out), whole)}')
        else: shutil.rmtree(out)
    return wrong,where

def _stage(out):
    "What the folder of a killed run holds"
    nets = len(list(out.glob('checkpoint/*.safetensors')))
    if (out/'config.json').exists(): return 'written'
    if (out/'checkpoint/new').exists(): return 'writing'
    return f'{nets} networks begun'

def _differ(a, b): return sorted(k for k in {**a, **b} if k not in a or k not in b or a[k]!=b[k])

if __name__=='__main__':
    wrong,where = main(sys.argv[1], int(sys.argv[2]))
    print(json.dumps(dict(wrong=wrong, where=where)))
