"""Runs of format 1, of every kind, frozen by galfast 0.2.0, and some in format 2, by 0.3.0: they load, print, and predict
the same to the bit.

What was frozen, and how, is in tests/frozen/make.py; how it is predicted, in tests/frozen/answer.py."""
import json,sys,warnings
from pathlib import Path

import numpy as np,pandas as pd,pytest
from PIL import Image

import galfast as gf

frozen = Path(__file__).parent/'frozen'
sys.path.insert(0, str(frozen))
import answer
sys.path.remove(str(frozen))

names = list(answer.runs())
quick = [n for n in names if not n.startswith(('large-','old-'))]
written = json.loads((frozen/'versions.json').read_text())
same_versions = answer.versions()==written

@pytest.fixture(scope='module', autouse=True)
def begun(tmp_path_factory):
    "A process that predicts with the instructions that every processor has, beside the other tests, and its folder"
    d = tmp_path_factory.mktemp('frozen')
    p = answer.answer(d, answer.same_bits())
    yield p,d
    p.kill(); p.wait()

@pytest.fixture(scope='module')
def bits(begun):
    "The folder of what the frozen runs say now"
    p,d = begun
    assert p.wait()==0, (d/'log.txt').read_text()[-3000:]
    return d

def table(o): return pd.read_csv(o, dtype=dict(objID=str, name=str))

def agree(new, old, least=1e-4):
    "Numbers of two tables are the same, to `least` of the scatter of their column; all else is the same"
    # AVX2 in place of SSE2 alone moves them by up to 4e-5, half of them by less than 5e-7
    num = list(old.select_dtypes('float'))
    assert list(new)==list(old) and len(new)==len(old)
    pd.testing.assert_frame_equal(new.drop(columns=num), old.drop(columns=num), check_dtype=False)
    for c in num:
        a,b = new[c].to_numpy(float),old[c].to_numpy(float)
        assert np.array_equal(np.isnan(a), np.isnan(b)), f'{c}: {a}, where {b} was frozen'
        there = ~np.isnan(b)
        if not there.any(): continue
        far = np.abs(a-b)[there].max()
        room = least*b[there].std()+1e-9*np.abs(b[there]).max() # what is constant is not so to the last digit
        assert far<=room, f'{c}: {far:.2g} from what was frozen, where {room:.2g} is allowed'

def check_same(name, bits, as_in=None):
    "A table is the same to the bit; with other libraries than those that made it, to 1e-4 of the scatter"
    new,old = bits/f'{name}.csv',frozen/'answers'/f'{as_in or name}.csv'
    if not new.exists(): pytest.skip('timm is not installed')
    if same_versions: assert new.read_bytes()==old.read_bytes(), f'{name}: not the same to the bit'
    else:
        agree(table(new), table(old))
        here = answer.versions()
        other = {k: v for k,v in written.items() if v!=here[k]}
        warnings.warn(f'compared to 1e-4 of the scatter, not to the bit, which was frozen with {other}', stacklevel=2)

@pytest.mark.parametrize('name', quick)
def test_with_the_instructions_of_this_processor_too(name):
    with answer.in_float32():
        new = answer.predictions(frozen/'runs'/name, name, tta=True, **answer.runs()[name])
    agree(new, table(frozen/'answers'/f'{name}.csv'))

def raw(name, ids):
    "The images of a run in memory, none of which it resizes"
    if name=='stamps': return answer.stamps(answer.pixels(ids))
    return np.stack([np.array(Image.open(frozen/'images'/f'{o}.jpg')).transpose(2,0,1) for o in ids])

@pytest.mark.parametrize('name,cols', [('errors', ['oh_pred']), ('stamps', ['disc_prob_no','disc_prob_yes'])])
def test_the_answer_is_the_mean_of_eight_orientations(name, cols):
    eight,one = (table(frozen/'answers'/f'{name}{o}.csv')[:12] for o in ('', answer.one_view))
    x = raw(name, eight.objID)
    turned = [np.rot90(o, k, (2,3)).copy() for o in (x, x[...,::-1]) for k in range(4)]
    def says(o):
        return gf.predict_arrays(frozen/'runs'/name, o, tta=False, device='cpu', channels='first')[cols].to_numpy(float)
    with answer.in_float32(): views = [says(o) for o in turned]
    assert np.allclose(views[0], one[cols], rtol=0, atol=1e-5) and np.std(views, 0).min()>0
    assert np.allclose(np.mean(views, 0), eight[cols], rtol=0, atol=1e-5)

@pytest.mark.parametrize('view', ['', answer.one_view])
@pytest.mark.parametrize('name', [*names, 'command'])
def test_a_frozen_run_predicts_the_same(name, view, bits): check_same(name+view, bits)

@pytest.mark.parametrize('name', answer.format_2)
def test_a_run_of_format_2_predicts_what_that_of_format_1_does(name, bits):
    config = json.loads((frozen/'format2'/name/'config.json').read_text())
    assert config['format']==2 and config['members']
    check_same(f'{name}-format2', bits, name)

def test_every_frozen_run_can_be_printed(bits):
    said = json.loads((bits/'print.json').read_text())
    assert set(names)-set(said)<=set(answer.of_timm) and all(o.strip() for o in said.values())

def test_the_metrics_are_the_same(bits):
    new,old = (json.loads((d/'metrics.json').read_text()) for d in (bits, frozen/'answers'))
    assert list(new)==list(old) and len(old)>30
    for k,o in old.items(): # more may be said of a run now
        new[k] = [r for r in new[k] if r['target'] in {r['target'] for r in o}]
    check_same('command-metrics', bits)
    if same_versions: assert new==old
    for k in old:
        a,b = (pd.DataFrame(o[k]) for o in (new, old))
        assert a[['target','metric','n']].equals(b[['target','metric','n']])
        num = ['value','err','baseline']
        assert a[num].to_numpy(float)==pytest.approx(b[num].to_numpy(float), rel=1e-4, abs=1e-6, nan_ok=True)
