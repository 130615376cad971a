"""Which preference a setting of table 1 gives each query, and how sure a mean over queries is.

Q queries, R preferences, K list lengths.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from raypipe.methods.sparse_directions.evaluation_search import Measured

NO_PREFERENCE, CONSTRAINED, BEST = "No preference", "Identity constrained", "Best nDCG"
SETTINGS = (NO_PREFERENCE, CONSTRAINED, BEST)


@dataclass(frozen=True, eq=False)
class Chosen:
    """What one preference for each query gives, float64 [K,Q]."""

    ndcg: Tensor
    identity: Tensor


@dataclass(frozen=True)
class Interval:
    """A mean over queries, and between which numbers 95 % of its bootstrap resamples lie."""

    mean: float
    low: float
    high: float

    @property
    def is_above_zero(self) -> bool:
        return self.low > 0

    @property
    def is_below_zero(self) -> bool:
        return self.high < 0

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def fixed(measured: Measured, place: int) -> Chosen:
    """The same preference for every query: ``place`` in the grid."""
    return Chosen(measured.ndcg[..., place], measured.identity[..., place])


def best_ndcg(measured: Measured) -> Chosen:
    """Each query's highest nDCG; of several preferences that give it, the one with the most similar faces."""
    return _take(measured, _best(measured.ndcg, measured.identity))


def constrained(measured: Measured, least_KQ: Tensor) -> Chosen:
    """Each query's highest nDCG among preferences whose identity similarity is at least ``least_KQ``.

    A query that reaches that at no preference takes the one with the most similar faces.
    """
    is_allowed = measured.identity >= least_KQ[..., None]
    within = _best(measured.ndcg.masked_fill(~is_allowed, -1.0), measured.identity)
    most_similar = measured.identity.argmax(-1)
    return _take(measured, torch.where(is_allowed.any(-1), within, most_similar))


def mean_and_interval(values_Q: Tensor, *, resamples: int, seed: int) -> Interval:
    """Bootstrap over queries: says how much the choice of queries matters, not how much another fit would."""
    count = len(values_Q)
    random = torch.Generator().manual_seed(seed)
    means = [values_Q[torch.randint(count, (count,), generator=random)].mean() for _ in range(resamples)]
    low, high = torch.stack(means).quantile(torch.tensor([0.025, 0.975], dtype=values_Q.dtype)).tolist()
    return Interval(float(values_Q.mean()), low, high)


def _best(ndcg: Tensor, identity: Tensor) -> Tensor:
    """[K,Q] places along R."""
    is_best = ndcg == ndcg.amax(-1, keepdim=True)
    return identity.masked_fill(~is_best, -torch.inf).argmax(-1)


def _take(measured: Measured, place_KQ: Tensor) -> Chosen:
    place = place_KQ[..., None]
    return Chosen(measured.ndcg.gather(-1, place)[..., 0], measured.identity.gather(-1, place)[..., 0])
