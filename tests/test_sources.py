"Images that are to be predicted: each row once and the same, in chunks of any size and parts of any number; what is told of bad ones"
import numpy as np, pytest, torch
from PIL import Image

from galfast.base.core import GalfastError,ImageError
from galfast.data.sources import ArraySource,FileSource,ImageSource
from galfast.images.pack import pack_images
from galfast.images.reader import ImageReader

n = 11

class Numbers(ImageSource):
    "A source whose image i is the number i; `bad` are not there"
    def __init__(self, n, bad=()): super().__init__(n); self.bad = list(bad)
    def read(self, rows):
        there = np.flatnonzero(~np.isin(rows, self.bad))
        status = np.where(np.isin(rows, self.bad), 'bad', 'ok').astype(object)
        return torch.as_tensor(np.asarray(rows)[there]).view(-1,1,1,1),there,status

def gathered(src, chunk=None):
    "Row -> its image and what is told of it, of a whole source, read in chunks"
    res = {}
    for rows,x,where,status in (src.batches(chunk) if chunk else [src.all()]):
        assert len(status)==len(rows) and len(where)==(0 if x is None else len(x)) and all(s=='ok' for s in status[where])
        for i,s in zip(rows.tolist(), status): assert i not in res; res[i] = [None, s]
        for j,i in enumerate(where): res[rows[i]][0] = x[torch.tensor([j])][0]
    return res

def same(a, b):
    assert a.keys()==b.keys()
    for i in a:
        (x,s),(y,t) = a[i],b[i]
        assert s==t and (x is None)==(y is None) and (x is None or torch.equal(x, y)), i

@pytest.mark.parametrize('chunk', [1,2,3,n-1,n,n+1,10**6])
def test_chunks_cover_each_row_once(chunk):
    src = Numbers(n, bad=[0,4,5])
    same(gathered(src, chunk), gathered(src))
    assert list(gathered(src, chunk))==list(range(n)) and all((x is None)==(i in (0,4,5)) and (x is None or x.item()==i) for i,(x,_) in gathered(src, chunk).items())
    assert max(len(o[0]) for o in src.batches(chunk))==min(chunk, n)

@pytest.mark.parametrize('k', [1,2,3,n,n+3])
def test_parts_cover_each_row_once(k):
    parts = [Numbers(n).shard(i, k) for i in range(k)]
    assert sum([o.rows.tolist() for o in parts], [])==list(range(n)) # one after the other, in order
    assert sum(map(len, parts))==n and max(map(len, parts))-min(map(len, parts))<=1
    whole = {}
    for o in parts: whole |= gathered(o, 2)
    same(whole, gathered(Numbers(n)))

def test_a_part_of_a_part():
    src = Numbers(n)
    half = src.shard(1, 2)
    assert half.shard(0, 2).rows.tolist()==half.rows.tolist()[:3] and len(src)==n # the source itself stays whole

@pytest.mark.parametrize('i,k', [(2,2),(-1,2),(0,0),(5,3)])
def test_parts_that_there_are_not(i, k):
    with pytest.raises(GalfastError, match=f'no part {i} of {k}'): Numbers(n).shard(i, k)

def test_an_empty_source_has_one_empty_chunk():
    (rows,x,there,status), = Numbers(0).batches()
    assert len(rows)==len(x)==len(there)==len(status)==0

def test_what_a_source_has_to_say():
    with pytest.raises(NotImplementedError): ImageSource(3).all()

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "Eleven pictures; the fourth is missing, the sixth a web page, the eighth cut off, the tenth blank, the last of another size"
    d,rng = tmp_path_factory.mktemp('sources'),np.random.default_rng(0)
    px = rng.integers(0, 255, (n,20,20,3), dtype=np.uint8)
    files = [d/f'{i}.png' for i in range(n)]
    for f,x in zip(files, px): Image.fromarray(x).save(f)
    files[5].write_text('<html>not found</html>')
    files[7].write_bytes(files[7].read_bytes()[:300])
    Image.new('RGB', (20,20), (9,9,9)).save(files[9])
    Image.fromarray(px[0,:16,:16]).save(files[10])
    files[3] = None
    return files,px

good,bad = [0,1,2,4,6,8],{3: 'no image', 5: 'web page', 7: '', 9: 'one colour', 10: '16'}

@pytest.mark.parametrize('chunk', [1,2,4,n])
def test_files_in_chunks_of_any_size(folder, chunk):
    files,px = folder
    got = gathered(FileSource(files, ImageReader(native=(20,20))), chunk)
    assert [i for i,(_,s) in got.items() if s=='ok']==good
    for i,(x,s) in got.items():
        if i in good: assert np.array_equal(np.asarray(x), px[i].transpose(2,0,1)), i
        else: assert bad[i] in s and x is None, (i, s)

def test_parts_of_files(folder):
    files,_ = folder
    src = FileSource(files, ImageReader(native=(20,20)))
    parts = {}
    for i in range(3): parts |= gathered(src.shard(i, 3), 2)
    same(parts, gathered(src))

def test_a_pack_gives_what_the_files_give(folder, tmp_path):
    files,px = folder
    there,reader = [f for f in files if f is not None],ImageReader(native=(20,20))
    pack = pack_images(there, tmp_path/'pack', reader)
    a,b = gathered(FileSource(files, reader, pack), 3),gathered(FileSource(files, reader), 3)
    assert {i: s=='ok' for i,(_,s) in a.items()}=={i: s=='ok' for i,(_,s) in b.items()}
    for i in good: assert torch.equal(a[i][0].as_subclass(torch.Tensor), b[i][0].as_subclass(torch.Tensor))

def test_no_file_at_all(folder):
    x,there,status = FileSource([None]*3, ImageReader(native=(20,20))).read([0,1,2])
    assert len(there)==0 and list(status)==['no image']*3

@pytest.mark.parametrize('chunk', [1,2,4,n])
@pytest.mark.parametrize('kind', ['rgb','array'])
def test_arrays_in_chunks_of_any_size(folder, kind, chunk):
    "Each as it would be in a file; one that is blank is none"
    px = folder[1].transpose(0,3,1,2).copy()
    px[4] = 7
    x = torch.from_numpy(px) if kind=='rgb' else torch.from_numpy(px).float()/3
    got = gathered(ArraySource(x, ImageReader(kind=kind)), chunk)
    for i,(o,s) in got.items():
        if i==4: assert o is None and s=='blank, one colour all over'
        else: assert s=='ok' and torch.equal(o.as_subclass(torch.Tensor), x[i])
    same(got, gathered(ArraySource(x, ImageReader(kind=kind))))

def test_pixels_of_pictures_are_whole_numbers_to_255():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.integers(0, 256, (4,3,8,8)))
    as_float = gathered(ArraySource(x.double(), ImageReader()))
    same(as_float, gathered(ArraySource(x.to(torch.uint8), ImageReader())))
    for o in (x/255, x-1., x*2):
        with pytest.raises(ImageError, match='whole numbers from 0 to 255'): ArraySource(o, ImageReader())
    with pytest.raises(ImageError, match='2 bands'): ArraySource(x[:,:2], ImageReader())
