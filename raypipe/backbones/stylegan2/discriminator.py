"""Images -> one logit each. Source: Karras et al. 2020 (StyleGAN2), figure 7; conditions by projection (ADA)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from raypipe.backbones.stylegan2.config import SMALLEST, DiscriminatorConfig
from raypipe.backbones.stylegan2.mapping import Mapping
from raypipe.blocks.equalised import GAIN, EqualisedConv, EqualisedLinear, leaky_relu_
from raypipe.blocks.resample import downsample, low_pass
from raypipe.errors import WrongUsage


class Discriminator(nn.Module):
    """Residual blocks from ``size`` down to 8, minibatch standard deviation, and a head at resolution 4."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channel_table
        self.from_rgb = EqualisedConv(3, channels[config.size], 1)
        self.blocks = nn.ModuleList(
            ResidualBlock(channels[r], channels[r // 2], clamp=config.clamp)
            for r in reversed(config.resolutions)
            if r > SMALLEST
        )
        last = channels[SMALLEST]
        map_dim = config.label_map_dim or last
        self.conv = EqualisedConv(last + config.stddev_features, last, 3)
        self.linear = EqualisedLinear(last * SMALLEST * SMALLEST, last)
        self.out = EqualisedLinear(last, map_dim if config.label_dim else 1)
        self.mapping: Mapping | None = None
        if config.label_dim:
            self.mapping = Mapping(
                0,
                map_dim,
                layers=config.mapping_layers,
                width=config.mapping_width or map_dim,
                lr_multiplier=config.mapping_lr_multiplier,
                label_dim=config.label_dim,
                label_embed_dim=config.label_embed_dim or map_dim,
            )

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """[n, 3, size, size] in [-1, 1] (and [n, label_dim]) -> [n, 1].

        Raises:
            WrongUsage: labels missing or superfluous; n above ``stddev_group`` and not a multiple of it.
        """
        if (labels is None) != (self.mapping is None):
            raise WrongUsage("this discriminator takes " + ("no labels" if self.mapping is None else "labels"))
        clamp = self.config.clamp
        x = self.features(images)[-1]
        if self.config.stddev_features:
            x = minibatch_stddev(x, self.config.stddev_group, self.config.stddev_features)
        x = _limit(leaky_relu_(self.conv(x, GAIN)), clamp)
        logits: Tensor = self.out(leaky_relu_(self.linear(x.flatten(1), GAIN)))
        if self.mapping is None:
            return logits
        condition: Tensor = self.mapping(None, labels)
        return (logits * condition).sum(dim=1, keepdim=True) / math.sqrt(condition.shape[1])

    def features(self, images: Tensor) -> list[Tensor]:
        """[n, 3, size, size] -> every residual block's output, [n, c, r, r] with r = size/2, ..., 8, 4."""
        images = images.contiguous(memory_format=torch.channels_last)
        x = _limit(leaky_relu_(self.from_rgb(images, GAIN)), self.config.clamp)
        maps: list[Tensor] = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps


class ResidualBlock(nn.Module):
    """[n, inputs, r, r] -> [n, outputs, r/2, r/2]."""

    def __init__(self, inputs: int, outputs: int, *, clamp: float | None) -> None:
        super().__init__()
        self.conv = EqualisedConv(inputs, inputs, 3)
        self.down = EqualisedConv(inputs, outputs, 3, stride=2, padding=0)
        self.skip = EqualisedConv(inputs, outputs, 1, bias=False)
        self._clamp = clamp

    def forward(self, x: Tensor) -> Tensor:
        half = math.sqrt(0.5)
        skip: Tensor = self.skip(downsample(x), half)
        x = _limit(leaky_relu_(self.conv(x, GAIN)), self._clamp)
        x = leaky_relu_(self.down(low_pass(x, padding=2), GAIN * half))
        return skip.add_(_limit(x, None if self._clamp is None else self._clamp * half))


def minibatch_stddev(x_NCHW: Tensor, group: int, features: int) -> Tensor:
    """Append how much the images of a group differ: [n, c, h, w] -> [n, c + features, h, w].

    Images i, i + n/group, i + 2n/group, ... form a group (0: the whole batch is one). A feature is the mean, over its
    share of the channels and all positions, of the standard deviation in the group. Source: Karras et al. 2018,
    section 3.

    Raises:
        WrongUsage: n is above ``group`` and not a multiple of it.
    """
    n, channels, height, width = x_NCHW.shape
    group = min(n, group or n)
    if n % group:
        raise WrongUsage(f"a batch of {n} cannot be divided into groups of {group} for minibatch standard deviation")
    precise = x_NCHW.to(torch.promote_types(x_NCHW.dtype, torch.float32))
    grouped = precise.reshape(group, n // group, features, channels // features, height, width)
    stddev = torch.sqrt(grouped.var(0, correction=0) + 1e-8).mean((2, 3, 4))
    planes = stddev.repeat(group, 1)[:, :, None, None].expand(-1, -1, height, width).to(x_NCHW.dtype)
    return torch.cat([x_NCHW, planes], dim=1)


def _limit(x: Tensor, clamp: float | None) -> Tensor:
    return x if clamp is None else x.clamp(-clamp, clamp)
