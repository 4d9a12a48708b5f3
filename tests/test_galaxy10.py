"Galaxy10: where its files go, and which of the two sets a file is of"
from dataclasses import replace

import h5py,numpy as np,pandas as pd,pytest

import galfast.surveys.galaxy10
from galfast.base.core import GalfastError
from galfast.surveys.galaxy10 import *
from galfast.sim.sets import sim_galaxy10

@pytest.fixture
def asked(monkeypatch):
    "What `download_file` was asked for"
    got = []
    def _file(*args, **kw):
        got.append((args, kw))
        return args[1]
    monkeypatch.setattr(galfast.surveys.galaxy10, 'download_file', _file)
    return got

@pytest.mark.parametrize('dest,name', [('', 'Galaxy10.h5'),('new/deep', 'new/deep/Galaxy10.h5'),('mine.hdf5', 'mine.hdf5')])
def test_where_a_download_goes(asked, tmp_path, dest, name):
    o = galaxy10_sets['sdss']
    assert download_galaxy10('sdss', tmp_path/dest, tries=2)==tmp_path/name
    assert asked==[((o.url, tmp_path/name, o.sha256, o.size, 'Galaxy10 SDSS'), dict(tries=2))]

def test_a_mirror(asked, tmp_path):
    download_galaxy10(replace(galaxy10_sets['decals'], title='Fake10'), tmp_path, url='http://127.0.0.1:9/mine.h5')
    assert asked[0][0][:2]==('http://127.0.0.1:9/mine.h5', tmp_path/'Galaxy10_DECals.h5') and asked[0][0][4]=='Fake10'

def test_unknown_set(asked, tmp_path):
    with pytest.raises(GalfastError, match="'hst' is no set"): download_galaxy10('hst', tmp_path)
    assert asked==[]

def write(p, images=None, ans=None, chunks=None, **kw):
    with h5py.File(p, 'w') as f:
        for k,v in dict(images=images, ans=ans, **kw).items():
            if v is not None: f.create_dataset(k, data=v, chunks=chunks if k=='images' else None, compression='gzip' if k=='images' and chunks else None)
    return p

@pytest.mark.parametrize('layout', ['sdss','decals'])
def test_read_what_was_simulated(tmp_path, layout):
    df = sim_galaxy10(tmp_path/'a.h5', 12, size=24, layout=layout, progress=False)
    a,b,names = read_galaxy10(tmp_path/'a.h5', layout)
    assert a.shape==(12,24,24,3) and a.dtype==np.uint8 and b.dtype==np.int64 and names==galaxy10_sets[layout].classes
    assert [names[i] for i in b]==df.label.tolist()
    c = galaxy10_catalog(tmp_path/'a.h5', layout)
    cols = ['objID','label']+['ra','dec','redshift','pxscale']*(layout=='decals')
    pd.testing.assert_frame_equal(c[cols], df[cols]); assert [*c]==['objID','label','ans',*cols[2:]]

@pytest.mark.parametrize('side,extra,first', [(69,{},'Disk, Face-on, No Spiral'),(256,{},'Disturbed'),(20,dict(pxscale=np.ones(3)),'Disturbed'),(20,{},'0')])
def test_which_set_it_is(tmp_path, side, extra, first):
    p = write(tmp_path/'a.h5', np.zeros((3,side,side,3), np.uint8), np.array([9,0,1]), **extra)
    assert read_galaxy10(p)[2][0]==first

def test_subsets(tmp_path):
    x,y = np.random.default_rng(1).integers(0, 256, (37,20,20,3), np.uint8),np.arange(37)%10
    p = write(tmp_path/'a.h5', x, y)
    a,b,names = read_galaxy10(p, 'sdss', [9,1], one_hot=True, bands='g', scale=True)
    np.testing.assert_allclose(a, x[(y==9)|(y==1)][...,2]/255, rtol=1e-6)
    assert names==(galaxy10_sets['sdss'].classes[9],galaxy10_sets['sdss'].classes[1])
    assert (b.argmax(1)==(y[(y==9)|(y==1)]==1)).all()
    assert galaxy10_catalog(p, 'sdss', [9,1]).ans.tolist()==[o for o in y if o in (1,9)]
    with pytest.raises(GalfastError, match="'hst' is no set"): read_galaxy10(p, 'hst')
