"""A tiny identity network with random weights, as a model of its own."""

from __future__ import annotations

from pathlib import Path

import torch

from raypipe.backbones.identity import EmbeddingConfig, EmbeddingNet, embedding_part
from raypipe.weights import save_bundle


def tiny_identity(folder: Path) -> str:
    """The folder, with a bundle of an identity network for pictures of 32 px."""
    torch.manual_seed(0)
    network = EmbeddingNet(EmbeddingConfig(size=32, widths=(8, 8), grid=2, embedding_dim=16))
    save_bundle(str(folder), "who", {"identity": embedding_part(network)}, {"made_by": "tests"})
    return str(folder)
