"""Checkpoints of rosinality/stylegan2-pytorch, also the official weights in its form: ``{g_ema, latent_avg, g, d}``.

Their generator is the one with a toRGB in every block, their mapping network has the papers' learning rate multiplier.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from raypipe.backbones.stylegan2.config import DiscriminatorConfig, GeneratorConfig
from raypipe.backbones.stylegan2.discriminator import Discriminator
from raypipe.backbones.stylegan2.foreign_names import (
    Tensors,
    agreed_size,
    rosinality_discriminator_names,
    rosinality_generator_names,
    translate,
)
from raypipe.backbones.stylegan2.generator import Generator
from raypipe.backbones.stylegan2.parts import DISCRIMINATOR_KIND, GENERATOR_KIND
from raypipe.config import as_dict
from raypipe.errors import BadWeights
from raypipe.weights import Part

W_AVG_SAMPLES = 16_384
MOST_MAPPING_LAYERS = 32


def is_rosinality_generator(tensors: Mapping[str, object]) -> bool:
    """Whether a state dict has the names of their ``Generator``."""
    return "input.input" in tensors or "to_rgb1.conv.weight" in tensors


def is_rosinality_discriminator(tensors: Mapping[str, object]) -> bool:
    """Whether a state dict has the names of their ``Discriminator``."""
    return "final_conv.0.weight" in tensors or "final_linear.1.weight" in tensors


def rosinality_generator_part(tensors: Tensors, latent_avg: Tensor | None = None) -> tuple[Part, list[str]]:
    """Their generator's state dict -> our part, and remarks on what the file lacked and was made up.

    Old files lack the noise maps; training checkpoints lack ``latent_avg``, which may be [D], [1, D] or [L, D].

    Raises:
        BadWeights: lists every tensor that is missing, unknown or of another shape.
    """
    config = _generator_config(tensors)
    remarks: list[str] = []
    complete = dict(tensors)
    names = rosinality_generator_names(config)
    lacking = [name for name in names.values() if name.startswith("noises.") and name not in tensors]
    if lacking:
        remarks.append("the file has no noise maps: drew them from a normal distribution (seed 0)")
        complete |= _noise_maps(lacking)
    if latent_avg is not None:
        if latent_avg.shape[-1:] != (config.style_dim,):
            raise BadWeights(f"latent_avg is {list(latent_avg.shape)}, expected [{config.style_dim}]")
        complete["latent_avg"] = latent_avg.float().reshape(-1, config.style_dim).mean(0)
    else:
        complete["latent_avg"] = torch.zeros(config.style_dim)
    with torch.device("meta"):
        network = Generator(config)
    part = Part(GENERATOR_KIND, as_dict(config), translate(complete, names, network, "generator"))
    if latent_avg is None:
        remarks.append(f"the file has no latent_avg: took the mean w of {W_AVG_SAMPLES} random z (seed 0)")
        part = Part(part.kind, part.config, {**part.tensors, "w_avg": _mean_w(config, part.tensors)})
    return part, remarks


def rosinality_discriminator_part(tensors: Tensors) -> Part:
    """Their discriminator's state dict -> our part.

    Raises:
        BadWeights: lists every tensor that is missing, unknown or of another shape.
    """
    blocks = _highest(tensors, r"convs\.(\d+)\.")
    size = _size(blocks)
    channels = [agreed_size(tensors, ("final_conv.0.weight", 0), ("final_conv.1.bias", 0), ("final_linear.0.bias", 0))]
    for k in range(blocks, 0, -1):
        block = f"convs.{k}"
        channels.append(
            agreed_size(
                tensors, (f"{block}.conv1.0.weight", 0), (f"{block}.conv1.1.bias", 0), (f"{block}.skip.1.weight", 1)
            )
        )
    config = DiscriminatorConfig(
        size=size,
        channels=tuple(channels),
        stddev_features=max(0, agreed_size(tensors, ("final_conv.0.weight", 1)) - channels[0]),
    )
    with torch.device("meta"):
        network = Discriminator(config)
    translated = translate(tensors, rosinality_discriminator_names(config), network, "discriminator")
    return Part(DISCRIMINATOR_KIND, as_dict(config), translated)


def _generator_config(tensors: Tensors) -> GeneratorConfig:
    blocks = _highest(tensors, r"to_rgbs\.(\d+)\.") + 1
    size = _size(blocks)
    layers = [("conv1", "to_rgb1"), *((f"convs.{2 * k + 1}", f"to_rgbs.{k}") for k in range(blocks))]
    channels = [
        agreed_size(
            tensors, (f"{conv}.conv.weight", -4), (f"{conv}.activate.bias", 0), (f"{rgb}.conv.modulation.bias", 0)
        )
        for conv, rgb in layers
    ]
    style_dim = agreed_size(tensors, *((f"{conv}.conv.modulation.weight", 1) for conv, _ in layers))
    mapping_layers = _highest(tensors, r"style\.(\d+)\.")
    if not 1 <= mapping_layers <= MOST_MAPPING_LAYERS:
        raise BadWeights(
            f"a mapping network with {mapping_layers} layers is not of a depth from 1 to {MOST_MAPPING_LAYERS}"
        )
    return GeneratorConfig(
        size=size,
        style_dim=style_dim,
        z_dim=style_dim,
        mapping_layers=mapping_layers,
        channels=tuple(channels),
    )


def _size(blocks: int) -> int:
    """The image size of a network with so many blocks besides the one at resolution 4."""
    if not 1 <= blocks <= 8:
        raise BadWeights(f"a network with {blocks} blocks is not of a size from 8 to 1024")
    return int(4 * 2**blocks)


def _highest(tensors: Tensors, pattern: str) -> int:
    """The highest number in names that begin with ``pattern``; -1 if there is none."""
    matches = (re.match(pattern, name) for name in tensors)
    return max((int(match[1]) for match in matches if match), default=-1)


def _noise_maps(names: list[str]) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    sizes = [2 ** ((int(name.removeprefix("noises.noise_")) + 5) // 2) for name in names]
    return {name: torch.randn(size, size, generator=random) for name, size in zip(names, sizes, strict=True)}


def _mean_w(config: GeneratorConfig, tensors: Mapping[str, Tensor]) -> Tensor:
    with torch.device("meta"):
        mapping = Generator(config).mapping
    prefix = "mapping."
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    mapping.load_state_dict(own, assign=True)
    z = torch.randn(W_AVG_SAMPLES, config.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mean: Tensor = mapping(z).mean(0)
    return mean
