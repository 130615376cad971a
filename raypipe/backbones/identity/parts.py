"""Identity networks of a bundle, whichever kind it has."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from raypipe.backbones.identity import arcface, embedding, facenet, mobile
from raypipe.errors import BadWeights
from raypipe.weights import Part


class FaceEmbedder(Protocol):
    """What all identity networks can do."""

    def embed(self, images: Tensor) -> Tensor:
        """Pictures [n,3,s,s] in [-1,1], aligned as FFHQ or as the network's training data -> [n,d], unit vectors."""


def load_identity(part: Part, device: str | torch.device) -> FaceEmbedder:
    """Ready for inference.

    Raises:
        BadWeights: the part is not an identity network, or its tensors do not fit.
    """
    if part.kind == arcface.KIND:
        return arcface.load_arcface(part, device)
    if part.kind == mobile.KIND:
        return mobile.load_mobile(part, device)
    if part.kind == embedding.KIND:
        return embedding.load_embedding(part, device)
    if part.kind == facenet.KIND:
        return facenet.load_facenet(part, device)
    kinds = ", ".join((arcface.KIND, mobile.KIND, embedding.KIND, facenet.KIND))
    raise BadWeights(f"{part.kind!r} is not a kind of identity network; kinds: {kinds}")
