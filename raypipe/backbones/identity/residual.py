"""The residual backbone of ArcFace ("IR-50", with squeeze and excitation "IR-SE-50").

Deng et al., ArcFace (CVPR 2019), section 3.1; Hu et al., Squeeze-and-Excitation Networks (CVPR 2018). The names
of the tensors are those of the public checkpoints ``model_ir_se50.pth``, ``psp_*.pt`` and ``e4e_*.pt``.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

SE_REDUCTION = 16


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate in (0, 1) computed from all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        reduced = max(channels // SE_REDUCTION, 1)
        self.fc1 = nn.Conv2d(channels, reduced, 1, bias=False)
        self.fc2 = nn.Conv2d(reduced, channels, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """[n,c,h,w] -> the same shape."""
        means = features.mean((2, 3), keepdim=True)
        gates: Tensor = self.fc2(self.fc1(means).relu()).sigmoid()
        return features * gates


class Bottleneck(nn.Module):
    """Batch norm, convolution, PReLU, strided convolution, batch norm (, gate), plus the shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, squeeze_excite: bool) -> None:
        super().__init__()
        layers = [
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, out_channels, 3, 1, 1, bias=False),
            nn.PReLU(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        self.res_layer = nn.Sequential(*layers, *([SqueezeExcite(out_channels)] if squeeze_excite else []))
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if in_channels != out_channels:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, features: Tensor) -> Tensor:
        """[n,in,h,w] -> [n,out,ceil(h/stride),ceil(w/stride)]."""
        shortcut: Tensor = self.shortcut_layer(features)
        residual: Tensor = self.res_layer(features)
        return shortcut + residual


def stem(width: int) -> nn.Sequential:
    """The first layer, [n,3,h,w] -> [n,width,h,w]."""
    return nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width))


def body(widths: Sequence[int], depths: Sequence[int], *, squeeze_excite: bool) -> nn.Sequential:
    """All bottlenecks in a row; stage i has ``depths[i]`` of ``widths[i]`` channels, its first has stride 2."""
    in_channels = [widths[0], *widths[:-1]]
    return nn.Sequential(
        *(
            Bottleneck(came if index == 0 else width, width, 2 if index == 0 else 1, squeeze_excite=squeeze_excite)
            for came, width, depth in zip(in_channels, widths, depths, strict=True)
            for index in range(depth)
        )
    )
