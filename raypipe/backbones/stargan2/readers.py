"""Networks that read a picture and say something for each domain: its style there, or whether it is real there."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from raypipe.backbones.stargan2.config import DiscriminatorConfig, StyleEncoderConfig, widths
from raypipe.backbones.stargan2.layers import SLOPE, DownBlock

LAST = 4
"""Width and height of the map that becomes one vector."""


class StyleEncoder(nn.Module):
    """A trunk for all domains, and for each a linear branch."""

    def __init__(self, config: StyleEncoderConfig) -> None:
        super().__init__()
        self.config = config
        layers, width = _trunk(config)
        self.shared = nn.Sequential(*layers)
        self.unshared = nn.ModuleList(nn.Linear(width, config.style_dim) for _ in range(config.domains))

    def forward(self, images: Tensor) -> Tensor:
        """[n, 3, s, s] -> [n, domains, style_dim]: the style that a picture has as a member of each domain."""
        features_NF = self.shared(images).flatten(1)
        return torch.stack([branch(features_NF) for branch in self.unshared], dim=1)


class Discriminator(nn.Module):
    """The style encoder's trunk, and a logit for each domain: multi-task, as Liu et al. 2019 (FUNIT)."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        layers, width = _trunk(config)
        self.main = nn.Sequential(*layers, nn.Conv2d(width, config.domains, 1))

    def forward(self, images: Tensor) -> Tensor:
        """[n, 3, s, s] -> logits [n, domains]; above 0: a real picture of that domain."""
        logits: Tensor = self.main(images)
        return logits.flatten(1)


def _trunk(config: StyleEncoderConfig | DiscriminatorConfig) -> tuple[list[nn.Module], int]:
    """Layers from a picture to [n, width, 1, 1], and the width."""
    found = widths(config.size, config.first_width, config.max_width, int(math.log2(config.size // LAST)))
    blocks = [DownBlock(wide, deep, normed=False, halves=True) for wide, deep in pairwise(found)]
    last = [nn.LeakyReLU(SLOPE), nn.Conv2d(found[-1], found[-1], LAST), nn.LeakyReLU(SLOPE)]
    return [nn.Conv2d(3, found[0], 3, padding=1), *blocks, *last], found[-1]
