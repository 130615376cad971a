"""The parts of a model that ``raypipe train stargan2`` makes, together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from raypipe.backbones.stargan2 import (
    LANDMARKS_PART,
    Generator,
    Landmarks,
    MappingNetwork,
    StyleEncoder,
    landmarks_for,
    load_generator,
    load_mapping,
    load_style_encoder,
)
from raypipe.errors import ModelMismatch
from raypipe.weights import Part

GENERATOR, MAPPING, STYLE_ENCODER = "stargan2_generator", "stargan2_mapping", "stargan2_style_encoder"
PARTS = (GENERATOR, MAPPING, STYLE_ENCODER)
OPTIONAL_PARTS = (LANDMARKS_PART,)


@dataclass(frozen=True, eq=False)
class StarGAN2Networks:
    """A generator, and where its styles come from: noise and pictures. ``landmarks``: for a generator with a high-pass
    filter, which is not used without them."""

    generator: Generator
    mapping: MappingNetwork
    style_encoder: StyleEncoder
    landmarks: Landmarks | None = None

    def __post_init__(self) -> None:
        """Raises:
        ModelMismatch: the networks are of different sizes, or nothing says what the domains are of.
        """
        drawn, mapped, read = self.generator.config, self.mapping.config, self.style_encoder.config
        if (
            drawn.size != read.size
            or mapped.domains != read.domains
            or len({drawn.style_dim, mapped.style_dim, read.style_dim}) > 1
        ):
            raise ModelMismatch(
                f"generator, mapping network and style encoder do not belong together: pictures of {drawn.size} and "
                f"{read.size} px, {mapped.domains} and {read.domains} domains, "
                f"styles of {drawn.style_dim}, {mapped.style_dim} and {read.style_dim} numbers"
            )
        if not read.attributes:
            raise ModelMismatch(f"the model's style encoder does not say what its {read.domains} domains are of")

    @property
    def attributes(self) -> tuple[str, ...]:
        """Whose values are the domains."""
        return self.style_encoder.config.attributes

    @property
    def size(self) -> int:
        """Width and height of pictures."""
        return self.generator.config.size

    @property
    def style_dim(self) -> int:
        """The width of a style."""
        return self.generator.config.style_dim

    @property
    def latent_dim(self) -> int:
        """The width of the noise."""
        return self.mapping.config.latent_dim


def load_networks(parts: Mapping[str, Part], device: str | torch.device) -> StarGAN2Networks:
    """Of a bundle's parts.

    Raises:
        BadWeights: a part is of another kind, or damaged.
        ModelMismatch: as ``StarGAN2Networks``.
    """
    generator = load_generator(parts[GENERATOR], device)
    return StarGAN2Networks(
        generator,
        load_mapping(parts[MAPPING], device),
        load_style_encoder(parts[STYLE_ENCODER], device),
        landmarks_for(generator, parts, device),
    )
