"""Search and edits along the directions. N faces, L layers, D their width, P = L x D, A attributes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from raypipe.attributes import Edit
from raypipe.backbones.stylegan2 import load_generator
from raypipe.blocks.columns import column, finite_column
from raypipe.contract import Columns, Query, SearchSpace
from raypipe.errors import ModelMismatch, UnknownAttribute, WrongUsage
from raypipe.methods.sparse_directions.directions import Directions, read_directions
from raypipe.methods.sparse_directions.distance import decompose
from raypipe.methods.sparse_directions.ranges import wanted_projection
from raypipe.weights import Part

PROJECTIONS = "attribute_projections"
"""The column that is stored for every face: F^T w, float32 [n,A]."""

PREFERENCE_LIMIT = 1000.0

PARTS = ("sparse_directions", "generator")
"""Of a model bundle, what ``load`` takes."""


def load(parts: Mapping[str, Part], device: str | torch.device) -> SparseDirections:
    """The method with a bundle's directions and the generator whose codes they are directions of.

    Raises:
        BadWeights: the part holds no directions.
        ModelMismatch: the generator's codes have another shape.
    """
    directions = read_directions(parts["sparse_directions"]).to(device)
    generator = load_generator(parts["generator"], device)
    shape = (generator.num_layers, generator.config.style_dim)
    if shape != directions.code_shape:
        raise ModelMismatch(f"directions for codes of {directions.code_shape}, but the generator's are {shape}")
    return SparseDirections(directions, generator.synthesis)


class SparseDirections:
    """``synthesis``: codes [n,L,D] -> pictures [n,3,h,w]. The constant noise maps are its own: no noise is drawn."""

    def __init__(self, directions: Directions, synthesis: Callable[[Tensor], Tensor]) -> None:
        self._directions = directions
        self._synthesis = synthesis

    @property
    def attributes(self) -> tuple[str, ...]:
        return self._directions.attributes

    @property
    def needs(self) -> tuple[str, ...]:
        return ("w_plus",)

    @property
    def spaces(self) -> Mapping[str, SearchSpace]:
        """``w_plus``: equation 3 over [F^T w, w - F F^T w]. ``attributes``: its first term alone, over F^T w."""
        count, width = self._directions.vectors.shape
        return {
            "w_plus": SearchSpace(count + width, "weighted_l2", self.attributes),
            "attributes": SearchSpace(count, "weighted_l2", self.attributes),
        }

    def represent(self, inputs: Columns) -> Columns:
        """``attribute_projections`` [n,A] float32; not finite for a face whose code is not.

        Raises:
            WrongUsage: ``w_plus`` is missing, or of another shape.
        """
        # One broken face must not stop the encoding of the others: whoever encodes marks it.
        codes = column(inputs, "w_plus", self._directions.code_shape)
        return {PROJECTIONS: codes.flatten(1).to(self._directions.vectors) @ self._directions.vectors.T}

    def search_vectors(self, space: str, columns: Columns) -> Tensor:
        """[n,width] float32: the named projections first, then, in ``w_plus``, what is left of the code.

        Raises:
            WrongUsage: no such space, or a column is missing, of another shape or not finite.
        """
        if space == "attributes":
            return self._projections(columns)
        if space == "w_plus":
            return torch.cat(decompose(self._directions.vectors, self._codes(columns)), dim=1)
        raise WrongUsage(f"{space!r} is not a space of this method; spaces: {', '.join(self.spaces)}")

    def query(self, space: str, columns: Columns, query: Query) -> Tensor:
        """The same vectors, the adjusted attributes' own projections replaced by T's (after equation 4).

        ``query.adjust``: 0 (the least of all training faces) to 1 (the most); ``query.move`` is added to a projection;
        attributes that are not named keep their own. ``query.prefer``: 0 to 1000, 1 where not named; checked here,
        applied by whoever compares, as the weights of the space's coordinates.

        Raises:
            UnknownAttribute: a name that this method does not have.
            WrongUsage: a number outside its range, an attribute both adjusted and moved, references, or as
                ``search_vectors``.
        """
        self._check_query(query)
        # The directions are orthonormal: along one of them only its own projection changes, and nothing of the rest.
        vectors_NW, count = self.search_vectors(space, columns), len(self.attributes)
        return torch.cat([self._wanted(vectors_NW[:, :count], query), vectors_NW[:, count:]], dim=1)

    def adjusted(self, columns: Columns, query: Query) -> Columns:
        """The codes moved along the directions, until their projections are those that ``query`` gives.

        Raises:
            UnknownAttribute, WrongUsage: as ``query``.
        """
        self._check_query(query)
        if not query.adjust and not query.move:
            return columns
        codes_NP, vectors_AP = self._codes(columns), self._directions.vectors
        projections_NA = codes_NP @ vectors_AP.T
        return self._moved(columns, codes_NP + (self._wanted(projections_NA, query) - projections_NA) @ vectors_AP)

    def edit(self, columns: Columns, edits: Sequence[Edit]) -> Columns:
        """Move the codes along the directions. Strength 1 is half of the training faces' range, the way from the middle
        of T's scale to its end (for imported directions: the vector in the file). Their order does not matter.

        Raises:
            UnknownAttribute: a name that this method does not have.
            WrongUsage: a strength that is not finite, or ``w_plus`` missing, of another shape or not finite.
        """
        if not edits:
            return columns
        self._check_names([edit.attribute for edit in edits])
        _check_numbers("strength", {edit.attribute: edit.strength for edit in edits}, -math.inf, math.inf)
        # Exactly rounded sums: the same bits in whatever order the edits come.
        strengths = [math.fsum(edit.strength for edit in edits if edit.attribute == name) for name in self.attributes]
        codes_NP, vectors_AP = self._codes(columns), self._directions.vectors
        step_P = (codes_NP.new_tensor(strengths) * self._directions.units) @ vectors_AP
        return self._moved(columns, codes_NP + step_P)

    def render(self, columns: Columns, source: Tensor) -> Tensor:
        """The generator's picture of the codes; they carry everything, so ``source`` is not looked at."""
        codes_NP = self._codes(columns)
        return self._synthesis(codes_NP.reshape(-1, *self._directions.code_shape)).clamp(-1, 1)

    def _moved(self, columns: Columns, codes_NP: Tensor) -> Columns:
        moved = {**columns, "w_plus": codes_NP.reshape(-1, *self._directions.code_shape)}
        return {**moved, **self.represent(moved)}

    def _wanted(self, projections_NA: Tensor, query: Query) -> Tensor:
        """Projections as they are to be: T's where adjusted, farther where moved."""
        wanted_NA, lowest_A, highest_A = projections_NA.clone(), self._directions.lowest, self._directions.highest
        for place, name in enumerate(self.attributes):
            if name in query.adjust:
                wanted_NA[:, place] = wanted_projection(
                    query.adjust[name], lowest_A[place].item(), highest_A[place].item()
                )
            elif name in query.move:
                wanted_NA[:, place] += query.move[name]
        return wanted_NA

    def _codes(self, columns: Columns) -> Tensor:
        codes = finite_column(columns, "w_plus", self._directions.code_shape)
        return codes.flatten(1).to(self._directions.vectors)

    def _projections(self, columns: Columns) -> Tensor:
        projections = finite_column(columns, PROJECTIONS, (len(self.attributes),))
        return projections.to(self._directions.vectors)

    def _check_query(self, query: Query) -> None:
        if query.references:
            raise WrongUsage(f"this method takes no reference faces, got some for: {', '.join(query.references)}")
        self._check_names([*query.adjust, *query.move, *query.prefer])
        if twice := set(query.adjust) & set(query.move):
            raise WrongUsage(f"{', '.join(sorted(twice))}: adjusted and moved; only one can be meant")
        _check_numbers("adjustment", query.adjust, 0.0, 1.0)
        _check_numbers("displacement", query.move, -math.inf, math.inf)
        _check_numbers("preference", query.prefer, 0.0, PREFERENCE_LIMIT)

    def _check_names(self, names: Sequence[str]) -> None:
        unknown = [name for name in names if name not in self.attributes]
        if unknown:
            raise UnknownAttribute(f"{', '.join(unknown)}: unknown; this method has: {', '.join(self.attributes)}")


def _check_numbers(what: str, numbers: Mapping[str, float], least: float, most: float) -> None:
    for name, number in numbers.items():
        if not (math.isfinite(number) and least <= number <= most):
            raise WrongUsage(f"{what} {number!r} of {name!r} must be a finite number from {least:g} to {most:g}")
