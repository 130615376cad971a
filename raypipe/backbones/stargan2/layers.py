"""Residual blocks with the activation first, which halve or double pictures and follow a style.

Sources: Choi et al. 2020 (StarGAN v2), appendix; Huang and Belongie 2017 (AdaIN). The same is computed with fewer
products: a 1x1 convolution and a mean or a repetition of pixels can change places, so shortcuts are mixed where there
are fewer pixels; and a 3x3 convolution with a mean after it, or a repetition before it, is one of 4x4 with stride 2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2


class DownBlock(nn.Module):
    """Twice activation and 3x3 convolution beside a shortcut; over the square root of two, so that variance stays.

    ``normed``: instance normalisation with learned scale and offset before each activation. ``halves``: height and
    width, by means over 2 x 2.
    """

    def __init__(self, inputs: int, outputs: int, *, normed: bool, halves: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm1: nn.Module = nn.InstanceNorm2d(inputs, affine=True) if normed else nn.Identity()
        self.norm2: nn.Module = nn.InstanceNorm2d(inputs, affine=True) if normed else nn.Identity()
        self.conv1x1: nn.Module = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)
        self._halves = halves

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[n, inputs, h, w] -> [n, outputs, h / 2, w / 2] where it halves, else of the same size."""
        activated = _activated(self.norm1(x_NCHW))
        changed = halving_conv(self.conv1, activated) if self._halves else self.conv1(activated)
        changed = self.conv2(_activated(self.norm2(changed)))
        return _joined(self.conv1x1(F.avg_pool2d(x_NCHW, 2) if self._halves else x_NCHW), changed)


class StyledNorm(nn.Module):
    """Instance normalisation, then scale 1 + g and offset b that a style gives."""

    def __init__(self, style_dim: int, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(style_dim, 2 * channels)

    def forward(self, x_NCHW: Tensor, style_ND: Tensor) -> Tensor:
        """[n, channels, h, w], [n, style_dim] -> [n, channels, h, w]."""
        scale, offset = self.fc(style_ND)[:, :, None, None].to(x_NCHW.dtype).chunk(2, dim=1)
        return torch.addcmul(offset, F.instance_norm(x_NCHW), 1 + scale)


class UpBlock(nn.Module):
    """``DownBlock`` with styled norms, and doubling by repetition of pixels.

    ``has_shortcut``: off in generators with a high-pass filter, which brings fine detail instead; the published weights
    of those have the shortcut's convolution all the same.
    """

    def __init__(self, inputs: int, outputs: int, *, style_dim: int, doubles: bool, has_shortcut: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm1 = StyledNorm(style_dim, inputs)
        self.norm2 = StyledNorm(style_dim, outputs)
        self.conv1x1: nn.Module = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)
        self._doubles, self._has_shortcut = doubles, has_shortcut

    def forward(self, x_NCHW: Tensor, style_ND: Tensor) -> Tensor:
        """[n, inputs, h, w], [n, style_dim] -> [n, outputs, 2h, 2w] where it doubles, else of the same size."""
        activated = _activated(self.norm1(x_NCHW, style_ND))
        middle = doubling_conv(self.conv1, activated) if self._doubles else self.conv1(activated)
        changed: Tensor = self.conv2(_activated(self.norm2(middle, style_ND)))
        if not self._has_shortcut:
            return changed
        mixed = self.conv1x1(x_NCHW)
        return _joined(F.interpolate(mixed, scale_factor=2, mode="nearest") if self._doubles else mixed, changed)


def halving_conv(conv: nn.Conv2d, x_NCHW: Tensor) -> Tensor:
    """A 3x3 convolution, then means over 2 x 2: [n, inputs, h, w] -> [n, outputs, h / 2, w / 2]."""
    return F.conv2d(x_NCHW, _summed(conv.weight) / 4, conv.bias, stride=2, padding=1)


def doubling_conv(conv: nn.Conv2d, x_NCHW: Tensor) -> Tensor:
    """Every pixel as 2 x 2, then a 3x3 convolution: [n, inputs, h, w] -> [n, outputs, 2h, 2w]."""
    kernel_IO44 = _summed(conv.weight).flip(2, 3).transpose(0, 1)
    return F.conv_transpose2d(x_NCHW, kernel_IO44, conv.bias, stride=2, padding=1)


def _summed(kernels_OI33: Tensor) -> Tensor:
    """Kernels moved by 0 and by 1 pixel to each side, added up: [o, i, 3, 3] -> [o, i, 4, 4]."""
    return 4 * F.avg_pool2d(F.pad(kernels_OI33, (1, 1, 1, 1)), 2, stride=1)


def high_pass(x_NCHW: Tensor, divisor: float) -> Tensor:
    """Each pixel's difference from its eight neighbours (zero beyond the border), added up, over ``divisor``."""
    # Nine times the pixel less the sum over its 3 x 3: no convolution for each channel is needed.
    return 9 * (x_NCHW - F.avg_pool2d(x_NCHW, 3, stride=1, padding=1)) / divisor


@torch.no_grad()
def he_initialise(network: nn.Module) -> None:
    """Weights of all convolutions and linear layers as in He et al. 2015 (normal, by fan-in), offsets zero."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                module.bias.zero_()


def _activated(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


def _joined(shortcut: Tensor, changed: Tensor) -> Tensor:
    return (shortcut + changed) / math.sqrt(2)
