"""What is compared: vectors, a target, and the distance that everything else in this package must agree with.

A vector is [u, r]: u are the named coordinates that a query can weight, r is the rest. With the target [c, r_q] and
weights p (Zaeemzadeh et al., CVPR 2021, equations 1 to 4)

    d = sum_m p_m (c_m - u_m)^2 + |r_q - r|^2

``l2`` has no u. ``cosine`` is l2 on vectors of length 1: 1 - cos(x, y) = |x - y|^2 / 2.
N rows, A attributes (coordinates), R numbers of the rest, W = A + R.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raypipe.contract import SearchSpace
from raypipe.errors import UnknownAttribute, WrongUsage

Array = npt.NDArray[Any]

WEIGHT_LIMIT = 1000.0

NUMBER_LIMIT = 1e15
"""Squares of larger numbers, under weights, would come near the end of float32."""


@dataclass(frozen=True, eq=False)
class Target:
    """What is looked for: ``wanted`` c [A], ``rest`` r_q [R] and ``weights`` p [A], float64."""

    wanted: Array
    rest: Array
    weights: Array


@dataclass(frozen=True, eq=False)
class Aim:
    """A target in one of an index's spaces; a query's distance is the sum of ``weight`` times each told distance.

    Raises:
        WrongUsage: a weight that is not a number above 0.
    """

    space: str
    target: Target
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.weight < math.inf:
            raise WrongUsage(f"weight {self.weight!r} in {self.space!r} must be a finite number above 0")


@dataclass(frozen=True, eq=False)
class Distances:
    """Of N rows: ``attributes`` p (c - u)^2 [N,A], ``rest`` |r_q - r|^2 [N] and their sum ``total`` [N], float64."""

    attributes: Array
    rest: Array
    total: Array


def comparable(space: SearchSpace, vectors_NW: Array) -> Array:
    """Vectors as this package compares them: float32 [N,W], of length 1 where the metric is the cosine.

    Raises:
        WrongUsage: another width, a number that is not finite or beyond 1e15, or a cosine with a vector of zeros.
    """
    if vectors_NW.ndim != 2 or vectors_NW.shape[1] != space.width:
        raise WrongUsage(f"vectors must be [n, {space.width}], got {list(vectors_NW.shape)}")
    with np.errstate(over="ignore"):  # too large for float32 is found on the next line
        vectors = np.ascontiguousarray(vectors_NW, dtype=np.float32)
    good_N = (np.abs(vectors) <= NUMBER_LIMIT).all(1)  # false for nan
    if not good_N.all():
        raise WrongUsage(f"vector {int(np.argmin(good_N))} has a number that is not finite, or beyond {NUMBER_LIMIT:g}")
    if space.metric != "cosine":
        return vectors
    precise = vectors.astype(np.float64)
    lengths = np.sqrt((precise * precise).sum(1, keepdims=True))
    if not lengths.all():
        raise WrongUsage(f"vector {int(np.argmin(lengths))} is zero: it has no angle to anything")
    unit: Array = (precise / lengths).astype(np.float32)
    return unit


def make_target(space: SearchSpace, vector_W: Array, prefer: Mapping[str, float] | None = None) -> Target:
    """A query: the vector that is looked for and the weights that are not 1.

    Raises:
        UnknownAttribute: a weight for a coordinate that the space does not have.
        WrongUsage: a weight outside [0, 1000], or as ``comparable``.
    """
    weights = np.ones(len(space.coordinates))
    for name, weight in (prefer or {}).items():
        if name not in space.coordinates:
            raise UnknownAttribute(
                f"{name!r} cannot be weighted in this space; it has: {', '.join(space.coordinates) or 'none'}"
            )
        if not 0.0 <= weight <= WEIGHT_LIMIT:
            raise WrongUsage(f"preference {weight!r} of {name!r} must be from 0 to {WEIGHT_LIMIT:g}")
        weights[space.coordinates.index(name)] = weight
    vector = comparable(space, np.asarray(vector_W)[None])[0].astype(np.float64)
    count = len(space.coordinates)
    return Target(vector[:count], vector[count:], weights)


def distances(target: Target, attributes_NA: Array, rest_NR: Array) -> Distances:
    """The distance of rows, in float64; the same row gives the same bits whatever rows are beside it."""
    along_NA = target.weights * (target.wanted - attributes_NA.astype(np.float64)) ** 2
    across_NR = target.rest - rest_NR.astype(np.float64)
    across_NR *= across_NR
    rest_N = across_NR.sum(1)  # row by row: a BLAS product would round by the row's place in the block
    return Distances(along_NA, rest_N, along_NA.sum(1) + rest_N)


def told_unit(space: SearchSpace) -> float:
    """What a distance is multiplied with before it is told to anybody: 1/2 turns |x - y|^2 into 1 - cos."""
    return 0.5 if space.metric == "cosine" else 1.0
