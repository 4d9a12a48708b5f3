"What a column says: codes, words, classes, and numbers far from the others"
import json

import numpy as np, pandas as pd, pytest
from astropy.stats import mad_std
from astropy.table import Table

from galfast.base.core import CatalogError,GalfastError
from galfast.base.labels import *

rng = np.random.default_rng(14)
columns = dict(metallicity=rng.normal(8.7, .2, 60), redshift=rng.gamma(2, .05, 60), magnitude=rng.uniform(15, 22, 60), absolute=rng.uniform(-22, -18, 60), logmass=rng.normal(10, .6, 60),
               velocity=rng.normal(0, 120, 60), rate=rng.uniform(-2, 2, 60), julian=2459000.5+rng.random(60), mass=10**rng.normal(10, .6, 60), tiny=rng.normal(8.7, .2, 60)*1e-17, angle=rng.uniform(1, 179, 60))

@pytest.mark.parametrize('times', [1, 3])
@pytest.mark.parametrize('code', [-9999., -999., -9999.99, -99999., -1e30, -1.6375e30, -1.6e38])
@pytest.mark.parametrize('name', columns)
def test_codes_are_missing(name, code, times):
    x,missing = read_numbers(np.r_[[code]*times, columns[name]])
    assert np.isnan(x[:times]).all() and (x[times:]==columns[name]).all()
    assert missing=={repr(code).removesuffix('.0'): times}

@pytest.mark.parametrize('code', [99., 99.99, 88.9, -99., -99.9, -9., 9999.])
@pytest.mark.parametrize('name', ['metallicity','redshift','magnitude','logmass'])
def test_short_codes_where_they_stand_apart(name, code): assert np.isnan(read_numbers(np.r_[columns[name], [code]*2])[0][-2:]).all()

good = dict(velocities=[99., *rng.uniform(50, 300, 40)], magnitudes=rng.uniform(-22, -18, 40), rates=[-9., -9., *rng.uniform(-12, -8, 40)], small=-rng.random(40)*.1, counts=[99, *rng.poisson(90, 40)],
            heavy=[99., *np.exp(rng.normal(1.5, 1.2, 200))], both=[-99., 99., -9., *rng.normal(0, 80, 60)], nines=[-9.]*12, masses=10**rng.normal(10, 1, 200), bright=[9999., *10**rng.uniform(1, 4, 100)], wide=[1e20, 1e30, *10**rng.uniform(15, 35, 40)])

@pytest.mark.parametrize('name', good)
def test_measurements_are_kept(name):
    x,missing = read_numbers(good[name])
    assert missing=={} and (x==np.asarray(good[name])).all()

def test_seldom_a_measurement_is_lost():
    "Whole numbers of many distributions, where 9, 99 and 999 come by chance"
    rng = np.random.default_rng(5)
    draws = [lambda n: rng.normal(120, 60, n), lambda n: rng.exponential(25, n), lambda n: np.exp(rng.normal(2.5, 1, n)), lambda n: rng.uniform(0, 100, n), lambda n: rng.standard_t(3, n)*30, lambda n: rng.pareto(1.2, n)*5]
    lost = sum(bool(read_numbers(f(n).round())[1]) for f in draws for n in (10, 30, 100) for _ in range(30))
    assert lost<=2 # of 540 columns

@pytest.mark.parametrize('dtype', ['float32', 'float64', 'Float64', 'object', 'str', 'category'])
def test_every_type_of_column(dtype):
    o = pd.Series(np.r_[-99.9, 8.5+.01*np.arange(20)].astype('float32' if dtype=='float32' else 'float64')).astype(dtype)
    x,missing = read_numbers(o)
    assert missing=={'-99.9': 1} and np.allclose(x[1:], 8.5+.01*np.arange(20), rtol=1e-6)

def test_masked_columns_of_astropy():
    t = Table(dict(a=np.ma.masked_less(np.arange(20.), 2), b=np.ma.masked_equal(np.arange(20), 3))).to_pandas()
    assert np.isnan(read_numbers(t.a)[0]).sum()==2 and np.isnan(read_numbers(t.b)[0]).tolist().index(True)==3 and not read_numbers(t.a)[1]

words = ['--', 'INDEF', 'NaN', 'null', 'n/a', '...', '<8.5', '>9', '8.7:', 'masked', 'inf', '1e999', '\u2265 9.0', '~8.6', 'None', 'NA', '#N/A']
@pytest.mark.parametrize('word', words)
def test_words_among_numbers(word):
    o = pd.Series([word, '', *(f'{v:.3f}' for v in columns['metallicity'])], name='oh')
    x,missing = read_numbers(o)
    assert column_facts(o)['kind']=='numbers' and missing=={word: 1} and np.allclose(x[2:], columns['metallicity'], atol=6e-4)
    assert check_labels(o.to_frame(), 'oh')==['oh'] and repr(word) in label_notes(o)[0]

@pytest.mark.parametrize('n', [1, 4])
def test_words_that_say_nothing_are_an_error(n):
    df = pd.DataFrame(dict(oh=[*map(str, columns['metallicity']), *['spam','eggs'][:n], *['spam']*(n-2)]))
    with pytest.raises(CatalogError, match="'spam'"): check_labels(df, 'oh')
    assert check_labels(df, 'oh', True)==['oh']
    with pytest.raises(CatalogError, match='are no numbers'): check_labels(pd.DataFrame(dict(a=['x','y']*9)), 'a', False)

def test_text_of_numbers():
    assert read_numbers(['1.5D-3', '+2', ' 3e2 ', '\u22124', '.5', '6.'])[0].tolist()==[.0015, 2, 300, -4, .5, 6]
    assert read_numbers(['2459000.750000001'])[0][0]==2459000.750000001

@pytest.mark.parametrize('facts', [True, False])
def test_a_row_alone_is_read_as_in_its_column(facts):
    o = pd.Series([-9999, '--', '<8.5', None, 99., 8.25, *columns['metallicity']], dtype=object)
    f = json.loads(json.dumps(column_facts(o)))
    whole = read_numbers(o, f if facts else None)[0]
    alone = np.concatenate([read_numbers(o[i:i+1], f)[0] for i in range(len(o))])
    assert np.array_equal(whole, alone, equal_nan=True) and np.isnan(whole[:5]).all() and whole[5]==8.25

def test_without_facts_no_number_is_a_code(): assert read_numbers([-9999., 1.], {})[0].tolist()==[-9999, 1]

@pytest.mark.parametrize('unit', [1e-30, 1e-10, 1., 1e10, 1e30])
def test_units_change_nothing(unit):
    x = np.r_[913, columns['metallicity']]*unit
    assert np.flatnonzero(odd_values(x)).tolist()==[0] and read_numbers(x)[1]=={}
    assert np.isclose(column_facts(x)['scatter'], mad_std(x), rtol=1e-4) # astropy's constant has more digits
    assert read_numbers(np.r_[-9999, columns['metallicity']*unit])[1]=={'-9999': 1}

def test_far_values_are_named_and_kept():
    o = pd.Series(np.r_[columns['metallicity'], 913.], name='oh')
    note, = label_notes(o, [f'g{i}' for i in range(61)])
    assert '913 (g60)' in note and read_numbers(o)[0][-1]==913
    rng = np.random.default_rng(6)
    for x in (10**rng.normal(10, .8, 3000), rng.gamma(2, .05, 3000), rng.pareto(2, 3000), rng.normal(size=3000), np.r_[np.zeros(70), np.ones(30)*5], rng.poisson(.2, 300)): assert not odd_values(x).any()

def test_notes_of_classes():
    o = pd.Series(['None','strong','weak',None]*5, name='bar')
    note, = label_notes(o)
    assert note.startswith("'None' is taken for a class of 'bar' (5 of 20")
    assert label_notes(pd.Series(['spiral','disc']*4, name='t'))==[]

@pytest.mark.parametrize('target,cols,want', [('a,b', ['a','b'], ['a','b']), ('a,b', ['a','b','a,b'], ['a,b']), (['a,b','c'], ['a,b','c'], ['a,b','c']), (['a, b'], ['a','b'], ['a','b']), (('a',), ['a'], ['a'])])
def test_which_columns(target, cols, want): assert target_columns(target, cols)==want

def test_columns_that_are_there_twice():
    with pytest.raises(GalfastError, match="'a' is named twice"): target_columns('a,a', ['a'])
    with pytest.raises(CatalogError, match="more than one column 'a'"): check_labels(pd.DataFrame([[1.,2.]]*3, columns=['a','a']), 'a')

def test_specs_read_by_the_rule():
    "The spec of a catalogue, saved as JSON, reads any rows of it alike; a spec of an older run reads numbers as they are"
    from galfast.data.targets import TargetSpec,fit_spec,target_spec
    df = pd.DataFrame(dict(oh=np.r_[[-999.]*3, columns['metallicity']], kind=['None','E','S']*21))
    s = fit_spec(target_spec(df, 'oh'), df)
    assert np.isclose(s.heads[0].mean[0], columns['metallicity'].mean(), rtol=1e-12) and np.isclose(s.heads[0].std[0], columns['metallicity'].std(), rtol=1e-12)
    again = TargetSpec.from_config(json.loads(json.dumps(s.config)))
    assert again==s and again.missing(df).sum()==3 and again.missing(df[:1]).all() and s.notes(df)[0].startswith("3 of 63 labels of 'oh' are -999, a code")
    old = s.config; del old['heads'][0]['config']['facts']
    assert not TargetSpec.from_config(old).missing(df).any()
    assert target_spec(df, 'kind').heads[0].classes==['E','None','S'] and target_spec(df, 'oh,kind').missing(df).sum()==3

def test_numbers_with_commas_are_named():
    x = [f'{8+i/30:.3f}'.replace('.', ',') for i in range(30)]
    for words in (x, [*x[:28], 'n/a', None], [f'1.{i:03d},5' for i in range(30)], [f'{i+1},234.5' for i in range(30)]):
        with pytest.raises(CatalogError, match="cells of column 'a' are numbers with a comma, such as '.*with a point"): check_labels(pd.DataFrame(dict(a=words)), 'a')
    for words in (['1,2','2,3','1,3']*10, ['Sa, barred',*'abcdefgh']*3): assert check_labels(pd.DataFrame(dict(a=words)), 'a')==['a']

def test_more_words_than_numbers_make_no_classes_of_them():
    o = pd.Series([f'{8+i/30:.3f}' for i in range(12)]+['bad']*18, name='a')
    assert column_facts(o)['kind']=='numbers'
    with pytest.raises(CatalogError, match="18 of 30 cells of column 'a' are no numbers: 'bad'"): check_labels(o.to_frame(), 'a')
    assert column_facts(pd.Series(['0.5','1.5','S0','E','Sb']*6))['kind']=='words'

@pytest.mark.parametrize('text', ['3.4028235e+38', '-3.402823e+38', '-3.40282e+38', '9.96921E36', '1.79769e+308'])
def test_the_largest_number_as_it_is_printed(text):
    x,missing = read_numbers([text]*3+[f'{v:.3f}' for v in columns['metallicity']])
    assert np.isnan(x[:3]).all() and list(missing.values())==[3] and np.isfinite(x[3:]).all()

def test_a_number_that_is_not_of_the_column_is_named():
    z = np.random.default_rng(0).uniform(.01, .3, 40)
    assert np.flatnonzero(odd_values(np.r_[z, 255.])).tolist()==[40]
    rng = np.random.default_rng(1) # lognormal samples are their own tails
    assert not any(odd_values(rng.lognormal(0, s, n)).any() for s in (.2, .5, 1, 2, 3) for n in (30, 300, 3000) for _ in range(20))
