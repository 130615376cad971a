"""StyleGAN2: generator, discriminator, and reading other people's weights of them."""

from raypipe.backbones.stylegan2.config import DiscriminatorConfig, GeneratorConfig
from raypipe.backbones.stylegan2.discriminator import Discriminator
from raypipe.backbones.stylegan2.generator import Generator
from raypipe.backbones.stylegan2.parts import (
    discriminator_part,
    generator_part,
    load_discriminator,
    load_generator,
)
from raypipe.backbones.stylegan2.synthesis import FeatureMap, Noise, Synthesis, Trace

__all__ = [
    "Discriminator",
    "DiscriminatorConfig",
    "FeatureMap",
    "Generator",
    "GeneratorConfig",
    "Noise",
    "Synthesis",
    "Trace",
    "discriminator_part",
    "generator_part",
    "load_discriminator",
    "load_generator",
]
