"""Fitting the mapping network to codes that already exist: z ~ N(0,1) -> w as the encoder gives them for faces.

Sliced Wasserstein distance (Bonneel et al. 2015): two clouds of points are equal where all their projections on lines
are, and on a line the distance is between sorted numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.stylegan2 import Generator

BATCH = 1024


def fit_mapping(generator: Generator, codes_ND: Tensor, *, steps: int, seed: int) -> float:
    """Train ``generator.mapping`` in place, and set its ``w_avg``, so that its outputs are distributed as ``codes_ND``.

    Returns:
        Mean of the last 50 losses: squared sliced Wasserstein distance, 0 where the distributions agree, in units
        of the codes' variance per axis.
    """
    random = torch.Generator().manual_seed(seed)
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


def _sliced_distance(made_ND: Tensor, wanted_ND: Tensor, lines_DK: Tensor) -> Tensor:
    made, wanted = (lines_DK.T @ made_ND.T).sort(1).values, (lines_DK.T @ wanted_ND.T).sort(1).values
    return F.mse_loss(made, wanted)


def _unit(lines_DK: Tensor) -> Tensor:
    unit: Tensor = lines_DK / lines_DK.norm(dim=0)
    return unit
