"""Layers with an equalised learning rate: the weight is stored with unit variance and scaled when it is used.

Source: Karras et al., Progressive Growing of GANs (2018), section 4.1. The activation that goes with them,
``sqrt(2) * leaky_relu(x, 0.2)``, keeps the variance near one. It is positively homogeneous, so its factor is handed to
the layer before it (``gain``) and costs nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GAIN = math.sqrt(2.0)


def leaky_relu_(x: Tensor) -> Tensor:
    """``leaky_relu(x, 0.2)`` in place, also under autograd: only for the fresh output of a layer or a sum."""
    return F.leaky_relu_(x, 0.2)


class EqualisedLinear(nn.Module):
    """``x @ (weight * lr_multiplier / sqrt(inputs)).T + bias * lr_multiplier``: [n, inputs] -> [n, outputs]."""

    def __init__(self, inputs: int, outputs: int, *, bias_init: float = 0.0, lr_multiplier: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias_init))
        self._weight_scale = lr_multiplier / math.sqrt(inputs)
        self._bias_scale = lr_multiplier

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        return F.linear(x, self.weight * (self._weight_scale * gain), self.bias * (self._bias_scale * gain))


class EqualisedConv(nn.Module):
    """A convolution with weight scale ``1 / sqrt(inputs * kernel^2)``. Default padding: odd kernels keep the size."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int | None = None, bias: bool = True
    ) -> None:
        super().__init__()
        weight = torch.randn(outputs, inputs, kernel, kernel)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self._scale = 1.0 / math.sqrt(inputs * kernel * kernel)
        self._stride = stride
        self._padding = kernel // 2 if padding is None else padding

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        bias = None if self.bias is None else self.bias * gain
        return F.conv2d(x, self.weight * (self._scale * gain), bias, stride=self._stride, padding=self._padding)
