"""StarGAN v2's networks compute what the published ones do, and survive a model bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from raypipe.backbones import stargan2
from raypipe.backbones.stargan2.layers import doubling_conv, halving_conv, he_initialise, high_pass
from raypipe.errors import BadWeights, WrongUsage
from raypipe.weights import open_bundle, save_bundle
from tests.shared_files import oracle

SIZES = {"size": 64, "style_dim": 16, "max_width": 64}


def case(name: str) -> dict[str, Any]:
    stored: dict[str, Any] = torch.load(oracle(f"stargan_l2m/{name}.pt"), weights_only=True)
    return stored


@torch.no_grad()
def test_the_generator_agrees() -> None:
    stored = case("sg2_generator_s64_hpf0")
    generator = stargan2.Generator(stargan2.GeneratorConfig(**SIZES))
    generator.load_state_dict(stored["state_dict"])
    made, wanted = generator(stored["x"], stored["s"]), stored["out_no_masks"]
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-4 * float(wanted.std()))


@torch.no_grad()
def test_style_encoder_and_discriminator_agree() -> None:
    stored = case("sg2_styleenc_disc_s64")
    encoder = stargan2.StyleEncoder(stargan2.StyleEncoderConfig(**SIZES, domains=3))
    encoder.load_state_dict(stored["style_encoder"])
    discriminator = stargan2.Discriminator(stargan2.DiscriminatorConfig(size=64, max_width=64, domains=3))
    discriminator.load_state_dict(stored["discriminator"])
    x, y = stored["x"], stored["y"]
    for made, wanted in (
        (stargan2.of_domain(encoder(x), y), stored["s"]),
        (discriminator(x), stored["d_all"]),
        (stargan2.of_domain(discriminator(x), y), stored["d"]),
    ):
        torch.testing.assert_close(made, wanted, rtol=0, atol=1e-4 * float(wanted.std()))


@pytest.mark.parametrize(("name", "high"), [("sg2_nets_ema", 1.0), ("sg2_afhq_nets_ema", 0.0)])
def test_the_published_sizes_are_ours(name: str, high: float) -> None:
    layout = json.loads(oracle(f"stargan_l2m/{name}_layout.json").read_text())
    domains = 2 if high else 3
    with torch.device("meta"):
        networks: dict[str, nn.Module] = {
            "generator": stargan2.Generator(stargan2.GeneratorConfig(high_pass=high)),
            "mapping_network": stargan2.MappingNetwork(stargan2.MappingConfig(domains=domains)),
            "style_encoder": stargan2.StyleEncoder(stargan2.StyleEncoderConfig(domains=domains)),
        }
    for key, network in networks.items():
        ours = {tensor: list(value.shape) for tensor, value in network.state_dict().items()}
        assert ours == {tensor: told[0] for tensor, told in layout[key].items() if tensor != "hpf.filter"}


def test_merged_convolutions_are_what_they_are_merged_of() -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(5, 7, 3, padding=1), torch.randn(2, 5, 8, 6, requires_grad=True)
    for merged, plain in (
        (halving_conv(conv, x), F.avg_pool2d(conv(x), 2)),
        (doubling_conv(conv, x), conv(F.interpolate(x, scale_factor=2, mode="nearest"))),
    ):
        torch.testing.assert_close(merged, plain, rtol=0, atol=1e-5)
        wanted = torch.autograd.grad(plain.square().sum(), [conv.weight, conv.bias, x])
        made = torch.autograd.grad(merged.square().sum(), [conv.weight, conv.bias, x])
        for ours, theirs in zip(made, wanted, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_high_pass_filter_is_the_eight_neighbours() -> None:
    x = torch.randn(2, 3, 9, 7)
    kernel = -torch.ones(3, 1, 3, 3)
    kernel[:, :, 1, 1] = 8.0
    torch.testing.assert_close(high_pass(x, 2.0), F.conv2d(x, kernel / 2.0, padding=1, groups=3), rtol=0, atol=1e-5)


@torch.no_grad()
def test_masks_let_detail_pass_where_they_are() -> None:
    torch.manual_seed(0)
    generator = stargan2.Generator(
        stargan2.GeneratorConfig(size=64, style_dim=4, first_width=4, max_width=8, high_pass=1)
    )
    x, s = torch.randn(2, 3, 64, 64), torch.randn(2, 4)
    nothing = [torch.zeros(2, 1, 256, 256)] * 2
    torch.testing.assert_close(generator(x, s, nothing), generator(x, s))
    assert (generator(x, s, [torch.ones(2, 1, 256, 256)] * 2) - generator(x, s)).abs().max() > 0.01


def test_he_initialisation_keeps_the_variance_of_the_fan_in() -> None:
    torch.manual_seed(0)
    network = stargan2.Discriminator(stargan2.DiscriminatorConfig(size=32, first_width=32, max_width=64))
    he_initialise(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            fan_in = module.weight[0].numel()
            assert float(module.weight.detach().std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            assert not module.bias.any()


def test_networks_survive_a_bundle(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tiny = {"size": 32, "first_width": 4, "max_width": 8}
    generator = stargan2.Generator(stargan2.GeneratorConfig(**tiny, style_dim=4))
    mapping = stargan2.MappingNetwork(stargan2.MappingConfig(style_dim=4, hidden=8))
    encoder = stargan2.StyleEncoder(stargan2.StyleEncoderConfig(**tiny, style_dim=4))
    judge = stargan2.Discriminator(stargan2.DiscriminatorConfig(**tiny))
    parts = {
        "g": stargan2.generator_part(generator),
        "m": stargan2.mapping_part(mapping),
        "e": stargan2.style_encoder_part(encoder),
        "d": stargan2.discriminator_part(judge),
    }
    save_bundle(str(tmp_path), "tiny", parts, {})
    bundle = open_bundle(str(tmp_path))
    x, z = torch.randn(2, 3, 32, 32), torch.randn(2, 16)
    style = stargan2.load_mapping(bundle.read("m"), "cpu")(z)[:, 1]
    assert torch.equal(style, mapping(z)[:, 1])
    assert torch.equal(stargan2.load_generator(bundle.read("g"), "cpu")(x, style), generator(x, style))
    assert torch.equal(stargan2.load_style_encoder(bundle.read("e"), "cpu")(x), encoder(x))
    assert torch.equal(stargan2.load_discriminator(bundle.read("d"), "cpu")(x), judge(x))
    with pytest.raises(BadWeights, match="is not 'stargan2_generator'"):
        stargan2.load_generator(bundle.read("d"), "cpu")


def test_impossible_sizes_are_named() -> None:
    with pytest.raises(WrongUsage, match="size 48 is not one of 32, 64"):
        stargan2.GeneratorConfig(size=48)
    with pytest.raises(WrongUsage, match="domains must be at least 1, got 0"):
        stargan2.DiscriminatorConfig(domains=0)
