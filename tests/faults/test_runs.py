"Runs by somebody else: whatever config.json and model.safetensors say, there is a run or a sentence, soon and in little memory"
import json,os,random,shutil,struct,time

import numpy as np
import pytest
import torch
from damage import run
from safetensors.torch import save

from galfast.networks.archs import arch_config
from galfast.cli import _columns_of,_run_config
from galfast.data.columns import TableSpec
from galfast.data.heads import NumberHead
from galfast.data.targets import TargetSpec
from galfast.base.core import GalfastError,RunError
from galfast.training.answers import SpreadErr
from galfast.training.gp import GaussianProcess,fit_photometry_gp
from galfast.training.members import GalaxyModel
from galfast.training.nets import Network
from galfast.images.photometry import Photometry
from galfast.images.reader import ImageReader
from galfast.training.run import GalaxyRun,load_run,save_run

soak = int(os.environ.get('GALFAST_SOAK', 0))

def a_run(path, table=False):
    "A run with all that a run can have"
    beside = TableSpec(['m'], ['w'], [0.], [0.], [1.], ['m'], [['x','y']], facts=dict(m=dict(kind='numbers', codes=[-9999.], n=9, low=0., high=2., middle=1., scatter=.1, least=.1))) if table else None
    more = dict(n_cont=1, cat_sizes=[3,3], width=4, image_arch='galnet') if table else dict(width=4)
    net = arch_config('multimodal' if table else 'galnet', 3, 1, y_mean=[9.], y_std=[.2], **more)
    spec = TargetSpec([NumberHead(['z'], dict(z=dict(kind='words')), [9.], [.2])], err=dict(z='z_err'), err_scale=dict(z=.1))
    members = [Network.from_config(dict(net=net, view=dict(mean=[.1]*3, std=[.2]*3))) for _ in range(1 if table else 2)]
    if not table: members.append(GaussianProcess(fit_photometry_gp(Photometry(16)(torch.rand(12,3,16,16)), np.arange(12.), size=16)[0]))
    model = GalaxyModel(members, spec)
    reader = ImageReader(size=24, pattern='{objID}.jpg', native=(24,24))
    run = GalaxyRun(model.eval(), reader, calibration=SpreadErr([[.1,.2]]), table=beside, citations=['A. B. 2026'], info=dict(names=dict(z='redshift'), units={}, metrics=dict(z=dict(rmse=dict(value=1.)))))
    return save_run(run.remember(train=range(30), valid=range(30,40)), path)

@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    d = tmp_path_factory.mktemp('runs')
    return [a_run(d/'a'), a_run(d/'b', True)]

def places(o, at=()):
    "Every place in a value that JSON can hold"
    yield at
    for k,v in (o.items() if isinstance(o, dict) else enumerate(o) if isinstance(o, list) else ()): yield from places(v, (*at, k))

def put(o, at, value):
    "`o` with another value at a place; `...`: without it"
    o = json.loads(json.dumps(o))
    if not at: return value
    inner = o
    for k in at[:-1]: inner = inner[k]
    if value is ...: del inner[at[-1]]
    else: inner[at[-1]] = value
    return o

def odd_value(rng, old):
    "What somebody who means harm, or a bad disk, may write"
    deep = json.loads('['*60+']'*60)
    numbers = [0, -1, 1, 2, 3, 10**6, 10**9, 2**63, 10**30, -10**30, .5, -.5, 1e300, -1e300, 1e-320]
    text = ['', '../../../etc/passwd', '/etc/passwd', '\x1b[31mred', 'a\x00b', '\ud800', 'hf_hub:some/one', 'vit_small_patch16_224', 'xresnet50', 'vgg16', '{objID.__class__}', '{objID:>999999999}', 'x'*10**6, 'file.pth', 'мета']
    return rng.choice([None, True, False, ..., [], {}, [[]], deep, [0]*100_000, {str(i): i for i in range(5000)}, [old]*3, {'a': old}, dict(arch='galnet', n_in=3, n_out=1, pretrained=True), *numbers, *text])

def odd_text(rng, cfg):
    "One or a few values of `cfg` replaced; and now and then bytes"
    for _ in range(rng.choice([1,1,1,2,4])):
        at = rng.choice(list(places(cfg)))
        old = cfg
        for k in at: old = old[k]
        cfg = put(cfg, at, None if (v := odd_value(rng, old)) is ... and not at else v)
        if not isinstance(cfg, (dict,list)): break
    text = json.dumps(cfg).encode()
    if rng.random()<.1: i = rng.randrange(len(text)); text = text[:i]+rng.choice([b'NaN', b'1e999', b'"', b'[', b'\xff', b'', b'9'*5000])+text[i+rng.choice([0,1,30]):]
    return text

def sentence(path):
    "Load a run, as the library and the command do: 'loaded', or the error if it is one"
    try: _columns_of(_run_config(path)); load_run(path, 'cpu'); return 'loaded'
    except GalfastError as e:
        assert isinstance(e, RunError), repr(e)
        assert len(str(e))<1000 and not set(str(e))&set(map(chr, range(32))), repr(str(e))[:1500]
        return str(e)

def test_any_config(runs, tmp_path):
    slow,says = 0,[]
    for seed in range(max(150, soak)):
        rng = random.Random(seed)
        src = runs[seed%2]
        cfg = json.loads((src/'config.json').read_text())
        if seed%3: del cfg['files']
        d = tmp_path/'run'; d.mkdir(exist_ok=True)
        shutil.copy(src/'model.safetensors', d)
        (d/'config.json').write_bytes(odd_text(rng, cfg))
        t = time.process_time()
        try: says.append(sentence(d))
        except Exception as e: raise AssertionError(f'seed {seed}: {e!r}'[:600]) from e
        slow = max(slow, time.process_time()-t)
    refused = sum(o!='loaded' for o in says)
    print(f'{len(says)} configs: {refused} refused, the slowest {slow:.1f} s of the processor')
    assert slow<5 and refused>len(says)/2

def test_any_weights(runs, tmp_path):
    "Bytes of the file changed, numbers of its header, or both"
    for seed in range(max(100, soak)):
        rng = random.Random(seed)
        src = runs[seed%2]; d = tmp_path/'run'; d.mkdir(exist_ok=True)
        cfg = json.loads((src/'config.json').read_text())
        del cfg['files']
        (d/'config.json').write_text(json.dumps(cfg))
        (d/'model.safetensors').write_bytes(odd_weights(rng, (src/'model.safetensors').read_bytes()))
        try: sentence(d)
        except Exception as e: raise AssertionError(f'seed {seed}: {e!r}'[:600]) from e

def odd_weights(rng, data):
    n = struct.unpack('<Q', data[:8])[0]
    head,body = json.loads(data[8:8+n]),data[8+n:]
    kind = rng.randrange(4)
    if kind==0: return data[:rng.randrange(len(data))]
    if kind==1:
        b = bytearray(data)
        for _ in range(rng.choice([1,10,1000])): b[rng.randrange(rng.choice([8, n+8, len(b)]))] = rng.randrange(256)
        return bytes(b)
    if kind==2: return struct.pack('<Q', rng.choice([0, 1, n-1, n+1, 2**31, 2**40, 2**63, 2**64-1]))+data[8:]
    at = rng.choice([o for o in places(head) if o])
    head = put(head, at, rng.choice([..., None, -1, 0, 2**40, 2**62, 10**30, [], {}, 'F32', 'F64', 'C64', 'x'*1000, [2**20]*4, [0,2**40], '\x1b[31m']))
    text = json.dumps(head).encode()
    return struct.pack('<Q', len(text))+text+body

bombs = [dict(arch='galnet', width=30_000), dict(arch='mlp', size=16_000), dict(arch='mlp', hidden=[99_999]*9), dict(arch='cnn', filters=[[2]*900]*900), dict(arch='vgg16', grid=900), 
         dict(arch='vit_small_patch16_224', depth=99_999), dict(arch='swin_tiny_patch4_window7_224', window_size=900), dict(arch='convnext_tiny', depths=[99_999]*4), dict(arch='vit_small_patch16_224', img_size=99_999)]

code = """
import sys,time,json
from pathlib import Path
from damage import most_mb
from galfast.base.core import RunError
from galfast.training.run import load_run
d = Path(sys.argv[1])
bombs = json.loads((d/'bombs').read_text())
load_run(d, 'cpu')
before = most_mb()
cfg = json.loads((d/'config.json').read_text())
for o in bombs:
    net = dict(kind='network', config=dict(net=dict(n_in=3, n_out=1, **o), view=cfg['members'][0]['config']['view']))
    (d/'config.json').write_text(json.dumps(cfg|dict(members=[net]*2)))
    t = time.process_time()
    try: load_run(d, 'cpu'); print('LOADED', o)
    except RunError as e: assert len(str(e))<1000
    assert time.process_time()-t<5, (o, time.process_time()-t)
print(most_mb()-before)
"""
def test_networks_are_not_larger_than_their_weights(runs, tmp_path):
    "A few bytes of config.json that ask for gigabytes or hours"
    shutil.copytree(runs[0], tmp_path/'run')
    (tmp_path/'run'/'bombs').write_text(json.dumps(bombs))
    r = run(['-c', code, tmp_path/'run'], seconds=200)
    assert r.returncode==0 and 'LOADED' not in r.stdout, r.stdout+r.stderr[-1500:]
    assert float(r.stdout.split()[-1])<400 # MB beside what torch itself takes

def test_files_that_are_no_config(runs, tmp_path):
    d = tmp_path/'run'; shutil.copytree(runs[0], d)
    for data,words in ((b'', 'not JSON'), (b'{', 'not JSON'), (b'['*200_000, 'too deep'), (b'[' + b'[],'*3_000_000 + b'1]', '1,000,000 are the most'), (b'"'+b'x'*70_000_000+b'"', 'more than 64 MB'),
                       (b'{"format": 1, "format": 1}', 'twice'), (b'{"format": 7}', 'format 7'), (b'\x80\x04.', 'UTF-8'), (b'null', 'null'), (b'[1]', 'a list')):
        (d/'config.json').write_bytes(data)
        assert words in sentence(d), (data[:50], sentence(d)[:200])
    (d/'config.json').unlink(); os.mkfifo(d/'config.json')
    assert 'holds no config.json' in sentence(d)

def test_tensors_that_no_file_has(tmp_path, runs):
    "Numbers of another kind, and a weight too many or too few"
    from safetensors.torch import load_file
    d = tmp_path/'run'; shutil.copytree(runs[0], d)
    cfg = json.loads((d/'config.json').read_text()); del cfg['files']; (d/'config.json').write_text(json.dumps(cfg))
    w = load_file(d/'model.safetensors')
    for other,words in (({**w, 'more': torch.zeros(2)}, "'more'"), ({k: v for k,v in w.items() if k!='members.2.alpha'}, "'members.2.alpha'"), ({**w, 'members.2.f_std': torch.zeros(4)}, '(4,)'), ({**w, 'members.2.f_std': torch.zeros_like(w['members.2.f_std'], dtype=torch.complex64)}, 'NaN')):
        (d/'model.safetensors').write_bytes(save(other))
        assert words in sentence(d)
