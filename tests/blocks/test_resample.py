"""The filters against their definition: zeros between the samples, then a convolution with [1, 3, 3, 1]."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.blocks.resample import downsample, low_pass, upsample


def filtered(x: Tensor, gain: float) -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype) / 8
    kernel = (gain * torch.outer(taps, taps)).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, groups=x.shape[1])


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 1, 1), (1, 4, 8, 8)])
def test_upsampling(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64)
    spread = torch.zeros(*shape[:2], 2 * shape[2], 2 * shape[3], dtype=x.dtype)
    spread[:, :, ::2, ::2] = x
    torch.testing.assert_close(upsample(x), filtered(F.pad(spread, (2, 1, 2, 1)), 4.0))


def test_downsampling() -> None:
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    torch.testing.assert_close(downsample(x), filtered(F.pad(x, (1, 1, 1, 1)), 1.0)[:, :, ::2, ::2])


def test_downsampling_in_bfloat16_rounds_once() -> None:
    x = torch.randn(2, 8, 6, 6, dtype=torch.bfloat16)
    assert torch.equal(downsample(x), downsample(x.float()).bfloat16())


def test_downsampling_stays_precise_under_autocast_on_a_cpu() -> None:
    x = torch.randn(2, 8, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        under = downsample(x)
    assert torch.equal(under, downsample(x))


def test_low_pass_keeps_the_mean_of_a_flat_picture() -> None:
    inner = low_pass(torch.ones(1, 2, 9, 9), padding=2, gain=4.0)[:, :, 3:-3, 3:-3]
    torch.testing.assert_close(inner, torch.full_like(inner, 4.0))


def test_filters_keep_the_memory_format_and_dtype() -> None:
    x = torch.randn(2, 8, 4, 4, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    result = low_pass(x, padding=1)
    assert result.dtype == torch.bfloat16
    assert result.is_contiguous(memory_format=torch.channels_last)
