"""Search by single features of faces, and transfer of them. N faces, C style channels, S spaces, d numbers stored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from raypipe.attributes import Edit
from raypipe.backbones.stylegan2 import Generator, load_generator
from raypipe.blocks.columns import column, finite_column
from raypipe.contract import Columns, Query, SearchSpace
from raypipe.errors import UnknownAttribute, WrongUsage
from raypipe.methods.retrieve_in_style.catalogue import (
    Catalogue,
    read_catalogue,
    require_generator,
    transferable,
)
from raypipe.methods.retrieve_in_style.lens import FacesSeen, GeneratorView, Lens
from raypipe.methods.retrieve_in_style.spaces import reduced
from raypipe.methods.retrieve_in_style.transfer import Step, transferred
from raypipe.weights import Part

FEATURE_STYLES = "feature_styles"
"""The column that is stored for every face, [n,S,d]: what ``spaces.reduced`` leaves of the vectors v_k."""

STYLES = "styles"
"""A column that only transfers add, [n,C]: style coefficients that no code in W+ gives."""

FACE = ("eyes", "nose", "mouth")
"""A picture without any of these, of those that a catalogue has, shows no face."""

PARTS = ("retrieve_in_style", "generator")
"""Of a model bundle, what ``load`` takes."""


def load(parts: Mapping[str, Part], device: str | torch.device) -> RetrieveInStyle:
    """The method with a bundle's catalogue and the generator that it is of.

    Raises:
        BadWeights: the part holds no catalogue.
        ModelMismatch: it is another generator's.
    """
    catalogue = read_catalogue(parts["retrieve_in_style"])
    generator = load_generator(parts["generator"], device)
    require_generator(catalogue, parts["generator"], generator)
    return RetrieveInStyle(catalogue.to(device), generator)


class RetrieveInStyle:
    """The generator's own noise maps are used, so the same code always is the same face."""

    def __init__(self, catalogue: Catalogue, generator: Generator) -> None:
        self._catalogue, variant = catalogue, catalogue.variant
        self._code_shape = (generator.num_layers, generator.config.style_dim)
        self._view = GeneratorView(generator, entry=catalogue.grounds.entry, squared=variant.squared)
        self._lens = Lens(self._view, catalogue.centres, catalogue.features, variant)

    @property
    def attributes(self) -> tuple[str, ...]:
        """None: features come from other faces."""
        return ()

    @property
    def features(self) -> tuple[str, ...]:
        """What ``transfer`` can take from another face."""
        return transferable(self._catalogue.features)

    @property
    def usual_strength(self) -> float:
        """Alpha of the paper's experiments."""
        return 1.3

    @property
    def needs(self) -> tuple[str, ...]:
        return ("w_plus",)

    @property
    def spaces(self) -> Mapping[str, SearchSpace]:
        """One for each feature; the last number is 1 where the face has no channel for it, and 0 elsewhere."""
        width = self._catalogue.axes.shape[1] + 1
        return {name: SearchSpace(width, "cosine") for name in self._catalogue.spaces}

    def represent(self, inputs: Columns) -> Columns:
        """``feature_styles`` [n,S,d] float32; not finite for a face whose code is not.

        Raises:
            WrongUsage: ``w_plus`` is missing, or of another shape.
        """
        # One broken face must not stop the encoding of the others: whoever encodes marks it.
        codes = column(inputs, "w_plus", self._code_shape)
        return {FEATURE_STYLES: reduced(self.full_vectors(codes), self._catalogue.axes)}

    def full_vectors(self, w_plus_NLD: Tensor) -> Tensor:
        """Equation 7 before it is reduced, [n,S,C]: v_k for each space."""
        return self._lens.vectors(self._view.styles(w_plus_NLD), self._catalogue.statistics)

    def search_vectors(self, space: str, columns: Columns) -> Tensor:
        """[n,d+1] float32, of length 1.

        Raises:
            WrongUsage: no such space, or ``feature_styles`` is missing, of another shape or not finite.
        """
        place = self._place(space)
        stored_NSd = finite_column(columns, FEATURE_STYLES, tuple(self._catalogue.axes.shape[:2]))
        return _comparable(stored_NSd[:, place].float())

    def whole_vectors(self, space: str, columns: Columns) -> Tensor:
        """Equation 7, before anything is left out: [n,C+1] float32, of length 1. Takes the generator.

        Raises:
            WrongUsage: no such space, or ``w_plus`` is missing, of another shape or not finite.
        """
        place = self._place(space)
        codes = finite_column(columns, "w_plus", self._code_shape)
        return _comparable(torch.cat([self.full_vectors(some)[:, place] for some in self._view.batches(codes)]))

    def query(self, space: str, columns: Columns, query: Query) -> Tensor:
        """The same vectors; where ``query.references`` has a face for the feature, that face's.

        Raises:
            UnknownAttribute: an adjustment, displacement or preference, or a reference for something else.
            WrongUsage: as ``search_vectors``.
        """
        self._check_query(query)
        vectors = self.search_vectors(space, query.references.get(space, columns))
        return vectors.expand(len(next(iter(columns.values()))), -1)

    def adjusted(self, columns: Columns, query: Query) -> Columns:
        """The face with the references' features.

        Raises:
            UnknownAttribute: as ``query``.
            WrongUsage: as ``transfer``.
        """
        self._check_query(query)
        return self.transfer(columns, query.references, {})

    def edit(self, columns: Columns, edits: Sequence[Edit]) -> Columns:
        """Raises:
        UnknownAttribute: anything is to be edited.
        """
        if edits:
            named = ", ".join(edit.attribute for edit in edits)
            raise UnknownAttribute(f"{named}: this method has no attributes; it transfers {', '.join(self.features)}")
        return columns

    def transfer(self, columns: Columns, references: Mapping[str, Columns], strengths: Mapping[str, float]) -> Columns:
        """Equation 6: features of other faces. What is not asked for stays; strength 0 changes no bit.

        Args:
            columns: the faces that get them: ``w_plus`` [n,L,D], or ``styles`` of an earlier transfer.
            references: the same, [n or 1, ...], of the face that gives, by feature.
            strengths: alpha by feature; 1.3, the paper's, where not named. Between 0 and 1 some of the reference's,
                above 1 more than it has, below 0 the contrary.

        Returns:
            The columns with ``styles`` [n,C]; without references as they are.

        Raises:
            UnknownAttribute: a feature that the catalogue does not have, or a strength without a reference.
            WrongUsage: a strength that is not finite, codes missing, of another shape or not finite, or a reference in
                which no face is seen.
        """
        self._check_features(references)
        if unused := sorted(set(strengths) - set(references)):
            raise UnknownAttribute(f"a strength for {', '.join(unused)}, but no reference")
        if not references:
            return columns
        source = self._lens.see(self._styles(columns))
        steps = []
        for feature, reference in references.items():
            given = self._lens.see(self._styles(reference))
            self._require_face(feature, given, len(source.styles))
            strength = strengths.get(feature, self.usual_strength)
            if not math.isfinite(strength):
                raise WrongUsage(f"strength {strength!r} of {feature!r} must be a finite number")
            steps.append(Step(self._lens.pair(feature, source, given), given.styles, strength))
        changed = transferred(source.styles, steps, keep_length=self._catalogue.variant.keep_length)
        moved = {name: column for name, column in columns.items() if name != FEATURE_STYLES}
        return {**moved, STYLES: changed}

    def render(self, columns: Columns, source: Tensor) -> Tensor:
        """The generator's picture of ``styles``, where there are any, or of ``w_plus``; ``source`` is not looked at."""
        return self._view.picture(self._styles(columns)).clamp(-1, 1)

    def _place(self, space: str) -> int:
        if space not in self.spaces:
            raise WrongUsage(f"{space!r} is not a space of this method; spaces: {', '.join(self.spaces)}")
        return self._catalogue.spaces.index(space)

    def _require_face(self, feature: str, given: FacesSeen, faces: int) -> None:
        if len(given.styles) not in (1, faces):
            told = f"{len(given.styles)} references of {feature} for {faces} faces"
            raise WrongUsage(f"{told}: give one, or one for each")
        names = tuple(self._catalogue.features)
        wanted = (feature,) if feature in FACE else tuple(name for name in FACE if name in names)
        is_there_N = given.is_there[:, [names.index(name) for name in wanted]].any(1)
        if wanted and not bool(is_there_N.all()):
            row = int((~is_there_N).nonzero()[0])
            raise WrongUsage(
                f"the reference for {feature} shows no {' or '.join(wanted)} (row {row}): is there a face in it?"
            )

    def _styles(self, columns: Columns) -> Tensor:
        if STYLES in columns:
            return finite_column(columns, STYLES, (self._view.layout.channels,))
        return self._view.styles(finite_column(columns, "w_plus", self._code_shape))

    def _check_query(self, query: Query) -> None:
        if named := [*query.adjust, *query.move, *query.prefer]:
            raise UnknownAttribute(f"{', '.join(named)}: this method has no attributes that can be asked for")
        self._check_features(query.references)

    def _check_features(self, named: Mapping[str, Columns]) -> None:
        if unknown := [name for name in named if name not in self.features]:
            raise UnknownAttribute(f"{', '.join(unknown)}: unknown; this model's features: {', '.join(self.features)}")


def _comparable(vectors_Nd: Tensor) -> Tensor:
    """[n,d+1] of length 1; the last number is 1 where all others are 0: the face has no channel for the feature."""
    is_missing_N = (vectors_Nd == 0).all(1, keepdim=True)
    return functional.normalize(torch.cat([vectors_Nd, is_missing_N.to(vectors_Nd)], dim=1), dim=1)
