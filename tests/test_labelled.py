"Files of images and labels that are not what they claim, and pickles made into one"
import pickle

import h5py,numpy as np,pytest

from galfast.base.arrays import hdf5_blocks
from galfast.base.core import GalfastError,ImageError
from galfast.base.labelled import LabelledImages,convert_pickle

names = ('Disk, Face-on','Smooth, Completely round','Smooth, in-between','Smooth, Cigar shaped','Edge-on','Boxy','No Bulge','Tight Spiral','Medium Spiral','Loose Spiral')
def labelled(p, names=None): return LabelledImages(p, names, 'irg' if names else '')
def read(p): return LabelledImages(p).read()
def catalog(p): return LabelledImages(p).catalog()

def write(p, images=None, ans=None, chunks=None, **kw):
    with h5py.File(p, 'w') as f:
        for k,v in dict(images=images, ans=ans, **kw).items():
            if v is not None: f.create_dataset(k, data=v, chunks=chunks if k=='images' else None, compression='gzip' if k=='images' and chunks else None)
    return p

rng = np.random.default_rng(1)
x,y = rng.integers(0, 256, (37,20,20,3), np.uint8),rng.integers(0, 10, 37).astype(np.uint8)

def test_subsets_bands_and_scales(tmp_path):
    p = write(tmp_path/'a.h5', x, y, chunks=(5,10,10,1))
    np.savez(tmp_path/'a.npz', images=x, ans=y)
    for f in p,tmp_path/'a.npz':
        a,b,got = labelled(f, names).read(['Smooth, cigar shaped',1,np.int64(8)])
        np.testing.assert_array_equal(a, x[np.isin(y, [1,3,8])])
        assert [[3,1,8][i] for i in b]==y[np.isin(y, [1,3,8])].tolist() and got==tuple(names[i] for i in (3,1,8))
        hot = labelled(f, names).read([3,1,8], one_hot=True)[1]
        assert hot.dtype==np.float32 and hot.shape==(len(b),3) and (hot.argmax(1)==b).all() and (hot.sum(1)==1).all()
        for band,i in (('i',0),('g',2),(1,1)): np.testing.assert_array_equal(labelled(f, names).read(bands=band)[0], x[...,i])
        for band in (None,'all','irg'): assert labelled(f, names).read(bands=band)[0].shape==x.shape
        s = labelled(f).read(scale=True)[0]
        assert s.dtype==np.float32; np.testing.assert_allclose(s, x/255, rtol=1e-6)
        none = labelled(write(tmp_path/'b.h5', x, np.zeros(37, int)), names).read([5])
        assert none[0].shape==(0,20,20,3) and len(none[1])==0
    assert labelled(p, names).read('Smooth, Cigar shaped')[2]==('Smooth, Cigar shaped',)

@pytest.mark.parametrize('kw,says', [(dict(classes=[10]),'no class 10'),(dict(classes=[-1]),'no class -1'),(dict(classes=['Irregular']),"no class 'Irregular'; there are 0: Disk"),(dict(classes=[]),'empty'),
    (dict(classes=[1,'Smooth, Completely round']),'twice'),(dict(classes=[True]),'no class True'),(dict(bands='u'),'bands='),(dict(bands=3),'bands='),(dict(bands=-1),'bands='),(dict(bands='ir'),'bands=')])
def test_bad_wishes(tmp_path, kw, says):
    p = write(tmp_path/'a.h5', x, y)
    with pytest.raises(GalfastError, match=says): labelled(p, names).read(**kw)

@pytest.mark.parametrize('keys', [('x','y'),('images','ans'),('img','label'),('X','Y'),('arr_0','arr_1'),('data','target')])
def test_keys_of_npz(tmp_path, keys):
    np.savez(tmp_path/'a.npz', **dict(zip(keys, (x[...,0]/255,y))))
    a,b,_ = labelled(tmp_path/'a.npz').read()
    np.testing.assert_array_equal(a, x[...,0]/255); assert (b==y).all()

@pytest.mark.parametrize('ans', [np.eye(10)[y],y[:,None],y.astype(float),np.eye(10, dtype=bool)[y]])
def test_forms_of_labels(tmp_path, ans):
    assert (labelled(write(tmp_path/'a.h5', x, ans), names).read()[1]==y).all()

@pytest.mark.parametrize('images,ans,says', [(x,None,"no labels.*'images'"),(None,y,"no images.*'ans'"),(None,None,'none'),(x,y[:-1],'37 images but labels of shape .36'),(x[:0],y,'0 images'),
    (x[0,0],y[:20],r'shape \(20, 3\)'),(x,np.full(37, 10),'a label 10'),(x,np.full(37, -1),'labels must be'),(x,np.full(37, .5),'labels must be'),(x,np.full(37, np.nan),'labels must be'),
    (x,np.zeros((37,10)),'one-hot'),(x,np.array([b'a']*37),'labels must be'),(x,np.uint8(3),'labels of shape'),(x.astype('c8'),y,'type complex64')])
@pytest.mark.filterwarnings('ignore')
def test_files_that_are_not_such(tmp_path, images, ans, says):
    with pytest.raises(ImageError, match=says): labelled(write(tmp_path/'a.h5', images, ans), names).read()
    np.savez(tmp_path/'a.npz', **{k: v for k,v in dict(images=images, ans=ans).items() if v is not None})
    with pytest.raises(ImageError, match=says): labelled(tmp_path/'a.npz', names).read()

def test_broken_files(tmp_path):
    big = np.random.default_rng(2).integers(0, 256, (200,20,20,3), np.uint8)
    good = write(tmp_path/'a.h5', big, np.zeros(200, int), chunks=(20,20,20,3)).read_bytes()
    np.savez(tmp_path/'a.npz', images=big, ans=np.zeros(200, int))
    npz = (tmp_path/'a.npz').read_bytes()
    for i,(suf,b) in enumerate((('.h5',good[:len(good)//2]),('.h5',good[:100]),('.h5',b''),('.h5',b'<html></html>'),('.npz',npz[:-100]),('.npz',b''),('.npz',b'PK\x03\x04'),('.npz',npz[:3000]+b'x'*3000+npz[6000:]),('.hdf5',npz))):
        p = tmp_path/f'{i}{suf}'
        p.write_bytes(b)
        with pytest.raises(ImageError, match='not a whole'): labelled(p).read()
    flip = bytearray(good); k = len(good)//2; flip[k:k+2000] = bytes(2000)
    (tmp_path/'z.h5').write_bytes(flip)
    with pytest.raises(ImageError, match='not a whole'): labelled(tmp_path/'z.h5').read()
    for n in ('none.h5','none.npz'):
        with pytest.raises(ImageError, match='no such file'): labelled(tmp_path/n).read()
    for n in ('a.fits','a'):
        with pytest.raises(ImageError, match='comes as .h5'): labelled(tmp_path/n).read()

def test_groups_links_and_objects(tmp_path):
    with h5py.File(tmp_path/'a.h5', 'w') as f:
        f.create_group('images'); f['ans'] = y; f['lost'] = h5py.SoftLink('/nowhere')
    with pytest.raises(ImageError, match='no images'): labelled(tmp_path/'a.h5').read()
    with pytest.raises(ImageError, match="no 'images'"): next(hdf5_blocks(tmp_path/'a.h5'))
    with h5py.File(tmp_path/'b.h5', 'w') as f: f['images'] = 3.
    with pytest.raises(ImageError, match='a single value'): next(hdf5_blocks(tmp_path/'b.h5'))

def test_where_pickles_go(tmp_path):
    (tmp_path/'a.pickle').write_bytes(pickle.dumps((x,y)))
    for f in read,catalog:
        with pytest.raises(ImageError, match=r'convert_pickle\(.*a\.pickle.*a\.npz'): f(tmp_path/'a.pickle')
    with pytest.warns(UserWarning), pytest.raises(GalfastError, match='converted to .npz'): convert_pickle(tmp_path/'a.pickle', tmp_path/'a.h5')
    with pytest.warns(UserWarning), pytest.raises(ImageError, match='no such file'): convert_pickle(tmp_path/'b.pkl', tmp_path/'a.npz')

class Runs:
    "Makes a file when it is read by pickle"
    def __init__(self, path): self.path = path
    def __reduce__(self): return open, (str(self.path), 'w')

def test_npz_of_objects_is_not_unpickled(tmp_path):
    marker = tmp_path/'touched'
    np.savez(tmp_path/'a.npz', images=np.array([Runs(marker)], object), ans=y)
    with pytest.raises(ImageError, match="'images' holds objects"): labelled(tmp_path/'a.npz').read()
    assert not marker.exists()

@pytest.mark.parametrize('label', [1000,2**40,2.**40,1e300,2**63])
@pytest.mark.parametrize('suf', ['.h5','.npz'])
def test_one_large_label_makes_no_names(tmp_path, label, suf):
    ans = np.array([0,1,label])
    if ans.dtype==object: ans = np.array([0,1,label], np.uint64)
    write(tmp_path/'a.h5', x[:3], ans) if suf=='.h5' else np.savez(tmp_path/'a.npz', images=x[:3], ans=ans)
    for f in read,catalog:
        with pytest.raises(ImageError, match=f'has a label {int(label)}, where classes are numbered from 0 and at most 1,000'): f(tmp_path/f'a{suf}')

def test_as_many_classes_as_there_are(tmp_path):
    np.savez(tmp_path/'a.npz', images=x[:3], ans=[0,1,999])
    assert len(labelled(tmp_path/'a.npz').read()[2])==1000
