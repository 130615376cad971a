"""A small convolutional network for faces: pictures to one vector each, the same whatever else is in the batch.

Residual blocks with the activation first (He et al., Identity Mappings in Deep Residual Networks, 2016) and group
instead of batch normalisation (Wu and He, Group Normalization, 2018), so that neither the batch nor the number of
workers changes a result.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS_A_GROUP = 8
LEAST_SIZE, LARGEST_SIZE = 32, 256


class ResidualTrunk(nn.Module):
    """The picture at half size, then one stage for each width, each but the first at half the size of the one before.

    The last map is averaged to ``grid`` x ``grid`` cells and mixed to ``features`` numbers: cells keep where in an
    aligned face something is, which one mean over all of it would lose.
    """

    def __init__(self, *, widths: Sequence[int], depth: int, grid: int, features: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, stride=2, padding=1)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(came if index == 0 else width, width, shrink=index == 0 and stage > 0)
                for stage, (came, width) in enumerate(zip([widths[0], *widths[:-1]], widths, strict=True))
                for index in range(depth)
            )
        )
        self.norm = _norm(widths[-1])
        self.pool = nn.AdaptiveAvgPool2d(grid)
        self.mix = nn.Linear(widths[-1] * grid * grid, features)

    def forward(self, images: Tensor) -> Tensor:
        """[n,3,h,w] in [-1,1] -> [n,features], not activated."""
        maps = F.silu(self.norm(self.blocks(self.stem(images))))
        vectors: Tensor = self.mix(self.pool(maps).flatten(1))
        return vectors


class ResidualBlock(nn.Module):
    """Twice norm, activation, 3x3 convolution; plus the shortcut, averaged and projected where shapes change."""

    def __init__(self, inputs: int, outputs: int, *, shrink: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm(inputs), _norm(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2 if shrink else 1, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shrink: nn.Module = nn.AvgPool2d(2, ceil_mode=True) if shrink else nn.Identity()
        self.project = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)
        nn.init.zeros_(self.conv2.weight)  # begins as the shortcut alone: deep stacks train from the first step on

    def forward(self, maps: Tensor) -> Tensor:
        """[n,inputs,h,w] -> [n,outputs,ceil(h/2),ceil(w/2)] where it shrinks, else of the same size."""
        made: Tensor = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(maps))))))
        shortcut: Tensor = self.project(self.shrink(maps))
        return shortcut + made


def trunk_problems(size: int, widths: Sequence[int], depth: int) -> list[str]:
    """What is wrong with a trunk's sizes, a sentence each."""
    problems = []
    if not LEAST_SIZE <= size <= LARGEST_SIZE:
        problems.append(f"size must be between {LEAST_SIZE} and {LARGEST_SIZE} pixels, got {size}")
    if not widths or any(width < 1 or width % CHANNELS_A_GROUP for width in widths):
        problems.append(f"widths must be multiples of {CHANNELS_A_GROUP}, at least one, got {list(widths)}")
    if depth < 1:
        problems.append(f"depth must be at least 1, got {depth}")
    return problems


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // CHANNELS_A_GROUP, channels)
