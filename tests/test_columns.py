"Columns beside an image, as fastai's tabular processors make them numbers"
import json

import numpy as np,pandas as pd,pytest,torch
from fastai.tabular.core import Categorify,FillMissing,Normalize,TabularPandas
from fastai.vision.all import CategoryBlock,ColReader,DataBlock,IndexSplitter,TransformBlock
from sklearn.compose import make_column_transformer
from sklearn.preprocessing import OneHotEncoder,StandardScaler

from galfast.base.core import CatalogError,GalfastError
from galfast.data.columns import ImageTableBlock,TableReader,TableSpec,TensorTable,fit_table,table_spec
from galfast.sim.galaxies import sim_catalog

df = sim_catalog(24)
tab = df[['redshift','r_mag','morphology']].copy()
tab.loc[[2,5],'r_mag'] = np.nan
tab.loc[3,'morphology'] = None

@pytest.fixture
def spec(): return table_spec(tab[:20], list(tab))

def test_as_fastai_has_it(spec):
    cont,splits = ['redshift','r_mag'],(list(range(20)),list(range(20,24)))
    to = TabularPandas(tab.copy(), [Categorify, FillMissing, Normalize], ['morphology'], list(cont), splits=splits)
    got = spec.encode(tab)
    assert (got[:,:2].astype(int)==to.xs[['morphology','r_mag_na']].to_numpy()).all()
    assert np.allclose(got[:,2:], to.xs[cont].to_numpy(), atol=1e-4)
    assert (spec.cont,spec.cat,spec.flags,spec.cat_sizes,spec.n_cont)==(cont,['morphology'],['r_mag'],[4,3],2)

def test_json_holds_it(spec): assert TableSpec(**json.loads(json.dumps(spec.config)))==spec and fit_table(spec, tab) is spec and fit_table(None, tab) is None

def test_rows_that_the_training_set_had_not(spec):
    odd = pd.DataFrame(dict(redshift=['x',np.inf], r_mag=[None,20.], morphology=['ring',None])) # an unknown class
    assert spec.encode(odd)[:,:2].tolist()==[[0,2],[0,1]] and np.isfinite(spec.encode(odd)).all()

@pytest.mark.parametrize('col,kw,cont', [([1,2]*30,{},False), (range(60),{},True), ([True,False]*30,{},False), ([1.,2.]*30,{},True), ([1.,2.]*30,dict(cat=['a']),False),
                                         (['E','S']*30,{},False), (range(60),dict(max_card=100),False)])
def test_what_is_a_number(col, kw, cont):
    t = table_spec(pd.DataFrame(dict(a=col)), ['a'], **kw)
    assert (t.cont,t.cat)==((['a'],[]) if cont else ([],['a']))

def test_no_scatter_is_as_it_is(): assert table_spec(pd.DataFrame(dict(a=[1.,1.])), ['a']).encode(pd.DataFrame(dict(a=[3.])))==[[2.]]

@pytest.mark.parametrize('u', [1e-200, 1e-30, 1e30, 1e200])
def test_any_unit(u):
    m = df.metallicity
    got = table_spec(df[['metallicity']]*u, ['metallicity']).encode(df[['metallicity']]*u)[:,0]
    assert np.allclose(got, (m-m.mean())/m.std(ddof=0), atol=1e-6)

def test_codes_for_not_measured():
    mags = pd.DataFrame(dict(m=[-99.9,*np.linspace(15, 22, 30)], s=['north','']*15+['n/a'], k=[1,2,-9999]*10+['--']))
    t = table_spec(mags, list('msk'))
    assert (t.cont,t.cat,t.flags,t.classes)==(['m'],['s','k'],['m'],[['n/a','north'],['1','2']])
    new = pd.DataFrame(dict(m=[99.,-9999,18.5], s='north', k=['1','7','']))
    assert t.encode(new).round(3).tolist()==[[2,1,2,0],[2,0,2,0],[2,0,1,0]] # codes that the training set had not
    assert t.notes(mags)[0]=="1 of 31 values of 'm' is -99.9, a code for not measured: as good as empty"
    assert np.isfinite(t.encode(pd.DataFrame(dict(m=[1e300], s='', k=1)))).all()

@pytest.mark.parametrize('make,why', [
    (lambda: table_spec(tab, []), 'at least one column'), (lambda: table_spec(tab, ['mass']), "no column 'mass'"),
    (lambda: table_spec(df, ['objID'], max_card=5), "'objID' has 24 different words in 24 rows, .* is it an id"), (lambda: table_spec(tab.assign(r_mag=np.nan), ['r_mag']), "'r_mag' has no number"),
    (lambda: table_spec(tab, ['redshift']).encode(tab[['r_mag']]), "no column 'redshift'"), (lambda: table_spec(tab, ['r_mag'], encoder=StandardScaler()), '2 rows without a number: put an imputer'),
    (lambda: table_spec(tab.assign(r_mag=['x',*tab.r_mag[1:]]), ['r_mag']), "'x'"), (lambda: table_spec(pd.concat([tab, tab[['r_mag']]], axis=1), ['r_mag']), 'more than one column')])
def test_what_is_refused(make, why):
    with pytest.raises((CatalogError,GalfastError), match=why): make()

def test_an_encoder_of_scikit_learn():
    enc = make_column_transformer((StandardScaler(), ['redshift']), (OneHotEncoder(handle_unknown='ignore'), ['morphology']))
    t = table_spec(tab[:20], ['redshift','morphology'], encoder=enc)
    theirs = enc.fit(tab[:20]).transform(tab)
    assert np.allclose(t.encode(tab), theirs.toarray() if hasattr(theirs, 'toarray') else theirs, atol=1e-6) and t.cat_sizes==[] and t.n_cont==theirs.shape[1]
    with pytest.raises(GalfastError, match='would run code'): t.config # noqa: B018

def test_beside_an_image(spec):
    block = DataBlock((*ImageTableBlock(TransformBlock()), CategoryBlock), n_inp=2, splitter=IndexSplitter([0,1]),
                      get_x=[lambda r: torch.zeros(3,8,8), TableReader(spec)], get_y=ColReader('morphology'))
    x,z,y = block.dataloaders(tab.dropna(subset='morphology'), bs=4, num_workers=0, device='cpu').one_batch()
    assert (x.shape,z.shape,type(z),y.shape)==((4,3,8,8),(4,4),TensorTable,(4,))
