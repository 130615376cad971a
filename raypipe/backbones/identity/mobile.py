"""MobileFaceNet: a small identity network for a CPU. Chen et al. 2018 (MobileFaceNets), table 1.

The names of the tensors are those of xiaoccer/MobileFaceNet_Pytorch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones.identity.crops import Box, crop
from raypipe.blocks.loading import load_exactly
from raypipe.errors import BadWeights
from raypipe.weights import Part

KIND = "mobilefacenet"
HEIGHT, WIDTH = 112, 96
STAGES = ((64, 5, 2, 2), (128, 1, 2, 4), (128, 6, 1, 2), (128, 1, 2, 4), (128, 2, 1, 2))
"""Channels, blocks, stride of the first, expansion."""

# Where SphereFace's template (eyes 35.2 px apart in 96x112, their middle at 47.9, 51.6) lies in an FFHQ-aligned
# picture (eyes a quarter of its side apart, their middle at 0.5, 0.47), as shares of the side.
TEMPLATE = Box(0.170, 0.117, 0.662, 0.772)


class MobileFaceNet(nn.Module):
    """Inverted residuals on few channels, and a learned weighting of the last map's pixels instead of their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvBlock(3, 64, 3, stride=2, padding=1)
        self.dw_conv1 = ConvBlock(64, 64, 3, padding=1, groups=64)
        blocks = []
        channels = 64
        for width, count, stride, expansion in STAGES:
            for index in range(count):
                blocks.append(InvertedResidual(channels, width, stride if index == 0 else 1, channels * expansion))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = ConvBlock(128, 512, 1)
        self.linear7 = ConvBlock(512, 512, (7, 6), groups=512, is_linear=True)
        self.linear1 = ConvBlock(512, 128, 1, is_linear=True)

    def forward(self, images: Tensor) -> Tensor:
        """RGB [n,3,112,96] in [-1,1], aligned as SphereFace does -> [n,128], rows of unit length."""
        features = self.blocks(self.dw_conv1(self.conv1(images)))
        return F.normalize(self.linear1(self.linear7(self.conv2(features))).flatten(1))

    def embed(self, images: Tensor) -> Tensor:
        """The same from FFHQ-aligned pictures [n,3,s,s]."""
        vectors: Tensor = self(crop_to_template(images))
        return vectors


class ConvBlock(nn.Module):
    """Convolution, batch norm and, unless ``is_linear``, PReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        is_linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.prelu = nn.Identity() if is_linear else nn.PReLU(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """[n,inputs,h,w] -> [n,outputs,...]."""
        activated: Tensor = self.prelu(self.bn(self.conv(features)))
        return activated


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 convolution of each channel on its own, 1x1 projection (Sandler et al. 2018, figure 3)."""

    def __init__(self, inputs: int, outputs: int, stride: int, expanded: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, expanded, 1, bias=False),
            nn.BatchNorm2d(expanded),
            nn.PReLU(expanded),
            nn.Conv2d(expanded, expanded, 3, stride, 1, groups=expanded, bias=False),
            nn.BatchNorm2d(expanded),
            nn.PReLU(expanded),
            nn.Conv2d(expanded, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self._is_residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """[n,inputs,h,w] -> [n,outputs,h/stride,w/stride]."""
        made: Tensor = self.conv(features)
        return features + made if self._is_residual else made


def crop_to_template(images: Tensor) -> Tensor:
    """The face of FFHQ-aligned pictures [n,3,s,s] where SphereFace's alignment has it: [n,3,112,96]."""
    return crop(images, TEMPLATE, height=HEIGHT, width=WIDTH)


def load_mobile(part: Part, device: str | torch.device) -> MobileFaceNet:
    """The network of a bundle's part, ready for inference.

    Raises:
        BadWeights: the part is not a MobileFaceNet, or its tensors do not fit.
    """
    if part.kind != KIND:
        raise BadWeights(f"{part.kind!r} is not a {KIND!r}")
    with torch.device("meta"):
        network = MobileFaceNet()
    load_exactly(network, part.tensors, f"identity network of kind {KIND!r}")
    return network.to(device).eval().requires_grad_(False)
