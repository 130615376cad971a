"""ResNet-18 without its classifier, for perceptual losses.

Source: He et al., Deep Residual Learning for Image Recognition (CVPR 2016). The names of its tensors are torchvision's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.blocks.loading import load_network
from raypipe.config import as_dict
from raypipe.errors import BadWeights
from raypipe.weights import Part

KIND, PART = "resnet18", "resnet18"

# ImageNet's, of pictures in [0, 1].
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

WIDTHS = (64, 128, 256, 512)

_PLACES = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""Of the modules in a sequence of torchvision's, by name."""


@dataclass(frozen=True, kw_only=True)
class ResNet18Config:
    """There is one."""


class ResNet18(nn.Module):
    """Normalisation by stored statistics always: it is not trained here."""

    def __init__(self, config: ResNet18Config) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0])
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1])
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2])
        self.layer4 = _stage(WIDTHS[2], WIDTHS[3])

    def forward(self, images: Tensor) -> Tensor:
        """[n, 3, h, w] in [-1, 1] -> the mean over positions of the last maps, [n, 512]."""
        x = ((images + 1) / 2 - images.new_tensor(MEAN)[:, None, None]) / images.new_tensor(STD)[:, None, None]
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return x.mean((2, 3))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is projected where shapes change."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        shrinks = inputs != outputs
        stride = 2 if shrinks else 1
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        projection = [nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)]
        self.downsample = nn.Sequential(*(projection if shrinks else []))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[n, inputs, h, w] -> [n, outputs, ...], at half the size where widths change."""
        changed = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x_NCHW)))))
        return F.relu(changed + self.downsample(x_NCHW))


def resnet18_part(network: ResNet18) -> Part:
    """What ``load_resnet18`` reads."""
    return Part(KIND, as_dict(network.config), network.state_dict())


def load_resnet18(part: Part, device: str | torch.device) -> ResNet18:
    """Ready for inference.

    Raises:
        BadWeights: a part of another kind, or tensors that do not fit.
    """
    return load_network(part, KIND, ResNet18Config, ResNet18, device)


def resnet18_part_of_state(state: Mapping[str, Tensor]) -> Part:
    """Of torchvision's weights, or of the same layers in a sequence, as L2M-GAN's checkpoints have them under ``vgg``.

    Raises:
        BadWeights: it is neither.
    """
    named = {
        _PLACES.get(name.split(".")[0], name.split(".")[0]) + name[name.index(".") :]: x for name, x in state.items()
    }
    part = Part(KIND, as_dict(ResNet18Config()), {name: x for name, x in named.items() if not name.startswith("fc.")})
    try:
        load_resnet18(part, "cpu")
    except BadWeights as error:
        raise BadWeights(f"not the weights of a ResNet-18: {error}") from error
    return part


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(inputs, outputs), BasicBlock(outputs, outputs))
