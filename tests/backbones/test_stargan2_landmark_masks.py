"""Masks of made-up heat maps: where each landmark goes, and all of it beside a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.stargan2.landmark_masks import LANDMARKS, SIZE, masks_of

ROW, COLUMN = 21, 42
"""Of a spot in a heat map of 64 px: the one pixel that is at ``AT`` in 256 px, for corners stay corners."""

AT = (85, 170)


def heat_maps(landmark: int, height: float = 1.0) -> Tensor:
    maps = torch.zeros(1, LANDMARKS, 64, 64)
    maps[0, landmark, ROW, COLUMN] = height
    return maps


@pytest.mark.parametrize(
    ("landmark", "downwards", "is_middle"),
    [
        (8, (0,), False),
        (24, (0,), False),
        (34, (7,), False),
        (45, (7,), False),
        (47, (7,), False),
        (50, (7,), False),
        (51, (0,), True),
        (52, (-4,), True),
        (54, (-4,), True),
        (55, (-8,), True),
        (59, (-8,), True),
        (60, (8, 24), True),
        (75, (8, 24), True),
        (77, (8,), False),
        (81, (8,), False),
        (83, (-8,), False),
        (87, (-8,), False),
        (88, (2,), False),
        (95, (2,), False),
        (96, (0,), True),
        (97, (0,), True),
    ],
)
def test_a_landmark_is_where_its_part_is_moved_to(landmark: int, downwards: tuple[int, ...], is_middle: bool) -> None:
    whole, middle = masks_of(heat_maps(landmark, height=0.7))
    assert whole.shape == middle.shape == (1, 1, SIZE, SIZE)
    found = (whole[0, 0] > 0.999).nonzero().tolist()
    assert found == [[AT[0] + rows, AT[1]] for rows in downwards]
    assert torch.equal(middle, whole if is_middle else torch.zeros_like(whole))


@pytest.mark.parametrize("landmark", [0, 7, 25, 32, 33, 46, 76, 82])
def test_upper_outline_and_corners_are_nowhere(landmark: int) -> None:
    assert not any(mask.any() for mask in masks_of(heat_maps(landmark)))


def test_what_is_low_is_no_landmark() -> None:
    assert not any(mask.any() for mask in masks_of(heat_maps(51, height=0.09)))


def test_a_power_makes_spots_smaller() -> None:
    halves = []
    for landmark in (51, 47, 8, 55):
        maps = heat_maps(landmark)
        maps[0, landmark, ROW, :COLUMN] = 0.5
        halves.append(masks_of(maps)[0][0, 0, :, 0].max())
    torch.testing.assert_close(torch.stack(halves), torch.tensor([1 / 2, 1 / 4, 1 / 8, 1 / 16]))


def test_parts_add_up_to_no_more_than_1() -> None:
    one, both = masks_of(heat_maps(96))[0], masks_of(heat_maps(96) + heat_maps(97))[0]
    torch.testing.assert_close(both, (2 * one).clamp(max=1))


def test_all_landmarks_agree_with_a_slow_reference() -> None:
    """A landmark at a time, a row at a time, in double precision."""
    maps = torch.randn(2, LANDMARKS, 16, 16, generator=torch.Generator().manual_seed(0)).square()
    for face, masks in zip(maps, zip(*masks_of(maps), strict=True), strict=True):
        enlarged = F.interpolate(face[None].double(), size=(SIZE, SIZE), mode="bilinear", align_corners=True)
        whole, middle = np.zeros((2, SIZE, SIZE))
        for landmark, spots in enumerate(enlarged[0].numpy()):
            spots = np.where(spots < 0.1, 0, spots)
            spots = (spots - spots.min()) / (spots.max() - spots.min())
            for power, down, is_middle in moves(landmark):
                moved = np.stack([spots[(row - down) % SIZE] ** power for row in range(SIZE)])
                whole += moved
                middle += moved * is_middle
        for made, wanted in zip(masks, (whole, middle), strict=True):
            np.testing.assert_allclose(made[0].numpy(), wanted.clip(0, 1), atol=2e-5)


def moves(landmark: int) -> list[tuple[int, int, bool]]:
    """Power, rows downwards and whether it is in the middle, for each place that a landmark is drawn at."""
    if 8 <= landmark < 25:
        return [(3, 0, False)]
    if 34 <= landmark < 51 and landmark != 46:
        return [(2, 7, False)]
    if 51 <= landmark < 55:
        return [(1, 0 if landmark == 51 else -4, True)]
    if 55 <= landmark < 60:
        return [(4, -8, True)]
    if 60 <= landmark < 76:
        return [(3, 8, True), (1, 24, True)]
    if 77 <= landmark < 82:
        return [(4, 8, False)]
    if 83 <= landmark < 88:
        return [(4, -8, False)]
    if 88 <= landmark < 96:
        return [(3, 2, False)]
    return [(1, 0, True)] if landmark >= 96 else []
