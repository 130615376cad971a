"""How far training faces reach along the directions, measured batch by batch over all workers.

N faces, A attributes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from raypipe.contract import Share


@dataclass(frozen=True, eq=False)
class Ranges:
    """What was measured.

    Attributes:
        lowest, highest: float32 [A], a_min and a_max of T (Zaeemzadeh et al., CVPR 2021, section 3.2).
        faces: float64 [2,A], how many faces had each attribute, and how many had not.
    """

    lowest: Tensor
    highest: Tensor
    faces: Tensor

    @property
    def halves(self) -> Tensor:
        """[A] half of each range: the unit of an edit."""
        return (self.highest - self.lowest) / 2


class RangeMeter:
    """Running extremes and counts."""

    def __init__(self, attributes: int, device: torch.device) -> None:
        infinite = torch.full((attributes,), torch.inf, dtype=torch.float64, device=device)
        self._lowest_A, self._highest_A = infinite, -infinite
        self._faces_2A = torch.zeros(2, attributes, dtype=torch.float64, device=device)

    def add(self, projections_NA: Tensor, labels_NA: Tensor) -> None:
        """``labels_NA``: 0 or 1."""
        if not len(projections_NA):
            return
        self._lowest_A = self._lowest_A.minimum(projections_NA.amin(0).double())
        self._highest_A = self._highest_A.maximum(projections_NA.amax(0).double())
        self._faces_2A += torch.stack([labels_NA.sum(0), (1 - labels_NA).sum(0)])

    def over_all_workers(self, share: Share) -> Ranges:
        """The ranges over every worker's faces; every worker must call it."""
        faces_2A = self._faces_2A.clone()
        # Averages are all that workers can form: each puts its extremes into a row of its own.
        extremes_R2A = torch.zeros(share.count, *faces_2A.shape, dtype=torch.float64, device=faces_2A.device)
        extremes_R2A[share.rank] = torch.stack([self._lowest_A, self._highest_A])
        share.average([faces_2A, extremes_R2A])
        lowest_RA, highest_RA = (extremes_R2A * share.count).float().unbind(1)
        return Ranges(lowest_RA.amin(0), highest_RA.amax(0), (faces_2A * share.count).round())


def wanted_projection(intensity: float, lowest: float, highest: float) -> float:
    """T: what takes the place of a query's own projection. 0 is the least of all training faces, 1 the most."""
    return intensity * (highest - lowest) + lowest
