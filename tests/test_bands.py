"The bands of an image: one guess of their axis for whoever takes images, and filters in the order of their wavelengths"
import numpy as np, pytest

from galfast.images.bands import band_axis,band_wavelength,bands_at
from galfast.base.core import GalfastError

@pytest.mark.parametrize('shape,axis', [((9,21,21,3),-1), ((9,3,21,21),-3), ((9,30,20,20),-3), ((9,20,20,30),-3), ((9,12,9,12),None), ((9,40,30,5),-1), ((9,7,5,6),-3)])
def test_one_guess_for_all(shape, axis):
    "What takes stacks of images agrees on where the bands are, also where there are more of them than pixels on a side"
    from galfast.data.loaders import channels_first
    from galfast.results.interpret import _y_axis
    from galfast.results.plot import _as_stack,galaxy2rgb
    x = np.arange(np.prod(shape), dtype='f4').reshape(shape)
    if axis is None:
        for f in (bands_at, lambda s: channels_first(np.zeros(s)), lambda s: _as_stack(np.zeros(s)), lambda s: _y_axis(np.zeros(s), 'auto'), lambda s: galaxy2rgb(np.zeros(s)[0])):
            with pytest.raises(GalfastError, match="channels='first'"): f(shape)
        return
    first = np.moveaxis(x, axis, 1)
    assert bands_at(shape)==bands_at(shape[1:])==axis and band_axis(shape[1:])==(0 if axis==-3 else 2)
    np.testing.assert_array_equal(channels_first(x), first)
    np.testing.assert_array_equal(_as_stack(x), np.moveaxis(first, 1, -1))
    assert _y_axis(x, 'auto')==(2 if axis==-3 else 1)
    assert galaxy2rgb(x[0]).shape==(*first.shape[2:],3)

# Filters: wavelengths in micrometres from the handbooks of the telescopes

microns = {'F070W': .70, 'F090W': .90, 'F115W': 1.15, 'F140M': 1.40, 'F150W': 1.50, 'F150W2': 1.5, 'F182M': 1.82, 'F200W': 2.00, 'F277W': 2.77, 'F322W2': 3.22, 'F356W': 3.56,
           'F444W': 4.44, 'F480M': 4.80, 'F560W': 5.6, 'F770W': 7.7, 'F1000W': 10., 'F1130W': 11.3, 'F2550W': 25.5, # Webb
           'F218W': .218, 'F225W': .225, 'F275W': .275, 'F300W': .300, 'F336W': .336, 'F390W': .390, 'F438W': .438, 'F450W': .45, 'F435W': .435, 'F475W': .475, 'F555W': .555,
           'F606W': .606, 'F775W': .775, 'F814W': .814, 'F850LP': .85, 'F200LP': .2, 'F350LP': .35, 'F098M': .98, 'F105W': 1.05, 'F110W': 1.10, 'F125W': 1.25,
           'F140W': 1.40, 'F160W': 1.60, 'F205W': 2.05, 'F170W': .17, 'F062': .62, 'F213': 2.13} # Hubble, Roman

def test_numbered_filters():
    for k,v in microns.items():
        for name in (k, k.lower(), f'NIRCAM.{k}', f'HST/ACS_WFC.{k}'): assert band_wavelength(name)==pytest.approx(1000*v), name
    assert band_wavelength('F410M')==4100 and band_wavelength('F410M', telescope='HST')==410 and band_wavelength('F410M', ['F225W','F410M'])==410

@pytest.mark.parametrize('names', ['g r i z y', 'u g r i z', 'DECam g,DECam r,DECam z', 'HSC-G,HSC-R2,HSC-I2,HSC-Z,HSC-Y', 'u.MP9301,g.MP9401,r.MP9601,i.MP9702,z.MP9801', 'SDSS g,SDSS r,SDSS i',
                                   'ps1 g,ps1 r,ps1 i,ps1 z,ps1 y', 'U B V R I', 'Johnson B,Johnson V,Bessell R,Cousins I', 'VIS,NISP Y,NISP J,NISP H', 'VIS Y J H', 'J H Ks', 'J H K',
                                   'FUV,NUV,u,g,r,i,z,J,H,Ks,W1,W2,W3,W4', 'W1,CH1,CH2,W2,CH3,CH4', 'fuv nuv', 'Y J H Ks', 'UVW2,UVM2,UVW1,U,B,V', 'G R I Z Y', "g' r' i'", 'g_sdss,r_sdss',
                                   'J0378,J0395,J0515,J0660,J0861', 'NB0387,g,NB0816,NB0921', 'F336W,F410M,F438W,F606W', 'F606W,F814W,F115W,F160W,F277W,F410M,F444W'])
def test_filters_in_order(names):
    names = names.split(',') if ',' in names else names.split()
    nm = [band_wavelength(o, names) for o in names]
    assert None not in nm and nm==sorted(nm) and len(set(nm))==len(nm), dict(zip(names, nm))
