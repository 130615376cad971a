"""Networks <-> parts of a model bundle."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from raypipe.backbones.stargan2.config import (
    DiscriminatorConfig,
    GeneratorConfig,
    MappingConfig,
    StyleEncoderConfig,
)
from raypipe.backbones.stargan2.generator import Generator
from raypipe.backbones.stargan2.landmarks import Landmarks, LandmarksConfig
from raypipe.backbones.stargan2.mapping import MappingNetwork
from raypipe.backbones.stargan2.readers import Discriminator, StyleEncoder
from raypipe.blocks.loading import load_network
from raypipe.config import as_dict
from raypipe.weights import Part

GENERATOR_KIND = "stargan2_generator"
MAPPING_KIND = "stargan2_mapping"
STYLE_ENCODER_KIND = "stargan2_style_encoder"
DISCRIMINATOR_KIND = "stargan2_discriminator"
LANDMARKS_KIND = "stargan2_landmarks"

LANDMARKS_PART = "stargan2_landmarks"
"""The name of this part in a bundle, whichever method's generator it is for."""


def generator_part(generator: Generator) -> Part:
    """What a bundle stores of a generator."""
    return Part(GENERATOR_KIND, as_dict(generator.config), generator.state_dict())


def mapping_part(mapping: MappingNetwork) -> Part:
    """What a bundle stores of a mapping network."""
    return Part(MAPPING_KIND, as_dict(mapping.config), mapping.state_dict())


def style_encoder_part(encoder: StyleEncoder) -> Part:
    """What a bundle stores of a style encoder."""
    return Part(STYLE_ENCODER_KIND, as_dict(encoder.config), encoder.state_dict())


def discriminator_part(discriminator: Discriminator) -> Part:
    """What a bundle stores of a discriminator."""
    return Part(DISCRIMINATOR_KIND, as_dict(discriminator.config), discriminator.state_dict())


def landmarks_part(landmarks: Landmarks) -> Part:
    """What a bundle stores of a network of face landmarks."""
    return Part(LANDMARKS_KIND, as_dict(landmarks.config), landmarks.state_dict())


def load_generator(part: Part, device: str | torch.device) -> Generator:
    """In evaluation mode, without gradients for its weights.

    Raises:
        BadWeights: a part of another kind, or tensors that do not fit its config.
    """
    return load_network(part, GENERATOR_KIND, GeneratorConfig, Generator, device)


def load_mapping(part: Part, device: str | torch.device) -> MappingNetwork:
    """As ``load_generator``."""
    return load_network(part, MAPPING_KIND, MappingConfig, MappingNetwork, device)


def load_style_encoder(part: Part, device: str | torch.device) -> StyleEncoder:
    """As ``load_generator``."""
    return load_network(part, STYLE_ENCODER_KIND, StyleEncoderConfig, StyleEncoder, device)


def load_discriminator(part: Part, device: str | torch.device) -> Discriminator:
    """As ``load_generator``."""
    return load_network(part, DISCRIMINATOR_KIND, DiscriminatorConfig, Discriminator, device)


def load_landmarks(part: Part, device: str | torch.device) -> Landmarks:
    """As ``load_generator``."""
    return load_network(part, LANDMARKS_KIND, LandmarksConfig, Landmarks, device)


def landmarks_for(generator: Generator, parts: Mapping[str, Part], device: str | torch.device) -> Landmarks | None:
    """What makes the masks of a generator with a high-pass filter; None for one without, or where no part is given.

    Raises:
        BadWeights: as ``load_generator``.
    """
    is_for_it = generator.config.high_pass > 0 and LANDMARKS_PART in parts
    return load_landmarks(parts[LANDMARKS_PART], device) if is_for_it else None
