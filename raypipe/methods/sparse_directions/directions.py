"""What is stored of this method: orthonormal directions, and what the training faces look like along them.

A attributes, P = L x D numbers of a code.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from raypipe.errors import BadWeights
from raypipe.weights import Part

KIND = "sparse_directions"

ORTHONORMAL_WITHIN = 1e-4


@dataclass(frozen=True, eq=False)
class Directions:
    """All tensors are float32.

    Attributes:
        attributes: A names.
        code_shape: L and D.
        vectors: [A,P], orthonormal rows; along row m, attribute m becomes more.
        biases: [A]; a face w is taken to have attribute m where vectors[m] . w + biases[m] > 0.
        lowest, highest: [A], the range of vectors @ w over the training faces, a_min and a_max of the paper.
        units: [A], how far an edit of strength 1 goes, above 0.
    """

    attributes: tuple[str, ...]
    code_shape: tuple[int, int]
    vectors: Tensor
    biases: Tensor
    lowest: Tensor
    highest: Tensor
    units: Tensor

    def to(self, device: str | torch.device) -> Directions:
        """The same on another device."""
        moved = {name: getattr(self, name).to(device) for name in _TENSORS}
        return dataclasses.replace(self, **moved)


_TENSORS = ("vectors", "biases", "lowest", "highest", "units")


def directions_part(directions: Directions) -> Part:
    """What a bundle stores."""
    layers, width = directions.code_shape
    config = {"attributes": list(directions.attributes), "num_layers": layers, "style_dim": width}
    tensors = {name: getattr(directions, name) for name in _TENSORS}
    return Part(KIND, config, tensors)


def read_directions(part: Part) -> Directions:
    """What ``directions_part`` wrote.

    Raises:
        BadWeights: another kind, missing or misshapen tensors, vectors that are not orthonormal, or numbers that
            cannot be meant.
    """
    if part.kind != KIND:
        raise BadWeights(f"a part of kind {part.kind!r} is not {KIND!r}")
    try:
        attributes = tuple(str(name) for name in part.config["attributes"])
        code_shape = (int(part.config["num_layers"]), int(part.config["style_dim"]))
        tensors = {name: part.tensors[name].float() for name in _TENSORS}
    except (KeyError, TypeError, ValueError) as error:
        raise BadWeights(f"{KIND}: not this method's directions: {error!r}") from error
    directions = Directions(attributes, code_shape, **tensors)
    problems = _problems(directions)
    if problems:
        raise BadWeights(f"{KIND}: {'; '.join(problems)}")
    return directions


def _problems(directions: Directions) -> list[str]:
    count, width = len(directions.attributes), directions.code_shape[0] * directions.code_shape[1]
    shapes = {name: tuple(getattr(directions, name).shape) for name in _TENSORS}
    wanted = {name: (count, width) if name == "vectors" else (count,) for name in _TENSORS}
    wrong = [
        f"{name} is {list(shapes[name])} instead of {list(wanted[name])}"
        for name in _TENSORS
        if shapes[name] != wanted[name]
    ]
    if wrong or not count:
        return wrong or ["no attributes"]
    if not all(bool(torch.isfinite(getattr(directions, name)).all()) for name in _TENSORS):
        return ["numbers that are not finite"]
    vectors = directions.vectors.double()
    away = (vectors @ vectors.T - torch.eye(count, dtype=vectors.dtype, device=vectors.device)).abs().max().item()
    return [
        told
        for told, is_wrong in (
            ("an attribute is named twice", len(set(directions.attributes)) != count),
            (f"the vectors are not orthonormal (by {away:.1e})", away > ORTHONORMAL_WITHIN),
            ("a range ends before it begins", bool((directions.highest < directions.lowest).any())),
            ("a unit is not above 0", bool((directions.units <= 0).any())),
        )
        if is_wrong
    ]
