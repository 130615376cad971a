"""Distances that tell attributes apart (Zaeemzadeh et al., CVPR 2021, section 3.2).

N faces, A attributes, P = L x D numbers of a code. Directions are orthonormal rows, the paper's columns of F.
"""

from __future__ import annotations

from torch import Tensor


def decompose(directions_AP: Tensor, codes_NP: Tensor) -> tuple[Tensor, Tensor]:
    """F^T w, [N,A], and w - F F^T w, [N,P]: of two codes' differences these are equations 1 and 2."""
    projections_NA = codes_NP @ directions_AP.T
    return projections_NA, codes_NP - projections_NA @ directions_AP
