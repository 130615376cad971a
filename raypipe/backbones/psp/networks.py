"""From a picture to a code: residual backbone, feature pyramid, heads.

Richardson et al., Encoding in Style (CVPR 2021), section 3 and figure 2. The names of the tensors are those of the
public checkpoints. N faces, L rows of the code, D its width, C channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones.identity.residual import body, stem
from raypipe.backbones.psp.config import EncoderConfig
from raypipe.blocks.equalised import EqualisedLinear

POOLED = 7
SHARED_HEAD_SIZE = 4


class GradualStyleEncoder(nn.Module):
    """Rows of the code from three levels of a feature pyramid: coarse rows from small maps, fine rows from large."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.widths[-1]
        self.input_layer = stem(config.widths[0])
        self.body = body(config.widths, config.depths, squeeze_excite=config.squeeze_excite)
        self.latlayer1 = nn.Conv2d(config.widths[2], width, 1)
        self.latlayer2 = nn.Conv2d(config.widths[1], width, 1)
        self.styles = nn.ModuleList(
            head
            for size, rows in zip(config.level_sizes, config.rows, strict=True)
            for head in (
                [SharedHead(width, size, rows, config.style_dim)]
                if config.shared_heads
                else [RowHead(width, size, config.style_dim) for _ in range(rows)]
            )
        )
        self._heads = (1, 1, 1) if config.shared_heads else config.rows
        self._stage_ends = [sum(config.depths[: stage + 1]) - 1 for stage in range(4)]

    def forward(self, images: Tensor) -> Tensor:
        """[N,3,s,s] in [-1,1] -> [N,L,D]."""
        levels = self.pyramid(images)
        owners = [level for level, count in zip(levels, self._heads, strict=True) for _ in range(count)]
        return torch.cat([head(level) for head, level in zip(self.styles, owners, strict=True)], dim=1)

    def pyramid(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[N,3,s,s] -> the coarse [N,C,s/16,s/16], middle [N,C,s/8,s/8] and fine [N,C,s/4,s/4] level."""
        stages = []
        features = self.input_layer(images)
        for index, block in enumerate(self.body):
            features = block(features)
            if index in self._stage_ends:
                stages.append(features)
        coarse = stages[3]
        middle = add_upsampled(coarse, self.latlayer1(stages[2]))
        return coarse, middle, add_upsampled(middle, self.latlayer2(stages[1]))


class LastLayerIntoW(nn.Module):
    """One row from the mean of the last feature map, repeated for all layers of the generator."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.input_layer = stem(config.widths[0])
        self.body = body(config.widths, config.depths, squeeze_excite=config.squeeze_excite)
        self.linear = EqualisedLinear(config.widths[-1], config.style_dim)
        self._num_layers = config.num_layers

    def forward(self, images: Tensor) -> Tensor:
        """[N,3,s,s] in [-1,1] -> [N,L,D], all rows of a face equal."""
        means = self.body(self.input_layer(images)).mean((2, 3))
        row: Tensor = self.linear(means)
        return row.unsqueeze(1).expand(-1, self._num_layers, -1)


class LastLayerIntoWPlus(nn.Module):
    """All rows at once from the last feature map pooled to 7x7: pSp's ablation without a pyramid."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.widths[-1]
        self.input_layer = stem(config.widths[0])
        self.body = body(config.widths, config.depths, squeeze_excite=config.squeeze_excite)
        self.output_layer_2 = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.AdaptiveAvgPool2d(POOLED),
            nn.Flatten(),
            nn.Linear(width * POOLED * POOLED, config.style_dim),
        )
        self.linear = EqualisedLinear(config.style_dim, config.style_dim * config.num_layers)
        self._code_shape = (config.num_layers, config.style_dim)

    def forward(self, images: Tensor) -> Tensor:
        """[N,3,s,s] in [-1,1] -> [N,L,D]."""
        rows: Tensor = self.linear(self.output_layer_2(self.body(self.input_layer(images))))
        return rows.reshape(-1, *self._code_shape)


class RowHead(nn.Module):
    """One row of the code: convolutions of stride 2 until one pixel is left, then a linear layer."""

    def __init__(self, in_channels: int, size: int, style_dim: int) -> None:
        super().__init__()
        self.convs = halvings(in_channels, style_dim, int(math.log2(size)))
        self.linear = EqualisedLinear(style_dim, style_dim)

    def forward(self, level: Tensor) -> Tensor:
        """[N,C,size,size] -> [N,1,D]."""
        row: Tensor = self.linear(self.convs(level).flatten(1))
        return row.unsqueeze(1)


class SharedHead(nn.Module):
    """All rows of a pyramid level: convolutions of stride 2 down to 4x4, then one linear layer for each row."""

    def __init__(self, in_channels: int, size: int, rows: int, style_dim: int) -> None:
        super().__init__()
        self.convs = halvings(in_channels, in_channels, int(math.log2(size / SHARED_HEAD_SIZE)))
        self.linear = EqualisedLinear(in_channels * min(size, SHARED_HEAD_SIZE) ** 2, rows * style_dim)
        self._code_shape = (rows, style_dim)

    def forward(self, level: Tensor) -> Tensor:
        """[N,C,size,size] -> [N,rows,D]."""
        rows: Tensor = self.linear(self.convs(level).flatten(1))
        return rows.reshape(-1, *self._code_shape)


def halvings(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    """``count`` times a 3x3 convolution of stride 2 and a leaky ReLU of slope 0.01."""
    layers: list[nn.Module] = []
    for index in range(count):
        layers += [nn.Conv2d(in_channels if index == 0 else out_channels, out_channels, 3, 2, 1), nn.LeakyReLU()]
    return nn.Sequential(*layers)


def add_upsampled(coarse: Tensor, lateral: Tensor) -> Tensor:
    """``lateral`` plus ``coarse`` brought to its size, corners on corners (Lin et al. 2017, figure 3)."""
    return lateral + F.interpolate(coarse, size=lateral.shape[2:], mode="bilinear", align_corners=True)
