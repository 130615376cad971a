"""How far the rows of a list can be at least, under any weights: what makes skipping a list safe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raypipe.retrieval.reduction import Reduced, Reduction
from raypipe.retrieval.space import Array

_OUTWARDS = 1e-5
"""Of the lengths involved: more than float32 and the reduction round."""


@dataclass(frozen=True, eq=False)
class Extents:
    """Where the rows of L lists lie, centred and scaled, float64.

    ``radius`` [L]: farthest from the centroid along the axes; ``least`` and ``most`` [L,B]: smallest and largest u and
    t, B = A + 1.
    """

    radius: Array
    least: Array
    most: Array

    @staticmethod
    def of_nothing(lists: int, attributes: int) -> Extents:
        shape = (lists, attributes + 1)
        return Extents(np.full(lists, -np.inf), np.full(shape, np.inf), np.full(shape, -np.inf))

    def widen(self, list_N: Array, reduced: Reduced, centroids: Array) -> None:
        """Take in rows; in place, as a shard is written."""
        axes = reduced.axes.shape[1]
        away_N = np.sqrt(((reduced.axes - centroids[list_N, :axes]) ** 2).sum(1))
        box_NB = np.concatenate([reduced.attributes, reduced.cut[:, None]], axis=1)
        # Squared lengths are differences of large numbers: a row far out may be off by more than one near the middle.
        spread_N = _OUTWARDS * (1.0 + reduced.length)
        np.maximum.at(self.radius, list_N, away_N + spread_N)
        np.minimum.at(self.least, list_N, box_NB - spread_N[:, None])
        np.maximum.at(self.most, list_N, box_NB + spread_N[:, None])

    def bounds(self, target: Reduced, weights_A: Array, reduction: Reduction) -> Array:
        """Every row of a list is at least this far from the target, float64 [L]; inf for empty lists."""
        axes, full_F = len(reduction.axes), np.flatnonzero(np.isfinite(self.radius))
        away_F = np.sqrt(((reduction.centroids[full_F, :axes] - target.axes[0]) ** 2).sum(1))
        rounding = _OUTWARDS * (1.0 + target.length[0])
        along_F = np.maximum(away_F - self.radius[full_F] - rounding, 0.0)
        wanted_B = np.append(target.attributes[0], target.cut[0])
        outside_FB = np.maximum(self.least[full_F] - wanted_B, wanted_B - self.most[full_F])
        outside_FB[:, -1] -= rounding
        along_F = along_F**2 + (np.maximum(outside_FB, 0.0) ** 2 * np.append(weights_A, 1.0)).sum(1)
        bounds_L = np.full(len(self.radius), np.inf)
        bounds_L[full_F] = along_F * (reduction.scale**2 * (1 - 1e-9))
        return bounds_L

    def arrays(self) -> Mapping[str, Array]:
        return {"radius": self.radius, "least": self.least, "most": self.most}


def weighted_ranks(target: Reduced, weights_A: Array, centroids: Array) -> Array:
    """The lists, nearest centroid under the query's weights first."""
    axes = target.axes.shape[1]
    away_L = ((centroids[:, :axes] - target.axes[0]) ** 2).sum(1)
    along_L = ((centroids[:, axes:] - target.attributes[0]) ** 2 * weights_A).sum(1)
    return np.argsort(away_L + along_L, kind="stable")
