"""Arithmetic on W+ codes that pSp is trained and used with. N faces, L rows, D their width."""

from __future__ import annotations

from torch import Tensor


def mean_distance(codes_NLD: Tensor, average_LD: Tensor) -> Tensor:
    """Euclidean distance of each code to the average, mean over the faces: pSp's regularisation (equation 4)."""
    distances: Tensor = (codes_NLD - average_LD).flatten(1).norm(dim=1)
    return distances.mean()
