"""Where the parts of a face are: a network of 98 landmarks, for the masks that the high-pass filter is limited to.

Sources: Wang, Bo and Fuxin, Adaptive Wing Loss for Robust Face Alignment via Heatmap Regression (ICCV 2019), with one
hourglass; its blocks: Bulat and Tzimiropoulos, How far are we from solving the 2D and 3D face alignment problem? (ICCV
2017); landmarks as of WFLW: Wu et al., Look at Boundary (CVPR 2018). Only inference: StarGAN v2 takes it as trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones.stargan2.landmark_masks import LANDMARKS, SIZE, masks_of
from raypipe.config import Range, check_ranges

NARROWEST = 16
"""Widths are multiples of it: the narrowest block, of a quarter of them, has branches of a quarter of its own."""


@dataclass(frozen=True, kw_only=True)
class LandmarksConfig:
    """``width``: channels at a quarter of the size, a multiple of 16; ``depth``: halvings in the hourglass."""

    width: int = 256
    depth: int = 4

    def __post_init__(self) -> None:
        uneven = self.width % NARROWEST
        others = [f"width must be a multiple of {NARROWEST}, got {self.width}"] if uneven else []
        check_ranges(self, {"width": Range(least=NARROWEST), "depth": Range(least=1, most=6)}, others)


class Landmarks(nn.Module):
    """Heat maps of landmarks, and masks made of them."""

    def __init__(self, config: LandmarksConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.stem = PlacedConv(3, width // 4, 7, stride=2)
        self.stem_norm = nn.BatchNorm2d(width // 4)
        self.widen = Block(width // 4, width // 2)
        self.deepen = nn.Sequential(Block(width // 2, width // 2), Block(width // 2, width))
        self.place = PlacedConv(width, width, 1, stride=1)
        self.hourglass = Hourglass(width, config.depth)
        self.head = nn.Sequential(
            Block(width, width),
            nn.Conv2d(width, width, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, LANDMARKS + 1, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """[n, 3, s, s] nominally in [-1, 1] -> heat maps [n, 98, 64, 64], near 1 where a landmark is, near 0 elsewhere.

        Pictures are resized to 256 px, which it was trained with. The last map that the network makes, of the face's
        outlines, is left out: it is for further hourglasses.
        """
        x = F.interpolate(images, size=(SIZE, SIZE), mode="bilinear") * 0.5 + 0.5
        x = F.relu(self.stem_norm(self.stem(x)))
        x = self.deepen(F.avg_pool2d(self.widen(x), 2))
        maps: Tensor = self.head(self.hourglass(self.place(x)))
        return maps[:, :LANDMARKS]

    def masks(self, images: Tensor) -> list[Tensor]:
        """[n, 3, s, s] -> what ``Generator`` takes: two masks [n, 1, 256, 256] in [0, 1], see ``masks_of``."""
        return masks_of(self(images))


class PlacedConv(nn.Module):
    """A convolution that also sees where it is (Liu et al. 2018, CoordConv): each pixel's row and column from -1 to 1,
    and its distance from the centre, 1 in the corners."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs + 3, outputs, kernel, stride=stride, padding=kernel // 2)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[n, inputs, h, w] -> [n, outputs, h / stride, w / stride]."""
        faces, _, height, width = x_NCHW.shape
        row, column = (torch.linspace(-1, 1, count, device=x_NCHW.device) for count in (height, width))
        rows, columns = torch.meshgrid(row, column, indexing="ij")
        places = torch.stack([rows, columns, torch.hypot(rows, columns) / 2**0.5]).to(x_NCHW.dtype)
        placed: Tensor = self.conv(torch.cat([x_NCHW, places.expand(faces, -1, -1, -1)], dim=1))
        return placed


class Block(nn.Module):
    """Three 3x3 convolutions in a row, with normalisation and ReLU before each, whose results stand side by side: half,
    a quarter and a quarter of the channels. A shortcut goes around."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half, quarter = outputs // 2, outputs // 4
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), _conv3x3(inputs, half)
        self.bn2, self.conv2 = nn.BatchNorm2d(half), _conv3x3(half, quarter)
        self.bn3, self.conv3 = nn.BatchNorm2d(quarter), _conv3x3(quarter, quarter)
        self.downsample: nn.Module = nn.Identity()
        if inputs != outputs:
            mixed = nn.Conv2d(inputs, outputs, 1, bias=False)
            self.downsample = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), mixed)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[n, inputs, h, w] -> [n, outputs, h, w]."""
        first = self.conv1(F.relu(self.bn1(x_NCHW)))
        second = self.conv2(F.relu(self.bn2(first)))
        third = self.conv3(F.relu(self.bn3(second)))
        around: Tensor = self.downsample(x_NCHW)
        return torch.cat([first, second, third], dim=1) + around


class Hourglass(nn.Module):
    """A block at full size beside blocks at half the size, with a smaller hourglass inside, or one more block at last
    (Newell et al. 2016)."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.beside, self.before, self.after = (Block(width, width) for _ in range(3))
        self.inside: nn.Module = Hourglass(width, depth - 1) if depth > 1 else Block(width, width)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[n, width, h, w] -> the same shape; h and w can be halved ``depth`` times."""
        small = self.after(self.inside(self.before(F.avg_pool2d(x_NCHW, 2))))
        beside: Tensor = self.beside(x_NCHW)
        return beside + F.interpolate(small, scale_factor=2, mode="nearest")


def _conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
