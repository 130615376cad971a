from __future__ import annotations

import torch
from torch.nn import functional as F

from raypipe.blocks.residual_trunk import ResidualBlock
from raypipe.blocks.sizes import of_size


def test_a_new_block_is_its_shortcut() -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 8, 6, 6)
    torch.testing.assert_close(ResidualBlock(8, 8, shrink=False)(maps), maps)
    block = ResidualBlock(8, 16, shrink=True)
    torch.testing.assert_close(block(maps), block.project(F.avg_pool2d(maps, 2)))


def test_a_block_keeps_shapes_in_step_for_odd_sizes() -> None:
    assert ResidualBlock(8, 16, shrink=True)(torch.zeros(1, 8, 7, 5)).shape == (1, 16, 4, 3)


def test_shrinking_averages() -> None:
    """A ramp keeps its mean and its slope, twice as steep by the pixel."""
    ramp = torch.arange(64.0).expand(1, 3, 64, 64)
    small = of_size(ramp, 32)
    torch.testing.assert_close(small.mean(), ramp.mean())
    torch.testing.assert_close(small[0, 0, 5, 2:-2].diff(), torch.full((27,), 2.0))
    assert of_size(ramp, 64) is ramp
