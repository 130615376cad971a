"""Layers with an equalised learning rate: the weight is stored with unit variance and scaled when it is used.

Source: Karras et al., Progressive Growing of GANs (2018), section 4.1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
GAIN = math.sqrt(2.0)


def scaled_leaky_relu(x: Tensor) -> Tensor:
    """``sqrt(2) * leaky_relu(x, 0.2)``: keeps the variance of a normal input near one."""
    return F.leaky_relu(x * GAIN, SLOPE)


class EqualisedLinear(nn.Module):
    """``x @ (weight * lr_multiplier / sqrt(inputs)).T + bias * lr_multiplier``: [n, inputs] -> [n, outputs]."""

    def __init__(self, inputs: int, outputs: int, *, bias_init: float = 0.0, lr_multiplier: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias_init))
        self._weight_scale = lr_multiplier / math.sqrt(inputs)
        self._bias_scale = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self._weight_scale, self.bias * self._bias_scale)


class EqualisedConv(nn.Module):
    """A convolution of odd kernel size that keeps height and width; weight scale ``1 / sqrt(inputs * kernel^2)``."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1.0 / math.sqrt(inputs * kernel * kernel)
        self._padding = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self._padding)
