"""What was measured, before it becomes tables, curves and claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from raypipe.methods.sparse_directions.evaluation_search import Measured, Queries
from raypipe.methods.sparse_directions.evaluation_settings import (
    BEST,
    NO_PREFERENCE,
    Chosen,
    Interval,
    best_ndcg,
    constrained,
    fixed,
    mean_and_interval,
)

INTERFACEGAN, ONE_BY_ONE, OURS = "InterFaceGAN", "One by one, all faces", "Ours"


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

    @property
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
