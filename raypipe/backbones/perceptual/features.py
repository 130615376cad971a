"""Features whose distance is a perceptual loss: of a classifier of everything, or of faces' attributes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from raypipe.backbones.attributes import AttributeNet, load_attributes
from raypipe.backbones.perceptual.resnet18 import PART, load_resnet18
from raypipe.contract import Site
from raypipe.errors import WrongUsage

LEAST = 1e-6
"""Root mean square that features are divided by."""

Features = Callable[[Tensor], Tensor]
"""Pictures [n, 3, s, s] in [-1, 1] -> features [n, d]."""


def perceptual_features(site: Site, changing: Sequence[str]) -> Features:
    """ResNet-18 where a model brings one, else the features of its attribute network without the part in which it sees
    ``changing``, the attributes that are to be changed, as far as it knows them.

    Raises:
        WrongUsage: there is neither.
    """
    if PART in site.parts:
        return load_resnet18(site.parts[PART], site.device)
    if "attributes" in site.parts:
        return features_beside(load_attributes(site.parts["attributes"], site.device), changing)
    raise WrongUsage(
        f"the perceptual loss needs a model with a part {PART!r} (from: raypipe weights import resnet18.pth) or "
        f"'attributes'; parts: {', '.join(site.parts) or 'none'}. Give one, or set perceptual_weight=0"
    )


def features_beside(network: AttributeNet, changing: Sequence[str]) -> Features:
    """An attribute network's features less their components along the weights of some logits, which then do not
    depend on them, and divided by their root mean square over each face's d: distances are about 1 at most."""
    rows = [network.names.index(name) for name in changing if name in network.names]
    basis_DA = torch.linalg.qr(network.head.weight[rows].detach().double().T).Q.float()

    def features(images: Tensor) -> Tensor:
        features_ND = network.features(images).float()
        beside_ND: Tensor = features_ND - (features_ND @ basis_DA) @ basis_DA.T
        return beside_ND / beside_ND.square().mean(1, keepdim=True).sqrt().clamp_min(LEAST)

    return features
