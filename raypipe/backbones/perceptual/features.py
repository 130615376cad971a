"""Features whose distance is a perceptual loss: of a classifier of everything, or of faces' attributes."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from raypipe.backbones.attributes import load_attributes
from raypipe.backbones.perceptual.resnet18 import PART, load_resnet18
from raypipe.contract import Site
from raypipe.errors import WrongUsage

Features = Callable[[Tensor], Tensor]
"""Pictures [n, 3, s, s] in [-1, 1] -> features [n, d]."""


def perceptual_features(site: Site) -> Features:
    """ResNet-18 where a model brings one, else the features of its attribute network.

    Raises:
        WrongUsage: there is neither.
    """
    if PART in site.parts:
        return load_resnet18(site.parts[PART], site.device)
    if "attributes" in site.parts:
        return load_attributes(site.parts["attributes"], site.device).features
    raise WrongUsage(
        f"the perceptual loss needs a model with a part {PART!r} (from: raypipe weights import resnet18.pth) or "
        f"'attributes'; parts: {', '.join(site.parts) or 'none'}. Give one, or set perceptual_weight=0"
    )
