import pytest
import torch

from raypipe.backbones.psp import Encoder, EncoderConfig, encoder_part, load_encoder
from raypipe.blocks.sizes import of_size
from raypipe.errors import BadWeights, WrongUsage
from raypipe.weights import Part, open_bundle, save_bundle

CONFIG = EncoderConfig(
    input_size=64, num_layers=10, style_dim=16, widths=(8, 16, 16, 32), depths=(1, 1, 2, 1), shared_heads=True
)


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(3)
    made = Encoder("e4e", CONFIG)
    made.latent_avg.normal_()
    return made.eval()


def test_a_bundle_gives_back_the_same_encoder(encoder: Encoder, tmp_path) -> None:
    save_bundle(str(tmp_path), "tiny", {"encoder": encoder_part(encoder)}, {})
    loaded = load_encoder(open_bundle(str(tmp_path)).read("encoder"), "cpu")
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(images), encoder(images))
    assert (loaded.input_size, loaded.code_shape) == (64, (10, 16))
    assert not loaded.training


def test_half_precision_tensors_are_computed_with_in_single(encoder: Encoder) -> None:
    part = encoder_part(encoder)
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in part.tensors.items()}
    loaded = load_encoder(Part(part.kind, part.config, half), "cpu")
    assert {tensor.dtype for tensor in loaded.state_dict().values()} == {torch.float32, torch.int64}


def test_the_average_code_is_added(encoder: Encoder) -> None:
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        codes = encoder(images)
        average = encoder.latent_avg.clone()
        encoder.latent_avg.zero_()
        torch.testing.assert_close(encoder(images) + average, codes)


def test_smaller_pictures_are_refused_and_larger_ones_shrunk(encoder: Encoder) -> None:
    with pytest.raises(WrongUsage, match=r"\[n, 3, 64, 64\], or larger squares, got \[1, 3, 32, 32\]"):
        encoder(torch.zeros(1, 3, 32, 32))
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(encoder(images), encoder(of_size(images, 64)))


def test_what_does_not_fit_is_named(encoder: Encoder) -> None:
    part = encoder_part(encoder)
    tensors = dict(part.tensors)
    tensors["extra"] = tensors.pop("latlayer1.bias")
    tensors["latlayer2.bias"] = torch.zeros(5)
    with pytest.raises(BadWeights) as caught:
        load_encoder(Part(part.kind, part.config, tensors), "cpu")
    for told in ("missing: network.latlayer1.bias", "unknown: network.extra", r"latlayer2.bias [5] instead of [32]"):
        assert told in str(caught.value)


def test_unknown_kind_and_config_are_refused(encoder: Encoder) -> None:
    part = encoder_part(encoder)
    with pytest.raises(BadWeights, match="'restyle' is not a kind of encoder; kinds: psp, e4e"):
        load_encoder(Part("restyle", part.config, part.tensors), "cpu")
    with pytest.raises(BadWeights, match="unknown key 'size'"):
        load_encoder(Part("psp", {"size": 4}, part.tensors), "cpu")
    with pytest.raises(WrongUsage, match="power of two"):
        EncoderConfig(input_size=100)
