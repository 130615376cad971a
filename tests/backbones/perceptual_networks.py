"""Perceptual networks with random weights, and the layout of the public files."""

from __future__ import annotations

import torch
from torch import Tensor

from raypipe.backbones.perceptual.lpips import TRUNKS


def random_trunk_state(trunk: str) -> dict[str, Tensor]:
    """A state dict as torchvision's, the classifier's first layer included, with features far from zero."""
    torch.manual_seed(3)
    network = TRUNKS[trunk].build()
    state = {f"features.{name}": tensor * 1.5 for name, tensor in network.state_dict().items()}
    return {**state, "classifier.1.weight": torch.zeros(2, 2)}


def random_heads_state(trunk: str) -> dict[str, Tensor]:
    """A state dict as the linear heads' of LPIPS."""
    return {
        f"lin{index}.model.1.weight": torch.rand(1, width, 1, 1) for index, width in enumerate(TRUNKS[trunk].widths)
    }
