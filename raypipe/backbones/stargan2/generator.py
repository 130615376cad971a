"""A picture and a style -> the picture in that style."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from raypipe.backbones.stargan2.config import GeneratorConfig
from raypipe.backbones.stargan2.layers import SLOPE, DownBlock, UpBlock

PLAIN_BLOCKS = 2
"""Blocks at the deepest resolution, before and after the style comes in."""


class Generator(nn.Module):
    """The encoder's blocks normalise what a picture's style was; the decoder's bring the new one."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        steps, deepest = list(pairwise(config.widths)), config.widths[-1]
        self.from_rgb = nn.Conv2d(3, config.widths[0], 3, padding=1)
        self.encode = nn.ModuleList(
            [DownBlock(wide, deep, normed=True, halves=True) for wide, deep in steps]
            + [DownBlock(deepest, deepest, normed=True, halves=False) for _ in range(PLAIN_BLOCKS)]
        )
        self.decode = nn.ModuleList(
            [self._up_block(deepest, deepest, doubles=False) for _ in range(PLAIN_BLOCKS)]
            + [self._up_block(deep, wide, doubles=True) for wide, deep in reversed(steps)]
        )
        self.to_rgb = nn.Sequential(
            nn.InstanceNorm2d(config.widths[0], affine=True),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(config.widths[0], 3, 1),
        )

    def forward(self, images: Tensor, style_ND: Tensor) -> Tensor:
        """[n, 3, s, s] nominally in [-1, 1], [n, style_dim] -> [n, 3, s, s], not limited."""
        x = self.from_rgb(images)
        for block in self.encode:
            x = block(x)
        for block in self.decode:
            x = block(x, style_ND)
        made: Tensor = self.to_rgb(x)
        return made

    def _up_block(self, inputs: int, outputs: int, *, doubles: bool) -> UpBlock:
        return UpBlock(
            inputs,
            outputs,
            style_dim=self.config.style_dim,
            doubles=doubles,
            has_shortcut=self.config.high_pass == 0,
        )
