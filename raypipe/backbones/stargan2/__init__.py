"""StarGAN v2: a generator steered by style codes, where styles come from, and a judge for each domain."""

from raypipe.backbones.stargan2.config import (
    DiscriminatorConfig,
    GeneratorConfig,
    MappingConfig,
    StyleEncoderConfig,
)
from raypipe.backbones.stargan2.domains import Domains, of_domain
from raypipe.backbones.stargan2.drawer import Drawer
from raypipe.backbones.stargan2.generator import Generator
from raypipe.backbones.stargan2.landmarks import Landmarks, LandmarksConfig
from raypipe.backbones.stargan2.mapping import MappingNetwork
from raypipe.backbones.stargan2.parts import (
    LANDMARKS_PART,
    discriminator_part,
    generator_part,
    landmarks_for,
    landmarks_part,
    load_discriminator,
    load_generator,
    load_landmarks,
    load_mapping,
    load_style_encoder,
    mapping_part,
    style_encoder_part,
)
from raypipe.backbones.stargan2.readers import Discriminator, StyleEncoder

__all__ = [
    "LANDMARKS_PART",
    "Discriminator",
    "DiscriminatorConfig",
    "Domains",
    "Drawer",
    "Generator",
    "GeneratorConfig",
    "Landmarks",
    "LandmarksConfig",
    "MappingConfig",
    "MappingNetwork",
    "StyleEncoder",
    "StyleEncoderConfig",
    "discriminator_part",
    "generator_part",
    "landmarks_for",
    "landmarks_part",
    "load_discriminator",
    "load_generator",
    "load_landmarks",
    "load_mapping",
    "load_style_encoder",
    "mapping_part",
    "of_domain",
    "style_encoder_part",
]
