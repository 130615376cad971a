"""w+ -> images. Source: Karras et al. 2020 (StyleGAN2), figure 7.

N images, L rows of w+, D their width. Layer l of a w+ code feeds convolution l; each toRGB shares its row with the
next block's first convolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from raypipe.backbones.stylegan2.config import SMALLEST, GeneratorConfig
from raypipe.backbones.stylegan2.layers import StyledConv, ToRGB
from raypipe.blocks.equalised import EqualisedConv
from raypipe.blocks.resample import upsample
from raypipe.errors import WrongUsage

Noise = Literal["const", "none", "random"] | Sequence[Tensor]
"""The model's own noise maps, none, fresh ones, or one map [n or 1, 1, r, r] for each convolution."""


@dataclass(frozen=True)
class FeatureMap:
    """[n, c, r, r]: the modulated convolution's output, and the same after noise, bias and activation."""

    raw: Tensor
    activated: Tensor


@dataclass(frozen=True)
class Trace:
    """What passed through the network.

    Attributes:
        inputs: for every style vector, in the order of ``Synthesis.styles``, the feature map that it scales.
        rgb: the picture so far, after every toRGB.
    """

    inputs: list[FeatureMap] = field(default_factory=list)
    rgb: list[Tensor] = field(default_factory=list)


class Synthesis(nn.Module):
    """Convolution 0 works at resolution 4; then every resolution has an upsampling and a plain one."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self._config = config
        channels, style_dim, clamp = config.channel_table, config.style_dim, config.clamp
        self.const = nn.Parameter(torch.randn(channels[SMALLEST], SMALLEST, SMALLEST))
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        self.skips = nn.ModuleList()
        for r in config.resolutions:
            if r > SMALLEST:
                below = channels[r // 2]
                self.convs.append(StyledConv(below, channels[r], style_dim=style_dim, size=r, up=True, clamp=clamp))
                if config.residual:
                    self.skips.append(EqualisedConv(below, channels[r], 1, bias=False))
            self.convs.append(StyledConv(channels[r], channels[r], style_dim=style_dim, size=r, up=False, clamp=clamp))
            if r == config.size or not config.residual:
                self.to_rgbs.append(ToRGB(channels[r], style_dim=style_dim, clamp=clamp))

    def forward(self, w_plus_NLD: Tensor, noise: Noise = "const") -> Tensor:
        """[n, L, D] -> [n, 3, size, size], nominally in [-1, 1], not clipped."""
        return self.render(self.styles(w_plus_NLD), noise)

    def styles(self, w_plus_NLD: Tensor) -> list[Tensor]:
        """The style coefficients, [n, input channels of the layer] each.

        Order: convolution and toRGB at resolution 4, then for each resolution its two convolutions and its toRGB.
        """
        wanted = (self._config.num_layers, self._config.style_dim)
        if w_plus_NLD.shape[1:] != wanted:
            raise WrongUsage(f"w+ must be [n, {wanted[0]}, {wanted[1]}], got {list(w_plus_NLD.shape)}")
        return [layer.style(w_plus_NLD[:, row]) for layer, row in self._layers()]

    def render(self, styles: Sequence[Tensor], noise: Noise = "const") -> Tensor:
        """Style coefficients as ``styles`` gives them -> [n, 3, size, size]."""
        return self._run(styles, noise, None)

    def render_with_trace(self, styles: Sequence[Tensor], noise: Noise = "const") -> tuple[Tensor, Trace]:
        """The same, with everything that passed on the way."""
        trace = Trace()
        return self._run(styles, noise, trace), trace

    def _layers(self) -> list[tuple[StyledConv | ToRGB, int]]:
        """Every styled layer in order, with its row of w+."""
        layers: list[tuple[StyledConv | ToRGB, int]] = []
        to_rgbs = list(self.to_rgbs)
        for row, conv in enumerate(self.convs):
            layers.append((conv, row))
            ends_block = row % 2 == 0
            if ends_block and (not self._config.residual or row == len(self.convs) - 1):
                layers.append((to_rgbs.pop(0), row + 1))
        return layers

    def _run(self, styles: Sequence[Tensor], noise: Noise, trace: Trace | None) -> Tensor:
        noises = self._noises(noise, len(styles[0]))
        x = self.const.expand(len(styles[0]), -1, -1, -1)
        raw, rgb, identity = x, None, None
        conv_index = 0
        for (layer, _), style in zip(self._layers(), styles, strict=True):
            if trace is not None:
                trace.inputs.append(FeatureMap(raw, x))
            if isinstance(layer, ToRGB):
                rgb = layer(x, style) if rgb is None else upsample(rgb) + layer(x, style)
                if trace is not None:
                    trace.rgb.append(rgb)
                continue
            starts_block = conv_index % 2 == 1
            if self._config.residual and starts_block:
                identity = upsample(self.skips[conv_index // 2](x)) * math.sqrt(0.5)
            raw = layer.convolve(x, style)
            if identity is not None and not starts_block:
                x = layer.activate(raw, noises[conv_index], gain=math.sqrt(0.5)) + identity
            else:
                x = layer.activate(raw, noises[conv_index])
            conv_index += 1
        assert rgb is not None
        return rgb

    def _noises(self, noise: Noise, n: int) -> Sequence[Tensor | None]:
        if noise == "none":
            return [None] * len(self.convs)
        if noise == "const":
            return [conv.noise for conv in self.convs]
        if noise == "random":
            return [torch.randn(n, 1, conv.size, conv.size, device=conv.noise.device) for conv in self.convs]
        if isinstance(noise, str) or len(noise) != len(self.convs):
            raise WrongUsage(f"noise must be const, none, random or {len(self.convs)} maps")
        return noise
