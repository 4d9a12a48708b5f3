"Networks that have seen many pictures: that their weights are what was published, and what is told where they are not there"
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('timm')
from galfast.base.core import GalfastError
from galfast.networks import encoders
from galfast.networks.encoders import Encoder,default_encoder,encoder_file,find_encoder,has_encoder,load_encoder

lite = encoders.encoders[default_encoder]
needs_weights = pytest.mark.skipif(not has_encoder(lite), reason='its package is not installed')

@pytest.fixture(scope='module')
def pictures(): return torch.rand(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))

@pytest.mark.parametrize('i,size', [(0, 224), (1, 240), (2, 260)])
def test_it_answers_as_the_reference_does(i, size):
    "All the thousand answers, within 1e-4, though its layers are called otherwise. The reference pads for one size"
    x = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))*2-1
    theirs = pytest.importorskip('efficientnet_lite_pytorch').EfficientNet
    name = f'efficientnet_lite{i}'
    if not has_encoder(name): pytest.skip('its package is not installed')
    file = str(encoder_file(find_encoder(name)))
    with torch.inference_mode():
        want = theirs.from_pretrained(name.replace('_', '-'), weights_path=file).eval()(x)
        got = load_encoder(name).net(x)
    assert want.std()>.5 # it says something
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)

@needs_weights
def test_what_an_image_is_called_does_not_depend_on_the_others(pictures):
    net = load_encoder(lite)
    with torch.inference_mode(): both,one = net(pictures),net(pictures[1:2])
    torch.testing.assert_close(both[1:2], one, atol=1e-4, rtol=1e-4)
    assert both.shape==(3, net.width) and [o.stop for o in net.blocks.values()][-1]==net.width

@needs_weights
def test_its_numbers_are_means_and_scatter_of_its_layers(pictures):
    net = load_encoder(lite, size=224)
    x = (pictures-127/255)/(128/255)
    with torch.inference_mode():
        got = net(pictures).numpy()
        last = net.net.forward_features(x).numpy()
        stage = net.net.blocks(net.net.bn1(net.net.conv_stem(x))).numpy()
    want = [stage.mean((2,3)), stage.std((2,3)), last.mean((2,3)), last.max((2,3))]
    np.testing.assert_allclose(got, np.concatenate(want, 1), atol=1e-4, rtol=1e-4)

@needs_weights
def test_bytes_are_fed_as_in_training(pictures):
    "(byte - 127)/128, as TensorFlow feeds these networks"
    net,byte = load_encoder(lite),torch.arange(256)[:,None,None,None].expand(-1,3,1,1)
    torch.testing.assert_close((byte/255-net.mean)/net.std, (byte-127)/128, atol=1e-6, rtol=0)

def test_a_package_that_is_not_there_says_how_to_get_it():
    o = replace(lite, name='mine', weights='no_such_package:models/weights.pth')
    with pytest.raises(GalfastError, match='pip install no-such-package'): load_encoder(o)
    assert not has_encoder(o)

@needs_weights
def test_other_weights_than_those_that_are_known_are_refused(tmp_path):
    bad = bytearray(encoder_file(lite).read_bytes())
    bad[-1000] ^= 1
    (tmp_path/'w.pth').write_bytes(bad)
    with pytest.raises(GalfastError, match='not the weights'): load_encoder(replace(lite, weights=str(tmp_path/'w.pth')))

@needs_weights
def test_a_file_of_weights_and_the_name_of_its_network(pictures):
    file = load_encoder(f'tf_efficientnet_lite0={encoder_file(lite)}', mean=lite.mean, std=lite.std)
    with torch.inference_mode(): torch.testing.assert_close(file(pictures), load_encoder(lite)(pictures))

def test_weights_under_their_own_names(tmp_path, pictures):
    import timm
    net = timm.create_model('resnet10t').eval()
    torch.save(net.state_dict(), tmp_path/'own.pth')
    got = load_encoder(f"resnet10t={tmp_path/'own.pth'}")
    for a,b in zip(net.state_dict().values(), got.net.state_dict().values()): torch.testing.assert_close(a, b)

@pytest.mark.parametrize('name,says', [('lite0', 'no encoder is called'), ('timm:nonet', 'no network that is called'),
    ('resnet10t=nowhere.pth', 'no such file'), ('', 'no encoder is called')])
def test_names_that_mean_nothing(name, says):
    with pytest.raises(GalfastError, match=says): load_encoder(name)

def test_one_of_a_hub_is_fed_as_the_hub_says(monkeypatch):
    import timm
    net = timm.create_model('resnet10t')
    net.pretrained_cfg = net.pretrained_cfg|dict(mean=(.1,.2,.3), std=(.4,.5,.6), license='mit')
    monkeypatch.setattr(timm, 'create_model', lambda *args, **kw: net)
    o = load_encoder('hf_hub:owner/name').encoder
    assert (o.mean, o.std, o.licence, o.source)==((.1,.2,.3), (.4,.5,.6), 'mit', 'hf_hub:owner/name')
    assert load_encoder('hf_hub:owner/name', mean=(0,0,0)).encoder.mean==(0,0,0)

def test_a_band_without_any_pixel_is_shown_as_it_is():
    x = torch.rand(2, 2, 8, 8)
    x[:,1] = torch.nan
    assert encoders.fit_channels(x).config['zero'][1]==0 and encoders.fit_channels(x).config['full'][1]==1

def test_the_network_is_not_there(monkeypatch):
    "A name on a hub without a network ends in a sentence"
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    with pytest.raises(GalfastError, match='cannot make the encoder'): load_encoder('hf_hub:nobody/nothing')

def test_a_record_is_plain():
    assert all(isinstance(v, (str,int,float,tuple)) for v in vars(lite).values())
    assert isinstance(find_encoder(lite, size=96), Encoder) and lite.licence=='Apache-2.0' and lite.citation
