"""The directions that the evaluation compares: ours for several lambdas, and InterFaceGAN's.

N faces, A attributes, P = L x D numbers of a code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raypipe.contract import DataFacts, Faces, Site
from raypipe.errors import WrongUsage
from raypipe.methods.sparse_directions.config import SparseDirectionsConfig
from raypipe.methods.sparse_directions.interfacegan import fit_boundaries, orthogonal_in_turn
from raypipe.methods.sparse_directions.sweep import Fit, fit_by_sparsity


@dataclass(frozen=True, eq=False)
class Axes:
    """One unit direction an attribute, [A,P] float32, and how far training faces reach along each, [A] float32."""

    vectors: Tensor
    lowest: Tensor
    highest: Tensor


def with_attributes(faces: Faces, least_faces: int) -> Faces:
    """The same faces with those attributes only that so many faces have, and lack, in training and in the test set.

    Raises:
        WrongUsage: there is none, or more than the codes have numbers.
    """
    counts = [(len(part["labels"]), part["labels"].sum(0)) for part in (faces.train, faces.test)]
    is_usable = torch.stack([(have >= least_faces) & (n - have >= least_faces) for n, have in counts]).all(0)
    chosen = is_usable.nonzero().flatten()
    if not len(chosen):
        raise WrongUsage(
            f"no attribute has {least_faces} faces with it and {least_faces} without it in both the training and the "
            f"test set; attributes: {', '.join(faces.attributes) or 'none'}"
        )
    parts = [{**part, "labels": part["labels"][:, chosen]} for part in (faces.train, faces.validation, faces.test)]
    return Faces(tuple(faces.attributes[index] for index in chosen.tolist()), *parts)


def fit_ours(
    config: SparseDirectionsConfig, faces: Faces, sparsities: Sequence[float], device: torch.device, seed: int
) -> Mapping[float, Fit]:
    """Algorithm 2 for each lambda, from the same first directions; scored on the validation faces."""
    train = {name: faces.train[name].to(device) for name in ("w_plus", "labels")}
    layers, width = train["w_plus"].shape[1:]
    facts = DataFacts(rows=len(train["labels"]), attributes=faces.attributes, code_shape=(layers, width))
    site = Site(data=facts, device=device, seed=seed)
    return fit_by_sparsity(config, site, train, faces.validation, sparsities)


def axes_of(fit: Fit) -> Axes:
    """Directions as fitted, on the CPU."""
    directions = fit.directions.to("cpu")
    return Axes(directions.vectors, directions.lowest, directions.highest)


def fit_interfacegan_boundaries(faces: Faces, *, share: float, seed: int) -> Tensor:
    """InterFaceGAN's unit normals, each fitted by itself, [A,P] float64."""
    return fit_boundaries(
        faces.train["w_plus"].flatten(1), faces.train["labels"], faces.attributes, share=share, seed=seed
    )


def fit_one_by_one(config: SparseDirectionsConfig, faces: Faces, *, seed: int) -> Tensor:
    """Unit normals [A,P] of algorithm 2 without its orthogonal step and with lambda = 0.

    Every attribute is fitted for itself, on as many faces as ours: between this and ours lies orthogonality alone,
    where between InterFaceGAN and ours there is also the number of faces.
    """
    codes_NP, labels_NA = faces.train["w_plus"].flatten(1), faces.train["labels"]
    codes_NP = codes_NP - codes_NP.mean(0)
    codes_NP = codes_NP / codes_NP.square().mean().sqrt()
    share_A = labels_NA.mean(0)
    random = torch.Generator().manual_seed(seed)
    vectors_AP, biases_A = torch.zeros(labels_NA.shape[1], codes_NP.shape[1]), torch.zeros(labels_NA.shape[1])
    for _ in range(config.steps):
        rows = torch.randint(len(codes_NP), (config.batch or len(codes_NP),), generator=random)
        batch_NP, has_NA = codes_NP[rows], labels_NA[rows]
        signs_NA = 2 * has_NA - 1
        weights_NA = 0.5 / torch.where(has_NA > 0, share_A, 1 - share_A)
        is_inside_NA = signs_NA * (batch_NP @ vectors_AP.T + biases_A) < 1
        pull_NA = signs_NA * weights_NA * is_inside_NA / len(rows)
        vectors_AP += config.learning_rate * pull_NA.T @ batch_NP
        biases_A += config.learning_rate * pull_NA.sum(0)
    return _unit(vectors_AP.double())


def in_turn(normals_AP: Tensor, faces: Faces) -> Axes:
    """Each with those before it projected away, which makes distances decompose: the paper's baseline."""
    return _measured(orthogonal_in_turn(normals_AP), faces)


def alone(normals_AP: Tensor, faces: Faces) -> Axes:
    """Each as it is: enough to adjust one attribute, and the best that can be said for the baseline."""
    return _measured(normals_AP, faces)


def _unit(vectors_AP: Tensor) -> Tensor:
    lengths_A1: Tensor = vectors_AP.norm(dim=1, keepdim=True)
    return vectors_AP / lengths_A1


def _measured(vectors_AP: Tensor, faces: Faces) -> Axes:
    vectors_AP = vectors_AP.float()
    projections_NA = faces.train["w_plus"].flatten(1) @ vectors_AP.T
    return Axes(vectors_AP, projections_NA.amin(0), projections_NA.amax(0))
