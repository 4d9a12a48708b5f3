"""Runs of format 1, of every kind, frozen by galfast 0.2.0: they load, print, and predict the same to the bit.

What was frozen, and how, is in tests/frozen/make.py; how it is predicted here, in tests/frozen/answer.py."""
import json,sys,warnings
from pathlib import Path

import numpy as np,pandas as pd,pytest

frozen = Path(__file__).parent/'frozen'
sys.path.insert(0, str(frozen))
import answer
sys.path.remove(str(frozen))

tables = {n: [n, f'{n}-one-view'] for n in answer.runs()}
same_machine = answer.versions()==json.loads((frozen/'versions.json').read_text())

@pytest.fixture(scope='module')
def answers(tmp_path_factory):
    "What the frozen runs say now: with the instructions that every processor has, and with those of this one"
    d = tmp_path_factory.mktemp('answers')
    ways = dict(bits=answer.same_bits(), near=answer.plain())
    made = {k: answer.answer(d/k, env) for k,env in ways.items()}
    for k,p in made.items():
        said = p.communicate()[0]
        assert p.returncode==0, f'{k}: {said[-3000:]}'
    return d

def table(path):
    if path.stem.startswith('large-test') and not path.exists(): pytest.skip('timm is not installed')
    return pd.read_csv(path, dtype=dict(objID=str, name=str), float_precision='round_trip')

def agree(new, old, least):
    "Are the numbers of a table the same, to `least` of the scatter of each column? All else has to be the same"
    num = old.select_dtypes('float').columns
    assert list(new)==list(old) and len(new)==len(old)
    pd.testing.assert_frame_equal(new.drop(columns=num), old.drop(columns=num))
    for c in num:
        a,b = new[c].to_numpy(float),old[c].to_numpy(float)
        assert np.array_equal(np.isnan(a), np.isnan(b)), f'{c}: {a} {b}'
        there = ~np.isnan(b)
        far = np.abs(a-b)[there].max(initial=0)
        spread = b[there].std() if there.any() else 0.
        assert far<=least*max(spread, np.abs(b[there]).max(initial=0)*1e-6), f'{c}: {far:.3g} apart, of a scatter of {spread:.3g}'

@pytest.mark.parametrize('name', tables)
def test_a_frozen_run_predicts_the_same(name, answers):
    "To the bit where the libraries are those it was frozen with, else to a hundred-thousandth of the scatter"
    assert answer.runs()[name] and json.loads((answers/'bits'/'print.json').read_text()).get(name, 'skipped').strip()
    for o in tables[name]:
        new,old = (d/f'{o}.csv' for d in (answers/'bits', frozen/'answers'))
        if same_machine: assert new.read_bytes()==old.read_bytes(), f'{o}: not the same to the bit'
        else:
            agree(table(new), table(old), 1e-5)
            warnings.warn(f'{o}: other libraries than those in versions.json, so it is compared to 1e-5 of the scatter, not to the bit')

@pytest.mark.parametrize('name', tables)
def test_with_the_instructions_of_this_processor_too(name, answers):
    for o in tables[name]: agree(table(answers/'near'/f'{o}.csv'), table(frozen/'answers'/f'{o}.csv'), 1e-4)

def test_the_metrics_are_the_same(answers):
    new,old = (json.loads((d/'metrics.json').read_text()) for d in (answers/'bits', frozen/'answers'))
    assert list(new)==list(old) and len(old)>30
    if same_machine: assert new==old
    for k in old:
        a,b = (pd.DataFrame(o[k], dtype=object) for o in (new, old))
        assert a[['target','metric','n']].equals(b[['target','metric','n']])
        for c in ('value','err','baseline'): assert a[c].to_numpy(float)==pytest.approx(b[c].to_numpy(float), rel=1e-4, abs=1e-6, nan_ok=True)
