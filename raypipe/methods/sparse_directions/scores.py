"""How good directions are: as classifiers of held-out faces, and how sparse.

N faces, A attributes, P numbers of a code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raypipe.metrics.energy import entries_holding

ENERGY_SHARE = 0.95
"""Of a direction's squared length: what figure 6 of the paper is read at."""


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


def mean_entries(vectors_AP: Tensor) -> float:
    """How many of a vector's entries, the largest first, hold ``ENERGY_SHARE`` of its energy: the vectors' mean."""
    return float(entries_holding(vectors_AP, ENERGY_SHARE).double().mean())
