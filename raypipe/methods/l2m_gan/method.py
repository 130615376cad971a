"""Edits by label and by reference, translations, search. N faces, A attributes, K domains, D the width of a style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from raypipe.attributes import Edit
from raypipe.backbones.attributes import AttributeNet, load_attributes
from raypipe.backbones.stargan2 import LANDMARKS_PART, Drawer, Landmarks, landmarks_for, of_domain
from raypipe.backbones.stargan2.moves import strengths_of
from raypipe.backbones.stargan2.references import require_faces, warn_of_others
from raypipe.blocks.columns import finite_column, pictures
from raypipe.contract import Columns, Query, SearchSpace
from raypipe.errors import ModelMismatch, UnknownAttribute, WrongUsage
from raypipe.methods.l2m_gan.codes import Codes, StyleSpace
from raypipe.methods.l2m_gan.networks import L2MGAN, load_l2m
from raypipe.weights import Part

UNRELATED, RELATED = "l2m_un", "l2m_re"
"""Columns [n,D]: s_un, and s_re of the combination of all attributes. A face is drawn in their sum."""

VALUES = "l2m_values"
"""Column [n,A] of 0 and 1: which attributes a face has, as the attribute network sees it. It is the domain that styles
are of, and what an edit of one attribute keeps of the others."""

STYLES = "l2m_styles"
"""Column [n,K,D]: the face's style as a member of each domain, SE_y(x); edits leave it as it is."""

ALL_BUT = "all_but_"
"""What the name of a space begins with that an attribute does not matter in."""

PARTS = ("l2m_gan", "attributes")
"""Of a model bundle, what ``load`` takes; the attribute network sees which domain a face is of."""

PICTURE_SIZE = ("l2m_gan", "size")

OPTIONAL_PARTS = (LANDMARKS_PART,)
"""What it takes as well where a bundle has it: with a high-pass filter, faces keep their detail there."""


def load(parts: Mapping[str, Part], device: str | torch.device) -> L2M:
    """The method with a bundle's networks.

    Raises:
        BadWeights: a part is of another kind, or damaged.
        ModelMismatch: the attribute network does not know an attribute.
    """
    network, judge = load_l2m(parts["l2m_gan"], device), load_attributes(parts["attributes"], device)
    if unknown := [name for name in network.config.attributes if name not in judge.names]:
        raise ModelMismatch(f"the model's attribute network does not know {', '.join(unknown)}: train one that does")
    return L2M(network, judge, landmarks_for(network.generator, parts, device))


class L2M:
    """Codes are styles only: what is in a picture beside its style comes from the picture itself."""

    def __init__(self, network: L2MGAN, judge: AttributeNet, landmarks: Landmarks | None = None) -> None:
        """``judge`` knows the attributes, and maybe others. ``landmarks``: for a generator with a high-pass filter,
        which is not used without them."""
        self._network, self._judge, self._domains = network, judge, network.domains
        self._places = [judge.names.index(name) for name in self._domains.attributes]
        self._space = StyleSpace(network.domains, network.transformer)
        self._draw = Drawer(network.generator, landmarks)
        self._like = next(network.parameters())

    @property
    def attributes(self) -> tuple[str, ...]:
        return self._domains.attributes

    @property
    def size(self) -> int:
        """Width and height of the pictures that it takes and draws."""
        return self._network.config.size

    @property
    def needs(self) -> tuple[str, ...]:
        return ("image",)

    @property
    def domains(self) -> tuple[str, ...]:
        """``Smiling``, or of several attributes ``Smiling, not Male``."""
        return self._domains.names

    @property
    def samples_styles(self) -> bool:
        """A label gives each face one style."""
        return False

    @property
    def spaces(self) -> Mapping[str, SearchSpace]:
        """For each attribute two: ``all_but_Smiling``, the person and everything else, and ``Smiling``, this kind of
        smile or of not smiling."""
        width = self._network.config.style_dim
        names = [name for attribute in self.attributes for name in (ALL_BUT + attribute, attribute)]
        return {name: SearchSpace(width, "l2") for name in names}

    def represent(self, inputs: Columns) -> Columns:
        """``l2m_un``, ``l2m_re``, ``l2m_values`` and ``l2m_styles``; not finite for a picture that is not.

        Raises:
            WrongUsage: ``image`` is missing, or of another size than the model's.
        """
        images = pictures(inputs, "image", self._network.config.size)
        styles_NKD: Tensor = self._network.style_encoder(images)
        values_NA = (self._judge(images)[:, self._places] > 0).to(styles_NKD)
        own_ND = of_domain(styles_NKD, self._domains.of_values(values_NA))
        unrelated, related = self._network.transformer.decompose(own_ND)
        return {UNRELATED: unrelated, RELATED: related, VALUES: values_NA, STYLES: styles_NKD}

    def search_vectors(self, space: str, columns: Columns) -> Tensor:
        """[n,D] float32: of the space of an attribute its part of the style, of ``all_but_`` what is left without it.

        Raises:
            WrongUsage: no such space, or a column is missing, of another shape or not finite.
        """
        if space not in self.spaces:
            raise WrongUsage(f"{space!r} is not a space of this method; spaces: {', '.join(self.spaces)}")
        others_ND, own_ND = self._space.apart(self._codes(columns), self._domains.place(space.removeprefix(ALL_BUT)))
        return (others_ND if space.startswith(ALL_BUT) else own_ND).float()

    def query(self, space: str, columns: Columns, query: Query) -> Tensor:
        """The vectors of the faces that ``adjusted`` gives.

        Raises:
            UnknownAttribute, WrongUsage: as ``adjusted`` and ``search_vectors``.
        """
        return self.search_vectors(space, self.adjusted(columns, query))

    def adjusted(self, columns: Columns, query: Query) -> Columns:
        """``query.references``: an attribute's part of the style becomes that of another face. Then ``query.adjust``:
        0 is DT's style of faces without the attribute, 1 of faces with it.

        Raises:
            UnknownAttribute: a name that this method does not have; anything preferred or displaced, for these spaces
                have no coordinates.
            WrongUsage: an adjustment outside [0,1], or a column as in ``search_vectors``.
        """
        if named := [*query.prefer, *query.move]:
            raise UnknownAttribute(f"{', '.join(named)}: the spaces of this method have no coordinates of attributes")
        wanted = {self._domains.place(name): value for name, value in query.adjust.items()}
        if bad := {name: value for name, value in query.adjust.items() if not 0 <= value <= 1}:
            raise WrongUsage(f"adjustments must be in [0, 1], got {bad}")
        if not wanted and not query.references:
            return columns
        codes = self._codes(columns)
        for name, reference in query.references.items():
            codes = self._with_part_of(codes, reference, self._domains.place(name))
        return _replaced(columns, self._space.adjusted(codes, wanted))

    def edit(self, columns: Columns, edits: Sequence[Edit]) -> Columns:
        """Equation 8: a strength of 1 is the whole way to having the attribute, -1 to not having it, whatever a face
        has now; more than 1 goes beyond. Strengths of the same attribute add up, and their order does not matter.

        Raises:
            UnknownAttribute: a name that this method does not have.
            WrongUsage: a strength that is not finite, or a column as in ``search_vectors``.
        """
        strengths = strengths_of(edits, self._domains)
        return _replaced(columns, self._space.edited(self._codes(columns), strengths)) if strengths else columns

    def translate(
        self, columns: Columns, domain: str, *, reference: Columns | None = None, seed: int | None = None
    ) -> Columns:
        """Equation 1 by the label, equation 10 by a reference: s_un of the faces, s_re of the reference, both of them
        as members of ``domain`` (``L2MConfig.own_branch``: the faces as of their own).

        Warns:
            ReferenceLacksAttribute: a reference does not seem to be of that domain.

        Raises:
            WrongUsage: an unknown domain, a seed, references neither one nor as many as faces, or a column as in
                ``search_vectors``.
        """
        number = self._domains.number(domain)
        if seed is not None:
            raise WrongUsage("this method draws no styles: translate by the label alone, or give a reference")
        codes = self._codes(columns)
        if reference is None:
            return _replaced(columns, self._space.translated(codes, number))
        given = self._codes(reference)
        require_faces(len(given.related), len(codes.related), "the reference")
        warn_of_others(self._domains, given.values, number, stacklevel=2)
        unrelated = codes.unrelated
        if not self._network.config.own_branch:
            unrelated, _ = self._as_member(columns, number)
        _, related = self._as_member(reference, number)
        values = codes.values.new_tensor(self._domains.values(number)).expand_as(codes.values)
        return _replaced(columns, Codes(unrelated, related.expand_as(unrelated), values))

    def render(self, columns: Columns, source: Tensor) -> Tensor:
        """Equation 9: the faces drawn anew in their style, G(x, s_un + s_re); through the high-pass filter, which the
        paper does not mention, where the model has one and a network that finds landmarks in ``source``.

        Raises:
            WrongUsage: ``source`` is not [n,3,s,s] with the model's s and a row for each face; or a column as in
                ``search_vectors``.
        """
        style_ND = self._codes(columns).style
        images = pictures({"source": source}, "source", self._network.config.size)
        if len(images) != len(style_ND):
            raise WrongUsage(f"{len(style_ND)} faces are drawn from as many pictures, got {len(images)}")
        return self._draw(images, style_ND).clamp(-1, 1)

    def _codes(self, columns: Columns) -> Codes:
        width = self._network.config.style_dim
        values = finite_column(columns, VALUES, (len(self.attributes),))
        unrelated, related = (finite_column(columns, name, (width,)) for name in (UNRELATED, RELATED))
        return Codes(unrelated.to(self._like), related.to(self._like), values.to(self._like))

    def _as_member(self, columns: Columns, domain: int) -> tuple[Tensor, Tensor]:
        """s_un and s_re of the faces as members of a domain."""
        styles = finite_column(columns, STYLES, (len(self._domains), self._network.config.style_dim))
        return self._network.transformer.decompose(styles[:, domain].to(self._like))

    def _with_part_of(self, codes: Codes, reference: Columns, place: int) -> Codes:
        given = self._codes(reference)
        require_faces(len(given.related), len(codes.related), f"the reference for {self.attributes[place]}")
        others_ND, _ = self._space.apart(codes, place)
        _, taken_ND = self._space.apart(given, place)
        values = codes.values.clone()
        values[:, place] = given.values[:, place]
        return Codes(codes.unrelated, others_ND + taken_ND - codes.unrelated, values)


def _replaced(columns: Columns, codes: Codes) -> Columns:
    return {**columns, UNRELATED: codes.unrelated, RELATED: codes.related, VALUES: codes.values}
