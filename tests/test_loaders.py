"From a catalogue with everything that catalogues have to batches: what is left out, what is said, what is refused"
import matplotlib.pyplot as plt, numpy as np, pandas as pd, pytest
from PIL import Image

from galfast.data.targets import target_spec
from galfast.base.core import CatalogError,GalfastError,ImageError
from galfast.data.loaders import *
from galfast.images.fits import FITSImage
from galfast.images.reader import ImageReader

@pytest.fixture(scope='module')
def survey(tmp_path_factory):
    d,rng = tmp_path_factory.mktemp('data'),np.random.default_rng(0)
    df = pd.DataFrame(dict(objID=[f'g{i:02}' for i in range(24)], oh=rng.normal(8.7, .2, 24), split=['train']*12+['valid']*6+['test']*6))
    for o in df.objID: Image.fromarray(rng.integers(0, 255, (16,16,3), dtype='u1')).save(d/f'{o}.png')
    return d,df

def test_codes_are_left_out_and_said(survey):
    d,df = survey
    df = df.assign(oh=['-9999', '--', '', *df.oh[3:].astype(str)])
    with pytest.raises(CatalogError, match=r"3 with no label: g00 \('oh' is -9999\), g01 \('oh' is '--'\), g02.*on_error='skip'"): GalaxyDataLoaders.from_catalog(df, d, 'oh', size=8)
    dls = GalaxyDataLoaders.from_catalog(df, d, 'oh', size=8, on_error='missing', bs=4, device='cpu')
    assert dict(zip(dls.skipped.objID, dls.skipped.reason))=={'g00': "no label: 'oh' is -9999", 'g01': "no label: 'oh' is '--'", 'g02': 'no label'}
    assert dls.notes==["1 of 24 labels of 'oh' is -9999, a code for not measured: left out", "1 of 24 labels of 'oh' is '--': left out"]
    assert abs(dls.spec.heads[0].mean[0]-dls.df.oh.astype(float)[dls.splits[0]].mean())<1e-9

def test_columns_beside_the_images_go_by_the_same_rule(survey):
    d,df = survey
    df = df.assign(mag=[-99.9, '--', *np.linspace(15, 22, 22).astype(str)])
    dls = GalaxyDataLoaders.from_catalog(df, d, 'oh', size=8, table=['mag'], bs=4, valid=[20,21], device='cpu')
    assert dls.table.cont==dls.table.flags==['mag'] and any("'mag' is -99.9" in o for o in dls.notes) and any("'--'" in o for o in dls.notes)
    assert abs(dls.table.encode(dls.df)[:,1]).max()<3

class Blanks(ImageReader):
    "A reader to which two images are blank"
    def decode(self, fn):
        if str(fn).endswith(('g03.png','g04.png')): raise ImageError(f"{fn}: blank, one colour all over")
        return super().decode(fn)
    def __call__(self, fn): self.decode(fn); return super().__call__(fn)

def test_blank_images_are_left_out_like_missing_ones(survey):
    d,df = survey
    data = load_images(df, d, Blanks(size=8), on_error='missing')
    assert list(data.skipped.objID)==['g03','g04'] and len(data.df)==len(data.images)==22
    assert data.notes==['2 images are blank, one colour all over: left out (g03, g04)']
    with pytest.raises(CatalogError, match='2 with blank image: .*g03.png'): load_images(df, d, Blanks(size=8))

def test_blank_images_in_memory_are_refused():
    x = np.random.default_rng(0).random((8,8,8,3), dtype=np.float32)
    x[3],x[5] = .5,0
    with pytest.raises(CatalogError, match='2 images are blank, one colour all over: 3, 5;'): GalaxyDataLoaders.from_arrays(x, np.arange(8)/7)
    x[3],x[5] = x[0],x[1]
    assert len(GalaxyDataLoaders.from_arrays(x, np.arange(8)/7, bs=2, device='cpu').df)==8

def test_three_sets(survey):
    d,df = survey
    dls = GalaxyDataLoaders.from_catalog(df, d, 'oh', size=8, valid='split', bs=4, device='cpu')
    assert [len(o) for o in dls.splits]==[12,6,6] and list(dls.df.split[dls.splits[2]])==['test']*6 and len(dls.loaders)==3

@pytest.mark.parametrize('words,want', [(['train','valid','test'], [8,8,8]), (['Training','VAL','Testing'], [8,8,8]), (['train','validation','holdout'], [8,8,8]), ([0,1,0], [16,8]), ([False,True,False], [16,8]),
    (['false','true','test'], [8,8,8]), (['train','train','test'], [16,8]), ([0.,1.,0.], [16,8])])
def test_words_of_a_split(words, want):
    df = pd.DataFrame(dict(y=np.arange(24)/7, s=words*8))
    assert [len(o) for o in split_rows(df, target_spec(df, 'y'), 's')]==want

@pytest.mark.parametrize('words,says', [(['train','valid','vald'], r"says 'vald' \(8 rows\)"), ([0,1,2], r"says '2' \(8 rows\)"), (['train','valid',None], 'is empty in 8 of 24 rows'), (['train','valid',' '], 'is empty in 8'), (['train']*3, 'none of the 24'), (['valid','test','test'], 'all of the 24')])
def test_splits_that_cannot_be_read(words, says):
    df = pd.DataFrame(dict(y=np.arange(24)/7, s=words*8))
    with pytest.raises(CatalogError, match=says): split_rows(df, target_spec(df, 'y'), 's')

def test_a_mask_is_no_list_of_rows():
    df = pd.DataFrame(dict(y=np.arange(10)/7))
    assert list(split_rows(df, target_spec(df, 'y'), np.arange(10)>7)[1])==[8,9]

def test_keywords_that_nothing_takes(survey):
    d,df = survey
    with pytest.raises(GalfastError, match='no keyword vlid: did you mean valid?'): GalaxyDataLoaders.from_catalog(df, d, 'oh', vlid=.5)
    with pytest.raises(GalfastError, match=r'from_arrays has no keyword overample: did you mean oversample\?'): GalaxyDataLoaders.from_arrays(np.zeros((4,8,8,3)), [1.,2,3,4], overample=1)
    with pytest.raises(GalfastError, match='setting of the reader'): GalaxyDataLoaders.from_catalog(df, d, 'oh', stretch=None)
    dls = GalaxyDataLoaders.from_catalog(df, d, 'oh', size=8, bs=4, val_bs=3, pin_memory=False, shuffle=False, num_workers=0, device='cpu') # fastai's own
    assert dls.valid.bs==3

def test_a_size_beside_a_reader(survey):
    d,df = survey
    assert GalaxyDataLoaders.from_catalog(df, d, 'oh', reader=ImageReader(), size=8, bs=4, device='cpu').one_batch()[0].shape[-1]==8
    assert GalaxyDataLoaders.from_catalog(df, d, 'oh', reader=ImageReader(size=12), bs=4, device='cpu').one_batch()[0].shape[-1]==12
    with pytest.raises(GalfastError, match='size=8 is asked for, and the reader makes images of 12 px'): GalaxyDataLoaders.from_catalog(df, d, 'oh', reader=ImageReader(size=12), size=8)

@pytest.mark.parametrize('unit', [1e-30, 1e-9, 1., 1e30])
def test_units_of_pixels_and_labels(unit):
    "Batches are the same to float32's last digits, whatever the units"
    rng = np.random.default_rng(0)
    x,y = rng.random((12,8,8,2)),rng.normal(8.7, .2, 12)
    a,b = (GalaxyDataLoaders.from_arrays(x*u, y*u, bs=4, valid=[0,1], augment=[], device='cpu') for u in (1., unit))
    (xa,ya),(xb,yb) = a.valid.one_batch(),b.valid.one_batch()
    assert isinstance(xb, FITSImage) and np.allclose(xa, xb, atol=1e-5) and np.allclose(ya*unit, yb, rtol=1e-12)
    assert np.allclose(np.array(a.stats)*unit, b.stats, rtol=1e-5) and np.allclose([a.spec.heads[0].mean[0]*unit, a.spec.heads[0].std[0]*unit], [b.spec.heads[0].mean[0], b.spec.heads[0].std[0]], rtol=1e-9)
    assert np.allclose(b.stats[1], x[2:].std((0,1,2))*unit, rtol=1e-5)

def test_pixels_beyond_32_bits():
    for u in (1e-44, 1e40):
        with pytest.raises(GalfastError, match='32 bits'): channels_first(np.ones((2,8,8,3))*u)
    assert channels_first(np.full((2,8,8,3), np.inf)).max()==0 and channels_first(np.ones((2,8,8,3), bool)).max()==1

def test_titles_have_four_digits():
    x,y = np.random.default_rng(0).random((8,8,8,3), dtype=np.float32),np.random.default_rng(1).normal(8.7, .2, 8)
    for u in (1., 1e41):
        dls = GalaxyDataLoaders.from_arrays(x, y*u, bs=4, device='cpu')
        dls.show_batch(max_n=4)
        shown = [ax.get_title() for ax in plt.gcf().axes if ax.get_title()]
        plt.close('all')
        assert len(shown)==4 and set(shown)<={f'{v*u:.4g}' for v in y}

def test_skip_is_no_way_out_where_nothing_would_be_left(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3): Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(tmp_path/f'{i}.png')
    df = pd.DataFrame(dict(objID=['0', '1', '2'], z=[.1, .2, .3]))
    with pytest.raises(GalfastError, match='smaller than the crop') as e: GalaxyDataLoaders.from_catalog(df, tmp_path, 'z', reader=ImageReader(crop=32))
    assert 'leaves them out' not in str(e.value)
