"""Translations in styles of a label, of another face, or drawn by a seed. N faces, A attributes, K domains, D the width
of a style.

Source: Choi et al., StarGAN v2: Diverse Image Synthesis for Multiple Domains (CVPR 2020), section 2.1. Edits with a
strength are not of that paper: they are L2M-GAN's (Yang et al., CVPR 2021, equation 8) between whole styles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from raypipe.attributes import Edit
from raypipe.backbones.attributes import AttributeNet, load_attributes
from raypipe.backbones.stargan2 import Domains, Drawer, moves, of_domain
from raypipe.backbones.stargan2.moves import Mixture, Values, with_values
from raypipe.backbones.stargan2.references import require_faces, warn_of_others
from raypipe.blocks.columns import finite_column, pictures
from raypipe.contract import Columns, Query, SearchSpace
from raypipe.errors import ModelMismatch, UnknownAttribute, WrongUsage
from raypipe.methods.stargan_v2.networks import GENERATOR, StarGAN2Networks, load_networks
from raypipe.methods.stargan_v2.networks import PARTS as NETWORK_PARTS
from raypipe.weights import Part

STYLE = "stargan2_style"
"""Column [n,D]: what a face is drawn in; at first its own, of the domain that it is of."""

VALUES = "stargan2_values"
"""Column [n,A] of 0 and 1: which attributes a face has, as the attribute network sees it. It is the domain that
``STYLE`` is of, and what an edit of one attribute keeps of the others."""

STYLES = "stargan2_styles"
"""Column [n,K,D]: the face's style as a member of each domain, for references; edits leave it as it is."""

SPACE = "style"

PARTS = (*NETWORK_PARTS, "attributes")
"""Of a model bundle, what ``load`` takes; the attribute network sees which domain a face is of."""

PICTURE_SIZE = (GENERATOR, "size")

LABEL_SEED = 0
"""A label alone says nothing of the style: it means the one that this seed draws."""

SEEDS = 2**63


def load(parts: Mapping[str, Part], device: str | torch.device) -> StarGAN2:
    """The method with a bundle's networks.

    Raises:
        BadWeights: a part is of another kind, or damaged.
        ModelMismatch: the networks do not belong together, do not say what their domains are of, or the attribute
            network does not know that.
    """
    networks, judge = load_networks(parts, device), load_attributes(parts["attributes"], device)
    if unknown := [name for name in networks.attributes if name not in judge.names]:
        raise ModelMismatch(f"the model's attribute network does not know {', '.join(unknown)}: train one that does")
    return StarGAN2(networks, judge)


class StarGAN2:
    """Codes are styles only: what is in a picture beside its style comes from the picture itself."""

    def __init__(self, networks: StarGAN2Networks, judge: AttributeNet) -> None:
        """``judge`` knows the attributes, and maybe others."""
        self._networks, self._judge, self._domains = networks, judge, Domains(networks.attributes)
        self._places = [judge.names.index(name) for name in networks.attributes]
        self._draw = Drawer(networks.generator, networks.landmarks)
        self._like = next(networks.mapping.parameters())
        self._label_KD = self._drawn(LABEL_SEED)

    @property
    def attributes(self) -> tuple[str, ...]:
        return self._domains.attributes

    @property
    def needs(self) -> tuple[str, ...]:
        return ("image",)

    @property
    def domains(self) -> tuple[str, ...]:
        """``Smiling``, or of several attributes ``Smiling, not Male``."""
        return self._domains.names

    @property
    def samples_styles(self) -> bool:
        """Each seed is another style."""
        return True

    @property
    def spaces(self) -> Mapping[str, SearchSpace]:
        """``style``: make-up, hair, lighting and what else the networks took for style, the attributes included."""
        return {SPACE: SearchSpace(self._networks.style_dim, "l2")}

    def represent(self, inputs: Columns) -> Columns:
        """``stargan2_style``, ``stargan2_values`` and ``stargan2_styles``; styles not finite for a picture that is not.

        Raises:
            WrongUsage: ``image`` is missing, or of another size than the model's.
        """
        images = pictures(inputs, "image", self._networks.size)
        styles_NKD: Tensor = self._networks.style_encoder(images)
        values_NA = (self._judge(images)[:, self._places] > 0).to(styles_NKD)
        return {STYLE: of_domain(styles_NKD, self._domains.of_values(values_NA)), VALUES: values_NA, STYLES: styles_NKD}

    def search_vectors(self, space: str, columns: Columns) -> Tensor:
        """[n,D] float32: what faces are drawn in.

        Raises:
            WrongUsage: no such space, or a column is missing, of another shape or not finite.
        """
        if space != SPACE:
            raise WrongUsage(f"{space!r} is not a space of this method; spaces: {SPACE}")
        return self._style(columns).float()

    def query(self, space: str, columns: Columns, query: Query) -> Tensor:
        """The vectors of the faces that ``adjusted`` gives.

        Raises:
            UnknownAttribute, WrongUsage: as ``adjusted`` and ``search_vectors``.
        """
        return self.search_vectors(space, self.adjusted(columns, query))

    def adjusted(self, columns: Columns, query: Query) -> Columns:
        """``query.adjust``: from the label's style of faces without an attribute, 0, to that of faces with it, 1.

        Raises:
            UnknownAttribute: a name that this method does not have; anything preferred, displaced or taken from another
                face, for styles have no parts of single attributes.
            WrongUsage: an adjustment outside [0,1], or a column as in ``search_vectors``.
        """
        if named := [*query.prefer, *query.move, *query.references]:
            raise UnknownAttribute(f"{', '.join(named)}: styles of this method have no parts of single attributes")
        wanted = {self._domains.place(name): value for name, value in query.adjust.items()}
        if bad := {name: value for name, value in query.adjust.items() if not 0 <= value <= 1}:
            raise WrongUsage(f"adjustments must be in [0, 1], got {bad}")
        return self._moved(columns, moves.adjusted(wanted)) if wanted else columns

    def edit(self, columns: Columns, edits: Sequence[Edit]) -> Columns:
        """s + |strength| (F_y(z) - s), z of seed 0: y has the attribute where the strength is above 0, and does not
        where it is below, whatever a face has now; its other attributes stay. Strengths of the same attribute add up;
        of several attributes see ``moves``, their order does not matter.

        Raises:
            UnknownAttribute: a name that this method does not have.
            WrongUsage: a strength that is not finite, or a column as in ``search_vectors``.
        """
        strengths = moves.strengths_of(edits, self._domains)
        return self._moved(columns, moves.edited(strengths)) if strengths else columns

    def translate(
        self, columns: Columns, domain: str, *, reference: Columns | None = None, seed: int | None = None
    ) -> Columns:
        """The style of a reference as a member of ``domain``, E_y(x); or one that ``seed`` draws, F_y(z), the same for
        all faces; with neither, seed 0's.

        Warns:
            ReferenceLacksAttribute: a reference does not seem to be of that domain.

        Raises:
            WrongUsage: an unknown domain, both a reference and a seed, a seed outside [0, 2^63), references neither one
                nor as many as faces, or a column as in ``search_vectors``.
        """
        number = self._domains.number(domain)
        if reference is not None and seed is not None:
            raise WrongUsage("give a reference or a seed, or neither: a style comes from one of them")
        own_ND, values_NA = self._style(columns), self._values(columns)
        if reference is not None:
            style_ND = self._as_member(reference, number)
            require_faces(len(style_ND), len(own_ND), "the reference")
            warn_of_others(self._domains, self._values(reference), number, stacklevel=2)
        else:
            style_ND = (self._label_KD if seed is None else self._drawn(seed))[number]
        values = values_NA.new_tensor(self._domains.values(number)).expand_as(values_NA)
        return {**columns, STYLE: style_ND.expand_as(own_ND), VALUES: values}

    def render(self, columns: Columns, source: Tensor) -> Tensor:
        """The faces drawn anew in their style, G(x, s); through the high-pass filter where the model has one and a
        network that finds landmarks in ``source``.

        Raises:
            WrongUsage: ``source`` is not [n,3,s,s] with the model's s and a row for each face; or a column as in
                ``search_vectors``.
        """
        style_ND = self._style(columns)
        images = pictures({"source": source}, "source", self._networks.size)
        if len(images) != len(style_ND):
            raise WrongUsage(f"{len(style_ND)} faces are drawn from as many pictures, got {len(images)}")
        return self._draw(images, style_ND).clamp(-1, 1)

    def _drawn(self, seed: int) -> Tensor:
        """[K, D]: a style of each domain; the same on all devices, but for rounding."""
        if not 0 <= seed < SEEDS:
            raise WrongUsage(f"a seed is from 0 to 2^63 - 1, got {seed}")
        noise = torch.randn(1, self._networks.latent_dim, generator=torch.Generator().manual_seed(seed))
        styles_NKD: Tensor = self._networks.mapping(noise.to(self._like))
        return styles_NKD[0]

    def _moved(self, columns: Columns, mixture: Mixture) -> Columns:
        own_ND, values_NA = self._style(columns), self._values(columns)

        def at(changed: Values) -> Tensor:
            targets_N = self._domains.of_values(with_values(values_NA, changed))
            return self._label_KD[targets_N] if changed else own_ND

        return {**columns, STYLE: mixture.of(at), VALUES: with_values(values_NA, mixture.reached)}

    def _style(self, columns: Columns) -> Tensor:
        return finite_column(columns, STYLE, (self._networks.style_dim,)).to(self._like)

    def _values(self, columns: Columns) -> Tensor:
        return finite_column(columns, VALUES, (len(self.attributes),)).to(self._like)

    def _as_member(self, columns: Columns, domain: int) -> Tensor:
        styles_NKD = finite_column(columns, STYLES, (len(self._domains), self._networks.style_dim))
        return styles_NKD[:, domain].to(self._like)
