"A head that is asked for the wrong kind of column says what it takes, and which columns of the catalogue are such"
import numpy as np,pandas as pd,pytest

from galfast.base.core import CatalogError
from galfast.data.heads import head_kinds
from galfast.data.targets import target_spec

n = 400

def catalogue():
    rng = np.random.default_rng(0)
    names = dict(objID=[str(1237648720693755918+i) for i in range(n)], filename=[f'{i}.jpg' for i in range(n)])
    places = dict(ra=rng.uniform(0, 360, n), dec=rng.uniform(-90, 90, n))
    numbers = dict(votes=rng.integers(0, 40, n), share=rng.random(n))
    return pd.DataFrame(dict(**names, **places, z=rng.random(n)*3, kind=rng.choice(list('ESI'), n),
                             bar=rng.integers(0, 2, n), ring=rng.random(n)>.5, **numbers,
                             note=[f'seen on day {i}' for i in range(n)], same=1.))

def said(target, task, df=None):
    with pytest.raises(CatalogError) as e: target_spec(catalogue() if df is None else df, target, task)
    return str(e.value)

wrong = [('z', 'classification', '400 different values in 400 rows', 'words, truth values or whole numbers',
          ['kind','bar','ring','votes']),
         ('note', 'classification', 'is it a class?', 'words, truth values', ['kind','bar','ring','votes']),
         ('note', 'auto', 'is it a class?', 'classification takes words', ['kind','bar','ring','votes']),
         ('kind', 'regression', "400 of 400 cells of column 'kind' are no numbers", 'regression takes numbers',
          ['z','bar','ring','votes','share']),
         ('z,kind', 'regression', "column 'kind'", 'regression takes numbers', ['z','bar','ring','votes','share']),
         ('votes,bar', 'multilabel', 'they run from 0 to 39', 'zeros and ones, or truth values', ['bar','ring']),
         ('share,bar', 'multilabel', 'labels that are 0 or 1', "task='votes' is for fractions", ['bar','ring']),
         ('kind,bar', 'multilabel', "column 'kind'", 'zeros and ones', ['bar','ring']),
         ('votes,share', 'votes', 'they run from 0 to 39', 'numbers from 0 to 1', ['bar','ring','share']),
         ('z', 'votes', 'they run from 0.00', 'numbers from 0 to 1', ['bar','ring','share'])]

@pytest.mark.parametrize('target,task,why,takes,found', wrong)
def test_what_it_takes(target, task, why, takes, found):
    e = said(target, task)
    assert why in e and takes in e and e.endswith(f"here in {', '.join(map(repr, found))}"), e

@pytest.mark.parametrize('target,task,why,takes,found', wrong)
def test_what_it_takes_is_taken(target, task, why, takes, found):
    "Each of the columns that are named will do"
    task = 'classification' if task=='auto' else task
    for c in found: assert target_spec(catalogue(), c, task).targets==[c]

def test_none_is_such():
    df = catalogue()[['objID','ra','z','share']]
    assert said('z', 'classification', df).endswith('whole numbers of a few values, and no other column here is such')

def test_cells_that_are_wrong_are_no_wrong_column():
    df = catalogue().astype(dict(z=object))
    df.loc[4, 'z'] = 'x8'
    assert said('z', 'regression', df).endswith('Correct it, or leave empty what is not known')

def test_it_is_quick_on_a_wide_catalogue_and_a_long_one():
    df = pd.concat([catalogue()]*250, ignore_index=True)
    wide = pd.DataFrame({f'c{i}': df.z for i in range(300)})
    e = said('kind', 'regression', pd.concat([df[['kind']], wide], axis=1))
    assert "'c0'" in e and len(e)<400

def test_every_kind_says_it():
    for o in ('regression','classification','multilabel','votes'): assert head_kinds[o].takes
