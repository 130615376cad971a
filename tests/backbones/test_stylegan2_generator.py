"""The generator computes what the public implementations compute, and what follows from its definition."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from raypipe.backbones.stylegan2 import Generator, GeneratorConfig, generator_part, load_generator
from raypipe.blocks.resample import upsample
from raypipe.errors import BadWeights, WrongUsage
from raypipe.weights import Part
from tests.backbones.stylegan2_oracle import GENERATOR_FILE, case, rosinality_generator

TINY = GeneratorConfig(size=16, style_dim=8, z_dim=8, mapping_layers=2, channels=(8, 6, 4))


@pytest.fixture(autouse=True)
def _no_gradients() -> object:
    with torch.no_grad():
        yield


def tiny(seed: int = 0, **changes: object) -> Generator:
    """A generator in which every parameter matters: noise strengths and biases are not zero."""
    torch.manual_seed(seed)
    generator = Generator(dataclasses.replace(TINY, **changes))
    for name, parameter in generator.named_parameters():
        if name.endswith(("noise_strength", "bias")):
            parameter.add_(0.5 * torch.randn_like(parameter))
    generator.w_avg.copy_(torch.randn(8))
    return generator.eval()


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 3e-5) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


def test_z_to_w_to_image() -> None:
    stored, generator = case(GENERATOR_FILE), rosinality_generator()
    assert_close(generator.mapping(stored["z"]), stored["w"])
    assert_close(generator.broadcast(generator.mapping(stored["z"])), stored["latents"])
    assert_close(generator(stored["z"]), stored["image"])


def test_w_and_w_plus_to_image() -> None:
    stored, generator = case(GENERATOR_FILE), rosinality_generator()
    assert_close(generator.synthesis(generator.broadcast(stored["w"])), stored["image_w"])
    assert_close(generator.synthesis(stored["w_plus"]), stored["image_wplus"])


def test_truncation() -> None:
    stored, generator = case(GENERATOR_FILE), rosinality_generator()
    assert_close(generator(stored["z"], psi=0.7), stored["image_trunc07"])


def test_style_mixing() -> None:
    stored, generator = case(GENERATOR_FILE), rosinality_generator()
    w_plus = generator.mix(generator.mapping(stored["z"]), generator.mapping(stored["z2"]), stored["mix_index"])
    assert_close(w_plus, stored["latents_mix"])
    assert_close(generator.synthesis(w_plus), stored["image_mix"])


def test_given_noise_maps() -> None:
    stored, generator = case(GENERATOR_FILE), rosinality_generator()
    assert_close(generator.synthesis(stored["w_plus"], stored["custom_noise"]), stored["image_custom_noise"])


def test_style_coefficients_and_rendering_from_them() -> None:
    stored, generator = case(GENERATOR_FILE), rosinality_generator()
    styles = generator.synthesis.styles(stored["w_plus"])
    for style, expected in zip(styles, stored["style_coeffs_wplus"], strict=True):
        assert_close(style, expected)
    assert_close(generator.synthesis.render(stored["style_coeffs_wplus"]), stored["image_wplus"])


def test_activations() -> None:
    stored, generator = case(GENERATOR_FILE), rosinality_generator()
    images, trace = generator.synthesis.render_with_trace(stored["style_coeffs_wplus"])
    expected = stored["activations_wplus"]
    assert_close(trace.inputs[1].activated, expected["conv1"])
    assert_close(trace.inputs[2].activated, expected["conv1"])
    assert_close(trace.inputs[3].raw, expected["convs.0.conv"])
    assert_close(trace.inputs[3].activated, expected["convs.0"])
    assert_close(trace.rgb[1], expected["to_rgbs.0"])
    assert_close(images, stored["image_wplus"])


def test_a_trace_has_the_input_of_every_style() -> None:
    generator = tiny()
    styles = generator.synthesis.styles(torch.randn(2, 6, 8))
    _, trace = generator.synthesis.render_with_trace(styles)
    assert [feature.activated.shape[1] for feature in trace.inputs] == [style.shape[1] for style in styles]
    constant = generator.synthesis.const.expand(2, -1, -1, -1)
    assert torch.equal(trace.inputs[0].raw, constant)
    assert torch.equal(trace.inputs[0].activated, constant)


def test_a_trace_does_not_depend_on_gradients() -> None:
    generator = tiny()
    styles = generator.synthesis.styles(torch.randn(2, 6, 8))
    images, trace = generator.synthesis.render_with_trace(styles)
    with torch.enable_grad():
        images_with_gradients, with_gradients = generator.synthesis.render_with_trace(styles)
    assert_close(images, images_with_gradients.detach(), 1e-6)
    for ours, theirs in zip(trace.inputs, with_gradients.inputs, strict=True):
        assert_close(ours.raw, theirs.raw.detach(), 1e-6)
        assert_close(ours.activated, theirs.activated.detach(), 1e-6)


@pytest.mark.parametrize(("size", "rows", "styles", "coefficients"), [(256, 14, 20, 8704), (1024, 18, 26, 9088)])
def test_the_papers_sizes(size: int, rows: int, styles: int, coefficients: int) -> None:
    with torch.device("meta"):
        generator = Generator(GeneratorConfig(size=size))
    widths = [len(bias) for name, bias in generator.named_parameters() if name.endswith(".style.bias")]
    assert (generator.num_layers, len(widths), sum(widths)) == (rows, styles, coefficients)
    assert generator.synthesis.noise_sizes[-1] == size


def test_a_batch_is_its_images_one_by_one() -> None:
    generator, w_plus = tiny(), torch.randn(3, 6, 8)
    one_by_one = torch.cat([generator.synthesis(w_plus[i : i + 1]) for i in range(3)])
    assert_close(generator.synthesis(w_plus), one_by_one, 1e-5)


def test_rendering_leaves_the_generator_and_its_input_alone() -> None:
    generator, w_plus = tiny(), torch.randn(1, 6, 8)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    given = [style.clone() for style in generator.synthesis.styles(w_plus)]
    first = generator.synthesis.render(given)
    assert torch.equal(first, generator.synthesis.render(given))
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())


def test_modulation_by_definition() -> None:
    """Against weights that are really scaled and normalised per image, in double precision."""
    generator = tiny().double()
    block = generator.synthesis.blocks[1]
    x, style = torch.randn(2, 8, 4, 4).double(), torch.randn(2, 8).double()
    y, demodulation = block.up.convolve(x.clone(), style)
    for i in range(2):
        kernel = block.up.conv.weight * style[i][:, None, None, None] / (8 * 9) ** 0.5
        kernel = kernel * torch.rsqrt(kernel.square().sum((0, 2, 3), keepdim=True) + 1e-8)
        spread = torch.nn.functional.conv_transpose2d(x[i : i + 1], kernel, stride=2)
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]).double() / 4
        low_pass = torch.outer(taps, taps).expand(6, 1, 4, 4)
        expected = torch.nn.functional.conv2d(spread, low_pass, padding=1, groups=6)
        torch.testing.assert_close(y[i : i + 1] * demodulation[i][:, None, None], expected, rtol=0, atol=1e-6)


def test_a_residual_block_whose_convolutions_give_nothing_is_its_shortcut() -> None:
    generator = tiny(residual=True)
    _, *blocks = generator.synthesis.blocks
    for parameter in (blocks[-1].conv.conv.weight, blocks[-1].conv.bias):
        parameter.zero_()
    _, trace = generator.synthesis.render_with_trace(generator.synthesis.styles(torch.randn(2, 6, 8)), "none")
    entering, leaving = trace.inputs[-3].activated, trace.inputs[-1].activated
    assert len(trace.rgb) == 1
    assert_close(leaving, upsample(blocks[-1].skip(entering)) * 0.5**0.5, 1e-6)


def test_noise_modes() -> None:
    generator, w_plus = tiny(), torch.randn(2, 6, 8)
    own = [conv.noise[None, None] for block in generator.synthesis.blocks for conv in block.convs()]
    none = generator.synthesis(w_plus, "none")
    assert torch.equal(generator.synthesis(w_plus, "const"), generator.synthesis(w_plus, own))
    assert_close(none, generator.synthesis(w_plus, [torch.zeros_like(noise) for noise in own]), 1e-5)
    first, second = generator.synthesis(w_plus, "random"), generator.synthesis(w_plus, "random")
    assert not torch.allclose(first, second)
    assert not torch.allclose(first, none)


def test_truncation_towards_the_mean() -> None:
    generator, w_plus = tiny(), torch.randn(2, 6, 8)
    assert torch.equal(generator.truncate(w_plus, 1.0), w_plus)
    assert_close(generator.truncate(w_plus, 0.0), generator.w_avg.expand(2, 6, 8))
    cut = generator.truncate(w_plus, 0.5, cutoff=2)
    assert_close(cut[:, :2], (w_plus[:, :2] + generator.w_avg) / 2)
    assert torch.equal(cut[:, 2:], w_plus[:, 2:])


def test_a_clamp_bounds_every_layer() -> None:
    generator = tiny(clamp=0.25)
    styles = generator.synthesis.styles(torch.randn(2, 6, 8))
    _, trace = generator.synthesis.render_with_trace(styles)
    assert max(feature.activated.abs().max() for feature in trace.inputs[1:]) == 0.25
    assert_close(tiny(clamp=1e6)(torch.ones(1, 8)), tiny()(torch.ones(1, 8)), 1e-6)


def test_bfloat16_autocast_is_close() -> None:
    generator, z = tiny(), torch.randn(2, 8)
    expected = generator(z)
    with torch.autocast("cpu", torch.bfloat16):
        actual = generator(z)
    assert actual.dtype == torch.float32
    assert (actual - expected).abs().mean() < 0.03 * expected.std()


def test_w_plus_of_another_shape_is_refused() -> None:
    with pytest.raises(WrongUsage, match=r"\[n, 6, 8\], got \[2, 5, 8\]"):
        tiny().synthesis(torch.zeros(2, 5, 8))


def test_another_number_of_styles_is_refused() -> None:
    generator = tiny()
    with pytest.raises(WrongUsage, match="takes 8 style vectors, got 7"):
        generator.synthesis.render(generator.synthesis.styles(torch.zeros(1, 6, 8))[:-1])


def test_noise_maps_of_another_shape_are_refused() -> None:
    with pytest.raises(WrongUsage, match=r"\(4, 8, 8, 16, 16\)"):
        tiny().synthesis(torch.zeros(2, 6, 8), [torch.zeros(1, 1, 4, 4)])


def test_labels_are_needed_exactly_where_the_generator_is_conditional() -> None:
    with pytest.raises(WrongUsage, match="no labels"):
        tiny()(torch.zeros(1, 8), torch.zeros(1, 3))
    with pytest.raises(WrongUsage, match=r"labels \[n, 3\]"):
        tiny(label_dim=3)(torch.zeros(1, 8))


def test_sizes_that_are_no_power_of_two_are_refused() -> None:
    with pytest.raises(WrongUsage, match="48"):
        GeneratorConfig(size=48)
    with pytest.raises(WrongUsage, match="one entry for each"):
        GeneratorConfig(size=16, channels=(8, 8))


@pytest.mark.parametrize("changes", [{}, {"residual": True}, {"label_dim": 3}, {"clamp": 2.0}])
def test_a_part_gives_the_same_generator(changes: dict[str, object]) -> None:
    generator = tiny(**changes)
    again = load_generator(generator_part(generator), "cpu")
    labels = torch.eye(3)[:2] if changes.get("label_dim") else None
    z = torch.randn(2, 8)
    assert again.config == generator.config
    assert not again.training
    assert torch.equal(again(z, labels, psi=0.5), generator(z, labels, psi=0.5))


def test_a_part_that_does_not_fit_is_refused() -> None:
    part = generator_part(tiny())
    without = {name: tensor for name, tensor in part.tensors.items() if name != "w_avg"}
    with pytest.raises(BadWeights, match="w_avg"):
        load_generator(Part(part.kind, part.config, without), "cpu")
    with pytest.raises(BadWeights, match="'psp'"):
        load_generator(Part("psp", part.config, part.tensors), "cpu")
