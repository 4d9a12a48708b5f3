"How networks are computed is chosen by the clock, kept, and never the end of a run; Mish is torch's"
import json

import pytest,torch
from fastai.torch_core import TensorImage
from torch import Tensor,nn
from torch.nn import functional as F

import galfast.training.fast as fast
from galfast.training.fast import *

class Tick:
    "A clock that only the work moves on"
    now = 0.
    def __call__(self): return self.now
    def work(self, *took):
        took = iter([*took, *[took[-1]]*99])
        def _step(): self.now += next(took)
        return _step

@pytest.fixture
def machine(tmp_path, monkeypatch):
    "An empty cache folder, nothing chosen yet, and what the clock will say"
    monkeypatch.setattr(fast, 'galfast_path', lambda k: tmp_path)
    monkeypatch.setattr(fast, '_chosen', {})
    monkeypatch.setattr(fast, '_busy', lambda: False)
    class Machine:
        calls = 0
        def says(self, **rates):
            def _time(kind):
                self.calls += 1
                return dict(rates)
            monkeypatch.setattr(fast, '_time_math', _time)
            return self
    m = Machine()
    m.path = tmp_path/'math.json'
    return m

def test_rates_are_medians_over_rounds_in_turns():
    t = Tick()
    ways = dict(a=t.work(9., 1., 1., 50., 1.), b=t.work(9., .5, .5, 25., .5)) # the first is not timed; a busy moment strikes both
    assert time_in_turns(ways, budget=1000, clock=t)==dict(a=1., b=2.)

def test_one_slow_step_does_not_decide():
    t = Tick()
    assert time_in_turns(dict(a=t.work(1.), b=t.work(.5, .5, .5, 80., .5)), budget=1000, clock=t)['b']==2.

def test_what_is_hopeless_is_not_tried_again():
    t = Tick()
    res = time_in_turns(dict(a=t.work(1.), b=t.work(10.)), rounds=7, budget=1000, clock=t)
    assert res['b']==.1 and t.now==8*1+2*10

def test_a_budget_ends_it_after_three_rounds():
    t = Tick()
    time_in_turns(dict(a=t.work(1.), b=t.work(1.)), rounds=7, budget=.5, clock=t)
    assert t.now==2+3*2

def test_a_clock_that_stands_still_is_no_division_by_zero():
    assert time_in_turns(dict(a=lambda: None, b=lambda: None), clock=lambda: 0.)==dict(a=1., b=1.)

@pytest.mark.parametrize('rate,bf16', [(2.1, True), (1.11, True), (1.09, False), (1., False), (.1, False)])
def test_bfloat16_has_to_win_by_a_tenth(machine, rate, bf16):
    machine.says(bfloat16=rate, contiguous=.8)
    assert has_fast_bf16('cpu') is bf16 and best_math('cpu')==MathChoice(bf16, True, None, rate)

def test_layout_and_threads(machine):
    machine.says(bfloat16=.1, contiguous=1.3, one_thread=1.2)
    assert best_math('cpu')==MathChoice(False, False, 1, .1) and 'bands apart' in describe_math('cpu')

def test_timed_once_then_kept_for_other_processes(machine, monkeypatch):
    machine.says(bfloat16=2., contiguous=1.)
    assert has_fast_bf16('cpu') and has_fast_bf16('cpu') and machine.calls==1
    monkeypatch.setattr(fast, '_chosen', {}) # another process, on a machine that says something else now
    machine.says(bfloat16=.5, contiguous=1.)
    assert has_fast_bf16('cpu') and machine.calls==1
    (key,found), = json.loads(machine.path.read_text()).items()
    assert found==dict(bfloat16=2., contiguous=1.) and torch.__version__ in key and 'threads' in key and key.endswith('small')

def test_large_images_are_another_matter(machine):
    machine.says(bfloat16=2.)
    best_math('cpu', 64); best_math('cpu', 112)
    assert machine.calls==2 and len(json.loads(machine.path.read_text()))==2

@pytest.mark.parametrize('text', ['', '{', '[]', '{"a": 1}', 'null', '\x00', '5'])
def test_a_damaged_cache_is_made_again(machine, text):
    machine.says(bfloat16=2.).path.write_text(text)
    assert has_fast_bf16('cpu') and machine.calls==1

def test_a_damaged_entry_is_made_again(machine):
    machine.path.write_text(json.dumps({fast._machine('small'): dict(bfloat16='fast')}))
    machine.says(bfloat16=2.)
    assert has_fast_bf16('cpu') and machine.calls==1

def test_a_cache_that_cannot_be_written_is_no_error(machine, monkeypatch):
    machine.says(bfloat16=2.)
    def _no(*args): raise PermissionError('read-only')
    monkeypatch.setattr(fast, 'write_json', _no)
    assert has_fast_bf16('cpu') and has_fast_bf16('cpu') and machine.calls==1

def test_a_step_that_fails_means_float32(machine, monkeypatch):
    def _fail(kind): raise RuntimeError('no such instruction')
    monkeypatch.setattr(fast, '_time_math', _fail)
    assert best_math('cpu')==MathChoice() and not has_fast_bf16('cpu') and describe_math('cpu')=='float32, channels-last, on cpu' and not machine.path.exists()

def test_a_busy_machine_says_nothing_of_threads(machine, monkeypatch):
    monkeypatch.setattr(fast, '_busy', lambda: True)
    machine.says(bfloat16=2., one_thread=5.)
    assert best_math('cpu').threads is None

def test_the_log_says_how_it_was_chosen(machine):
    machine.says(bfloat16=1.8)
    assert describe_math('cpu')=='bfloat16 (bfloat16 was timed: 1.8 times as fast as float32), channels-last, on cpu'
    assert describe_math('cpu', fast=False)=='float32 (as asked), channels-last, on cpu' and describe_math('cpu', True, True).endswith('compiled')

def test_what_is_asked_for_is_not_timed(machine):
    machine.says(bfloat16=2.)
    describe_math('cpu', fast=True)
    assert machine.calls==0

def test_timing_leaves_random_numbers_threads_and_modes_alone(machine):
    torch.manual_seed(3)
    want = torch.rand(1)
    torch.manual_seed(3)
    n = torch.get_num_threads()
    with torch.inference_mode(): found = fast._time_math('small')
    assert torch.rand(1)==want and torch.get_num_threads()==n and not torch.is_inference_mode_enabled() and found['bfloat16']>0

def test_other_devices():
    assert best_math('meta')==MathChoice() and not has_fast_bf16('mps')

def small_net(): return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Mish(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1))

def test_mish_trains_as_torchs(seed=0):
    nets = []
    for lean in (False, True):
        torch.manual_seed(seed)
        net = small_net()
        x,y = torch.randn(16, 3, 12, 12).to(memory_format=torch.channels_last),torch.randn(16, 1)
        net.to(memory_format=torch.channels_last)
        if lean: lean_mish(net)
        opt = torch.optim.SGD(net.parameters(), .1)
        for _ in range(5):
            F.mse_loss(net(x), y).backward()
            opt.step(); opt.zero_grad()
        nets.append(net)
    for p,q in zip(*(o.parameters() for o in nets)): torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)

def test_mish_against_float64():
    x = torch.linspace(-60, 60, 4001)
    want = F.mish(x.double())
    torch.testing.assert_close(LeanMish()(x).double(), want, rtol=2e-6, atol=1e-7)
    x,z = x.requires_grad_(),x.detach().double().requires_grad_()
    g,w = (torch.autograd.grad(f(o).sum(), o)[0] for f,o in ((LeanMish(), x), (F.mish, z)))
    torch.testing.assert_close(g.double(), w, rtol=2e-6, atol=2e-6)

def test_mish_of_odd_layouts():
    for x in (torch.randn(2,3,4,5)[...,::2], torch.randn(4,6).T, torch.randn(0,3,2,2), torch.randn(()), TensorImage(torch.randn(1,3,4,4)), torch.randn(2,1,5,5).to(memory_format=torch.channels_last)):
        torch.testing.assert_close(torch.as_tensor(LeanMish()(x)).as_subclass(Tensor), F.mish(x).as_subclass(Tensor), rtol=1e-5, atol=1e-6)

def test_parts_of_a_large_batch(monkeypatch):
    monkeypatch.setattr(fast._parts, '__kwdefaults__', dict(at_once=7))
    x = torch.randn(3,4,5,6).to(memory_format=torch.channels_last).requires_grad_()
    g = torch.randn(3,4,5,6)
    torch.testing.assert_close(LeanMish()(x), F.mish(x), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(*(torch.autograd.grad(f(x), x, g)[0] for f in (LeanMish(), F.mish)), rtol=1e-5, atol=1e-6)

@pytest.mark.parametrize('v', [-torch.inf, -200., -90., -1e-30, 0., 1e-30, 19.99, 20.01, 90., 3e38, torch.inf, torch.nan])
def test_mish_without_overflow(v):
    x = torch.tensor([[v]], requires_grad=True)
    y,want = LeanMish()(x),F.mish(x)
    assert torch.allclose(y, want, rtol=1e-6, atol=1e-6, equal_nan=True)

def test_mish_of_any_precision():
    x = torch.randn(3, 4, requires_grad=True)
    assert torch.equal(LeanMish()(x.double()), F.mish(x.double())) and LeanMish()(x.bfloat16()).dtype==torch.bfloat16 and LeanMish()(x[:0]).shape==(0,4)

def test_mish_takes_the_place_of_torchs():
    net = nn.Sequential(nn.Conv2d(1,2,1), nn.Mish())
    keys = list(net.state_dict())
    assert lean_mish(net) is net and [type(net[1]), list(net.state_dict())]==[LeanMish, keys]
