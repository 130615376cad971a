"""Networks <-> parts of a model bundle."""

from __future__ import annotations

import torch
from torch import Tensor

from raypipe.backbones.stylegan2.config import DiscriminatorConfig, GeneratorConfig
from raypipe.backbones.stylegan2.discriminator import Discriminator
from raypipe.backbones.stylegan2.generator import Generator
from raypipe.blocks.loading import load_exactly
from raypipe.config import as_dict, read_config
from raypipe.errors import BadWeights
from raypipe.weights import Part

GENERATOR_KIND = "stylegan2"
DISCRIMINATOR_KIND = "stylegan2_discriminator"


def generator_part(generator: Generator) -> Part:
    """What a bundle stores of a generator."""
    return Part(GENERATOR_KIND, as_dict(generator.config), generator.state_dict())


def discriminator_part(discriminator: Discriminator) -> Part:
    """What a bundle stores of a discriminator."""
    return Part(DISCRIMINATOR_KIND, as_dict(discriminator.config), discriminator.state_dict())


def load_generator(part: Part, device: str | torch.device) -> Generator:
    """In evaluation mode, without gradients for its weights.

    Raises:
        BadWeights: a part of another kind, or tensors that do not fit its config.
    """
    _check_kind(part, GENERATOR_KIND)
    with torch.device("meta"):
        generator = Generator(read_config(GeneratorConfig, part.config))
    load_exactly(generator, _channels_last(part), "generator")
    return generator.to(device).eval().requires_grad_(False)


def load_discriminator(part: Part, device: str | torch.device) -> Discriminator:
    """As ``load_generator``."""
    _check_kind(part, DISCRIMINATOR_KIND)
    with torch.device("meta"):
        discriminator = Discriminator(read_config(DiscriminatorConfig, part.config))
    load_exactly(discriminator, _channels_last(part), "discriminator")
    return discriminator.to(device).eval().requires_grad_(False)


def _check_kind(part: Part, wanted: str) -> None:
    if part.kind != wanted:
        raise BadWeights(f"a part of kind {part.kind!r} is not a {wanted!r}")


def _channels_last(part: Part) -> dict[str, Tensor]:
    """Kernels in the layout in which the networks are fast; files have the plain one."""
    return {
        name: tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in part.tensors.items()
    }
