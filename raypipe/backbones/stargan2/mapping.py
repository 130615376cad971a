"""Noise -> a style of each domain."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from raypipe.backbones.stargan2.config import MappingConfig


class MappingNetwork(nn.Module):
    """Linear layers with ReLU between them, the last ones for each domain apart."""

    def __init__(self, config: MappingConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.latent_dim] + [config.hidden] * config.shared_layers
        own = [config.hidden] * config.own_layers
        self.shared = nn.Sequential(*_layers(widths), nn.ReLU())
        self.unshared = nn.ModuleList(nn.Sequential(*_layers([*own, config.style_dim])) for _ in range(config.domains))

    def forward(self, z_NZ: Tensor) -> Tensor:
        """[n, latent_dim] of N(0, 1) -> [n, domains, style_dim]."""
        shared = self.shared(z_NZ)
        return torch.stack([branch(shared) for branch in self.unshared], dim=1)


def _layers(widths: list[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.ReLU()] if layers else []
        layers.append(nn.Linear(inputs, outputs))
    return layers
