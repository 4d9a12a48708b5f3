"Rare classes: every augmentation against a closed form or NumPy, offline against online, hostile .npy files, epochs that are balanced"
import os,pickle

import numpy as np,pytest,torch
from fastai.vision.all import Callback,CrossEntropyLossFlat,Learner,Pipeline,TensorCategory,TensorImage,nn
from scipy import ndimage

from galfast.images.augment import *
from galfast.base.core import *
from galfast.data.loaders import GalaxyDataLoaders
from galfast.data.rare import *

def gen(seed=0): return torch.Generator().manual_seed(seed)

def gauss(size=81, sx=5., sy=5., dx=0., dy=0.):
    y,x = np.mgrid[:size,:size]-(size-1)/2
    return np.exp(-(x-dx)**2/(2*sx*sx)-(y-dy)**2/(2*sy*sy))[None].astype(np.float32)

def moments(a):
    "Flux, centroid (x, y) from the centre, and second moments xx, yy, xy of images (n, y, x)"
    a = np.asarray(a, np.float64)
    y,x = np.mgrid[:a.shape[1],:a.shape[2]]-(a.shape[1]-1)/2
    f = a.sum((1,2))
    mean = lambda v: (a*v).sum((1,2))/f
    cx,cy = mean(x),mean(y)
    return f,cx,cy,mean(x*x)-cx**2,mean(y*y)-cy**2,mean(x*y)-cx*cy

def test_rotation_keeps_flux_and_distance():
    src = gauss(dx=9., dy=4., sx=6., sy=3.)
    f,cx,cy,xx,yy,xy = moments(augment_class(src, 60, rotation=True, seed=0))
    np.testing.assert_allclose(f, src.sum(), rtol=2e-3)
    np.testing.assert_allclose(np.hypot(cx, cy), np.hypot(9, 4), atol=.03)
    np.testing.assert_allclose(xx+yy, 36+9, rtol=.02) # a rotation keeps the trace and the determinant
    np.testing.assert_allclose(xx*yy-xy**2, 36*9, rtol=.04)
    a = np.degrees(np.arctan2(cy, cx)); assert a.min()<-150 and a.max()>150
    a = (np.degrees(np.arctan2(*moments(augment_class(src, 60, rotation=20, seed=0))[2:0:-1]))-np.degrees(np.arctan2(4, 9)))
    assert 17<np.abs(a).max()<=20.1 and a.min()<-10 and a.max()>10

def test_shift_moves_the_centroid_by_axis():
    f,cx,cy,xx,yy,xy = moments(augment_class(gauss(), 300, width_shift=8, height_shift=2, fill='constant', seed=1))
    np.testing.assert_allclose(f, gauss().sum(), rtol=1e-3)
    for c,m in ((cx,8),(cy,2)): assert .95*m<np.abs(c).max()<=m+.01 and abs(c.mean())<.15*m; np.testing.assert_allclose(c.std(), m/np.sqrt(3), rtol=.1) # uniform
    assert abs(np.corrcoef(cx, cy)[0,1])<.2

def test_zoom_scales_moments_and_keeps_brightness():
    out = augment_class(gauss(), 80, zoom_range=(.8,1.25), seed=2)
    f,_,_,xx,yy,xy = moments(out)
    z = np.sqrt(f/gauss().sum()) # an image z times as large has z*z times the light
    assert .8<=z.min()+1e-3 and z.max()<=1.25+1e-3 and z.min()<.85 and z.max()>1.18
    np.testing.assert_allclose(xx, 25*z**2, rtol=.02); np.testing.assert_allclose(yy, 25*z**2, rtol=.02); np.testing.assert_allclose(xy, 0, atol=.05)
    np.testing.assert_allclose(out.max((1,2)), 1, rtol=1e-3)

def test_skew_shears_second_moments():
    f,_,_,xx,yy,xy = moments(augment_class(gauss(), 80, skew_angle=15, seed=3))
    g = -xy/yy # I(Sx), S = [[1, g], [0, 1]]: the moments are S^-1 C S^-T
    np.testing.assert_allclose(f, gauss().sum(), rtol=1e-3); np.testing.assert_allclose(yy, 25, rtol=.01); np.testing.assert_allclose(xx, 25*(1+g**2), rtol=.02)
    a = np.degrees(np.arctan(g)); assert 13<a.max()<=15.2 and -15.2<=a.min()<-13

@pytest.mark.parametrize('fill,mode', [('nearest','nearest'), ('reflect','reflect'), ('constant','grid-constant'), ('wrap','grid-wrap')])
def test_all_of_it_is_what_scipy_does(fill, mode):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3,25,25,2)).astype(np.float32)
    kw = dict(width_shift=9, height_shift=5, horizontal=True, vertical=True, rotation=True, zoom_range=(.7,1.3), skew_angle=20)
    out = augment_class(x, 4, **kw, fill=fill, cval=2.5, image_size=18, seed=5)
    mat,shift,(_,_,_,shape) = GalaxyAugment(18, 'hv', 180., (9,5), (.7,1.3), 20., seed=5, centred=True).draw((12,2,25,25))
    for i,(m,s) in enumerate(zip(mat.double().numpy()[:,::-1,::-1], shift.double().numpy()[:,::-1])):
        for b in range(2):
            want = ndimage.affine_transform(x[i//4,...,b].astype(float), m, 12+s-m@[8.5,8.5], shape, order=1, mode=mode, cval=2.5)
            np.testing.assert_allclose(out[i,...,b], want, atol=1e-4)

def test_the_skew_comes_after_the_zoom_and_both_after_the_turn():
    mat,_ = draw_affine(50, 180., 0., (.5,2.), 30., gen(1))
    r = torch.rand(5, 50, generator=gen(1))*2-1
    for m,(a,g,z,*_) in zip(mat, r.T):
        c,s = torch.cos(a*np.pi),torch.sin(a*np.pi)
        want = torch.stack([torch.stack([c,-s]), torch.stack([s,c])]) @ (torch.eye(2)/(.5*4**((z+1)/2))) @ torch.tensor([[1.,(g*np.pi/6).tan()],[0.,1.]])
        torch.testing.assert_close(m, want, atol=1e-5, rtol=1e-5)

def test_offline_and_online_give_the_same_images():
    x = np.random.default_rng(1).random((5,40,40,3), np.float32)
    out = augment_class(x, 3, 3, 2, True, False, 40, 'reflect', zoom_range=(.9,1.1), image_size=28, skew_angle=8, mask_size=7, num_masks=2, blend_multiplier=1.4, blend_func='random', seed=9, n_at_once=4)
    move = GalaxyAugment(28, 'h', 40., (3,2), (.9,1.1), 8., seed=9, fill='reflect', centred=True)
    b = TensorImage(torch.from_numpy(x.repeat(3, 0)).permute(0,3,1,2))
    y = move(b, split_idx=0)
    y = torch.cat([y, blend_images(y, *draw_blends(6, 15, 2, 'random', move.gen))])
    hole = CutHoles(2, 7/28)
    hole._gen,hole.seed = move.gen,9
    torch.testing.assert_close(torch.from_numpy(out).permute(0,3,1,2), hole(TensorImage(y), split_idx=0).as_subclass(torch.Tensor), rtol=0, atol=1e-6)
    assert out.shape==(21,28,28,3)

@pytest.mark.parametrize('func,f', [('mean',np.mean), ('max',np.max), ('min',np.min)])
def test_blends_are_those_of_numpy(func, f):
    x = np.random.default_rng(2).random((4,6,6,2), np.float32)
    out = augment_class(x, 1, blend_multiplier=20., blend_func=func, num_images_to_blend=3, seed=0)
    assert out.shape==(80,6,6,2) and (out[:4]==x).all()
    want = np.stack([f(np.delete(x, i, 0), axis=0) for i in range(4)]) # 3 of 4: one is left out
    d = np.abs(out[4:,None]-want).max((2,3,4))
    assert (d.min(1)<1e-6).all() and set(d.argmin(1))=={0,1,2,3}

def test_random_blends_are_of_every_kind():
    x = np.stack([np.zeros((5,5)), np.ones((5,5))*3]).astype(np.float32)
    out = augment_class(x, 1, blend_multiplier=100, blend_func='random', seed=0)[2:]
    n = np.unique(out[:,0,0], return_counts=True)
    assert n[0].tolist()==[0.,1.5,3.] and n[1].min()>40 and (out==out[:,:1,:1]).all()

@pytest.mark.parametrize('mult,n', [(0,40), (1,40), (1.5,60), (1.01,40), (2,80)])
def test_growth(mult, n): assert len(augment_class(np.zeros((4,5,5), np.float32), 10, blend_multiplier=mult, seed=0))==n

def test_cut_outs_have_the_area_of_their_discs():
    d,side = 9,30
    out = augment_class(np.ones((2,side,side,3), np.float32), 400, mask_size=d, num_masks=1, seed=0)
    lost = out==0
    assert set(np.unique(out))=={0.,1.} and (lost==lost[...,:1]).all()
    area = lost[...,0].sum((1,2))
    assert abs(area.max()-np.pi*d*d/4)<6
    y,x = np.mgrid[-500:501,-500:501]/100 # what of a disc lies within, over all places of its centre
    mean = ((y*y+x*x<=d*d/4)*(side-np.abs(y))*(side-np.abs(x))).sum()/1e4/side**2
    assert abs(area.mean()-mean)<4*area.std()/np.sqrt(800)
    both = (augment_class(np.ones((1,side,side), np.float32), 300, mask_size=(3,12), num_masks=4, seed=0)==0).sum((1,2))
    assert 4*np.pi*36>=both.max()>200 and both.min()<70
    assert (augment_class(np.ones((1,side,side), np.float32), 3, mask_size=4, num_masks=0)==1).all()

def test_order_totals_and_kinds():
    x = np.arange(7, dtype=np.float32)[:,None,None]*np.ones((1,8,8), np.float32)
    assert augment_class(x, 3)[:,0,0].tolist()==np.repeat(range(7), 3).tolist()
    for t in (7,50,61):
        n = np.bincount(augment_class(x, total=t, rotation=True)[:,4,4].round().astype(int))
        assert n.sum()==t and n.max()-n.min()<=1
    assert len(augment_class(x, total=60, blend_multiplier=1.5))==60
    for v in (x, x[...,None].repeat(2, 3), torch.from_numpy(x), torch.from_numpy(x)[:,None]):
        o = augment_class(v, 2, rotation=10, image_size=5)
        assert type(o) is type(v) and o.ndim==v.ndim and len(o)==14 and o.shape[-1] in (5,2)
    same = [augment_class(v, 2, rotation=30, zoom_range=(.9,1.2), seed=1) for v in (x, x.astype(np.float64), x.astype('>f4'), np.asfortranarray(x), x[:,::-1,::-1][:,::-1,::-1], x.astype(np.uint16), torch.from_numpy(x), torch.from_numpy(x).requires_grad_())]
    for o in same: assert str(o.dtype)[-7:]=='float32'; np.testing.assert_array_equal(o, same[0])

def test_bytes_stay_bytes():
    x = np.random.default_rng(0).integers(0, 256, (3,20,20,3), np.uint8)
    kw = dict(rotation=True, zoom_range=(.9,1.1), image_size=12, seed=4)
    a,b = augment_class(x, 5, **kw),augment_class(x.astype(np.float32), 5, **kw)
    assert a.dtype==np.uint8 and (a==b.round()).all()
    assert augment_class(x, 5, fill='constant', cval=400, width_shift=30, seed=1).max()==255
    assert augment_class(x, 2, blend_multiplier=2, blend_func='mean', seed=1).dtype==np.uint8
    assert (augment_class(x, 2, image_size=12)==x[:,4:16,4:16].repeat(2, 0)).all()

def test_seeds():
    x = np.random.default_rng(0).random((3,12,12,2), np.float32)
    kw = dict(width_shift=2, rotation=True, blend_multiplier=2., blend_func='random', mask_size=3)
    a = augment_class(x, 2, **kw, seed=1)
    assert (a==augment_class(x, 2, **kw, seed=1, n_at_once=1)).all() and (a!=augment_class(x, 2, **kw, seed=2)).any()
    torch.manual_seed(3); b = augment_class(x, 2, **kw); c = augment_class(x, 2, **kw)
    torch.manual_seed(3); assert (b==augment_class(x, 2, **kw)).all() and (b!=c).any()
    state = torch.get_rng_state(); augment_class(x, 2, **kw, seed=1); assert torch.equal(state, torch.get_rng_state())

def test_one_image_of_one_pixel():
    assert augment_class(np.ones((1,1,1)), 3, 2, 2, True, True, True, zoom_range=(.5,2), skew_angle=20, seed=0).tolist()==[[[1.]]]*3
    with pytest.raises(GalfastError, match='2 of 1 cannot'): augment_class(np.ones((1,1,1)), 1, blend_multiplier=5)

@pytest.mark.parametrize('bad,msg', [(np.zeros((2,3)), 'shape'), (np.zeros((2,3,3,3,3)), 'shape'), (np.zeros((0,9,9,3)), 'empty class'), (np.zeros((2,0,9)), 'without pixels'), ([1,2], 'list'), (None, 'NoneType'),
    (np.zeros((2,3,9,9)), 'come last'), (torch.zeros(2,9,9,3), 'before y and x'), (np.zeros((2,5,5), complex), 'complex'), (np.zeros((2,5,5), bool), 'bool'), (torch.zeros(2,5,5, dtype=torch.bool), 'bool'), (np.array([[['a']]]), 'real numbers'),
    (np.full((2,5,5), 1e300), '50 pixel values'), (torch.full((2,1,5,5), torch.inf), '50 pixel values'), (np.full((2,5,5), np.nan, np.float16), '50 pixel values are NaN or infinite, in 2 of 2 images')])
def test_what_is_no_class_of_images(bad, msg):
    with pytest.raises(ImageError, match=msg): augment_class(bad, 2)

class Boom:
    def __reduce__(self): return os.system, (f'touch {os.environ.get("BOOM", "/dev/null")}',)

def test_hostile_files(tmp_path, monkeypatch):
    monkeypatch.setenv('BOOM', str(tmp_path/'boom'))
    good,d = np.ones((4,6,6,2), np.float32),tmp_path
    np.save(d/'good.npy', good)
    raw = (d/'good.npy').read_bytes()
    np.save(d/'pickle.npy', np.array([Boom()]), allow_pickle=True)
    (d/'plain.npy').write_bytes(pickle.dumps(Boom()))
    (d/'cut.npy').write_bytes(raw[:-100]); (d/'head.npy').write_bytes(raw[:40]); (d/'empty.npy').write_bytes(b''); (d/'text.npy').write_text('<html>404</html>')
    for n,shape in (('huge',(4*10**9,6000,6000,2)), ('wrong',(5,6,6,2))):
        with open(d/f'{n}.npy', 'wb') as f: np.lib.format.write_array_header_1_0(f, dict(descr='<f4', fortran_order=False, shape=shape)); f.write(good.tobytes())
    (d/'minus.npy').write_bytes(raw.replace(b'(4, 6, 6, 2)', b'(-4, 6, 6,2)')); (d/'code.npy').write_bytes(raw.replace(b"'<f4'", b'print'))
    np.savez(d/'zip.npz', a=good); (d/'zip.npz').rename(d/'zip.npy'); (d/'folder.npy').mkdir()
    for o in ('pickle','plain','cut','head','empty','text','huge','wrong','minus','code','zip','folder','missing'):
        with pytest.raises(ImageError, match=f'{o}.npy'): augment_class(d/f'{o}.npy', 2)
        with pytest.raises(ImageError, match=f'{o}.npy'): read_class_arrays(d/'good.npy', d/f'{o}.npy')
    assert not (d/'boom').exists()
    np.save(d/'flat.npy', np.ones(5)); np.save(d/'none.npy', np.ones((0,6,6,2)))
    with pytest.raises(ImageError, match=r'flat.npy: shape \(5,\)'): read_class_arrays(d/'good.npy', d/'flat.npy')
    with pytest.raises(ImageError, match='empty class'): read_class_arrays(d/'none.npy', d/'good.npy')
    with pytest.raises(ImageError, match='positives: a tensor'): read_class_arrays(torch.ones(4,2,6,6), good)
    assert (augment_class(str(d/'good.npy'), 2, rotation=90, fill='reflect', image_size=4, seed=0)>.999).all()
    assert isinstance(read_npy(d/'good.npy'), np.memmap)

def test_class_arrays_say_what_they_do(tmp_path):
    rng = np.random.default_rng(0)
    a,b = rng.random((3,9,9,2)),rng.random((5,9,9,2)).astype('>f4')
    np.save(tmp_path/'b.npy', b)
    x,y = read_class_arrays(a, tmp_path/'b.npy')
    assert x.dtype==np.float32 and y.tolist()==[1]*3+[0]*5
    np.testing.assert_array_equal(x, np.concatenate([a,b]).astype(np.float32))
    i8 = np.arange(72, dtype=np.uint8).reshape(2,6,6)
    x,_ = read_class_arrays(i8, i8); assert x.dtype==np.uint8 and x.shape==(4,6,6)
    assert read_class_arrays(i8, i8.astype(np.int16), nan=0.)[0].dtype==np.float32
    for p,n in ((a, b[...,:1]), (a, b[:,:8]), (a[...,0], b[...,:1])):
        with pytest.raises(ImageError, match='must agree'): read_class_arrays(p, n)
    with pytest.raises(ImageError, match='negatives: images of 9 x 9 px'): read_class_arrays(np.zeros((2,10,12,2)), b, image_size=10)
    with pytest.raises(ImageError, match="nan='drop'"): read_class_arrays(a, b, nan='drop')

def test_minmax_is_the_formula():
    x = np.random.default_rng(0).normal(40, 60, (7,5,6,3)).astype(np.float32)
    lo,hi = np.array([-5,0,10.]),np.array([100,50,90.])
    y,tfm = minmax_images(x, lo, hi)
    np.testing.assert_allclose(y, (np.clip(x, lo, hi)-lo)/(hi-lo), atol=1e-6)
    assert y.min()==0 and y.max()==1 and y.dtype==np.float32 and tfm.config()['ceil']==[100,50,90]
    np.testing.assert_allclose(minmax_images(x)[0], np.clip(x, 0, 100)/100, atol=1e-6)
    np.testing.assert_allclose(minmax_images(x, 0, 100, lo=-100, hi=300)[0], (np.clip(x, 0, 100)+100)/400, atol=1e-6)
    np.testing.assert_allclose(minmax_images(torch.from_numpy(x).permute(0,3,1,2), lo, hi)[0].permute(0,2,3,1), y)
    np.testing.assert_allclose(minmax_images(x[...,0].astype(np.uint8))[0], np.clip(x[...,0].astype(np.uint8), 0, 100)/100, atol=1e-6)
    back = tfm.decode(TensorImage(torch.from_numpy(y).permute(0,3,1,2))).permute(0,2,3,1).numpy()
    np.testing.assert_allclose(back, np.clip(x, lo, hi), atol=1e-3)
    gap = x.copy(); gap[0,0,0] = np.nan,np.inf,-np.inf
    assert np.isnan(minmax_images(gap)[0][0,0,0,0]) and minmax_images(gap)[0][0,0,0,1:].tolist()==[1,0]
    for bad in (dict(max_pixel=[1,2]), dict(max_pixel=0), dict(min_pixel=[200]*3)):
        with pytest.raises(ImageError): minmax_images(x, **bad)

def sample(n=48, size=24, seed=0):
    "Class 0 near 0, class 1 near 5"
    rng = np.random.default_rng(seed)
    y = np.arange(n)%4==0
    return rng.random((n,size,size,2), np.float32)+np.float32(5)*y[:,None,None,None],y.astype(int)

def test_blends_in_training_stay_within_a_class():
    x,y = sample()
    aug = [GalaxyAugment(crop=16, centred=True, fill='nearest', max_shift=2), BlendImages(func='mean', p=1.), CutHoles(1, .2)]
    dls = GalaxyDataLoaders.from_arrays(x, y, bs=16, augment=aug, device='cpu', stats=None)
    kinds = [type(o) for o in dls.train.after_batch.fs]
    assert kinds.index(GalaxyAugment)<kinds.index(BlendImages)<kinds.index(CutHoles)
    for xb,yb in dls.train:
        top = dls.train.after_batch.decode((xb, yb))[0].amax((1,2,3))
        assert xb.shape[1:]==(2,16,16) and ((top>4)==(yb==1)).all()
    dls.valid.after_batch.split_idx = 1
    for xb,_ in dls.valid: assert xb.shape[1:]==(2,16,16)

class Batches(Callback):
    def __init__(self): self.seen = {True: [], False: []}
    def before_batch(self): self.seen[self.training].append(self.x.as_subclass(torch.Tensor).clone())

def test_labels_do_not_touch_what_is_predicted():
    x,y = sample(48, 8)
    dls = GalaxyDataLoaders.from_arrays(x, y, bs=16, augment=BlendImages(p=1.), device='cpu', stats=([0.]*2,[1.]*2))
    learn = Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(128, 2)), CrossEntropyLossFlat(), cbs=Batches())
    known = torch.from_numpy(x).permute(0,3,1,2)
    is_there = lambda seen: [(o==known).flatten(1).all(1).any().item() for b in seen for o in b]
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        assert not any(is_there(learn.batches.seen[True])) and all(is_there(learn.batches.seen[False]))
        learn.tta(n=2)
        assert len(is_there(learn.batches.seen[False]))>=3*9 and all(is_there(learn.batches.seen[False]))
    x,y = x[:8],y[:8]
    b = TensorImage(torch.from_numpy(x).permute(0,3,1,2)),TensorCategory(torch.from_numpy(y))
    t = Pipeline(BlendImages(p=1.), split_idx=0)
    assert not torch.equal(t(b)[0], b[0])
    with torch.no_grad(): assert torch.equal(t(b)[0], b[0]) and torch.equal(t((b[0],))[0], b[0])
    with pytest.raises(GalfastError, match='one class for each'): t((b[0], torch.rand(8)))

def test_epochs_are_balanced_and_repeats_are_spread():
    lab = np.array(['none']*500+['lens']*20)
    i = oversample_rows(lab, seed=1)
    assert len(i)==1000 and (lab[i]=='lens').sum()==500
    n = np.bincount(i); assert (n[:500]==1).all() and (n[500:]==25).all()
    for r in range(500, 520):
        at = np.nonzero(i==r)[0]/1000
        assert (np.abs(at-(np.arange(25)+.5)/25)<.5/25+.06).all()
    for k in range(0, 1000, 100): assert 25<(lab[i[k:k+100]]=='lens').sum()<75

@pytest.mark.parametrize('share,n', [(.5,500), (.2,125), (.9,4500), (21/521,21)])
def test_share_of_the_rarest(share, n):
    lab = torch.cat([torch.zeros(500), torch.ones(20)]).long()
    i = oversample_rows(lab, share, seed=0)
    rare = (lab[i]==1).sum().item()
    assert rare==n and set(i.tolist())==set(range(520)) and abs(rare/len(i)-share)<.002
    c = np.bincount(i)[500:]; assert c.max()-c.min()<=1

def test_three_classes():
    lab = np.repeat([0,1,2], [50,7,3])
    i = oversample_rows(lab, seed=0); assert np.bincount(lab[i]).tolist()==[50,50,50] and len(set(i))==60
    i = oversample_rows(lab, .25, seed=0); assert np.bincount(lab[i]).tolist()==[50,7,19]
    assert len({tuple(oversample_rows(lab, seed=(0,e))) for e in range(4)})==4 and (oversample_rows(lab)!=oversample_rows(lab)).any()

def test_every_blend_is_as_likely():
    "Each of the 24 ordered triples 250 times of 6000"
    from collections import Counter

    from galfast.data.rare import _more_picks
    p = _more_picks(torch.empty(6000, 0, dtype=torch.long), 4, 3, gen())
    n = Counter(map(tuple, p.tolist()))
    assert len(n)==24 and min(n.values())>180 and max(n.values())<320
    p = _more_picks(torch.arange(3)[:,None], 3, 3, gen())
    assert torch.equal(p.sort(1)[0], torch.arange(3).expand(3,3)) and torch.equal(p[:,0], torch.arange(3))
    assert abs((draw_blends(3000, 9, func='random', gen=gen())[1]==2).float().mean()-1/3)<.03

def test_blends_by_hand():
    three = torch.tensor([3,8,255], dtype=torch.uint8).view(3,1,1,1)
    assert blend_images(three, torch.tensor([[0,1],[1,2]]), torch.tensor([0,2])).flatten().tolist()==[5.5,8.]
    for kw,why in ((dict(k=5), 'cannot be blended'), (dict(k=1), 'cannot be blended'), (dict(func='median'), "'random'")):
        with pytest.raises(GalfastError, match=why): draw_blends(3, 4, **kw)

def test_an_epoch_of_a_rare_class():
    labels = np.r_[[1]*4, [0]*22]
    epoch = oversample_rows(labels, seed=0)
    assert set(epoch.tolist())==set(range(26)) and (epoch==oversample_rows(labels, seed=0)).all() and (epoch!=oversample_rows(labels, seed=(0,1))).any()
    third = oversample_rows(labels, 1/3, seed=0)
    assert (labels[third]==1).sum()==11 and len(third)==33 and sorted(oversample_rows(torch.zeros(5).long()))==list(range(5))

@pytest.mark.parametrize('labels,share,why', [([0,0],.5,'one class'), ([],None,'no labels'), ([0.,np.nan,1.],None,'1 of 3 rows'), (['a',None],None,'1 of 2 rows'),
    ([1]*4+[0]*22,.1,'already'), *[([1]*4+[0]*22,o,'between 0 and 1') for o in (0, 1, 1.5, 'even', True)]])
def test_epochs_that_cannot_be(labels, share, why):
    with pytest.raises(GalfastError, match=why): oversample_rows(labels, *([] if share is None else [share]))
