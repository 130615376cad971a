"""What was measured, which preference a setting of table 1 gives each query, and how sure a mean over queries is.

Q queries, R preferences, K list lengths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from raypipe.methods.sparse_directions.evaluation_search import Measured, Queries

INTERFACEGAN, ONE_BY_ONE, OURS = "InterFaceGAN", "One by one, all faces", "Ours"

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


@dataclass(frozen=True, eq=False, kw_only=True)
class Results:
    """Queries, and what directions of ours (by lambda) and of InterFaceGAN (by name) found for them.

    Attributes:
        grid: the preferences that were tried, ascending, 1 among them.
        tolerance: of the identity constraint.
        faces: how many there are to train with, to validate with, and in the gallery.
        interfacegan_share: how many of the training faces its boundaries see of each kind at most.
        unadjusted: the nearest codes to the query as it is.
        rehearsals, rehearsal_unadjusted: the same searches among the validation faces.
        errors: balanced error of our directions as classifiers of the validation faces, by lambda.
        vectors: our directions [A,P], by lambda.
        baseline_vectors: InterFaceGAN's, [A,P].
    """

    grid: tuple[float, ...]
    tolerance: float
    resamples: int
    seed: int
    attributes: tuple[str, ...]
    faces: tuple[int, int, int]
    interfacegan_share: float
    queries: Queries
    unadjusted: Measured
    ours: Mapping[float, Measured]
    baselines: Mapping[str, Measured]
    rehearsals: Mapping[float, Measured]
    rehearsal_unadjusted: Measured
    errors: Mapping[float, float]
    vectors: Mapping[float, Tensor]
    baseline_vectors: Tensor

    @cached_property
    def rehearsed(self) -> Mapping[float, float]:
        """lambda -> nDCG of the shortest lists among the validation faces, identity constrained."""
        least_KQ = self.rehearsal_unadjusted.identity[..., 0] - self.tolerance
        return {
            sparsity: float(constrained(measured, least_KQ).ndcg[0].mean())
            for sparsity, measured in self.rehearsals.items()
        }

    @property
    def chosen_sparsity(self) -> float:
        """The lambda that finds most among the validation faces."""
        found = self.rehearsed
        return max(found, key=lambda sparsity: found[sparsity])

    @property
    def chosen_above_zero(self) -> float:
        """The same of those that make directions sparse."""
        found = self.rehearsed
        return max((sparsity for sparsity in found if sparsity), key=lambda sparsity: found[sparsity])

    @property
    def compared(self) -> Mapping[str, Measured]:
        """The two rows of table 1."""
        return {INTERFACEGAN: self.baselines[INTERFACEGAN], OURS: self.ours[self.chosen_sparsity]}

    def least_identity(self, tolerance: float) -> Tensor:
        """[K,Q]: what identity similarity must reach where it is constrained."""
        return self.unadjusted.identity[..., 0] - tolerance

    def under(self, setting: str, measured: Measured) -> Chosen:
        """A method's lists under one of the settings of table 1."""
        if setting == NO_PREFERENCE:
            return fixed(measured, self.grid.index(1.0))
        if setting == BEST:
            return best_ndcg(measured)
        return constrained(measured, self.least_identity(self.tolerance))

    def interval(self, values_Q: Tensor) -> Interval:
        """Of a mean over the queries."""
        return mean_and_interval(values_Q, resamples=self.resamples, seed=self.seed)


def not_orthogonal(name: str) -> str:
    """The name of a baseline whose directions are taken as fitted."""
    return f"{name}, not orthogonal"


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
