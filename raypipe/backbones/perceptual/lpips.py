"""LPIPS: a perceptual distance calibrated on people's judgements.

Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric (CVPR 2018), equation 1. The
trunks are AlexNet (Krizhevsky 2014, one weird trick) and VGG-16 (Simonyan and Zisserman 2015, configuration D) without
their classifiers; the names of their tensors are torchvision's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raypipe.blocks.loading import load_network
from raypipe.config import as_dict
from raypipe.errors import WrongUsage
from raypipe.weights import Part

KIND = "lpips"
SMALLEST_IMAGE = 32

# What pictures in [-1,1] are standardised with, as the published heads were trained.
MEAN, STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)

EPS = 1e-10


@dataclass(frozen=True, kw_only=True)
class LpipsConfig:
    """``trunk``: ``alexnet`` or ``vgg16``."""

    trunk: str = "alexnet"

    def __post_init__(self) -> None:
        if self.trunk not in TRUNKS:
            raise WrongUsage(f"{self.trunk!r} is not a trunk of LPIPS; trunks: {', '.join(TRUNKS)}")


def alexnet() -> nn.Sequential:
    """[n,3,h,w] -> [n,256,...]; the layers before the classifier."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
    )


def vgg16() -> nn.Sequential:
    """[n,3,h,w] -> [n,512,h/16,w/16]; the layers before the last pooling."""
    layers: list[nn.Module] = []
    inputs = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        if layers:
            layers.append(nn.MaxPool2d(2))
        for _ in range(count):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class Trunk:
    """A network, the layers whose outputs are compared, and how many channels these have."""

    build: Callable[[], nn.Sequential]
    taps: tuple[int, ...]
    widths: tuple[int, ...]


TRUNKS: Mapping[str, Trunk] = {
    "alexnet": Trunk(alexnet, (1, 4, 7, 9, 11), (64, 192, 384, 256, 256)),
    "vgg16": Trunk(vgg16, (3, 8, 15, 22, 29), (64, 128, 256, 512, 512)),
}


class Lpips(nn.Module):
    """Squared differences of features of unit length, channels weighted by the heads, layers added up."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: LpipsConfig) -> None:
        super().__init__()
        trunk = TRUNKS[config.trunk]
        self.config = config
        self.features = trunk.build()
        self.heads = nn.ParameterList(torch.ones(width) for width in trunk.widths)
        self._taps = trunk.taps

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """Two batches [n,3,h,w] in [-1,1] -> one distance for each pair, [n] float32, at least 0.

        Raises:
            WrongUsage: pictures too small for the trunk.
        """
        if min(images.shape[2:]) < SMALLEST_IMAGE:
            raise WrongUsage(f"LPIPS takes pictures of at least {SMALLEST_IMAGE} px, got {list(images.shape[2:])}")
        total = images.new_zeros(len(images), dtype=torch.float32)
        for head, ours, theirs in zip(self.heads, self._maps(images), self._maps(others), strict=True):
            total = total + ((ours - theirs).square() * head[:, None, None]).sum(1).mean((1, 2))
        return total

    def _maps(self, images: Tensor) -> list[Tensor]:
        """The compared layers' outputs, every position a vector of unit length (or 0), float32."""
        maps = []
        x = (images - images.new_tensor(MEAN)[:, None, None]) / images.new_tensor(STD)[:, None, None]
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self._taps:
                maps.append(unit_vectors(x.float()))
        return maps


def unit_vectors(maps_NCHW: Tensor) -> Tensor:
    """Every position's channels divided by their Euclidean length; zeros stay zeros, also in the gradient."""
    lengths: Tensor = torch.linalg.vector_norm(maps_NCHW, dim=1, keepdim=True)
    return maps_NCHW / (lengths + EPS)


def load_lpips(part: Part, device: str | torch.device) -> Lpips:
    """The distance of a bundle's part, ready for use.

    Raises:
        BadWeights: the part is not an LPIPS network, or its tensors do not fit its config.
    """
    return load_network(part, KIND, LpipsConfig, Lpips, device)


def lpips_part(network: Lpips) -> Part:
    """What ``load_lpips`` reads."""
    return Part(KIND, as_dict(network.config), network.state_dict())
