"""w+ -> style coefficients -> images. Source: Karras et al. 2020 (StyleGAN2), figure 7.

N images, L rows of w+, D their width. Every convolution has its own row; a toRGB shares its row with the next block's
first convolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from torch import Tensor, nn

from raypipe.backbones.stylegan2.config import SMALLEST, GeneratorConfig
from raypipe.backbones.stylegan2.layers import ModulatedConv, ModulatedUpConv, StyledConv, ToRGB
from raypipe.blocks.equalised import EqualisedConv
from raypipe.blocks.resample import upsample
from raypipe.errors import WrongUsage

Noise = Literal["const", "none", "random"] | Sequence[Tensor]
"""The model's own noise maps, none, fresh ones, or one [n or 1, 1, r, r] for each convolution."""


@dataclass(frozen=True)
class FeatureMap:
    """[n, c, r, r]: a modulated convolution's output, and the same after noise, bias and activation."""

    raw: Tensor
    activated: Tensor


@dataclass(frozen=True)
class Trace:
    """What passed through the network.

    Attributes:
        inputs: for every style vector, in the order of ``Synthesis.styles``, the feature map that it scales. The first
            is the constant, in both fields.
        rgb: the picture so far, after every toRGB.
    """

    inputs: list[FeatureMap] = field(default_factory=list)
    rgb: list[Tensor] = field(default_factory=list)


class Synthesis(nn.Module):
    """One block for each resolution 4, 8, ..., size."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self._num_layers, self._style_dim = config.num_layers, config.style_dim
        self.const = nn.Parameter(torch.randn(config.channel_table[SMALLEST], SMALLEST, SMALLEST))
        self.blocks = nn.ModuleList(Block(config, resolution) for resolution in config.resolutions)

    def forward(self, w_plus_NLD: Tensor, noise: Noise = "const") -> Tensor:
        """[n, L, D] -> [n, 3, size, size], nominally in [-1, 1], not clipped."""
        return self.render(self.styles(w_plus_NLD), noise)

    def styles(self, w_plus_NLD: Tensor) -> list[Tensor]:
        """The style coefficients, [n, input channels of the layer] each.

        Order: convolution and toRGB at resolution 4, then for each resolution its two convolutions and its toRGB (with
        residual blocks there is only the last toRGB).

        Raises:
            WrongUsage: not [n, L, D].
        """
        if w_plus_NLD.shape[1:] != (self._num_layers, self._style_dim):
            raise WrongUsage(f"w+ must be [n, {self._num_layers}, {self._style_dim}], got {list(w_plus_NLD.shape)}")
        styles: list[Tensor] = []
        row = 0
        with torch.autocast(w_plus_NLD.device.type, enabled=False):
            for block in self._blocks():
                for conv in block.convs():
                    styles.append(conv.style(w_plus_NLD[:, row]))
                    row += 1
                if block.to_rgb is not None:
                    styles.append(block.to_rgb.style(w_plus_NLD[:, row]))
        return styles

    def render(self, styles: Sequence[Tensor], noise: Noise = "const") -> Tensor:
        """Style coefficients, as ``styles`` gives them -> [n, 3, size, size].

        Raises:
            WrongUsage: another number of style vectors, or noise maps of other sizes than ``noise_sizes``.
        """
        return self._run(styles, noise, None)

    def render_with_trace(self, styles: Sequence[Tensor], noise: Noise = "const") -> tuple[Tensor, Trace]:
        """The same, with what passed on the way."""
        trace = Trace()
        return self._run(styles, noise, trace), trace

    @property
    def noise_sizes(self) -> tuple[int, ...]:
        """Width and height of every convolution's noise map."""
        return tuple(conv.size for block in self._blocks() for conv in block.convs())

    def _run(self, styles: Sequence[Tensor], noise: Noise, trace: Trace | None) -> Tensor:
        wanted = sum(len(block.convs()) + (block.to_rgb is not None) for block in self._blocks())
        if len(styles) != wanted:
            raise WrongUsage(f"this network takes {wanted} style vectors, got {len(styles)}")
        rest_of_styles, noise_maps = iter(styles), iter(self._noise_maps(noise, len(styles[0])))
        raw = self.const.expand(len(styles[0]), -1, -1, -1)
        x = raw.clone(memory_format=torch.channels_last)  # the layers overwrite it
        rgb: Tensor | None = None
        for block in self._blocks():
            shortcut = block.shortcut(x)
            for conv in block.convs():
                if trace is not None:
                    trace.inputs.append(FeatureMap(raw, x.clone()))
                y, demodulation = conv.convolve(x, next(rest_of_styles))
                if trace is not None:
                    raw = y * demodulation[:, :, None, None]
                x = conv.activate(y, demodulation, next(noise_maps))
            if shortcut is not None:
                x = (x + shortcut) * math.sqrt(0.5)
            if block.to_rgb is not None:
                if trace is not None:
                    trace.inputs.append(FeatureMap(raw, x.clone()))
                added = block.to_rgb(x, next(rest_of_styles))
                rgb = added if rgb is None else added + upsample(rgb)
                if trace is not None:
                    trace.rgb.append(rgb)
        assert rgb is not None
        return rgb

    def _noise_maps(self, noise: Noise, n: int) -> Sequence[Tensor | None]:
        convs = [conv for block in self._blocks() for conv in block.convs()]
        if noise == "none":
            return [None] * len(convs)
        if noise == "const":
            return [conv.noise for conv in convs]
        if noise == "random":
            return [torch.randn(n, 1, conv.size, conv.size, device=conv.noise.device) for conv in convs]
        if [tuple(noise_map.shape[-2:]) for noise_map in noise] != [(conv.size, conv.size) for conv in convs]:
            raise WrongUsage(f"there must be one noise map for each convolution, of the sizes {self.noise_sizes}")
        return noise

    def _blocks(self) -> list[Block]:
        return [cast(Block, block) for block in self.blocks]


class Block(nn.Module):
    """The layers of one resolution."""

    def __init__(self, config: GeneratorConfig, resolution: int) -> None:
        super().__init__()
        channels, style_dim, clamp = config.channel_table, config.style_dim, config.clamp
        outputs = channels[resolution]
        self.up: StyledConv | None = None
        self.skip: EqualisedConv | None = None
        self.to_rgb: ToRGB | None = None
        if resolution > SMALLEST:
            up = ModulatedUpConv(channels[resolution // 2], outputs)
            self.up = StyledConv(up, style_dim=style_dim, size=resolution, clamp=clamp)
            if config.residual:
                self.skip = EqualisedConv(channels[resolution // 2], outputs, 1, bias=False)
        self.conv = StyledConv(ModulatedConv(outputs, outputs), style_dim=style_dim, size=resolution, clamp=clamp)
        if resolution == config.size or not config.residual:
            self.to_rgb = ToRGB(outputs, style_dim=style_dim, clamp=clamp)

    def convs(self) -> tuple[StyledConv, ...]:
        """In the order of use."""
        return (self.conv,) if self.up is None else (self.up, self.conv)

    def shortcut(self, x_NCHW: Tensor) -> Tensor | None:
        """What a residual block adds to its output."""
        return None if self.skip is None else upsample(self.skip(x_NCHW))
