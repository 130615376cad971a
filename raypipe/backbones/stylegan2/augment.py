"""Adaptive discriminator augmentation: the discriminator sees only augmented pictures, more of them as it overfits.

Source: Karras et al. 2020, Training Generative Adversarial Networks with Limited Data, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from raypipe.backbones.stylegan2.augment_colour import draw_recolouring, recolour
from raypipe.backbones.stylegan2.augment_geometry import blit, draw_blits, draw_warps, warp
from raypipe.blocks.optimising import microbatches
from raypipe.blocks.randomness import Draws


@dataclass(frozen=True)
class Augmentation:
    """What happens to each of n pictures, see ``blit``, ``warp`` and ``recolour``."""

    mirrored: Tensor
    turns: Tensor
    shifts: Tensor
    is_warped: Tensor
    warps: Tensor
    is_recoloured: Tensor
    matrices: Tensor
    offsets: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """[n, 3, s, s] -> the same shape, as precise also under autocast; differentiable once."""
        with torch.autocast(images.device.type, enabled=False):
            images = blit(images, self.mirrored, self.turns, self.shifts)
            images = warp(images, self.is_warped, self.warps)
            return recolour(images, self.is_recoloured, self.matrices, self.offsets)

    def passes(self, count: int) -> Sequence[Augmentation]:
        """For the rows of each of ``count`` accumulated passes."""
        columns = [microbatches(getattr(self, field.name), count) for field in fields(self)]
        return [Augmentation(*rows) for rows in zip(*columns, strict=True)]


def draw_augmentation(draws: Draws, rows: int, p: float, size: int) -> Augmentation:
    """Each kind of change happens to each picture with probability ``p``, independently."""
    return Augmentation(
        *draw_blits(draws, rows, p, size), *draw_warps(draws, rows, p), *draw_recolouring(draws, rows, p)
    )


def adjusted_probability(p: float, real_sign: float, *, target: float, images: int, length_images: float) -> float:
    """The next ``p``: up where the discriminator is surer of real pictures than ``target``, else down.

    Args:
        real_sign: the mean sign of the logits of real pictures: 0 without overfitting, towards 1 with it.
        images: seen since the last change.
        length_images: in which ``p`` could go from 0 to 1.
    """
    step = images / length_images
    return min(1.0, max(0.0, p + (step if real_sign > target else -step)))
