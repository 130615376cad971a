"""Tiny StarGANs v2 with random weights, for tests of what happens around a method that draws styles."""

from __future__ import annotations

from pathlib import Path

import torch

from raypipe.backbones import stargan2
from raypipe.backbones.attributes import attribute_part
from raypipe.backbones.stargan2.layers import he_initialise
from raypipe.methods.stargan_v2.networks import GENERATOR, MAPPING, STYLE_ENCODER, StarGAN2Networks
from raypipe.weights import Bundle, Part, save_bundle
from tests.l2m_models import SIZE, TWO, tiny_judge


def tiny_networks(attributes: tuple[str, ...] = TWO, *, seed: int = 0) -> StarGAN2Networks:
    """For 32 px, with styles of 8 numbers of noise of 3; untrained. The same seed, the same weights."""
    domains, widths = 2 ** len(attributes), {"size": SIZE, "style_dim": 8, "first_width": 4, "max_width": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = StarGAN2Networks(
            stargan2.Generator(stargan2.GeneratorConfig(**widths)),
            stargan2.MappingNetwork(stargan2.MappingConfig(latent_dim=3, style_dim=8, domains=domains, hidden=8)),
            stargan2.StyleEncoder(stargan2.StyleEncoderConfig(**widths, domains=domains, attributes=attributes)),
        )
        for network in (made.generator, made.mapping, made.style_encoder):
            he_initialise(network)
            network.eval().requires_grad_(False)
    return made


def parts_of(networks: StarGAN2Networks) -> dict[str, Part]:
    """As ``raypipe train stargan2`` makes them."""
    return {
        GENERATOR: stargan2.generator_part(networks.generator),
        MAPPING: stargan2.mapping_part(networks.mapping),
        STYLE_ENCODER: stargan2.style_encoder_part(networks.style_encoder),
    }


def tiny_stargan2(folder: Path, attributes: tuple[str, ...] = TWO, *, seed: int = 0) -> Bundle:
    """A bundle of ``tiny_networks`` and ``tiny_judge``, without an encoder. Method: ``stargan_v2``; the same seed, the
    same weights."""
    judge, networks = attribute_part(tiny_judge(attributes, seed=seed)), tiny_networks(attributes, seed=seed)
    parts = {"attributes": judge, **parts_of(networks)}
    return save_bundle(str(folder), f"tiny-stargan2-{seed}", parts, {"made_by": "tests"})
