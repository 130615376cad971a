"""Where pixels go: mirroring, quarter turns and whole-pixel shifts, then one affine warp.

Source: Karras et al. 2020, Training Generative Adversarial Networks with Limited Data (ADA), appendix B. What comes in
from beyond the border is the picture's reflection. N square pictures.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.blocks.randomness import Draws

SHIFT = 0.125
"""Whole-pixel shifts are of at most this share of the width; it is also the deviation of the warp's shifts."""

SCALE_OCTAVES = 0.2
"""Standard deviation of log2 of a scale."""

OVERSAMPLING = 2


def draw_blits(draws: Draws, rows: int, p: float, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """``mirrored`` [n] bool, ``turns`` [n] quarter turns and ``shifts`` [n, 2] down and right, in pixels, int64."""
    mirrored = (draws.uniform(rows) < p) & (draws.uniform(rows) < 0.5)
    turns = draws.integers(0, 4, rows) * (draws.uniform(rows) < p)
    shifts = ((draws.uniform(rows, 2) * 2 - 1) * SHIFT * size).round().long()
    return mirrored, turns, shifts * (draws.uniform(rows, 1) < p)


def blit(images: Tensor, mirrored_N: Tensor, turns_N: Tensor, shifts_N2: Tensor) -> Tensor:
    """Mirror left and right, turn counter-clockwise, shift: every pixel keeps its exact value."""
    n, channels, size, _ = images.shape
    steps = torch.arange(size, device=images.device)
    down = _reflected(steps - shifts_N2[:, :1], size)[:, :, None]
    right = _reflected(steps - shifts_N2[:, 1:], size)[:, None, :]
    is_odd = (turns_N % 2 == 1)[:, None, None]
    rows, columns = torch.where(is_odd, right, down), torch.where(is_odd, down, right)
    rows = torch.where((turns_N >= 2)[:, None, None], size - 1 - rows, rows)
    is_reversed = ((turns_N == 1) | (turns_N == 2)) ^ mirrored_N
    columns = torch.where(is_reversed[:, None, None], size - 1 - columns, columns)
    index = (rows * size + columns).reshape(n, 1, size * size).expand(-1, channels, -1)
    return images.flatten(2).gather(2, index).reshape(images.shape)


def draw_warps(draws: Draws, rows: int, p: float) -> tuple[Tensor, Tensor]:
    """``is_warped`` [n] bool; ``warps`` [n, 2, 3]: from positions in the result to positions in the picture.

    Scale, rotation, stretch along one axis, a second rotation, shift; positions are in [-1, 1] from edge to edge.
    """
    # Two rotations, before and after the stretch: together they must happen with probability p.
    p_rotation = 1 - math.sqrt(1 - p)
    chances = (p, p_rotation, p, p_rotation, p)
    happens = torch.stack([draws.uniform(rows) < chance for chance in chances], dim=1)
    scales = torch.exp2(SCALE_OCTAVES * draws.normal(rows, 2) * happens[:, 0:3:2])
    angles = math.pi * (2 * draws.uniform(rows, 2) - 1) * happens[:, 1:4:2]
    shifts = 2 * SHIFT * draws.normal(rows, 2) * happens[:, 4:]
    stretches = torch.diag_embed(torch.stack([scales[:, 1], 1 / scales[:, 1]], dim=1))
    linear = scales[:, :1, None] * (_rotations(angles[:, 0]) @ stretches @ _rotations(angles[:, 1]))
    return happens.any(1), torch.cat([linear, linear @ shifts[:, :, None]], dim=2)


def warp(images: Tensor, is_warped_N: Tensor, warps_N23: Tensor) -> Tensor:
    """Cubic interpolation at four points of every pixel, averaged: pictures may shrink to half without aliasing.

    Pictures that are not warped stay as they are, to the bit. Differentiable once, not twice.
    """
    n, channels, height, width = images.shape
    fine = [n, channels, OVERSAMPLING * height, OVERSAMPLING * width]
    grid = F.affine_grid(warps_N23.to(images.dtype), fine, align_corners=False)
    samples = F.grid_sample(images, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return torch.where(is_warped_N[:, None, None, None], F.avg_pool2d(samples, OVERSAMPLING), images)


def _reflected(positions: Tensor, size: int) -> Tensor:
    """Positions less than ``size`` beyond the border, mirrored back at the border's edge."""
    return torch.where(
        positions < 0, -1 - positions, torch.where(positions >= size, 2 * size - 1 - positions, positions)
    )


def _rotations(angles_N: Tensor) -> Tensor:
    cos, sin = angles_N.cos(), angles_N.sin()
    return torch.stack([cos, -sin, sin, cos], dim=1).reshape(-1, 2, 2)
