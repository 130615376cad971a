"""Augmentation: exact where it moves whole pixels, nothing at p = 0, differentiable, and as much as is needed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from raypipe.backbones.stylegan2.augment import Augmentation, adjusted_probability, draw_augmentation
from raypipe.backbones.stylegan2.augment_colour import draw_recolouring, recolour
from raypipe.backbones.stylegan2.augment_geometry import blit, draw_blits, draw_warps, warp
from raypipe.blocks.randomness import Draws
from raypipe.contract import Share

NONE = torch.zeros(1, dtype=torch.int64)
NO_SHIFT = torch.zeros(1, 2, dtype=torch.int64)


def draws() -> Draws:
    return Draws(0, 0, Share(), torch.device("cpu"))


def pictures(n: int, size: int = 16) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_each_kind_does_nothing_at_p_0() -> None:
    images = pictures(5)
    assert torch.equal(blit(images, *draw_blits(draws(), 5, 0.0, 16)), images)
    assert torch.equal(warp(images, *draw_warps(draws(), 5, 0.0)), images)
    assert torch.equal(recolour(images, *draw_recolouring(draws(), 5, 0.0)), images)


def test_each_kind_happens_as_often_as_p_says() -> None:
    n, p = 4000, 0.3
    mirrored, turns, shifts = draw_blits(draws(), n, p, 64)
    assert float(mirrored.float().mean()) == pytest.approx(p / 2, abs=0.03)
    assert float((turns > 0).float().mean()) == pytest.approx(p * 3 / 4, abs=0.03)
    assert int(shifts.abs().max()) == 8
    is_warped, _ = draw_warps(draws(), n, p)
    assert float(is_warped.float().mean()) == pytest.approx(1 - (1 - p) ** 4, abs=0.03)
    is_recoloured, _, _ = draw_recolouring(draws(), n, p)
    assert float(is_recoloured.float().mean()) == pytest.approx(1 - (1 - p) ** 5, abs=0.03)


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_mirroring_and_quarter_turns_are_exact(quarter_turns: int, is_mirrored: bool) -> None:
    images = pictures(1)
    expected = torch.rot90(images.flip(3) if is_mirrored else images, quarter_turns, (2, 3))
    assert torch.equal(blit(images, torch.tensor([is_mirrored]), NONE + quarter_turns, NO_SHIFT), expected)


def test_shifts_are_exact_and_reflect_at_the_border() -> None:
    images = pictures(1, 4)
    shifted = blit(images, NONE > 0, NONE, torch.tensor([[1, -2]]))
    assert torch.equal(shifted[:, :, 1:, :2], images[:, :, :3, 2:])
    assert torch.equal(shifted[:, :, 0, :2], images[:, :, 0, 2:])
    assert torch.equal(shifted[:, :, 1:, 2:], images[:, :, :3, 2:].flip(3))


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, 0), (-2, 1)])
def test_a_warp_moves_smooth_pictures_where_its_map_says(dx: int, dy: int) -> None:
    """A low frequency, shifted by whole pixels, away from the border."""
    size = 32
    x = torch.arange(size) * (2 * math.pi / size)
    image = (x.sin()[None, :] + x.cos()[:, None]).expand(1, 3, size, size)
    shift = torch.tensor([[[1.0, 0.0, 2 * dx / size], [0.0, 1.0, 2 * dy / size]]])
    warped = warp(image, torch.tensor([True]), shift)
    expected = image.roll((-dy, -dx), (2, 3))
    torch.testing.assert_close(warped[..., 4:-4, 4:-4], expected[..., 4:-4, 4:-4], rtol=0, atol=0.01)


def test_a_quarter_turn_by_warp_is_one_by_blit_but_for_smoothing() -> None:
    x = torch.linspace(-1, 1, 32)
    image = torch.stack([x[None] * x[:, None] + x, x[:, None] + 0 * x, 0.3 * x[None] - x[:, None] ** 2])[None]
    turn = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    torch.testing.assert_close(
        warp(image, torch.tensor([True]), turn), blit(image, NONE > 0, NONE + 1, NO_SHIFT), rtol=0, atol=0.03
    )


def test_shrinking_to_half_does_not_alias() -> None:
    """The highest frequency would become a flat picture of +1 or -1; it must become grey."""
    stripes = torch.ones(1, 3, 32, 32)
    stripes[..., ::2] = -1
    half = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]])
    middle = warp(stripes, torch.tensor([True]), half)[..., 10:22, 10:22]
    assert float(middle.abs().max()) < 0.1


def test_colours_change_along_the_grey_axis_or_across_it() -> None:
    happens = torch.ones(1, dtype=torch.bool)
    _, matrices, offsets = draw_recolouring(draws(), 50, 1.0)
    grey = matrices @ torch.ones(3)
    torch.testing.assert_close(grey, grey[:, :1].expand(-1, 3))  # grey stays grey
    across = torch.tensor([1.0, -1.0, 0.0])
    torch.testing.assert_close((matrices @ across).sum(1), torch.zeros(50), rtol=0, atol=1e-5)
    assert bool((grey[:, 0] < 0).any())  # luma flips
    assert bool((grey[:, 0] > 0).any())
    flat = torch.full((1, 3, 2, 2), 0.5)
    changed = recolour(flat, happens, matrices[:1], offsets[:1])
    torch.testing.assert_close(changed, (grey[:1, :1] * 0.5 + offsets[:1])[..., None, None].expand(1, 3, 2, 2))


def test_gradients() -> None:
    augmentation = draw_augmentation(draws(), 2, 0.9, 6)
    images = pictures(2, 6).double().requires_grad_()
    assert gradcheck(augmentation, (images,), fast_mode=True)


def test_passes_augment_as_the_whole() -> None:
    images, augmentation = pictures(6), draw_augmentation(draws(), 6, 0.8, 16)
    whole = augmentation(images)
    for i, part in enumerate(augmentation.passes(2)):
        assert isinstance(part, Augmentation)
        torch.testing.assert_close(part(images[i::2]), whole[i::2])


def test_probability_follows_overfitting_and_stays_one() -> None:
    def next_p(p: float, real_sign: float) -> float:
        return adjusted_probability(p, real_sign, target=0.6, images=128, length_images=1280)

    assert next_p(0.5, 0.9) == pytest.approx(0.6)
    assert next_p(0.5, 0.1) == pytest.approx(0.4)
    assert next_p(0.0, 0.1) == 0.0
    assert next_p(0.95, 0.9) == 1.0
