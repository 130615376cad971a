"""Heat maps of face landmarks -> where a generator's high-pass filter lets detail of the picture pass.

Which landmarks count, how sharp and where, was chosen by hand by StarGAN v2's authors (clovaai/stargan-v2); the numbers
are theirs, and published weights are trained with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LANDMARKS = 98
"""As of WFLW: outline of the face 0-32, eyebrows 33-50, nose 51-59, eyes 60-75, lips 76-95, pupils 96 and 97."""

SIZE = 256
"""Width and height of the masks, and of the pictures that the landmarks are found in."""

NOTHING = 0.1
"""What is lower in a heat map is no landmark."""


@dataclass(frozen=True)
class FacePart:
    """``power``: of heat maps before they are added up, the higher the smaller the spots. ``up``: pixels by which they
    are moved, downwards if negative."""

    landmarks: Sequence[int]
    power: int = 1
    up: int = 0


MIDDLE = (
    FacePart([51]),
    FacePart(range(52, 55), up=4),
    FacePart(range(55, 60), power=4, up=8),
    FacePart(range(60, 76), power=3, up=-8),
    FacePart(range(60, 76), up=-24),
    FacePart([96, 97]),
)
"""The top of the nose, its ridge, nostrils; eyes, once small a bit below and once whole far below; pupils."""

REST = (
    FacePart(range(8, 25), power=3),
    FacePart([*range(34, 46), *range(47, 51)], power=2, up=-7),
    FacePart(range(77, 82), power=4, up=-8),
    FacePart(range(83, 88), power=4, up=8),
    FacePart(range(88, 96), power=3, up=-2),
)
"""Chin, eyebrows; upper, lower and inner lips. The corners of mouth and eyebrows and the upper outline are nowhere."""


def masks_of(heat_maps: Tensor) -> list[Tensor]:
    """Heat maps [n, 98, h, w] -> two masks [n, 1, 256, 256] in [0, 1]: of all parts, and of the middle of the face,
    without chin, eyebrows and lips."""
    # A face at a time: the enlarged maps of one are 25 MB.
    pairs = [_masks_of_face(one) for one in heat_maps.unsqueeze(1)]
    return [torch.cat(masks) for masks in zip(*pairs, strict=True)]


def _masks_of_face(heat_maps: Tensor) -> tuple[Tensor, Tensor]:
    enlarged = F.interpolate(heat_maps, size=(SIZE, SIZE), mode="bilinear", align_corners=True)
    spots = _stretched(torch.where(enlarged < NOTHING, 0, enlarged))
    middle, rest = (torch.stack([_drawn(spots, part) for part in parts]).sum(0) for parts in (MIDDLE, REST))
    return (middle + rest).clamp(0, 1), middle.clamp(0, 1)


def _stretched(maps: Tensor) -> Tensor:
    """Each from 0 to 1."""
    least, most = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    return (maps - least) / (most - least + 1e-6)


def _drawn(spots: Tensor, part: FacePart) -> Tensor:
    """[1, 1, h, w]: a part's spots where they belong. What leaves at an edge comes in at the other, as theirs does."""
    powers = spots[:, list(part.landmarks)] ** part.power
    return powers.sum(1, keepdim=True).roll(-part.up, dims=2)
