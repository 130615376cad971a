"""Fitting the mapping network to codes that already exist: z ~ N(0,1) -> w as the encoder gives them for faces.

Sliced Wasserstein distance (Bonneel et al. 2015): two clouds of points are equal where all their projections on lines
are, and on a line the distance is between sorted numbers. N codes of width D, K lines.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.stylegan2 import Generator
from raypipe.blocks.equalised import GAIN, EqualisedLinear, leaky_relu_

BATCH = 1024
ACTIVATED_MEAN, ACTIVATED_DEVIATION = 0.45, 0.91
"""Of the network's activation, sqrt(2) leaky_relu(x, 0.2), for normal x."""


def fit_mapping(generator: Generator, codes_ND: Tensor, *, steps: int, seed: int) -> float:
    """Train ``generator.mapping`` in place, and set ``w_avg``, so that its outputs are distributed as ``codes_ND``.

    Returns:
        Mean of the last 50 losses: squared sliced Wasserstein distance, 0 where the distributions agree, in units
        of the codes' variance per axis.
    """
    random = torch.Generator().manual_seed(seed)
    start_with_covariance(generator, codes_ND, random)
    mean, std = codes_ND.mean(0), codes_ND.std(0)
    optimiser = torch.optim.Adam(generator.mapping.parameters(), lr=1e-2, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=1e-5)
    _, _, axes = torch.linalg.svd((codes_ND - mean) / std, full_matrices=False)
    losses = []
    for _ in range(steps):
        z = torch.randn(BATCH, generator.config.z_dim, generator=random)
        wanted = (codes_ND[torch.randint(len(codes_ND), (BATCH,), generator=random)] - mean) / std
        made = (generator.mapping(z) - mean) / std
        # Principal axes as well as random lines: random ones alone hardly see the axes of small variance.
        lines = torch.cat([axes.T, _unit(torch.randn(len(std), 128, generator=random))], dim=1)
        loss = _sliced_distance(made, wanted, lines)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    with torch.no_grad():
        z = torch.randn(10_000, generator.config.z_dim, generator=random)
        generator.w_avg.copy_(generator.mapping(z).mean(0))
    return sum(losses[-50:]) / len(losses[-50:])


@torch.no_grad()
def start_with_covariance(generator: Generator, codes_ND: Tensor, random: torch.Generator) -> None:
    """Set the last layer so that the outputs have about the codes' mean and covariance; the others stay random."""
    *inner, last = (cast(EqualisedLinear, layer) for layer in generator.mapping.layers)
    z = torch.randn(4 * BATCH, generator.config.z_dim, generator=random)
    hidden = z * torch.rsqrt(z.square().mean(1, keepdim=True))
    for layer in inner:
        hidden = leaky_relu_(layer(hidden, GAIN))
    whiten = _power(torch.cov(hidden.T), -0.5)
    root = _power(torch.cov(codes_ND.T), 0.5) / ACTIVATED_DEVIATION
    shared = min(len(root), len(whiten))
    weight = root[:, :shared] @ whiten[:shared]
    shift = codes_ND.mean(0) - ACTIVATED_MEAN / ACTIVATED_DEVIATION * codes_ND.std(0)
    last.weight.copy_(weight * math.sqrt(weight.shape[1]))
    last.bias.copy_(shift - weight @ hidden.mean(0))


def _power(covariance: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    powered: Tensor = (vectors * values.clamp(min=1e-6 * values.max().item()) ** exponent) @ vectors.T
    return powered


def _sliced_distance(made_ND: Tensor, wanted_ND: Tensor, lines_DK: Tensor) -> Tensor:
    made, wanted = (lines_DK.T @ made_ND.T).sort(1).values, (lines_DK.T @ wanted_ND.T).sort(1).values
    return F.mse_loss(made, wanted)


def _unit(lines_DK: Tensor) -> Tensor:
    unit: Tensor = lines_DK / lines_DK.norm(dim=0)
    return unit
