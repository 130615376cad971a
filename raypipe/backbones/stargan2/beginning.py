"""Networks before their first step: with another model's weights, as far as those do not depend on its domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from raypipe.backbones.stargan2.config import GeneratorConfig, MappingConfig, StyleEncoderConfig
from raypipe.backbones.stargan2.domains import Domains
from raypipe.backbones.stargan2.generator import Generator
from raypipe.backbones.stargan2.mapping import MappingNetwork
from raypipe.backbones.stargan2.parts import (
    DISCRIMINATOR_KIND,
    GENERATOR_KIND,
    LANDMARKS_PART,
    MAPPING_KIND,
    STYLE_ENCODER_KIND,
)
from raypipe.backbones.stargan2.readers import Discriminator, StyleEncoder
from raypipe.backbones.stargan2.training_config import Config
from raypipe.contract import DataFacts
from raypipe.errors import WrongUsage
from raypipe.weights import Part

BRANCHES = ("unshared.",)
"""What names of tensors begin with, of style encoders and mapping networks, that are of single domains."""


class Styled(nn.Module):
    """The networks that are averaged: pictures in a style, and where styles come from."""

    def __init__(self, config: Config, size: int, domains: Domains) -> None:
        super().__init__()
        widths = {"size": size, "first_width": config.first_width, "max_width": config.max_width}
        self.generator = Generator(GeneratorConfig(**widths, style_dim=config.style_dim, high_pass=config.high_pass))
        self.style_encoder = StyleEncoder(
            StyleEncoderConfig(
                **widths, style_dim=config.style_dim, domains=len(domains), attributes=domains.attributes
            )
        )
        self.mapping = MappingNetwork(
            MappingConfig(
                latent_dim=config.latent_dim, style_dim=config.style_dim, domains=len(domains), hidden=config.hidden
            )
        )


def require_labels(attributes: Sequence[str], data: DataFacts) -> None:
    """Raises:
    WrongUsage: the data lack an attribute.
    """
    if missing := [name for name in attributes if name not in data.attributes]:
        raise WrongUsage(
            f"the data has no label {', '.join(missing)} with faces of 0 and faces of 1; it has: "
            f"{', '.join(data.attributes) or 'none'}"
        )


def require_landmarks(high_pass: float, parts: Mapping[str, Part]) -> None:
    """Raises:
    WrongUsage: a high-pass filter, and nothing to make its masks.
    """
    if high_pass and LANDMARKS_PART not in parts:
        raise WrongUsage(
            f"the masks of a high-pass filter (high_pass={high_pass:g}) need a network of face landmarks: give a model "
            f"with a part {LANDMARKS_PART!r} (from: raypipe weights import, of a StarGAN v2 checkpoint that has one); "
            f"parts: {', '.join(parts) or 'none'}"
        )


def begin_with(parts: Mapping[str, Part], styled: Styled, discriminator: Discriminator) -> None:
    """A model's networks, but for those of single domains where its domains are others.

    Raises:
        WrongUsage: no generator among the parts, or networks of other sizes.
    """
    if GENERATOR_KIND not in parts:
        raise WrongUsage(
            f"a warm start needs a model with a part {GENERATOR_KIND!r}; parts: {', '.join(parts) or 'none'}"
        )
    take(styled.generator, parts[GENERATOR_KIND].tensors, but=())
    if STYLE_ENCODER_KIND not in parts:
        return
    is_same = tuple(parts[STYLE_ENCODER_KIND].config["attributes"]) == styled.style_encoder.config.attributes
    branches, last = ((), ()) if is_same else (BRANCHES, of_domains(discriminator))
    for network, kind, but in (
        (styled.style_encoder, STYLE_ENCODER_KIND, branches),
        (styled.mapping, MAPPING_KIND, branches),
        (discriminator, DISCRIMINATOR_KIND, last),
    ):
        if kind in parts:
            take(network, parts[kind].tensors, but=but)


def of_domains(discriminator: Discriminator) -> tuple[str, ...]:
    """The same of a discriminator: its last layer."""
    return (f"main.{len(discriminator.main) - 1}.",)


def take(network: nn.Module, given: Mapping[str, Tensor], *, but: tuple[str, ...]) -> None:
    """Other weights, but for tensors whose names begin so: those stay as they are.

    Raises:
        WrongUsage: networks of other sizes.
    """
    own = network.state_dict()
    kept = {name: tensor for name, tensor in own.items() if name.startswith(but)}
    taken = {name: tensor for name, tensor in given.items() if not name.startswith(but)}
    if {name: x.shape for name, x in taken.items()} != {name: x.shape for name, x in own.items() if name not in kept}:
        raise WrongUsage(
            f"a warm start needs networks of the sizes of those that are given: {type(network).__name__}'s differ; "
            "see first_width, max_width, style_dim, high_pass and the pictures' size"
        )
    network.load_state_dict({**taken, **kept})
