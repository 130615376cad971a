"""Perceptual distances: against a slow computation of the paper's equation, and as distances."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.perceptual import DiscriminatorFeatures, Lpips, load_lpips, load_perceptual, lpips_part
from raypipe.backbones.perceptual.foreign import lpips_part_of_states
from raypipe.backbones.stylegan2 import Discriminator, DiscriminatorConfig, discriminator_part
from raypipe.backbones.stylegan2.foreign_reading import read_torch
from raypipe.errors import BadWeights, WrongUsage
from tests.backbones.perceptual_networks import random_heads_state, random_trunk_state
from tests.shared_files import data

ALEXNET_LAYERS = {0: (4, 2), 3: (1, 2), 6: (1, 1), 8: (1, 1), 10: (1, 1)}
"""Index of a convolution -> stride and padding; the paper's figure of the network."""

VGG16_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
VGG16_ENDS = (2, 7, 14, 21, 28)
"""The last convolution of each of the five groups."""


SlowTrunk = Callable[[dict[str, Tensor], Tensor], list[Tensor]]


def alexnet_maps(state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    maps = []
    for index, (stride, padding) in ALEXNET_LAYERS.items():
        if index in (3, 6):
            x = F.max_pool2d(x, 3, 2)
        weight, bias = state[f"features.{index}.weight"].double(), state[f"features.{index}.bias"].double()
        x = F.conv2d(x, weight, bias, stride=stride, padding=padding).clamp_min(0)
        maps.append(x)
    return maps


def vgg16_maps(state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    maps = []
    for index in VGG16_CONVOLUTIONS:
        weight, bias = state[f"features.{index}.weight"].double(), state[f"features.{index}.bias"].double()
        x = F.conv2d(x, weight, bias, padding=1).clamp_min(0)
        if index in VGG16_ENDS:
            maps.append(x)
            x = F.max_pool2d(x, 2)
    return maps


def slow_lpips(first: list[Tensor], second: list[Tensor], heads: dict[str, Tensor]) -> float:
    """Equation 1 position by position, of one pair of pictures, in float64."""
    total = 0.0
    for layer, (a, b) in enumerate(zip(first, second, strict=True)):
        weights = heads[f"lin{layer}.model.1.weight"].double().flatten()
        _, _, height, width = a.shape
        for y in range(height):
            for x in range(width):
                u, v = a[0, :, y, x], b[0, :, y, x]
                difference = u / (u.norm() + 1e-10) - v / (v.norm() + 1e-10)
                total += float((weights * difference**2).sum()) / (height * width)
    return total


@pytest.mark.parametrize(
    ("trunk", "heads_file", "maps"),
    [("alexnet", "v0.1_alex.pth", alexnet_maps), ("vgg16", "v0.1_vgg.pth", vgg16_maps)],
)
def test_lpips_is_the_papers_equation(trunk: str, heads_file: str, maps: SlowTrunk) -> None:
    trunk_state = random_trunk_state(trunk)
    heads = read_torch(data(f"weights/lpips_linear/{heads_file}").read_bytes())
    network = load_lpips(lpips_part_of_states(trunk_state, heads), "cpu")
    images, others = torch.rand(2, 2, 3, 40, 48) * 2 - 1
    mean = torch.tensor([-0.030, -0.088, -0.188]).double()[:, None, None]
    std = torch.tensor([0.458, 0.448, 0.450]).double()[:, None, None]
    expected = [
        slow_lpips(maps(trunk_state, (a[None] - mean) / std), maps(trunk_state, (b[None] - mean) / std), heads)
        for a, b in zip(images.double(), others.double(), strict=True)
    ]
    torch.testing.assert_close(network(images, others).double(), torch.tensor(expected).double(), rtol=1e-4, atol=0)


def random_lpips() -> Lpips:
    return load_lpips(lpips_part_of_states(random_trunk_state("alexnet"), random_heads_state("alexnet")), "cpu")


def random_discriminator() -> Discriminator:
    torch.manual_seed(5)
    return Discriminator(DiscriminatorConfig(size=32, channels=(8, 8, 8, 8))).eval().requires_grad_(False)


@pytest.mark.parametrize("distance", [random_lpips(), DiscriminatorFeatures(random_discriminator())])
def test_it_behaves_as_a_distance(distance: Lpips | DiscriminatorFeatures) -> None:
    torch.manual_seed(0)
    images, others = torch.rand(2, 3, 3, 32, 32) * 2 - 1
    assert torch.equal(distance(images, images), torch.zeros(3))
    torch.testing.assert_close(distance(images, others), distance(others, images))
    near = distance(images, images + 0.05 * (others - images))
    assert (near < distance(images, others)).all()
    assert (near > 0).all()
    torch.testing.assert_close(distance(images, others)[1:2], distance(images[1:2], others[1:2]))


@pytest.mark.parametrize("distance", [random_lpips(), DiscriminatorFeatures(random_discriminator())])
def test_gradients_are_finite_also_for_equal_and_for_flat_pictures(distance: Lpips | DiscriminatorFeatures) -> None:
    for images in (torch.zeros(1, 3, 32, 32), torch.rand(1, 3, 32, 32)):
        moving = images.clone().requires_grad_()
        distance(moving, images).sum().backward()
        assert moving.grad is not None
        assert torch.equal(moving.grad, torch.zeros_like(images))


def test_features_at_zero_have_gradient_zero() -> None:
    """Where all channels are cut off, the length has no derivative: it must not become a NaN."""
    network = random_lpips()
    network.features[0].bias = torch.nn.Parameter(torch.full((64,), -1e6))
    images, others = torch.rand(2, 1, 3, 32, 32)
    images.requires_grad_()
    network(images, others).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()


def test_the_discriminators_features_are_those_on_the_way_to_its_logit() -> None:
    discriminator, images = random_discriminator(), torch.rand(2, 3, 32, 32)
    maps = discriminator.features(images)
    assert [tuple(x.shape) for x in maps] == [(2, 8, 16, 16), (2, 8, 8, 8), (2, 8, 4, 4)]
    x = maps[0]
    for block, then in zip(list(discriminator.blocks)[1:], maps[1:], strict=True):
        x = block(x)
        assert torch.equal(x, then)


def test_pictures_of_another_size_are_brought_to_the_discriminators() -> None:
    distance = DiscriminatorFeatures(random_discriminator())
    images, others = torch.rand(2, 1, 3, 16, 16)
    double = [F.interpolate(x, scale_factor=2, mode="bilinear") for x in (images, others)]
    torch.testing.assert_close(distance(images, others), distance(*double))


def test_a_part_gives_the_same_distance() -> None:
    network = random_lpips()
    images, others = torch.rand(2, 2, 3, 32, 32)
    assert torch.equal(load_lpips(lpips_part(network), "cpu")(images, others), network(images, others))


def test_lpips_is_preferred_to_the_discriminator_and_one_of_them_must_be_there() -> None:
    parts = {"perceptual": lpips_part(random_lpips()), "discriminator": discriminator_part(random_discriminator())}
    assert isinstance(load_perceptual(parts, "cpu"), Lpips)
    del parts["perceptual"]
    assert isinstance(load_perceptual(parts, "cpu"), DiscriminatorFeatures)
    with pytest.raises(WrongUsage, match=r"part 'perceptual' .* or 'discriminator' .*; parts: none"):
        load_perceptual({}, "cpu")


def test_what_does_not_fit_is_refused() -> None:
    alexnet, vgg16 = random_trunk_state("alexnet"), random_trunk_state("vgg16")
    with pytest.raises(BadWeights, match="heads of alexnet"):
        lpips_part_of_states(alexnet, random_heads_state("vgg16"))
    with pytest.raises(BadWeights, match=r"missing: features\.10\.bias"):
        lpips_part_of_states(
            {name: x for name, x in alexnet.items() if name != "features.10.bias"}, random_heads_state("alexnet")
        )
    with pytest.raises(BadWeights, match=r"unknown: features\.30\.weight"):
        lpips_part_of_states({**vgg16, "features.30.weight": torch.zeros(1)}, random_heads_state("vgg16"))
    with pytest.raises(BadWeights, match="trunk of LPIPS"):
        lpips_part_of_states({"features.0.weight": torch.zeros(3)}, random_heads_state("vgg16"))
    with pytest.raises(WrongUsage, match="at least 32 px"):
        random_lpips()(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16))
