"Trees of questions: what a schema may say, the votes that a table holds by hand, and real tables without renaming"
import json
from pathlib import Path

import numpy as np, pandas as pd, pytest

from galfast.base.core import CatalogError,GalfastError
from galfast.base.questions import *
from galfast.data.targets import target_spec

root = Path(__file__).parent.parent
tables = root/'../shared/data/survey_tables'
real = pytest.mark.skipif(not tables.is_dir(), reason='../shared/data is not there')
tree = dict(total='{question}_total', questions=dict(
    shape=dict(answers=['smooth','disk','artifact'], leads=dict(disk='edge')),
    edge=dict(answers=['yes','no'], leads=dict(no='arms')),
    arms=['none','tight','loose']))

def refused(o, match, df=None, error=GalfastError):
    with pytest.raises(error, match=match): vote_schema(o, pd.DataFrame(dict(q_a=[1], q_b=[2])) if df is None else df)

two = dict(answers=['a','b'])
@pytest.mark.parametrize('o,match', [
    (dict(q=dict(answers=['a','b'], leads=dict(a='r'))), "leads to 'r', which is no question"),
    (dict(quest=dict(answers=['a','b'], leads=dict(a='qest')), qest2=['a','b']), "did you mean 'quest'"),
    (dict(q=dict(answers=['a','b'], leads=dict(c='q'))), "has no answer 'c'"),
    (dict(q=two|dict(leads=dict(a='r')), r=two|dict(leads=dict(b='q'))), 'in a circle'),
    (dict(q=two|dict(leads=dict(a='q'))), 'in a circle'),
    (dict(q=two|dict(leads=dict(a='s')), r=two|dict(leads=dict(a='s')), s=['a','b']), "'s' follows both 'q' and 'r'"),
    (dict(q=dict(anwsers=['a','b'])), "did you mean 'answers'"),
    (dict(q=dict(answers=['a','b'], lead={})), "did you mean 'leads'"),
    (dict(q={}), 'has no answers'),
    (dict(q=['a']), 'needs two or more'),
    (dict(q=[]), 'needs two or more'),
    (dict(q=['a','a']), 'twice'),
    (dict(q=['a',None]), 'holds None'),
    (dict(q=dict(answers=['a','b'], columns=['x'])), '2 answers and 1 columns'),
    (dict(q=dict(answers=['a','b'], leads='r')), 'is an object with names'),
    (dict(kind='counted', questions=dict(q=['a','b'])), "did you mean 'counts'"),
    (dict(questions={}), 'no question'),
    (dict(qestions=dict(q=['a','b']), kind='counts'), "did you mean 'questions'"),
    (dict(kind='counts'), 'no questions'),
    (dict(column='{qestion}_{answer}', questions=dict(q=['a','b'])), 'may hold {question} and {answer}'),
    (dict(column='{question', questions=dict(q=['a','b'])), 'may hold {question} and {answer}'),
    (dict(column='{question}', questions=dict(q=['a','b'])), "two answers have the column 'q'"),
    ({}, 'no question'),
    (3, 'not int'),
    ('gz22', 'neither a file nor a name'),
    ('nothing.toml', 'cannot be read'),
])
def test_schemas_that_say_what_cannot_be(o, match): refused(o, match)

def test_a_dict_and_a_file_say_the_same(tmp_path):
    f = tmp_path/'tree.toml'
    f.write_text('kind = "counts"\ntotal = "{question}_total"\n[questions.shape]\nanswers = ["smooth","disk","artifact"]\nleads = {disk = "edge"}\n'
                 '[questions.edge]\nanswers = ["yes","no"]\nleads.no = ["arms"]\n[questions]\narms = ["none","tight","loose"]\n')
    df = pd.DataFrame({c: [9 if c.endswith('total') else 3] for c in vote_columns()})
    a,b = vote_schema(tree, df),vote_schema(f, df)
    assert a.questions==b.questions and b.name=='tree.toml'
    assert VoteSchema.from_config(json.loads(json.dumps(a.config)))==a
    for bad in (b'\xff\xfe', b'[questions', b'questions = 3', b'[questions]\nq = 3'):
        f.write_bytes(bad)
        refused(f, 'votes')

def vote_columns():
    qs = {q: o['answers'] if isinstance(o, dict) else o for q,o in tree['questions'].items()}
    return [f'{q}_{a}' for q,o in qs.items() for a in [*o, 'total']]

def test_many_columns_of_one_question():
    "Their names together are longer than that of a file may be"
    cols = [f'arms_{"very_"*20}{i}' for i in range(10)]
    s = vote_schema(','.join(cols), pd.DataFrame({c: [1] for c in cols}))
    assert len(s.questions)==1 and s.columns==cols and s.kind=='counts'

def test_columns_that_are_missing_are_named():
    refused(tree, "no column 'edge_yes' .is it 'edge_yess'.", pd.DataFrame({c: [3] for c in vote_columns()}).rename(columns=dict(edge_yes='edge_yess')), CatalogError)
    refused('gz2', 'it takes t01_smooth_or_features_a01_smooth_count', error=CatalogError)
    refused('auto', 'none of gz2, gz_decals_5', error=CatalogError)

q = dict(q=dict(answers=['a','b'], total='n'))
@pytest.mark.parametrize('kind,cells,match', [
    ('counts', dict(q_a=[1,2.5], q_b=[1,1]), "says 2.5 .the first in row 2.*'weights'"),
    ('counts', dict(q_a=[.2,.3], q_b=[.8,.7]), "'fractions'"),
    ('counts', dict(q_a=[1,-2], q_b=[1,1]), 'below zero, such as -2'),
    ('counts', dict(q_a=[5,1], q_b=[6,1]), "add up to 11 in row 1, more than the total, column 'n' .10"),
    ('counts', dict(q_a=[1,'many'], q_b=[1,1]), "'many'"),
    ('fractions', dict(q_a=[.5,.9], q_b=[.5,.9]), 'more than one'),
    ('fractions', dict(q_a=[.1,.2], q_b=[.1,.1], n=None), "'products'"),
])
def test_votes_that_cannot_be(kind, cells, match):
    df = pd.DataFrame(dict(n=10) | cells)
    one = dict(q=['a','b']) if df.n.isna().all() else q
    refused(dict(kind=kind, questions=one), match, df, CatalogError)

def test_votes_of_each_kind_by_hand():
    df = pd.DataFrame(dict(q_a=[3,0,-9999,'',1], q_b=[1,0,2,'',1], n=[4,0,2,np.nan,20]))
    v = vote_schema(q, df).votes(df) # asked; of nobody; a code; empty; 18 votes for answers that the table lacks
    np.testing.assert_array_equal(v, [[3,1]]+[[np.nan]*2]*4)
    f = pd.DataFrame(dict(q_a=[.75,.2,np.nan], q_b=[.25,.8,np.nan], n=[8,0,5]))
    fractions = dict(kind='fractions', questions=q)
    np.testing.assert_allclose(vote_schema(fractions, f).votes(f), [[6,2], [np.nan]*2, [np.nan]*2])
    np.testing.assert_allclose(vote_schema(dict(kind='fractions', questions=dict(q=['a','b'])), f).votes(f)[:2], [[.75,.25], [.2,.8]])
    w = pd.DataFrame(dict(q_a=[2.5], q_b=[.5]))
    np.testing.assert_allclose(vote_schema(dict(kind='weights', questions=dict(q=['a','b'])), w).votes(w), [[2.5,.5]])
    p = pd.DataFrame(dict(q_a=[.6,.1], q_b=[.4,.9], r_x=[.15,0], r_y=[.45,.1])) # r follows a
    s = vote_schema(dict(kind='products', questions=dict(q=dict(answers=['a','b'], leads=dict(a='r')), r=['x','y'])), p)
    np.testing.assert_allclose(s.fractions(s.votes(p)), [[.6,.4,.25,.75], [.1,.9,0,1]])
    refused(dict(kind='products', questions=dict(q=dict(answers=['a','b'], leads=dict(b='r')), r=['x','y'])), "where 0.4 said 'b'", p, CatalogError)

@real
@pytest.mark.parametrize('file,name,kind,n', [('gz2_hart16','gz2','counts',11), ('gz_decals_volunteers_1_and_2','gz_decals_1_and_2','counts',10),
    ('gz_decals_volunteers_5','gz_decals_5','counts',10), ('training_solutions_rev1','gz_kaggle','products',11), ('gz_decals_auto_posteriors','gz_decals_5','fractions',10)])
def test_real_tables_without_renaming(file, name, kind, n):
    df = pd.read_csv(tables/f'{file}.csv')
    for o in (name, 'auto', *(['gz_decals'] if 'decals' in name else [])):
        s = vote_schema(o, df)
        assert (s.name,s.kind,len(s.questions))==(name,kind,n)
    f,v = s.fractions(s.votes(df)),s.votes(df)
    for o,p in s.places:
        known = ~np.isnan(f[:,p.start])
        np.testing.assert_allclose(f[known][:,p].sum(1), 1, rtol=1e-6)
        assert known.any() or o.name in ('Class9',)
    if kind=='counts': assert np.nanmax(v)>10 and (v[~np.isnan(v)]%1==0).all()
    spec = target_spec(df, votes=name)
    assert spec.heads[0].n_out==len(spec.outputs)==len(spec.targets)

@real
def test_real_shares_are_those_that_the_tables_give():
    df = pd.read_csv(tables/'gz_decals_volunteers_5.csv')
    s = vote_schema('gz_decals', df)
    f = s.fractions(s.votes(df))
    for i,o in enumerate(s.outputs):
        known = ~np.isnan(f[:,i])
        if 'merging' not in o: np.testing.assert_allclose(f[known,i], df[f'{o}_fraction'][known], rtol=1e-9)
    merging = [i for i,o in enumerate(s.outputs) if 'merging' in o]
    assert np.isnan(f[5,merging]).all() # 1 of 32 votes is in the table
    k = pd.read_csv(tables/'training_solutions_rev1.csv')
    s = vote_schema('gz_kaggle', k)
    f = s.fractions(s.votes(k))[0]
    assert np.isclose(f[s.outputs.index('Class3_bar')], .038452149/.616853)

@real
def test_a_table_without_votes_says_so():
    df = pd.read_csv(tables/'data.csv')
    refused('auto', 'none of gz2', df, CatalogError)
