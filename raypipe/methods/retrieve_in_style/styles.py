"""Style coefficients: what scales the channels of every layer, as one vector a face.

N faces, C channels of all layers together. Order: the convolution and the toRGB at resolution 4, then for each
resolution its two convolutions and its toRGB; 26 layers and C = 9088 at 1024 pixels, as in "StyleSpace" (Wu et al.,
CVPR 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from raypipe.backbones.stylegan2 import GeneratorConfig, Noise, Synthesis, Trace
from raypipe.errors import ModelMismatch, WrongUsage

COARSE_LAYERS = 4
"""The first style vectors hold pose and hair only: conv and toRGB at resolution 4, both convolutions at 8."""


@dataclass(frozen=True)
class StyleLayout:
    """Which channels belong to which layer.

    Attributes:
        lengths: channels of each layer.
        is_rgb: which layers are toRGBs.
    """

    lengths: tuple[int, ...]
    is_rgb: tuple[bool, ...]

    @property
    def channels(self) -> int:
        """C."""
        return sum(self.lengths)

    @property
    def coarse_channels(self) -> int:
        """Channels of the first layers: 2048 of 9088."""
        return sum(self.lengths[:COARSE_LAYERS])

    def of_rgb(self, device: torch.device) -> Tensor:
        """Which channels are a toRGB's, bool [C]."""
        return torch.repeat_interleave(torch.tensor(self.is_rgb), torch.tensor(self.lengths)).to(device)

    def split(self, styles_NC: Tensor) -> tuple[Tensor, ...]:
        """One [N, channels] for each layer.

        Raises:
            ModelMismatch: another number of channels.
        """
        if styles_NC.shape[1] != self.channels:
            raise ModelMismatch(
                f"style coefficients of {styles_NC.shape[1]} channels; this generator's {len(self.lengths)} layers "
                f"have {self.channels}"
            )
        ends = list(accumulate(self.lengths))
        return tuple(styles_NC[:, end - length : end] for end, length in zip(ends, self.lengths, strict=True))


def layout_of(config: GeneratorConfig) -> StyleLayout:
    """Of a generator, in the order of ``Synthesis.styles``."""
    layers: list[tuple[int, bool]] = []
    table, before = config.channel_table, 0
    for resolution, channels in table.items():
        layers += [(before, False)] if before else []
        layers.append((channels, False))
        if resolution == config.size or not config.residual:
            layers.append((channels, True))
        before = channels
    return StyleLayout(tuple(length for length, _ in layers), tuple(is_rgb for _, is_rgb in layers))


def layer_after(config: GeneratorConfig, resolution: int) -> int:
    """The first layer whose input is what the last convolution of a resolution puts out.

    Raises:
        WrongUsage: the generator has no such resolution.
    """
    if resolution not in config.resolutions:
        allowed = ", ".join(map(str, config.resolutions))
        raise WrongUsage(f"resolution {resolution} is not one of this generator's: {allowed}")
    step = 2 if config.residual else 3
    return 1 + step * config.resolutions.index(resolution)


def styles_of(synthesis: Synthesis, w_plus_NLD: Tensor) -> Tensor:
    """The affine layers' outputs, [N,C] float32."""
    return torch.cat(synthesis.styles(w_plus_NLD), dim=1)


def picture_of(synthesis: Synthesis, layout: StyleLayout, styles_NC: Tensor, noise: Noise = "const") -> Tensor:
    """Pictures of changed styles, [N,3,s,s], nominally in [-1,1].

    Raises:
        ModelMismatch: styles of another generator's layers.
    """
    return synthesis.render(layout.split(styles_NC), noise)


def trace_of(synthesis: Synthesis, layout: StyleLayout, styles_NC: Tensor) -> tuple[Tensor, Trace]:
    """The same, with the feature map that every layer's style scales."""
    return synthesis.render_with_trace(layout.split(styles_NC))
