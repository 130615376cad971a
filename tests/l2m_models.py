"""Tiny L2M-GANs with random weights, for tests of what happens around a translator."""

from __future__ import annotations

from pathlib import Path

import torch

from raypipe.backbones.attributes import AttributeNet, AttributeNetConfig, attribute_part
from raypipe.backbones.psp import Encoder, EncoderConfig, encoder_part
from raypipe.backbones.stargan2.layers import he_initialise
from raypipe.methods.l2m_gan.networks import L2MGAN, L2MConfig, l2m_part
from raypipe.weights import Bundle, Part, save_bundle

SIZE = 32


TWO = ("Smiling", "Male")


def tiny_network(
    attributes: tuple[str, ...] = TWO, *, size: int = SIZE, seed: int = 0, high_pass: float = 0.0
) -> L2MGAN:
    """With styles of 8 numbers; untrained. The same seed, the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = L2MConfig(
            attributes=attributes, size=size, style_dim=8, first_width=4, max_width=8, high_pass=high_pass
        )
        network = L2MGAN(config)
        he_initialise(network)
    return network.eval().requires_grad_(False)


def tiny_judge(attributes: tuple[str, ...] = TWO, *, seed: int = 0) -> AttributeNet:
    """An untrained attribute network that knows these and one more."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = AttributeNetConfig(names=("Hat", *attributes), size=SIZE, widths=(8,), feature_dim=4)
        return AttributeNet(config).eval().requires_grad_(False)


def tiny_encoder_part(size: int = SIZE, *, seed: int = 0) -> Part:
    """Of an encoder with codes of 8 x 16."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = EncoderConfig(
            input_size=size, num_layers=8, style_dim=16, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), shared_heads=True
        )
        return encoder_part(Encoder("psp", sizes).eval())


def tiny_l2m(folder: Path, attributes: tuple[str, ...] = TWO, *, seed: int = 0) -> Bundle:
    """A bundle of ``tiny_network`` and ``tiny_judge``, without an encoder. Method: ``l2m_gan``; the same seed, the same
    weights."""
    judge, network = attribute_part(tiny_judge(attributes, seed=seed)), tiny_network(attributes, seed=seed)
    parts = {"attributes": judge, "l2m_gan": l2m_part(network)}
    return save_bundle(str(folder), f"tiny-l2m-{seed}", parts, {"made_by": "tests"})
