"""Convolutions whose weights every image scales by its own style. Source: Karras et al. 2020, section 2.2.

Scaling the weight per image (its input channels by the style s, then every output channel to unit norm) equals
scaling the activations by s before, and by the demodulation factor after, a convolution that the batch shares. That
needs no grouped convolution, and the factor is applied together with noise, bias and activation.

Without gradients a layer overwrites its input instead of allocating: at high resolution fresh memory costs several
times more than the arithmetic. Feature maps are channels-last, which fits the convolutions of CPU and GPU alike.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.blocks.equalised import GAIN, EqualisedLinear, leaky_relu_
from raypipe.blocks.resample import low_pass


class ModulatedConv(nn.Module):
    """3x3, same size. Weight [outputs, inputs, 3, 3], unit variance."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.weight = nn.Parameter(_random_kernels(outputs, inputs))

    def forward(self, x_NCHW: Tensor, style_NC: Tensor) -> tuple[Tensor, Tensor]:
        """[n, inputs, h, w], [n, inputs] -> [n, outputs, h, w] before demodulation, and its factors [n, outputs]."""
        style, demodulation = _factors(style_NC, self.weight.square().sum((2, 3)))
        return F.conv2d(_scale(x_NCHW, style), self.weight, padding=1), demodulation


class ModulatedUpConv(nn.Module):
    """3x3, doubles height and width: a transposed convolution, then the low-pass filter.

    Weight [inputs, outputs, 3, 3], the layout of transposed convolutions.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.weight = nn.Parameter(_random_kernels(inputs, outputs))

    def forward(self, x_NCHW: Tensor, style_NC: Tensor) -> tuple[Tensor, Tensor]:
        """[n, inputs, h, w], [n, inputs] -> [n, outputs, 2h, 2w] before demodulation, and its factors [n, outputs]."""
        style, demodulation = _factors(style_NC, self.weight.square().sum((2, 3)).T)
        spread = F.conv_transpose2d(_scale(x_NCHW, style), self.weight, stride=2)
        return low_pass(spread, padding=1, gain=4.0), demodulation


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias, activation."""

    def __init__(
        self, conv: ModulatedConv | ModulatedUpConv, *, style_dim: int, size: int, clamp: float | None
    ) -> None:
        super().__init__()
        self.style = EqualisedLinear(style_dim, conv.inputs, bias_init=1.0)
        self.conv = conv
        self.bias = nn.Parameter(torch.zeros(conv.outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(size, size))
        self.size = size
        self._clamp = clamp

    noise: Tensor
    """The layer's own noise map, [size, size]."""

    def convolve(self, x_NCHW: Tensor, style_NC: Tensor) -> tuple[Tensor, Tensor]:
        """As ``ModulatedConv``. Without gradients ``x_NCHW`` is overwritten."""
        result: tuple[Tensor, Tensor] = self.conv(x_NCHW, style_NC)
        return result

    def activate(self, x_NCHW: Tensor, demodulation_NC: Tensor, noise: Tensor | None) -> Tensor:
        """Demodulate, add noise [n or 1, 1, size, size], then bias, then ``sqrt(2) * leaky_relu``.

        Without gradients ``x_NCHW`` is overwritten.
        """
        factor = (demodulation_NC * GAIN)[:, :, None, None].to(x_NCHW.dtype)
        bias = (self.bias * GAIN)[:, None, None].to(x_NCHW.dtype)
        if noise is None:
            x = torch.addcmul(bias, x_NCHW, factor, out=_reusable(x_NCHW))
        else:
            scaled_noise = (noise * (self.noise_strength * GAIN)).to(x_NCHW.dtype)
            x = torch.addcmul(scaled_noise, x_NCHW, factor, out=_reusable(x_NCHW)).add_(bias)
        x = leaky_relu_(x)
        return x if self._clamp is None else torch.clamp(x, -self._clamp, self._clamp, out=_reusable(x))


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
        """[n, inputs, h, w], [n, inputs] -> [n, 3, h, w], contiguous, as precise as the style."""
        n, channels, height, width = x_NCHW.shape
        weight = self.weight * (style_NC * self._scale)[:, None, :]
        pixels_NKC = x_NCHW.permute(0, 2, 3, 1).reshape(n, height * width, channels)
        flat = torch.baddbmm(self.bias[:, None].to(x_NCHW.dtype), weight.to(x_NCHW.dtype), pixels_NKC.mT)
        rgb = flat.reshape(n, 3, height, width).to(style_NC.dtype)
        return rgb if self._clamp is None else rgb.clamp(-self._clamp, self._clamp)


def _random_kernels(outer: int, inner: int) -> Tensor:
    return torch.randn(outer, inner, 3, 3).contiguous(memory_format=torch.channels_last)


def _factors(style_NC: Tensor, energy_OC: Tensor) -> tuple[Tensor, Tensor]:
    """What scales the input [n, inputs] and the output [n, outputs], in float32 also under autocast.

    ``energy_OC``: for each pair of channels, the sum of the squared weights.
    """
    with torch.autocast(style_NC.device.type, enabled=False):
        # A common factor of a style cancels in the demodulation; without it half precision does not overflow.
        style = style_NC / style_NC.detach().abs().amax(dim=1, keepdim=True).clamp_min(1e-8)
        style = style / math.sqrt(style.shape[1] * 9)
        return style, torch.rsqrt(style.square() @ energy_OC.T + 1e-8)


def _scale(x_NCHW: Tensor, style_NC: Tensor) -> Tensor:
    return torch.mul(x_NCHW, style_NC[:, :, None, None].to(x_NCHW.dtype), out=_reusable(x_NCHW))


def _reusable(x: Tensor) -> Tensor | None:
    """Where to put a result that takes the place of ``x``."""
    return None if torch.is_grad_enabled() else x
