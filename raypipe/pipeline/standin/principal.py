"""Codes to begin with: principal components of the training pictures, arranged as W+ codes.

Left alone, generator and encoder first agree on very few directions of the code and refine those for a long time.
Teaching both the same linear code from the start is many times faster; the lesson then fades out.
N pictures, L rows, D their width, K components, P numbers in a picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.pipeline.standin.config import StandinConfig
from raypipe.pipeline.standin.losses import weigh

SIZE = 32
GROUPS = 4
HELD_BACK_STEPS = 1_000_000


@dataclass(frozen=True)
class PrincipalCodes:
    """Of weighed pictures at 32 px, K = 4 D: ``mean`` [P], ``axes`` [K,P]; ``scales`` [K] divide the projections."""

    mean: Tensor
    axes: Tensor
    scales: Tensor

    def of(self, images: Tensor, num_layers: int) -> Tensor:
        """[N,3,s,s] in [-1,1] -> [N,L,D].

        The first D components are in every row. The next ones are added to rows 1, 2 and 3: these still shape the
        layout, later rows hardly can.
        """
        flat_NP = weigh(F.adaptive_avg_pool2d(images, SIZE)).flatten(1)
        base, *details = ((flat_NP - self.mean) @ self.axes.T / self.scales).chunk(GROUPS, dim=1)
        nothing = [torch.zeros_like(base)]
        added = nothing + details + nothing * (num_layers - GROUPS)
        return torch.stack([base + detail for detail in added], dim=1)


def fit_principal_codes(config: StandinConfig) -> PrincipalCodes:
    """Fit to ``config.principal_batches`` batches of the kind that is trained with, at least K pictures.

    Components are divided by the square root of their deviation: large ones stay larger than small ones, but less so.
    """
    batches = range(HELD_BACK_STEPS, HELD_BACK_STEPS + config.principal_batches)
    flat_NP = torch.cat([weigh(F.adaptive_avg_pool2d(config.pictures(step), SIZE)).flatten(1) for step in batches])
    mean_P, count = flat_NP.mean(0), GROUPS * config.style_dim
    _, singular, axes = torch.linalg.svd(flat_NP - mean_P, full_matrices=False)
    deviations_K = (singular[:count] / math.sqrt(len(flat_NP))).clamp(min=1e-4)
    typical = deviations_K[: config.style_dim].mean()
    return PrincipalCodes(mean_P, axes[:count].contiguous(), (deviations_K * typical).sqrt())
