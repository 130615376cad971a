"""InterFaceGAN (Shen et al., CVPR 2020), the paper's baseline: one boundary after the other, made orthogonal in turn.

N faces, A attributes, P numbers of a code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raypipe.contract import Share
from raypipe.errors import WrongUsage
from raypipe.methods.sparse_directions.directions import Directions
from raypipe.methods.sparse_directions.ranges import RangeMeter
from raypipe.methods.sparse_directions.svm import Hyperplane, fit_hyperplane

EXTREME_SHARE = 0.02
TRAINING_SHARE = 0.7


def fit_interfacegan(
    codes_NLD: Tensor, labels_NA: Tensor, attributes: Sequence[str], *, share: float = EXTREME_SHARE, seed: int = 0
) -> Directions:
    """Boundaries of all attributes, orthogonalised in the attributes' order, as the paper compares with.

    Raises:
        WrongUsage: as ``fit_boundaries``.
    """
    codes_NP = codes_NLD.detach().cpu().flatten(1)
    labels_NA = labels_NA.detach().cpu()
    normals_AP = fit_boundaries(codes_NP, labels_NA, attributes, share=share, seed=seed)
    vectors_AP = orthogonal_in_turn(normals_AP).float()
    projections_NA = codes_NP @ vectors_AP.T
    meter = RangeMeter(len(attributes), torch.device("cpu"))
    meter.add(projections_NA, labels_NA)
    ranges = meter.over_all_workers(Share())
    return Directions(
        attributes=tuple(attributes),
        code_shape=(codes_NLD.shape[1], codes_NLD.shape[2]),
        vectors=vectors_AP,
        biases=-_middle(projections_NA, labels_NA),
        lowest=ranges.lowest,
        highest=ranges.highest,
        units=ranges.halves,
    )


def _middle(projections_NA: Tensor, labels_NA: Tensor) -> Tensor:
    """[A] halfway between the mean faces of both kinds: a turned boundary's own offset means nothing any more."""
    with_A = (projections_NA * labels_NA).sum(0) / labels_NA.sum(0)
    without_A = (projections_NA * (1 - labels_NA)).sum(0) / (1 - labels_NA).sum(0)
    middle_A: Tensor = (with_A + without_A) / 2
    return middle_A


def fit_boundaries(
    codes_NP: Tensor, labels_NA: Tensor, attributes: Sequence[str], *, share: float, seed: int
) -> Tensor:
    """The unit normal of every attribute's boundary, each fitted by itself: [A,P] float64.

    A label of 0 or 1 is its own score, so the extreme faces of an attribute are any of each kind, the same number of
    both: ``share`` of all faces, as far as there are. They are drawn: rows often lie person by person, and the first
    ones would be a few persons' pictures.

    Raises:
        WrongUsage: an attribute has fewer than two faces of a kind.
    """
    draw = np.random.default_rng(seed)
    codes = codes_NP.numpy()
    normals = []
    for name, has_N in zip(attributes, labels_NA.T.numpy(), strict=True):
        count = min(max(2, int(len(has_N) * share)), int(has_N.sum()), int((1 - has_N).sum()))
        if count < 2:
            raise WrongUsage(f"{name}: {count} faces of each kind are too few for a boundary, at least 2 are needed")
        order = draw.permutation(len(has_N))
        normal = fit_boundary(codes[order], has_N[order], count=count, seed=seed).normal
        normals.append(normal / np.linalg.norm(normal))
    return torch.from_numpy(np.stack(normals))


def fit_boundary(
    codes_NP: npt.NDArray[np.floating],
    scores_N: npt.NDArray[np.floating],
    *,
    count: int,
    training_share: float = TRAINING_SHARE,
    seed: int = 0,
) -> Hyperplane:
    """A support vector machine between the ``count`` faces of the highest and of the lowest score.

    The part of them that public training keeps for validation is left out here too; with the same ``seed`` of NumPy's
    global generator it is the same part, which is why that older generator is used.
    """
    order = np.argsort(-scores_N, kind="stable")
    random = np.random.RandomState(seed)
    training = int(count * training_share) or 1
    highest = order[:count][random.permutation(count)[:training]]
    lowest = order[-count:][random.permutation(count)[:training]]
    rows = codes_NP[np.concatenate([highest, lowest])]
    return fit_hyperplane(rows, np.arange(2 * training) < training)


def project_away(primal_P: Tensor, conditions_AP: Tensor) -> Tensor:
    """The unit vector along what of ``primal`` is at right angles to all conditions (conditional manipulation, 3.3).

    Raises:
        WrongUsage: ``primal`` lies in the space that the conditions span.
    """
    basis_PA, _ = torch.linalg.qr(conditions_AP.double().T)
    primal = primal_P.double()
    rest = primal - basis_PA @ (basis_PA.T @ primal)
    if rest.norm() <= 1e-6 * primal.norm():
        raise WrongUsage("nothing of the direction is left: it lies in the space of those to keep")
    unit_P: Tensor = rest / rest.norm()
    return unit_P.to(primal_P.dtype)


def orthogonal_in_turn(vectors_AP: Tensor) -> Tensor:
    """Unit vectors, each with the ones before it projected away: what comes first matters.

    Raises:
        WrongUsage: a vector depends on the ones before it.
    """
    kept: list[Tensor] = []
    for vector in vectors_AP.double():
        kept.append(project_away(vector, torch.stack(kept)) if kept else vector / vector.norm())
    return torch.stack(kept).to(vectors_AP.dtype)
