"""What random pictures are made from, drawn so that it depends neither on workers nor on accumulated passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raypipe.backbones.stylegan2.generator import Generator
from raypipe.blocks.randomness import Draws


@dataclass(frozen=True)
class Latents:
    """For n pictures.

    Attributes:
        z: [n, 2, z_dim], a coarse and a fine one each.
        crossovers: [n] int64, the first row of w+ that is of the fine one; the number of layers: none is.
        noise: [n, 1, r, r] for each convolution.
        labels: [n, label_dim], or None.
    """

    z: Tensor
    crossovers: Tensor
    noise: list[Tensor]
    labels: Tensor | None

    def w_plus(self, generator: Generator) -> tuple[Tensor, Tensor]:
        """Style mixing (Karras et al. 2019, section 3.1): w+ [n, L, D], and the coarse w [n, D]."""
        labels = None if self.labels is None else self.labels.repeat_interleave(2, dim=0)
        w_N2D = generator.mapping(self.z.flatten(0, 1), labels).unflatten(0, (-1, 2))
        layers = torch.arange(generator.num_layers, device=self.z.device)
        is_coarse = layers < self.crossovers[:, None]
        return torch.where(is_coarse[:, :, None], w_N2D[:, :1], w_N2D[:, 1:]), w_N2D[:, 0]

    def passes(self, count: int) -> Sequence[Latents]:
        """The rows of each of ``count`` accumulated passes."""
        return [
            Latents(
                self.z[i::count],
                self.crossovers[i::count],
                [noise[i::count] for noise in self.noise],
                None if self.labels is None else self.labels[i::count],
            )
            for i in range(count)
        ]


def draw_latents(
    draws: Draws, generator: Generator, rows: int, *, mixing: float = 0.0, labels: Tensor | None = None
) -> Latents:
    """``mixing``: the share of pictures with two styles. ``labels`` has ``rows`` rows."""
    layers = generator.num_layers
    is_mixed = draws.uniform(rows) < mixing
    crossovers = torch.where(is_mixed, draws.integers(1, layers, rows), layers)
    z = draws.normal(rows, 2, generator.config.z_dim)
    noise = [draws.normal(rows, 1, size, size) for size in generator.synthesis.noise_sizes]
    return Latents(z, crossovers, noise, labels)
