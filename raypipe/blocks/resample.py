"""Up- and downsampling by two with the low-pass filter [1, 3, 3, 1] / 8 along each axis, zeros beyond the border."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

FILTER = (1.0, 3.0, 3.0, 1.0)


def filter_kernel(gain: float = 1.0) -> Tensor:
    """The 2-d filter [4, 4], summing to ``gain``."""
    taps = torch.tensor(FILTER)
    kernel = torch.outer(taps, taps)
    return kernel * (gain / kernel.sum())


def blur(x: Tensor, *, padding: int, gain: float = 1.0, stride: int = 1) -> Tensor:
    """Low-pass every channel of [n, c, h, w]; the output has ``(h + 2 * padding - 4) // stride + 1`` rows."""
    channels = x.shape[1]
    kernel = filter_kernel(gain).to(x).expand(channels, 1, 4, 4)
    return F.conv2d(x, kernel, padding=padding, stride=stride, groups=channels)


def upsample(x: Tensor) -> Tensor:
    """[n, c, h, w] -> [n, c, 2h, 2w]: zeros between the samples, then the filter with gain 4.

    Away from the border this filter is bilinear interpolation, so a border of zeros makes it that everywhere.
    """
    return F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")[..., 2:-2, 2:-2]


def downsample(x: Tensor) -> Tensor:
    """[n, c, h, w] -> [n, c, h/2, w/2]: the filter, then every second sample."""
    return blur(x, padding=1, stride=2)
