"""The network of face landmarks computes what its sources say; the published one is read, from layouts alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones import stargan2
from raypipe.backbones.stargan2.foreign import NO_LANDMARKS, NO_NAMES, stargan2_parts
from raypipe.backbones.stargan2.landmark_masks import masks_of
from raypipe.backbones.stargan2.landmarks import Block, Hourglass, PlacedConv
from raypipe.errors import BadWeights, WrongUsage
from raypipe.weights import open_bundle, save_bundle
from tests.backbones.stargan2_landmarks import public_checkpoint, public_state, tiny_landmarks
from tests.backbones.stargan2_layouts import published, zeros
from tests.shared_files import oracle


def faces(size: int = 48) -> Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_a_block_is_three_steps_side_by_side_and_a_shortcut() -> None:
    torch.manual_seed(0)
    block = Block(6, 8).eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)

    def activated(norm: nn.Module, x: Tensor) -> Tensor:
        mean, var, scale, offset = (
            getattr(norm, name)[:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (var + 1e-5).sqrt() * scale + offset).clamp(min=0)

    x = torch.randn(2, 6, 5, 4)
    first = F.conv2d(activated(block.bn1, x), block.conv1.weight, padding=1)
    second = F.conv2d(activated(block.bn2, first), block.conv2.weight, padding=1)
    third = F.conv2d(activated(block.bn3, second), block.conv3.weight, padding=1)
    norm, _, mix = block.downsample
    shortcut = torch.einsum("oi,nihw->nohw", mix.weight[:, :, 0, 0], activated(norm, x))
    wanted = torch.cat([first, second, third], 1) + shortcut
    assert [first.shape[1], second.shape[1], third.shape[1]] == [4, 2, 2]
    torch.testing.assert_close(block(x), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("depth", [1, 3])
def test_an_hourglass_of_blocks_that_do_nothing_adds_up_a_pyramid(depth: int) -> None:
    hourglass = Hourglass(8, depth).eval()
    for module in hourglass.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
    x = torch.randn(2, 8, 8, 16)
    wanted = x.clone()
    for level in range(1, depth + 1):
        wanted += F.avg_pool2d(x, 2**level).repeat_interleave(2**level, 2).repeat_interleave(2**level, 3)
    torch.testing.assert_close(hourglass(x), wanted)


def test_a_placed_convolution_sees_row_column_and_distance() -> None:
    layer = PlacedConv(2, 3, 1, stride=1)
    with torch.no_grad():
        layer.conv.weight.copy_(torch.eye(5)[2:, :, None, None])
        layer.conv.bias.zero_()
    seen = layer(torch.randn(2, 2, 5, 9))[1]
    assert seen[:, 0, 0].tolist() == [-1, -1, 1]
    assert seen[:, 2, 4].tolist() == [0, 0, 0]
    assert seen[:2, 4, 0].tolist() == [1, -1]
    torch.testing.assert_close(seen[:, 2, 8], torch.tensor([0, 1, 0.5**0.5]))


def test_masks_are_of_the_heat_maps_of_the_picture_in_256_px() -> None:
    network, x = tiny_landmarks(), faces()
    maps = network(x)
    assert maps.shape == (2, 98, 64, 64)
    torch.testing.assert_close(maps, network(F.interpolate(x, size=(256, 256), mode="bilinear")))
    for made, wanted in zip(network.masks(x), masks_of(maps), strict=True):
        assert torch.equal(made, wanted)


def test_statistics_are_the_stored_ones() -> None:
    """What a face's masks are does not depend on the faces beside it."""
    network, x = tiny_landmarks(), faces()
    torch.testing.assert_close(network(x)[1:], network(x[1:]), rtol=0, atol=1e-5)


def test_it_survives_a_bundle(tmp_path: Path) -> None:
    save_bundle(str(tmp_path), "tiny", {"stargan2_landmarks": stargan2.landmarks_part(tiny_landmarks())}, {})
    part = open_bundle(str(tmp_path)).read("stargan2_landmarks")
    assert torch.equal(stargan2.load_landmarks(part, "cpu")(faces()), tiny_landmarks()(faces()))
    with pytest.raises(BadWeights, match="is not 'stargan2_generator'"):
        stargan2.load_generator(part, "cpu")


def test_the_published_layout_is_ours() -> None:
    fan = zeros(json.loads(oracle("stargan_l2m/wing_fan_layout.json").read_text()))
    tree = published("sg2_nets_ema")
    tree["generator"]["hpf.filter"] = torch.full((3, 3), 8.0)
    parts, remarks = stargan2_parts({**tree, "fan": fan})
    assert stargan2.load_landmarks(parts["stargan2_landmarks"], "cpu").config == stargan2.LandmarksConfig()
    assert remarks == [NO_NAMES]


def test_a_checkpoint_with_landmarks_keeps_them() -> None:
    parts, remarks = stargan2_parts({**public_checkpoint(), "fan": public_state(tiny_landmarks())})
    assert remarks == [NO_NAMES]
    network = stargan2.load_landmarks(parts["stargan2_landmarks"], "cpu")
    assert torch.equal(network(faces()), tiny_landmarks()(faces()))


def test_without_a_filter_or_landmarks_there_is_no_part() -> None:
    parts, remarks = stargan2_parts(public_checkpoint())
    assert ("stargan2_landmarks" in parts, remarks) == (False, [NO_NAMES, NO_LANDMARKS])
    parts, remarks = stargan2_parts({**public_checkpoint(high_pass=0.0), "fan": public_state(tiny_landmarks())})
    assert ("stargan2_landmarks" in parts, remarks) == (False, [NO_NAMES])


def test_only_a_filter_gets_landmarks() -> None:
    parts = {"stargan2_landmarks": stargan2.landmarks_part(tiny_landmarks())}
    for high_pass, given, wanted in ((1.0, parts, True), (1.0, {}, False), (0.0, parts, False)):
        generator = stargan2.Generator(stargan2.GeneratorConfig(size=32, first_width=4, high_pass=high_pass))
        assert (stargan2.landmarks_for(generator, given, "cpu") is not None) == wanted


def test_what_cannot_be_is_named() -> None:
    fan = public_state(tiny_landmarks())
    del fan["m0.b1_1.bn2.bias"]
    with pytest.raises(BadWeights, match=r"missing: hourglass\.inside\.beside\.bn2\.bias"):
        stargan2_parts({**public_checkpoint(), "fan": fan})
    with pytest.raises(BadWeights, match=r"unknown: m1\.coordconv\.conv\.weight"):
        stargan2_parts(
            {
                **public_checkpoint(),
                "fan": {**public_state(tiny_landmarks()), "m1.coordconv.conv.weight": fan["l0.bias"]},
            }
        )
    with pytest.raises(BadWeights, match=r"l0\.weight is missing"):
        stargan2_parts({**public_checkpoint(), "fan": {}})
    with pytest.raises(BadWeights, match="width must be a multiple of 16, got 24"):
        stargan2_parts({**public_checkpoint(), "fan": {"l0.weight": torch.zeros(99, 24, 1, 1)}})
    with pytest.raises(WrongUsage, match="depth must be from 1 to 6, got 7"):
        stargan2.LandmarksConfig(depth=7)
