"""Convolutions whose weights every image scales by its own style. Source: Karras et al. 2020, section 2.2.

Scaling a shared weight per image, ``w * s`` along the input channels and then to unit norm along the outputs, equals
scaling the activations by ``s`` before and by the demodulation factor after a convolution that the batch shares.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.blocks.equalised import GAIN, SLOPE, EqualisedLinear
from raypipe.blocks.resample import blur


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, activation. ``up`` doubles height and width first."""

    def __init__(self, inputs: int, outputs: int, *, style_dim: int, size: int, up: bool, clamp: float | None) -> None:
        super().__init__()
        self.style = EqualisedLinear(style_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(size, size))
        self.size = size
        self._up, self._clamp = up, clamp
        self._scale = 1.0 / math.sqrt(inputs * 9)

    noise: Tensor

    def convolve(self, x_NCHW: Tensor, style_NC: Tensor) -> Tensor:
        """The modulated convolution alone: [n, inputs, h, w], [n, inputs] -> [n, outputs, size, size]."""
        weight = self.weight * self._scale
        demodulation = torch.rsqrt(style_NC.square() @ weight.square().sum((2, 3)).T + 1e-8)
        x = x_NCHW * style_NC[:, :, None, None]
        if self._up:
            x = blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), padding=1, gain=4.0)
        else:
            x = F.conv2d(x, weight, padding=1)
        return x * demodulation[:, :, None, None]

    def activate(self, x_NCHW: Tensor, noise: Tensor | None, *, gain: float = 1.0) -> Tensor:
        """Noise [n or 1, 1, size, size] is added before the bias."""
        if noise is not None:
            x_NCHW = x_NCHW + self.noise_strength * noise
        x = F.leaky_relu(x_NCHW + self.bias[:, None, None], SLOPE) * (GAIN * gain)
        return x if self._clamp is None else x.clamp(-self._clamp * gain, self._clamp * gain)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to three channels, without demodulation."""

    def __init__(self, inputs: int, *, style_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.style = EqualisedLinear(style_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, inputs))
        self.bias = nn.Parameter(torch.zeros(3))
        self._clamp = clamp
        self._scale = 1.0 / math.sqrt(inputs)

    def forward(self, x_NCHW: Tensor, style_NC: Tensor) -> Tensor:
        """[n, inputs, h, w], [n, inputs] -> [n, 3, h, w]."""
        weights = self.weight * self._scale * style_NC[:, None, :]
        rgb = torch.baddbmm(self.bias[:, None], weights, x_NCHW.flatten(2)).unflatten(2, x_NCHW.shape[2:])
        return rgb if self._clamp is None else rgb.clamp(-self._clamp, self._clamp)
