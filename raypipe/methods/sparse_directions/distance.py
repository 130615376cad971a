"""Distances that tell attributes apart (Zaeemzadeh et al., CVPR 2021, section 3.2).

N faces, A attributes, P = L x D numbers of a code. Directions are orthonormal rows, the paper's columns of F.
"""

from __future__ import annotations

from torch import Tensor


def decompose(directions_AP: Tensor, codes_NP: Tensor) -> tuple[Tensor, Tensor]:
    """F^T w, [N,A], and w - F F^T w, [N,P]: of two codes' differences these are equations 1 and 2."""
    projections_NA = codes_NP @ directions_AP.T
    return projections_NA, codes_NP - projections_NA @ directions_AP


def weighted_distance(
    wanted_A: Tensor, wanted_rest_P: Tensor, projections_NA: Tensor, rest_NP: Tensor, preference_A: Tensor
) -> Tensor:
    """Equation 3, [N]: preferences times the squared differences along the attributes, plus the rest's squared length.

    ``wanted_A`` is F^T w_q, or T(a_q) where attributes are adjusted. Preferences of 1 give the squared distance.
    """
    along_N: Tensor = (preference_A * (wanted_A - projections_NA) ** 2).sum(1)
    across_N: Tensor = ((wanted_rest_P - rest_NP) ** 2).sum(1)
    return along_N + across_N
