"""Small changes of training pictures that keep what they show."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from raypipe.blocks.randomness import Draws

CROP_AREAS = (0.8, 1.0)
CROP_RATIOS = (0.9, 1.1)
_TRIES = 10


def jitter(images: Tensor, draws: Draws, *, mirror: bool, shift: float) -> Tensor:
    """Each picture moved by up to ``shift`` of its sides either way, whole pixels, half of them mirrored.

    Args:
        images: [n,3,h,w].
        draws: of this step; the same are drawn whatever the settings.
        mirror: whether pictures are mirrored at all.
        shift: in [0,1); what comes in from beyond the border repeats it.

    Returns:
        [n,3,h,w] in memory as channels last, which convolutions prefer.
    """
    count, _, height, width = images.shape
    is_mirrored = (draws.uniform(count) < 0.5) & mirror
    moves = draws.uniform(count, 2) * 2 - 1
    rows = _moved(moves[:, 0], height, shift)
    columns = _moved(moves[:, 1], width, shift)
    columns = torch.where(is_mirrored[:, None], width - 1 - columns, columns)
    face = torch.arange(count, device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[face, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def crop(images: Tensor, draws: Draws, *, probability: float) -> Tensor:
    """Some pictures cut to a rectangle at a random place, of ``CROP_AREAS`` of the whole and with ``CROP_RATIOS`` of
    width to height, and brought to their size again by bilinear interpolation: what StarGAN v2's loader does.

    Args:
        images: [n,3,h,w].
        draws: of this step; the same are drawn whatever the settings.
        probability: with which a picture is cut.
    """
    count = len(images)
    is_cut = draws.uniform(count) < probability
    sides = _sides(draws.uniform(count, _TRIES), draws.uniform(count, _TRIES))
    places = draws.uniform(count, 2)
    if not probability:
        return images
    middles = (2 * places - 1) * (1 - sides)  # -1 and 1 are the borders
    to_whole = torch.cat([torch.diag_embed(sides), middles[:, :, None]], dim=2)
    grid = affine_grid(to_whole, list(images.shape), align_corners=False)
    cut = grid_sample(images, grid, padding_mode="border", align_corners=False)
    return torch.where(is_cut[:, None, None, None], cut, images)


def _sides(areas: Tensor, ratios: Tensor) -> Tensor:
    """Width and height as parts of the whole, [n,2]: the first of ``_TRIES`` that fits into it, or all of it.

    ``areas`` and ``ratios``: [n, _TRIES] in [0,1), from the smallest of their range to the largest, ratios by their
    logarithm.
    """
    least, most = CROP_AREAS
    area = least + areas * (most - least)
    least, most = map(math.log, CROP_RATIOS)
    ratio = torch.exp(least + ratios * (most - least))
    sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=2)
    fits = (sides <= 1).all(2)
    first = fits.int().argmax(1)[:, None, None]
    return torch.where(fits.any(1)[:, None], sides.take_along_dim(first, dim=1)[:, 0], 1.0)


def _moved(moves: Tensor, length: int, shift: float) -> Tensor:
    """Moves in [-1,1] -> which of ``length`` pixels comes where, [n, length]."""
    pixels = (moves * shift * length).round().long()
    return (torch.arange(length, device=moves.device) + pixels[:, None]).clamp(0, length - 1)
