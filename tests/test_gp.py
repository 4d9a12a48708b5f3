"The Gaussian process on measured features: scikit-learn's, with a length for each feature"
import numpy as np,pytest,torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel,Matern,WhiteKernel

from galfast.base.core import GalfastError
from galfast.images.augment import dihedral_view
from galfast.images.photometry import Photometry
from galfast.training.gp import PhotometryGP,fit_kernel,fit_photometry_gp,matern52,mean_and_scatter,upright

rng = np.random.default_rng(0)
f = rng.normal(size=(150,3))
v = np.sin(f[:,0])+.3*f[:,1]+.2*rng.normal(size=150)
v = (v-v.mean())/v.std()

@pytest.mark.parametrize('length', [.3, 1.7, np.array([.5,1.,2.])], ids=str)
def test_kernel_of_scikit_learn(length):
    a,b = torch.tensor(f[:6]),torch.tensor(f[6:15])
    got = matern52(a, b, torch.as_tensor(length))
    assert np.allclose(got, Matern(length, nu=2.5)(f[:6], f[6:15]), atol=1e-5)

def test_hyperparameters_of_scikit_learn():
    h = fit_kernel(torch.tensor(f), torch.tensor(v), tau=0)
    ref = GaussianProcessRegressor(ConstantKernel()*Matern(2., nu=2.5)+WhiteKernel(.1)).fit(f, v).kernel_
    assert np.allclose([h[1],h[2]], [ref.k2.noise_level,ref.k1.k2.length_scale], rtol=.1) and (h[2:]==h[2]).all()

def test_what_matters_has_a_short_length():
    lengths = fit_kernel(torch.tensor(f), torch.tensor(v), tau=1.)[2:]
    assert lengths[0]<lengths[1]<lengths[2]

def test_any_unit_has_a_scatter():
    v = torch.tensor([[1e-30,7.,0.],[3e-30,7.,0.]], dtype=torch.float64)
    mean,std = mean_and_scatter(v)
    assert np.allclose(mean/torch.tensor([1e-30,1.,1.]), [2,7,0]) and np.allclose(std/torch.tensor([1e-30,1.,1.]), [1,7,1])
    v = torch.tensor(rng.normal(3, 2, (50,2)))
    gaps = v.clone(); gaps[:9,1] = np.nan
    for a,b in zip(mean_and_scatter(gaps), (v.numpy().mean, v.numpy().std)): assert a[0]==pytest.approx(b(0)[0])
    assert mean_and_scatter(gaps)[1][1]==pytest.approx(v[9:,1].numpy().std())

def test_a_galaxy_has_one_orientation():
    x = torch.randint(0, 9, (20,3,12,12), dtype=torch.uint8)
    x[3] = 0 # blank
    x[4,:,[0,-1]] = 0; x[4,:,:,[0,-1]] = 0 # empty edges
    up = upright(x)
    assert all(torch.equal(upright(dihedral_view(x, k)), up) for k in range(8))
    assert all(any(torch.equal(dihedral_view(a, k), b) for k in range(8)) for a,b in zip(x, up))
    assert torch.equal(upright(x[...,:9].flip(-1)), upright(x[...,:9]))

def blobs(n, seed):
    "Round Gaussians of 32 px with noise, and their widths"
    g = torch.Generator().manual_seed(seed)
    s = 2+4*torch.rand(n, generator=g)
    r2 = (torch.arange(32.)-15.5)**2
    x = torch.exp(-(r2[:,None]+r2)/(2*s[:,None,None]**2))[:,None].repeat(1,3,1,1)
    return x+.02*torch.randn(n,3,32,32, generator=g),s.numpy()

@pytest.fixture(scope='module')
def fitted():
    x,y = blobs(150, 0)
    m = Photometry()(x)
    return m,y,*fit_photometry_gp(m, y)

def scatter(p, t): return np.sqrt(np.mean((np.asarray(p).ravel()-t)**2))

def test_the_width_of_a_galaxy_is_learned(fitted):
    m,y,gp,loo = fitted
    xt,yt = blobs(50, 1)
    assert scatter(gp(xt)[0], yt)<.25*yt.std() and .5<scatter(gp(xt)[0], yt)/scatter(loo, y)<2

def test_each_without_itself(fitted):
    "The closed form is what scikit-learn says when the galaxy is left out"
    m,y,gp,loo = fitted
    z,h,keep = ((m.double()-gp.f_mean)/gp.f_std).clamp(-6, 6).numpy(),gp.kernel[0].numpy(),np.arange(150)!=7
    t = (y-gp.y_mean.item())/gp.y_std.item()
    theirs = GaussianProcessRegressor(ConstantKernel(h[0])*Matern(h[2:], nu=2.5), alpha=h[1], optimizer=None).fit(z[keep], t[keep])
    assert loo[7,0]==pytest.approx(theirs.predict(z[7:8])[0]*gp.y_std.item()+gp.y_mean.item(), rel=1e-5)

def test_weights_are_all_there_is(fitted):
    gp,xt = fitted[2],blobs(5, 2)[0]
    b = PhotometryGP(**gp.config)
    b.load_state_dict(gp.state_dict())
    assert torch.equal(b(xt)[0], gp(xt)[0])

@pytest.mark.parametrize('k,c', [(1e-30,0.), (1e30,0.), (1.,2459000.75)])
def test_any_unit(fitted, k, c):
    m,y,gp,loo = fitted
    g,l = fit_photometry_gp(m, k*y.astype(float)+c)
    xt = blobs(20, 1)[0]
    assert np.allclose((g(xt)[0]-c)/k, gp(xt)[0], rtol=1e-4) and np.allclose((l-c)/k, loo, rtol=1e-4)

def test_several_outputs_and_gaps(fitted):
    m,y = fitted[:2]
    both = np.stack([y,y**2], 1).astype(float)
    both[::3,1] = np.nan
    gp,loo = fit_photometry_gp(m, both, most=100)
    xt,yt = blobs(50, 1)
    assert gp(xt)[0].shape==(50,2) and loo.shape==(150,2) and np.isfinite(loo).all()
    assert scatter(gp(xt)[0][:,1], yt**2)<.4*(yt**2).std()

@pytest.mark.parametrize('c', [1e-30, 2459000.75, 1e30])
def test_a_constant_is_predicted_as_it_is(fitted, c):
    gp,loo = fit_photometry_gp(fitted[0][:20], np.full(20, c))
    assert np.allclose([*gp(blobs(3, 1)[0])[0][:,0], *loo[:,0]], c, rtol=1e-9)

def test_images_that_cannot_be_measured(fitted):
    m,y = fitted[0][:20].clone(),fitted[1][:20]
    assert np.isfinite(fit_photometry_gp(Photometry()(torch.zeros(10,3,32,32)), y[:10])[1]).all() # blank ones can
    m[3] = np.nan
    assert fit_photometry_gp(m, y)[1][3,0]==pytest.approx(np.delete(y, 3).mean())
    with pytest.raises(GalfastError, match='none of the images could be measured'): fit_photometry_gp(m*np.nan, y)
