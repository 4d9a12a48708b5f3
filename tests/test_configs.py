"Configurations of runs and packs: what they may say, and those of format 1 in the words of format 2"
import json
from copy import deepcopy
from itertools import combinations
from pathlib import Path

import pytest

from galfast.base.configs import *
from galfast.base.core import RunError
from galfast.base.schema import Misfit

frozen = Path(__file__).parent/'frozen/runs'
net = dict(arch='galnet', n_in=3, n_out=4)
gp = dict(n=5, n_out=4, n_in=3, size=24, full=1.)
old = dict(galfast='0.2.0', format=1, id_col='name', window=20, net_size=32, stats=[[.1,.2,.3], [1.,2.,3.]], nets=[net, net], gp=gp,
           gp_weight=.25, err=[[.1,.5], None, None, None], table=None, reader=dict(kind='rgb'), info=dict(learned_from='AAAAAAAAAAA=', seed=3),
           spec=dict(task='mixed', targets=['z','kind'], partial=True, err=dict(z='e'), facts=None, parts=[
               dict(task='regression', targets=['z'], mean=[.1], std=[.2], classes=None),
               dict(task='classification', targets=['kind'], mean=None, std=None, classes=['a','b','c'])]))

def test_a_run_of_format_1_in_the_words_of_format_2():
    before = deepcopy(old)
    new = as_format_2(old)
    assert old==before # what was given stays as it was
    assert new['heads']==[dict(kind='regression', config=dict(columns=['z'], facts=None, mean=[.1], std=[.2])),
                          dict(kind='classification', config=dict(columns=['kind'], facts=None, classes=['a','b','c']))]
    view = dict(window=20, size=32, mean=[.1,.2,.3], std=[1.,2.,3.])
    assert new['members']==[dict(kind='network', config=dict(net=net, view=view))]*2+[dict(kind='gaussian process', config=gp)]
    assert new['blend']==dict(kind='shares', config=dict(shares={'gaussian process': .25}))
    assert new['calibration']==[dict(kind='spread', config=dict(err=old['err']))]
    assert new['labels']==dict(partial=True, err=dict(z='e')) and new['ids']==dict(column='name', train='AAAAAAAAAAA=')
    assert new['info']==dict(seed=3) and new['citations']==[] and run_targets(new)==['z','kind']
    run_rule.check(new|dict(format=2))

@pytest.mark.parametrize('without', ['nets','gp'])
def test_one_kind_alone_has_no_shares(without):
    "A format 1 run of the process alone said a weight of one, and of networks alone one of zero"
    new = as_format_2(old|{without: None})
    assert new['blend']['config']==dict(shares={}) and len(new['members'])==dict(nets=1, gp=2)[without]

@pytest.mark.parametrize('k', [1,2,len(old)-2,len(old)-1,len(old)])
def test_what_is_there_of_a_run_of_format_1_is_taken(k):
    "Whatever is missing: the parts that are there are those of the whole"
    whole = as_format_2(old)
    for keys in combinations(old, k):
        new = as_format_2({o: old[o] for o in keys})
        assert set(new)<=set(run_rule.known)
        if 'spec' in keys: assert new['heads']==whole['heads'] and new['labels']==whole['labels']
        if 'gp' in keys: assert new['members'][-1]==whole['members'][-1]
        if 'err' in keys: assert new['calibration']==whole['calibration']

@pytest.mark.parametrize('spec', [None, {}, dict(task='regression'), dict(targets=['z']), dict(task='mixed', targets=['z'], parts=[]), dict(parts=[{}]), dict(parts=None, facts=None)])
def test_a_part_of_a_specification(spec):
    new = as_format_2(dict(spec=spec))
    assert run_targets(new)==(['z'] if spec and {'task','targets'}<=set(spec) else [])

@pytest.mark.parametrize('d', sorted(frozen.iterdir()), ids=lambda o: o.name)
def test_each_frozen_run_follows_the_rule_of_format_2(d):
    said = json.loads((d/'config.json').read_text())
    cfg = read_run_config(d)
    assert said['format']==1 and run_targets(cfg)==said['spec']['targets'] and cfg['ids']['column']==said['id_col']
    assert [o['config']['net'] for o in cfg['members'] if o['kind']=='network']==said['nets']
    run_rule.check(cfg)

def put(d, **cfg):
    d.mkdir(exist_ok=True)
    (d/'config.json').write_text(json.dumps(cfg))
    return d

def test_part_of_a_run_is_read_where_that_is_enough(tmp_path):
    "A run whose training was not that of a galfast, or that was cut: what is there has to be right"
    some = put(tmp_path/'r', format=2, heads=[dict(kind='regression', config=dict(columns=['z']))])
    assert run_targets(read_run_config(some, whole=False))==['z']
    with pytest.raises(RunError, match='config.json'): read_run_config(some)
    assert run_targets(read_run_config(put(tmp_path/'s', spec=dict(task='regression', targets=['z'])), whole=False))==['z']
    for bad in (dict(format=2, heads='z'), dict(format=2, ids=dict(column=3)), dict(spec=3), dict(format=2, hedas=[])):
        with pytest.raises(RunError): read_run_config(put(tmp_path/'t', **bad), whole=False)

def test_formats_that_this_galfast_does_not_know(tmp_path):
    for v in (3, 0, None, '2', [2], True, 1.5):
        with pytest.raises(RunError): read_run_config(put(tmp_path/'r', format=v, galfast='9.9'))
    with pytest.raises(RunError, match='format 3 of galfast .9.9.*reads formats 1 and 2'): read_run_config(put(tmp_path/'r', format=3, galfast='9.9'))

def test_what_is_no_run(tmp_path):
    with pytest.raises(RunError, match='no such run folder'): read_run_config(tmp_path/'no')
    with pytest.raises(RunError, match='resume'): read_run_config(tmp_path)
    for text in ('', '[]', '3', 'null', '{"format": 2, "format": 2}', '{"format": NaN}', '['*5000, '\xff'):
        (tmp_path/'config.json').write_bytes(text.encode('latin1'))
        with pytest.raises(RunError): read_run_config(tmp_path)

patterns = {'{objID}.jpg': True, 'a/{ra}_{dec}.fits': True, '{z:.2f}.png': True, 'x.fits': True, '/etc/{objID}': False, '../{objID}': False, 'a/../../b': False,
            'a\\..\\b': False, '{objID.__class__}': False, '{objID[0]}': False, '{objID!r}': False, '{objID:>99999}': False, '{objID': False, '': False}

@pytest.mark.parametrize('pattern,fine', patterns.items())
def test_patterns_stay_below_the_folder_of_images(pattern, fine):
    cfg = read_run_config(frozen/'regression')
    cfg['reader']['pattern'] = pattern
    if fine: run_rule.check(cfg)
    else: pytest.raises(Misfit, run_rule.check, cfg)

meta = dict(format=1, shape=[3,32,32], dtype='uint8', layout='yxb', reader=dict(kind='rgb', native=[32,32]))
wrong = dict(shape=[[3,32], [0,32,32], [3,32,10**6], '3', [3,32,32.5]], dtype=['object','int64',None], layout=['bxy',''], reader=[None,dict(native=[32])], format=[-1,'1'])

@pytest.mark.parametrize('k,v', [(k, v) for k,vs in wrong.items() for v in vs])
def test_what_a_pack_may_say(k, v):
    pack_rule.check(meta)
    with pytest.raises(Misfit): pack_rule.check(meta|{k: v})

@pytest.mark.parametrize('cfg', [dict(net, width=10**9), dict(net, n_in=0), dict(net, n_out=10**6), dict(arch='galnet', n_in=3), dict(net, y_mean=['a']),
                                 dict(net, arch=''), dict(net)|{f'k{i}': 1 for i in range(50)}, dict(net, deep=[[[[[1]]]]])])
def test_networks_that_no_file_may_ask_for(cfg):
    net_rule.check(net|dict(width=8, y_mean=[0.]*4, y_std=[1.]*4))
    with pytest.raises(Misfit): net_rule.check(cfg)
