"""Up- and downsampling by two with the low-pass filter [1, 3, 3, 1] / 8 along each axis, zeros beyond the border."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

TAPS = (1.0, 3.0, 3.0, 1.0)


def low_pass(x: Tensor, *, padding: int, gain: float = 1.0, stride: int = 1) -> Tensor:
    """Filter every channel of [n, c, h, w]; the output has ``(h + 2 * padding - 4) // stride + 1`` rows."""
    channels = x.shape[1]
    kernel = _kernel(gain, x.device, x.dtype).expand(channels, 1, 4, 4)
    return F.conv2d(x, kernel, padding=padding, stride=stride, groups=channels)


def downsample(x: Tensor) -> Tensor:
    """[n, c, h, w] -> [n, c, h/2, w/2]: the filter, then every second sample. Never in bfloat16 on a CPU, where the
    gradient of a strided convolution of single channels is 20 to 30 times slower than in float32."""
    if x.device.type != "cpu":
        return low_pass(x, padding=1, stride=2)
    with torch.autocast("cpu", enabled=False):
        precise = x.float() if x.dtype == torch.bfloat16 else x
        return low_pass(precise, padding=1, stride=2).to(x.dtype)


def upsample(x: Tensor) -> Tensor:
    """[n, c, h, w] -> [n, c, 2h, 2w]: zeros between the samples, then the filter with gain 4.

    Away from the border this is bilinear interpolation, so a border of zeros makes it that everywhere.
    """
    return F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")[..., 2:-2, 2:-2]


@functools.cache
def _kernel(gain: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The filter [4, 4], summing to ``gain``. Kept, because copying it to a GPU would wait for the GPU."""
    with torch.inference_mode(False):
        taps = torch.tensor(TAPS, device=device, dtype=dtype)
        return torch.outer(taps, taps) * (gain / sum(TAPS) ** 2)
