"""Which colours pixels have: brightness, contrast, luma flip, hue, saturation, as one affine map per picture.

Source: Karras et al. 2020 (ADA), appendix B. All but brightness act separately on the grey axis and on the plane of
chroma across it: luma flip negates the one, hue turns and saturation scales the other, contrast scales both.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from raypipe.blocks.randomness import Draws

BRIGHTNESS = 0.2
CONTRAST_OCTAVES = 0.5
SATURATION_OCTAVES = 1.0
"""Standard deviations: of an offset in [-1, 1], of log2 of factors."""


def draw_recolouring(draws: Draws, rows: int, p: float) -> tuple[Tensor, Tensor, Tensor]:
    """``is_recoloured`` [n] bool, ``matrices`` [n, 3, 3], ``offsets`` [n], the same for red, green and blue."""
    happens = draws.uniform(rows, 5) < p
    gauss = draws.normal(rows, 3)
    brightness = BRIGHTNESS * gauss[:, 0] * happens[:, 0]
    contrast = torch.exp2(CONTRAST_OCTAVES * gauss[:, 1] * happens[:, 1])
    saturation = torch.exp2(SATURATION_OCTAVES * gauss[:, 2] * happens[:, 2])
    is_flipped = (draws.uniform(rows) < 0.5) & happens[:, 3]
    hue = math.pi * (2 * draws.uniform(rows) - 1) * happens[:, 4]
    luma = torch.where(is_flipped, -contrast, contrast)
    return happens.any(1), _colour_matrices(luma, contrast * saturation, hue), brightness * luma


def recolour(images: Tensor, is_recoloured_N: Tensor, matrices_N33: Tensor, offsets_N: Tensor) -> Tensor:
    """[n, 3, h, w] -> the same shape, not clipped; pictures that are not recoloured stay as they are, to the bit."""
    pixels = matrices_N33.to(images.dtype) @ images.flatten(2) + offsets_N[:, None, None].to(images.dtype)
    return torch.where(is_recoloured_N[:, None, None, None], pixels.reshape(images.shape), images)


def _colour_matrices(luma_N: Tensor, chroma_N: Tensor, hue_N: Tensor) -> Tensor:
    """Grey times ``luma``; what is across it turned by ``hue`` about the grey axis, times ``chroma``."""
    grey = torch.full((3, 3), 1 / 3, device=luma_N.device)
    across = torch.eye(3, device=luma_N.device) - grey
    quarter_turn = across.roll(1, 0) - across.roll(-1, 0)
    turned = hue_N.cos()[:, None, None] * across + hue_N.sin()[:, None, None] * quarter_turn / math.sqrt(3)
    return luma_N[:, None, None] * grey + chroma_N[:, None, None] * turned
