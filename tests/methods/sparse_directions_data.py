"""Made-up codes with labels that a plane divides, and workers' sites for them."""

from __future__ import annotations

import torch
from torch import Tensor

from raypipe.contract import DataFacts, Share, Site

NAMES = ("Smiling", "Eyeglasses", "Black_Hair")
SHAPE = (4, 6)


def labelled_codes(rows: int, *, seed: int = 0) -> dict[str, Tensor]:
    """``w_plus`` [rows,4,6] off the origin; attribute m is the sign of what is in entries 2m and 2m + 1."""
    codes = torch.randn(rows, *SHAPE, generator=torch.Generator().manual_seed(seed))
    flat = codes.flatten(1)
    labels = torch.stack([flat[:, 2 * m] + 0.5 * flat[:, 2 * m + 1] > 0.2 * m for m in range(len(NAMES))], dim=1)
    return {"w_plus": 0.7 * codes + 0.3, "labels": labels.float()}


def site(rows: int, share: Share | None = None) -> Site:
    return Site(data=DataFacts(rows=rows, attributes=NAMES, code_shape=SHAPE), share=share or Share(), seed=3)


def weighted_distance(
    wanted_A: Tensor, wanted_rest_P: Tensor, projections_NA: Tensor, rest_NP: Tensor, preference_A: Tensor
) -> Tensor:
    """Equation 3, [N]: preferences times the squared differences along the attributes, plus the rest's squared length.

    ``wanted_A`` is F^T w_q, or T(a_q) where attributes are adjusted. Preferences of 1 give the squared distance.
    """
    along_N: Tensor = (preference_A * (wanted_A - projections_NA) ** 2).sum(1)
    across_N: Tensor = ((wanted_rest_P - rest_NP) ** 2).sum(1)
    return along_N + across_N
