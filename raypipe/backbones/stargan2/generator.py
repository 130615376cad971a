"""A picture and a style -> the picture in that style."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones.stargan2.config import GeneratorConfig
from raypipe.backbones.stargan2.layers import SLOPE, DownBlock, UpBlock, high_pass

PLAIN_BLOCKS = 2
"""Blocks at the deepest resolution, before and after the style comes in."""

FILTERED = {32: 0, 64: 1, 128: 1}
"""Resolutions whose maps are passed around the style, through the filter: by which mask."""


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

    def forward(self, images: Tensor, style_ND: Tensor, masks: Sequence[Tensor] = ()) -> Tensor:
        """[n, 3, s, s] nominally in [-1, 1], [n, style_dim] -> [n, 3, s, s], not limited.

        ``masks``: two, [n, 1, h, w] each in [0, 1]: where maps of 32, and of 64 and 128 pixels, pass the high-pass
        filter. Without them nothing does.
        """
        x, passing = self.from_rgb(images), {}
        for block in self.encode:
            if masks and x.shape[2] in FILTERED:
                passing[x.shape[2]] = x
            x = block(x)
        for block in self.decode:
            x = block(x, style_ND)
            if x.shape[2] in passing:
                x = x + self._filtered(passing[x.shape[2]], masks)
        made: Tensor = self.to_rgb(x)
        return made

    def _filtered(self, x_NCHW: Tensor, masks: Sequence[Tensor]) -> Tensor:
        size = x_NCHW.shape[2]
        mask = F.interpolate(masks[FILTERED[size]], size=(size, size), mode="bilinear")
        return high_pass(mask * x_NCHW, self.config.high_pass)

    def _up_block(self, inputs: int, outputs: int, *, doubles: bool) -> UpBlock:
        return UpBlock(
            inputs,
            outputs,
            style_dim=self.config.style_dim,
            doubles=doubles,
            has_shortcut=self.config.high_pass == 0,
        )
