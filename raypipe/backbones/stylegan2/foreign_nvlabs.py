"""Pickles of NVlabs/stylegan2-ada-pytorch: ``{G, D, G_ema, ...}`` of modules that carry their own source text.

The text is not looked at: what a network is made of is read from the shapes and from the modules' attributes.
"""

from __future__ import annotations

from typing import Any

import torch

from raypipe.backbones.stylegan2.config import DiscriminatorConfig, GeneratorConfig
from raypipe.backbones.stylegan2.discriminator import Discriminator
from raypipe.backbones.stylegan2.foreign_names import (
    Tensors,
    agreed_size,
    nvlabs_discriminator_names,
    nvlabs_generator_names,
    translate,
)
from raypipe.backbones.stylegan2.foreign_reading import Persistent
from raypipe.backbones.stylegan2.generator import Generator
from raypipe.backbones.stylegan2.parts import DISCRIMINATOR_KIND, GENERATOR_KIND
from raypipe.config import as_dict
from raypipe.errors import BadWeights
from raypipe.weights import Part

RESOLUTIONS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)


def is_nvlabs_pickle(tree: Any) -> bool:
    """Whether a pickle's content is a snapshot of theirs."""
    return isinstance(tree, dict) and isinstance(tree.get("G_ema"), Persistent)


def nvlabs_generator_part(network: Persistent) -> Part:
    """Their ``Generator`` -> our part.

    Raises:
        BadWeights: another activation; or lists every tensor that is missing, unknown or of another shape.
    """
    _check_activation(network)
    return generator_part_of(
        network.tensors(),
        mapping_lr_multiplier=network.number("mapping.fc0.bias_gain") or 1.0,
        clamp=network.number("synthesis.b4.conv1.conv_clamp"),
    )


def nvlabs_discriminator_part(network: Persistent) -> Part:
    """Their ``Discriminator`` -> our part.

    Raises:
        BadWeights: as above.
    """
    _check_activation(network)
    tensors = network.tensors()
    has_mapping = "mapping.fc0.weight" in tensors
    has_stddev = agreed_size(tensors, ("b4.conv.weight", 1)) > agreed_size(tensors, ("b4.conv.bias", 0))
    return discriminator_part_of(
        tensors,
        mapping_lr_multiplier=(network.number("mapping.fc0.bias_gain") or 1.0) if has_mapping else 0.01,
        clamp=network.number("b4.conv.conv_clamp"),
        stddev_group=int(network.number("b4.mbstd.group_size") or 0) if has_stddev else 0,
    )


def generator_part_of(tensors: Tensors, *, mapping_lr_multiplier: float, clamp: float | None) -> Part:
    """Tensors under the names of their ``Generator`` -> our part; its config follows from the shapes.

    Raises:
        BadWeights: lists every tensor that is missing, unknown or of another shape.
    """
    resolutions = _resolutions(tensors, "synthesis.b{}.")
    layers = [f"synthesis.b{r}.conv1" for r in resolutions]
    embed_dim, label_dim = _embedding(tensors)
    z_dim = agreed_size(tensors, ("mapping.fc0.weight", 1)) - embed_dim
    if z_dim < 1:
        raise BadWeights(f"mapping.fc0.weight has no room for z beside an embedding of width {embed_dim}")
    config = GeneratorConfig(
        size=resolutions[-1],
        style_dim=agreed_size(tensors, *((f"{layer}.affine.weight", 1) for layer in layers)),
        z_dim=z_dim,
        label_dim=label_dim,
        label_embed_dim=embed_dim,
        mapping_layers=_mapping_layers(tensors),
        mapping_width=agreed_size(tensors, ("mapping.fc0.weight", 0), ("mapping.fc0.bias", 0)),
        mapping_lr_multiplier=mapping_lr_multiplier,
        channels=tuple(
            agreed_size(tensors, (f"{layer}.weight", 0), (f"{layer}.bias", 0), (f"{layer}.affine.bias", 0))
            for layer in layers
        ),
        residual="synthesis.b8.skip.weight" in tensors,
        clamp=clamp,
    )
    with torch.device("meta"):
        network = Generator(config)
    translated = translate(tensors, nvlabs_generator_names(config), network, "generator")
    return Part(GENERATOR_KIND, as_dict(config), translated)


def discriminator_part_of(
    tensors: Tensors, *, mapping_lr_multiplier: float, clamp: float | None, stddev_group: int
) -> Part:
    """Tensors under the names of their ``Discriminator`` -> our part; its config follows from the shapes.

    Raises:
        BadWeights: lists every tensor that is missing, unknown or of another shape.
    """
    resolutions = _resolutions(tensors, "b{}.")
    layers = ["b4.conv", *(f"b{r}.conv0" for r in resolutions[1:])]
    channels = [agreed_size(tensors, (f"{layer}.weight", 0), (f"{layer}.bias", 0)) for layer in layers]
    embed_dim, label_dim = _embedding(tensors)
    mapping_layers = _mapping_layers(tensors)
    config = DiscriminatorConfig(
        size=resolutions[-1],
        label_dim=label_dim,
        label_map_dim=agreed_size(tensors, ("b4.out.weight", 0), ("b4.out.bias", 0)) if label_dim else 0,
        label_embed_dim=embed_dim,
        mapping_layers=mapping_layers,
        mapping_width=agreed_size(tensors, ("mapping.fc0.weight", 0)) if mapping_layers else 0,
        mapping_lr_multiplier=mapping_lr_multiplier,
        channels=tuple(channels),
        stddev_group=stddev_group,
        stddev_features=max(0, agreed_size(tensors, ("b4.conv.weight", 1)) - channels[0]),
        clamp=clamp,
    )
    with torch.device("meta"):
        network = Discriminator(config)
    translated = translate(tensors, nvlabs_discriminator_names(config), network, "discriminator")
    return Part(DISCRIMINATOR_KIND, as_dict(config), translated)


def _check_activation(network: Persistent) -> None:
    unknown = network.texts_of("activation") - {"lrelu", "linear"}
    if unknown:
        raise BadWeights(f"a network with the activations {sorted(unknown)}; this version reads lrelu and linear")


def _resolutions(tensors: Tensors, prefix: str) -> list[int]:
    """The resolutions that have layers, from 4 without gaps."""
    found = [r for r in RESOLUTIONS if any(name.startswith(prefix.format(r)) for name in tensors)]
    if len(found) < 2 or tuple(found) != RESOLUTIONS[: len(found)]:
        raise BadWeights(f"not a StyleGAN2 network: it has blocks of the resolutions {found or 'none'}")
    return found


def _mapping_layers(tensors: Tensors) -> int:
    return sum(name.startswith("mapping.fc") and name.endswith(".weight") for name in tensors)


def _embedding(tensors: Tensors) -> tuple[int, int]:
    """Width of the condition's embedding and of the condition; zeros for an unconditional network."""
    name = "mapping.embed.weight"
    return (agreed_size(tensors, (name, 0)), agreed_size(tensors, (name, 1))) if name in tensors else (0, 0)
