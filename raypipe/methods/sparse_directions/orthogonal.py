"""The nearest orthogonal set to a set of vectors (Zaeemzadeh et al., CVPR 2021, algorithm 1).

A attributes, P = L x D numbers of a code. The vectors are rows here, the paper's columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raypipe.errors import WrongUsage

SMALLEST_SINGULAR_VALUE = 1e-6
"""Below this, of vectors of unit length in float32, what is left of the last independent one is rounding error."""


def nearest_orthogonal(vectors_AP: Tensor) -> Tensor:
    """Algorithm 1: vectors at right angles to each other, each as long as it was; dtype as given.

    Raises:
        WrongUsage: a vector is zero or not finite, or the vectors are linearly dependent.
    """
    lengths_A1: Tensor = vectors_AP.norm(dim=1, keepdim=True)
    return lengths_A1 * nearest_orthonormal(vectors_AP)


def nearest_orthonormal(vectors_AP: Tensor) -> Tensor:
    """The orthonormal set nearest to the vectors' unit vectors in the Frobenius norm; dtype as given.

    The paper's F (F^T F)^(-1/2) is the orthogonal factor of a polar decomposition. With F = U S V^T it is U V^T, which
    needs no inverse: it is orthonormal to rounding error also where F^T F is nearly singular.

    Raises:
        WrongUsage: as ``nearest_orthogonal``.
    """
    lengths = vectors_AP.double().norm(dim=1, keepdim=True)
    bad = (~torch.isfinite(lengths) | (lengths == 0)).flatten().nonzero().flatten().tolist()
    if bad:
        raise WrongUsage(f"vector(s) {bad} are zero or not finite: they have no direction")
    if vectors_AP.shape[0] > vectors_AP.shape[1]:
        raise WrongUsage(f"{vectors_AP.shape[0]} vectors of {vectors_AP.shape[1]} numbers cannot all be orthogonal")
    left, singular, right = torch.linalg.svd(vectors_AP.double() / lengths, full_matrices=False)
    if singular[-1] < SMALLEST_SINGULAR_VALUE:
        raise WrongUsage(
            f"the vectors are linearly dependent (smallest singular value {singular[-1].item():.1e}, at least "
            f"{SMALLEST_SINGULAR_VALUE:g} is needed): no orthogonal set is the nearest"
        )
    nearest: Tensor = left @ right
    return nearest.to(vectors_AP.dtype)
