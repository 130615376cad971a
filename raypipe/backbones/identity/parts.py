"""Identity networks of a bundle, whichever kind it has."""

from __future__ import annotations

import torch

from raypipe.backbones.identity import arcface, mobile
from raypipe.backbones.identity.arcface import IdentityNetwork
from raypipe.backbones.identity.mobile import MobileFaceNet
from raypipe.errors import BadWeights
from raypipe.weights import Part


def load_identity(part: Part, device: str | torch.device) -> IdentityNetwork | MobileFaceNet:
    """Ready for inference; ``embed`` takes FFHQ-aligned pictures of any size and gives unit vectors.

    Raises:
        BadWeights: the part is not an identity network, or its tensors do not fit.
    """
    if part.kind == arcface.KIND:
        return arcface.load_arcface(part, device)
    if part.kind == mobile.KIND:
        return mobile.load_mobile(part, device)
    raise BadWeights(f"{part.kind!r} is not a kind of identity network; kinds: {arcface.KIND}, {mobile.KIND}")
