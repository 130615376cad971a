"""Arithmetic on W+ codes that pSp is trained and used with. N faces, L rows, D their width."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def blend_rows(codes_NLD: Tensor, others_NLD: Tensor, rows: Sequence[int], *, alpha: float = 1.0) -> Tensor:
    """Style mixing: the given rows become ``alpha * others + (1 - alpha) * codes``; the others stay."""
    blended = codes_NLD.clone()
    chosen = list(rows)
    blended[:, chosen] = alpha * others_NLD[:, chosen] + (1 - alpha) * codes_NLD[:, chosen]
    return blended


def mean_distance(codes_NLD: Tensor, average_LD: Tensor) -> Tensor:
    """Euclidean distance of each code to the average, mean over the faces: pSp's regularisation (equation 4)."""
    distances: Tensor = (codes_NLD - average_LD).flatten(1).norm(dim=1)
    return distances.mean()
