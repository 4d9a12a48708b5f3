"What a training is asked for: the same names in Python, in the command and in `run.toml`"
import subprocess,sys
from dataclasses import fields,is_dataclass

import pytest

from galfast.base.jobs import *

options = train_options()

def test_each_thing_is_asked_for_once():
    names = [k for t in options.values() for k in t]
    assert list(options)==['job','reader','recipe'] and len(set(names))==len(names)
    assert all(k==o.name for t in options.values() for k,o in t.items())

def test_each_field_is_asked_for_in_its_table():
    asked = {k: {o.field or o.name for o in t.values()} for k,t in options.items()}
    assert asked['recipe']=={o.name for o in fields(Recipe)}-{'why'}|{'quick'}
    assert asked['job']=={o.name for o in fields(TrainJob)}-{'recipe','reader'}|{'catalog','images','names','units'}
    assert {'crop','bands','hdu','nan','pattern','pad','aligned','stretch','native'}==asked['reader']

kinds = dict(arch=str, size=int, lr=float, folds=bool, turn=dict, window=int, gp_weight=float, oversample=str, pretrained=str, quick=bool, # recipe
             target=list, id=str, valid=float, seed=int, partial=bool, err=list, votes=str, table=list, name=list, # job
             crop=int, bands=str, pad=bool, asinh=float, any_size=bool)

@pytest.mark.parametrize('k,kind', kinds.items())
def test_the_kind_of_each(k, kind):
    o, = (t[k] for t in options.values() if k in t)
    assert o.kind is kind and o.says and o.says==o.says.strip()

def test_names_of_python_and_of_the_command():
    assert {v: k for k,v in option_name.items()}==python_name
    assert options['job']['id'].field=='id_col' and options['reader']['asinh'].field=='stretch' and options['recipe']['lr'].field=='lr'
    told = {o.name: o.field for t in options.values() for o in t.values()}
    assert all(told[k]==v for k,v in python_name.items())

def test_what_is_not_given_is_within_what_may_be_given():
    r = Recipe()
    for k,least in at_least.items():
        v = getattr(r, k, None)
        if k!='crop' and v is not None: assert v>=least, k
    for k,most in at_most.items(): assert (getattr(r, k) or 0)<=most, k
    assert r.arch in arch_names and len(set(arch_names))==len(arch_names)

def test_the_names_are_those_of_the_networks():
    from galfast.networks.archs import galaxy_archs
    assert set(arch_names)<=set(galaxy_archs)

def test_jobs_share_nothing():
    a,b = TrainJob(['z']),TrainJob(['y'])
    a.reader['crop'] = 3
    assert b.reader=={} and all(map(is_dataclass, (Recipe,TrainJob,Asked,JobOption)))

def test_asking_costs_no_heavy_import():
    "The command answers `--help` at once"
    code = "import sys; from galfast.base.jobs import train_options; train_options(); print(*{'torch','fastai','pandas','numpy'}&set(sys.modules))"
    said = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert said.strip()==''
