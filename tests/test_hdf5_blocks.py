"Arrays of HDF5 by blocks of rows"
import h5py,numpy as np,pytest

from galfast.base.arrays import hdf5_blocks
from galfast.base.core import GalfastError

x = np.random.default_rng(1).integers(0, 256, (37,20,20,3), np.uint8)
y = np.random.default_rng(2).integers(0, 10, 37)

def write(p, images, chunks=None):
    with h5py.File(p, 'w') as f: f.create_dataset('images', data=images, chunks=chunks, compression='gzip' if chunks else None)
    return p

@pytest.mark.parametrize('chunks', [None,(5,10,10,1),(37,20,20,3),(1,20,20,3)])
@pytest.mark.parametrize('most', [1,5000,10**9])
def test_blocks_are_the_array(tmp_path, chunks, most):
    p = write(tmp_path/'a.h5', x, chunks=chunks)
    b = [*hdf5_blocks(p, most_bytes=most)]
    np.testing.assert_array_equal(np.concatenate(b), x)
    if chunks: assert all(len(o)%chunks[0]==0 for o in b[:-1])
    for rows in ([36],[0],[4,5,6,29],y>4,np.arange(37),np.zeros(37, bool),[]): 
        got = [*hdf5_blocks(p, rows=rows, most_bytes=most)]
        assert all(len(o) for o in got)
        np.testing.assert_array_equal(np.concatenate([x[:0],*got]), x[np.asarray(rows, dtype=None if len(rows) else int)])

def test_each_chunk_is_read_once(tmp_path, monkeypatch):
    p,seen = write(tmp_path/'a.h5', x, chunks=(5,10,10,1)),[]
    get = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, '__getitem__', lambda d, k: (seen.append((k.start,k.stop)), get(d, k))[1])
    [*hdf5_blocks(p, most_bytes=1)]
    assert seen==[(i,min(i+5, 37)) for i in range(0, 37, 5)]

@pytest.mark.parametrize('rows', [[3,1],[1,1],[-1],[37],[.5],['a'],[[1]],np.ones(36, bool)])
def test_bad_rows(tmp_path, rows):
    with pytest.raises(GalfastError, match='rising numbers'): next(hdf5_blocks(write(tmp_path/'a.h5', x), rows=rows))
