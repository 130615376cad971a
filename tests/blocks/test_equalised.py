from __future__ import annotations

import torch
from torch.nn import functional as F

from raypipe.blocks.equalised import EqualisedConv, EqualisedLinear


def test_the_learning_rate_multiplier_changes_the_parameters_scale_not_the_output() -> None:
    torch.manual_seed(0)
    layer = EqualisedLinear(256, 64, lr_multiplier=0.01, bias_init=50.0)
    assert abs(layer.weight.std() - 100.0) < 2.0
    output = layer(torch.randn(512, 256))
    assert abs(output.std() - 1.0) < 0.05
    assert abs(output.mean() - 0.5) < 0.05


def test_gain_multiplies_the_output() -> None:
    torch.manual_seed(0)
    linear, conv = EqualisedLinear(8, 4, bias_init=1.0), EqualisedConv(4, 2, 3)
    torch.nn.init.normal_(conv.bias)
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(conv(x, 3.0), 3.0 * conv(x))
    torch.testing.assert_close(linear(x.flatten()[:8], 3.0), 3.0 * linear(x.flatten()[:8]))


def test_a_convolution_is_scaled_by_its_fan_in() -> None:
    torch.manual_seed(0)
    conv = EqualisedConv(4, 2, 3, stride=2, padding=0, bias=False)
    x = torch.randn(1, 4, 7, 7)
    torch.testing.assert_close(conv(x), F.conv2d(x, conv.weight / 6.0, stride=2))
