"Requests to surveys are values: what is asked for can be read from their URLs"
from dataclasses import replace
from urllib.parse import parse_qs,urlsplit

import pytest
from fastcore.xtras import modified_env

from galfast.base.core import GalfastError,ImageError
from galfast.surveys.records import CutoutAsk,all_surveys,degrees,get_survey,hips_urls,ps1_names,ps1_urls,service_url,services

def asked(url): return {k: v[0] for k,v in parse_qs(urlsplit(url).query).items()}

@pytest.mark.parametrize('v', [197.614455642896, -1e-7, 180., 1/3, 359.9999999999999, 5e-324])
def test_degrees_keep_every_digit(v): assert float(degrees(v))==v and 'e' not in degrees(v)

@pytest.mark.parametrize('survey', all_surveys.values(), ids=list(all_surveys))
def test_what_is_asked_for_is_in_the_url(survey):
    a = survey.ask(197.614455642896, -18.4, 224)
    for end,url in survey.urls(a, layer=survey.layer, names=dict(g='g.fits', r='r.fits', i='i.fits')).items():
        u,q = urlsplit(url),asked(url)
        assert f'{u.scheme}://{u.netloc}'==services[survey.service] and end=='.jpg'
        assert (float(q['ra']),float(q['dec']))==(197.614455642896,-18.4)
        assert '224' in (q.get('width'), q.get('size'), q.get('output_size'))

@pytest.mark.parametrize('survey', all_surveys.values(), ids=list(all_surveys))
def test_licence_and_citation_are_told(survey):
    assert survey.licence and survey.citation and survey.rate<=4 and survey.in_flight<=4

def test_the_field_of_view_stays():
    "CDS is asked for a field, Pan-STARRS for its own pixels, 0.25 arcsec wide"
    assert float(asked(hips_urls(CutoutAsk(1, 2, 300, 1.2))['.jpg'])['fov'])==.1
    q = asked(ps1_urls(CutoutAsk(1, 2, 100, .5), names=dict(g='g', r='r', i='i'))['.jpg'])
    assert (q['size'],q['output_size'],q['red'],q['green'],q['blue'])==('200','100','i','r','g')
    fits = ps1_urls(CutoutAsk(1, 2, 100, .25, 'fits', 'gz'), names=dict(g='/g.fits', z='/z.fits'))
    assert {k: asked(v)['red'] for k,v in fits.items()}=={'_g.fits': '/g.fits', '_z.fits': '/z.fits'}

def test_the_first_image_of_each_band():
    text = 'filter filename\ng a\ng b\nr c\n'
    assert ps1_names(text)==dict(g='a', r='c') and ps1_names('filter filename')=={}
    with pytest.raises(ImageError, match='did not send a list of images'): ps1_names('<html>')

@pytest.mark.parametrize('name,kw,why', [
    ('sdss', dict(size=63), '64 to 2048 px'), ('sdss', dict(size=100.5), '64 to 2048 px'), ('sdss', dict(scale=.01), '0.015 to 60'),
    ('sdss', dict(format='fits'), "gives jpg here, not 'fits'"), ('sdss', dict(bands='gr'), 'bands of a JPEG are fixed'),
    ('sdss', dict(ra=-1), 'no position'), ('sdss', dict(dec=90.1), 'no position'), ('sdss', dict(ra=float('nan')), 'no position'),
    ('ls-dr9', dict(format='fits', bands='gi'), "bands 'gi': DESI Legacy Surveys DR9 has grz"), ('ps1', dict(format='fits', scale=.5), 'native scale, 0.25')])
def test_what_would_be_altered_in_silence_is_refused(name, kw, why):
    with pytest.raises(GalfastError, match=why): get_survey(name).ask(**dict(ra=1, dec=2, size=224)|kw)

def test_defaults_of_a_request():
    assert get_survey('ls-dr10').ask(1, 2)==CutoutAsk(1., 2., 224, .262, 'jpg', '')
    assert get_survey('ls-dr10').ask(1, 2, format='fits').bands=='grz'
    hips = get_survey('hips:CDS/P/DES-DR2/g')
    assert (hips.layer,hips.urls)==('CDS/P/DES-DR2/g',hips_urls) and get_survey(replace(hips, rate=1.)).rate==1.
    with pytest.raises(GalfastError, match='there are sdss'): get_survey('sloan')

def test_sizes_are_estimates():
    assert get_survey('ls-dr9').nbytes(256, 'fits', 'grz')==3*4*256**2+2*2880
    assert get_survey('sdss').nbytes(224)==10e3 and get_survey('sdss').nbytes(448)>20e3

def test_another_address_of_a_service():
    assert service_url('sdss')==services['sdss']
    with modified_env(GALFAST_SDSS_URL='http://127.0.0.1:8765/'): assert service_url('sdss')=='http://127.0.0.1:8765'
    with modified_env(GALFAST_SDSS_URL='nonsense'), pytest.raises(GalfastError, match='no address of a service'): service_url('sdss')
