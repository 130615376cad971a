"""Tiny models with random weights, for tests of what happens around a model."""

from __future__ import annotations

from pathlib import Path

import torch

from raypipe.backbones.psp import Encoder, EncoderConfig, encoder_part
from raypipe.backbones.stylegan2 import Generator, GeneratorConfig, generator_part
from raypipe.weights import Bundle, save_bundle


def tiny_model(folder: Path, *, seed: int = 0, latent_avg: float = 0.0) -> Bundle:
    """A bundle of a 32 px encoder with codes of 8 x 16 and a generator for them; the same seed, the same weights."""
    torch.manual_seed(seed)
    config = EncoderConfig(
        input_size=32, num_layers=8, style_dim=16, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), shared_heads=True
    )
    encoder = Encoder("psp", config).eval()
    encoder.latent_avg.fill_(latent_avg)
    generator = Generator(GeneratorConfig(size=32, style_dim=16, z_dim=16, mapping_layers=2, channels=(8, 8, 8, 8)))
    parts = {"encoder": encoder_part(encoder), "generator": generator_part(generator)}
    return save_bundle(str(folder), f"tiny-{seed}", parts, {"made_by": "tests"})
