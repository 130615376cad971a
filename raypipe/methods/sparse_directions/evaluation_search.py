"""1000 queries, each with one attribute turned to its opposite, at every preference of a grid.

Q queries, G faces of the gallery, A attributes, P = L x D numbers of a code, R preferences, K list lengths.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.contract import Columns
from raypipe.errors import WrongUsage
from raypipe.methods.sparse_directions.evaluation_axes import Axes
from raypipe.metrics.ndcg import ndcg

DEPTHS = (5, 10, 20)
"""Lengths of the lists that the paper measures."""

LONGEST = max(DEPTHS)


@dataclass(frozen=True, eq=False)
class Queries:
    """Which face of the gallery asks [Q], for which attribute [Q], to become what (0 or 1) [Q]; all int64."""

    rows: Tensor
    attribute: Tensor
    wanted: Tensor


@dataclass(frozen=True, eq=False)
class Trial:
    """All that does not depend on the directions, float32, [Q,G] but for the codes; a query's own face is not found.

    Attributes:
        codes: of the gallery, [G,P].
        distances: squared, between codes; infinite for the query's own face.
        relevant: 1 where a face shows the adjusted attribute as wanted.
        agreeing: the share of all attributes that are as wanted after the adjustment.
        cosines: of identity embeddings, with the query's face as it is.
    """

    queries: Queries
    codes: Tensor
    distances: Tensor
    relevant: Tensor
    agreeing: Tensor
    cosines: Tensor


@dataclass(frozen=True, eq=False)
class Measured:
    """Of every query's list at every preference, float64 [K,Q,R] each.

    ``ndcg``: with the adjusted attribute alone as gain; ``agreement``: nDCG with the share of agreeing attributes.
    """

    ndcg: Tensor
    agreement: Tensor
    identity: Tensor

    @property
    def by_agreement(self) -> Measured:
        """The same with the other gain as nDCG, by which preferences are chosen then."""
        return Measured(self.agreement, self.ndcg, self.identity)


def draw_queries(labels_GA: Tensor, count: int, *, seed: int) -> Queries:
    """Different faces, each with one attribute drawn evenly from all.

    Raises:
        WrongUsage: fewer faces than that, or too few for the longest list.
    """
    gallery, attributes = labels_GA.shape
    if gallery < max(count, LONGEST + 1):
        raise WrongUsage(f"{count} queries and lists of {LONGEST} need as many test faces and one more, got {gallery}")
    random = torch.Generator().manual_seed(seed)
    rows_Q = torch.randperm(gallery, generator=random)[:count]
    attribute_Q = torch.randint(attributes, (count,), generator=random)
    return Queries(rows_Q, attribute_Q, 1 - labels_GA[rows_Q, attribute_Q].long())


def prepare(test: Columns, queries: Queries) -> Trial:
    """``test``: the gallery's ``w_plus``, ``labels`` and ``embedding``."""
    rows_Q, wanted_Q = queries.rows, queries.wanted.float()
    codes_GP, labels_GA = test["w_plus"].flatten(1), test["labels"]
    embedding_GD = F.normalize(test["embedding"])
    wanted_QA = labels_GA[rows_Q].clone()
    wanted_QA.scatter_(1, queries.attribute[:, None], wanted_Q[:, None])
    agreeing_QG = (wanted_QA @ labels_GA.T + (1 - wanted_QA) @ (1 - labels_GA).T) / labels_GA.shape[1]
    relevant_QG = (labels_GA.T[queries.attribute] == wanted_Q[:, None]).float()
    cosines_QG = embedding_GD[rows_Q] @ embedding_GD.T
    # Around their mean: less is lost to rounding where norms are subtracted.
    centred_GP = codes_GP - codes_GP.mean(0)
    squares_G = centred_GP.square().sum(1)
    distances_QG = squares_G[rows_Q, None] + squares_G - 2 * centred_GP[rows_Q] @ centred_GP.T
    own_Q1 = rows_Q[:, None]
    return Trial(
        queries,
        codes_GP,
        distances_QG.scatter(1, own_Q1, torch.inf),
        relevant_QG.scatter(1, own_Q1, 0.0),
        agreeing_QG.scatter(1, own_Q1, 0.0),
        cosines_QG,
    )


def unadjusted(trial: Trial) -> Measured:
    """Plain nearest codes, R = 1: what asking without any adjustment finds."""
    return _measure(trial, trial.distances.topk(LONGEST, largest=False).indices[:, None])


def search(trial: Trial, axes: Axes, preferences: Sequence[float]) -> Measured:
    """Equation 3 with T in place of the adjusted attribute's projection, for each preference of that attribute."""
    ordered = [far.topk(LONGEST, largest=False).indices for far in adjusted_distances(trial, axes, preferences)]
    return _measure(trial, torch.stack(ordered, dim=1))


def adjusted_distances(trial: Trial, axes: Axes, preferences: Sequence[float]) -> Iterator[Tensor]:
    """[Q,G] for each preference in turn.

    All other preferences are 1, so equation 3 is the plain squared distance with one of its terms, along the adjusted
    attribute, replaced: |w_q - w|^2 - (u_q - u)^2 + p (T - u)^2. Only that attribute's direction counts.
    """
    queries = trial.queries
    # Centred, for rounding: both squares below are of differences.
    middle_P = trial.codes.mean(0)
    projections_GA = (trial.codes - middle_P) @ axes.vectors.T
    offsets_A = axes.vectors @ middle_P
    projections_QG = projections_GA.T[queries.attribute]
    own_Q1 = projections_GA[queries.rows, queries.attribute][:, None]
    wanted_A2 = torch.stack([axes.lowest - offsets_A, axes.highest - offsets_A], dim=1)
    wanted_Q1 = wanted_A2[queries.attribute, queries.wanted][:, None]
    rest_QG = trial.distances - (own_Q1 - projections_QG) ** 2
    missing_QG = (wanted_Q1 - projections_QG) ** 2
    for preference in preferences:
        yield rest_QG + preference * missing_QG


def _measure(trial: Trial, lists_QRK: Tensor) -> Measured:
    lists = lists_QRK.flatten(1)
    shape = lists_QRK.shape

    def found(values_QG: Tensor) -> Tensor:
        return values_QG.gather(1, lists).reshape(shape).double()

    def gains(values_QG: Tensor) -> Tensor:
        ideal_Q1K = values_QG.topk(LONGEST).values[:, None]
        reached = found(values_QG)
        return torch.stack([ndcg(reached[..., :depth], ideal_Q1K) for depth in DEPTHS])

    cosines_QRK = found(trial.cosines)
    identity = torch.stack([cosines_QRK[..., :depth].mean(2) for depth in DEPTHS])
    return Measured(gains(trial.relevant), gains(trial.agreeing), identity)
