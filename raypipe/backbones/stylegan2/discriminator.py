"""Images -> one logit each. Source: Karras et al. 2020 (StyleGAN2), figure 7; projection as in ADA."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones.stylegan2.config import SMALLEST, DiscriminatorConfig
from raypipe.backbones.stylegan2.mapping import Mapping
from raypipe.blocks.equalised import EqualisedConv, EqualisedLinear, scaled_leaky_relu
from raypipe.blocks.resample import blur, downsample
from raypipe.errors import WrongUsage


class Discriminator(nn.Module):
    """Residual blocks from ``size`` down to 8, minibatch standard deviation, and a head at resolution 4."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channel_table
        self.from_rgb = EqualisedConv(3, channels[config.size], 1)
        self.blocks = nn.ModuleList(
            ResidualBlock(channels[r], channels[r // 2]) for r in reversed(config.resolutions) if r > SMALLEST
        )
        last = channels[SMALLEST]
        map_dim = config.label_map_dim or last
        self.conv = EqualisedConv(last + config.stddev_features, last, 3)
        self.linear = EqualisedLinear(last * SMALLEST * SMALLEST, last)
        self.out = EqualisedLinear(last, map_dim if config.label_dim else 1)
        self.mapping = (
            Mapping(
                0,
                map_dim,
                layers=config.mapping_layers,
                width=config.mapping_width or map_dim,
                lr_multiplier=config.mapping_lr_multiplier,
                label_dim=config.label_dim,
                label_embed_dim=config.label_embed_dim or map_dim,
            )
            if config.label_dim
            else None
        )

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """[n, 3, size, size] in [-1, 1] (and [n, label_dim]) -> [n, 1].

        Raises:
            WrongUsage: n is above ``stddev_group`` and not a multiple of it; labels as in ``Mapping``.
        """
        x = self._activate(self.from_rgb(images))
        for block in self.blocks:
            x = block(x)
        if self.config.stddev_features:
            x = minibatch_stddev(x, self.config.stddev_group, self.config.stddev_features)
        x = scaled_leaky_relu(self.conv(x))
        x = self.out(scaled_leaky_relu(self.linear(x.flatten(1))))
        if self.mapping is None:
            return x
        condition = self.mapping(None, labels)
        return (x * condition).sum(dim=1, keepdim=True) / math.sqrt(condition.shape[1])

    def _activate(self, x: Tensor) -> Tensor:
        return scaled_leaky_relu(x)


class ResidualBlock(nn.Module):
    """[n, inputs, r, r] -> [n, outputs, r/2, r/2]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = EqualisedConv(inputs, inputs, 3)
        self.conv1 = EqualisedConv(inputs, outputs, 3)
        self.skip = EqualisedConv(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.skip(downsample(x))
        x = scaled_leaky_relu(self.conv0(x))
        x = F.conv2d(blur(x, padding=2), self.conv1.weight * self.conv1.scale, self.conv1.bias, stride=2)
        return (scaled_leaky_relu(x) + skip) * math.sqrt(0.5)


def minibatch_stddev(x: Tensor, group: int, features: int) -> Tensor:
    """Append how much the images of a group differ: [n, c, h, w] -> [n, c + features, h, w].

    Images i, i + n/group, i + 2n/group, ... form a group. Source: Karras et al. 2018, section 3.

    Raises:
        WrongUsage: n is above ``group`` and not a multiple of it.
    """
    n, channels, height, width = x.shape
    group = min(n, group or n)
    if n % group:
        raise WrongUsage(f"a batch of {n} cannot be divided into groups of {group} for minibatch standard deviation")
    grouped = x.float().reshape(group, n // group, features, channels // features, height, width)
    stddev = torch.sqrt(grouped.var(0, correction=0) + 1e-8).mean((2, 3, 4))
    return torch.cat([x, stddev.repeat(group, 1)[:, :, None, None].expand(-1, -1, height, width).to(x)], dim=1)
