"""How good directions are: as classifiers of held-out faces, and how sparse.

N faces, A attributes, P numbers of a code.
"""

from __future__ import annotations

import torch
from torch import Tensor


class HeldOutScores:
    """Running hinge loss and hits of A classifiers."""

    def __init__(self, attributes: int) -> None:
        self._hinge_A, self._hits_2A, self._faces_2A = (
            torch.zeros(attributes, dtype=torch.float64),
            torch.zeros(2, attributes, dtype=torch.float64),
            torch.zeros(2, attributes, dtype=torch.float64),
        )

    def add(self, margins_NA: Tensor, labels_NA: Tensor) -> None:
        """``margins_NA``: f . w + b; ``labels_NA``: 0 or 1."""
        margins_NA, labels_NA = margins_NA.double().cpu(), labels_NA.double().cpu()
        self._hinge_A += (1 - (2 * labels_NA - 1) * margins_NA).clamp_min(0).sum(0)
        for row, has_NA in enumerate((labels_NA, 1 - labels_NA)):
            self._hits_2A[row] += (has_NA * ((margins_NA > 0) == (labels_NA > 0))).sum(0)
            self._faces_2A[row] += has_NA.sum(0)

    def result(self) -> dict[str, float]:
        """``error``: the mean of both classes' error rates, over the attributes that have faces of both; NaN if none.

        ``hinge``: mean over faces and attributes.
        """
        errors_A = 1 - (self._hits_2A / self._faces_2A).mean(0)
        return {
            "error": float(errors_A[torch.isfinite(errors_A)].mean()),
            "hinge": float(self._hinge_A.sum() / self._faces_2A.sum()),
        }


def energy_entries(vectors_AP: Tensor, share: float = 0.95) -> Tensor:
    """[A] how many entries of a vector, the largest first, hold ``share`` of its squared length (figure 6)."""
    energy_AP = vectors_AP.double() ** 2
    sums_AP = energy_AP.sort(dim=1, descending=True).values.cumsum(1)
    return (sums_AP < share * sums_AP[:, -1:]).sum(1) + 1
