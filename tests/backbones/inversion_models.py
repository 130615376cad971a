"""Tiny networks with random weights for training an encoder on, and pictures that the generator can make."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from raypipe.backbones.identity import IdentityConfig, IdentityNetwork, identity_part
from raypipe.backbones.psp.training_config import EncoderShape
from raypipe.backbones.stylegan2 import (
    Discriminator,
    DiscriminatorConfig,
    Generator,
    GeneratorConfig,
    discriminator_part,
    generator_part,
)
from raypipe.contract import DataFacts, Share, Site
from raypipe.weights import Part

SIZE, LAYERS, STYLE_DIM = 32, 8, 16
SHAPE = EncoderShape(widths=(4, 8, 8, 16), depths=(1, 1, 1, 1), shared_heads=True)
ROW_HEADS = EncoderShape(widths=(4, 8, 8, 16), depths=(1, 1, 1, 1))


@cache
def tiny_generator() -> Generator:
    """32 px, 8 rows of 16; noise of some strength, and an average w that is not zero."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        generator = Generator(GeneratorConfig(size=SIZE, style_dim=16, z_dim=12, mapping_layers=2, channels=(8,) * 4))
        for name, weight in generator.named_parameters():
            if name.endswith("noise_strength"):
                weight.data.fill_(0.05)
        generator.w_avg.copy_(generator.mapping(torch.randn(1000, 12)).mean(0).detach())
        return generator.requires_grad_(False)


@cache
def tiny_parts(*names: str) -> dict[str, Part]:
    """Of ``generator``, ``discriminator``, ``identity`` those that are asked for."""
    with torch.random.fork_rng():
        torch.manual_seed(12)
        makers = {
            "generator": lambda: generator_part(tiny_generator()),
            "discriminator": lambda: discriminator_part(Discriminator(DiscriminatorConfig(size=32, channels=(8,) * 4))),
            "identity": lambda: identity_part(
                IdentityNetwork(IdentityConfig(widths=(4, 8, 8, 16), depths=(1, 1, 1, 1), embedding_dim=8)).eval()
            ),
        }
        return {name: makers[name]() for name in names}


def site(*names: str, share: Share | None = None, size: int = SIZE) -> Site:
    facts = DataFacts(rows=100, size=size)
    return Site(data=facts, parts=tiny_parts(*(names or ("generator",))), share=share or Share(), seed=7)


def pictures(count: int, *, seed: int = 0) -> Tensor:
    """[count,3,32,32] in [-1,1], by the generator."""
    random = torch.Generator().manual_seed(seed)
    made: Tensor = tiny_generator()(torch.randn(count, 12, generator=random))
    return made.clamp(-1, 1)
