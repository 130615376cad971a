"""Checkpoints of StarGAN v2 (clovaai/stargan-v2), ``*_nets_ema.ckpt``, as parts of a bundle.

They hold a state dict for each network: ``generator``, ``mapping_network``, ``style_encoder`` and, where the generator
has a high-pass filter, ``fan``, which finds face landmarks. Our networks have their tensors' names, but for ``fan``.
Sizes are read off the shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from raypipe.backbones.stargan2.config import DEEPEST, SIZES, GeneratorConfig, MappingConfig, StyleEncoderConfig
from raypipe.backbones.stargan2.generator import PLAIN_BLOCKS
from raypipe.backbones.stargan2.landmarks import LandmarksConfig
from raypipe.backbones.stargan2.parts import (
    GENERATOR_KIND,
    LANDMARKS_KIND,
    LANDMARKS_PART,
    MAPPING_KIND,
    STYLE_ENCODER_KIND,
    load_generator,
    load_landmarks,
    load_mapping,
    load_style_encoder,
)
from raypipe.backbones.stargan2.readers import LAST
from raypipe.config import as_dict
from raypipe.errors import BadWeights, WrongUsage
from raypipe.weights import Part

Tensors = Mapping[str, Tensor]

FILTER = "hpf.filter"
CENTRE = 8.0
"""Of the high-pass filter before it is divided."""

ATTRIBUTES = ("Male",)
"""Of the published checkpoint of CelebA-HQ, whose domains are female and male. Those of AFHQ are three animals."""

NO_NAMES = f"the file does not say what its 2 domains are of: taken for {ATTRIBUTES[0]}"
NO_METHOD = "the file does not say what its domains are of, and they are not 2: no method can draw with it"
NO_LANDMARKS = "there is no network of face landmarks: pictures are drawn without the high-pass filter"

LANDMARK_LAYERS = {
    "conv1": "stem",
    "bn1": "stem_norm",
    "conv2": "widen",
    "conv3": "deepen.0",
    "conv4": "deepen.1",
    "m0.coordconv": "place",
    "top_m_0": "head.0",
    "conv_last0": "head.1",
    "bn_end0": "head.2",
    "l0": "head.4",
}
"""Their names of layers before and behind the hourglass -> ours. Within a block the names are the same."""


def is_stargan2_checkpoint(tree: object) -> bool:
    """Whether it is laid out as StarGAN v2's checkpoints are."""
    return isinstance(tree, Mapping) and {"generator", "mapping_network", "style_encoder"} <= tree.keys()


def stargan2_parts(tree: Mapping[str, object]) -> tuple[dict[str, Part], list[str]]:
    """A checkpoint's content as ``stargan2_generator``, ``stargan2_mapping``, ``stargan2_style_encoder`` and, where it
    has them, ``stargan2_landmarks``; and remarks on what it lacks.

    Raises:
        BadWeights: a network is incomplete, or of sizes that StarGAN v2 cannot have.
    """
    encoder = tensors_of(tree, "style_encoder")
    encoder_config = style_encoder_config(encoder)
    is_named = encoder_config.domains == 2 ** len(ATTRIBUTES)
    if is_named:
        encoder_config = replace(encoder_config, attributes=ATTRIBUTES)
    parts = {
        "stargan2_generator": generator_part_of(tensors_of(tree, "generator"), encoder_config.size),
        "stargan2_mapping": _mapping_part_of(tensors_of(tree, "mapping_network")),
        "stargan2_style_encoder": Part(STYLE_ENCODER_KIND, as_dict(encoder_config), encoder),
    }
    load_style_encoder(parts["stargan2_style_encoder"], "cpu")
    landmarks, remarks = landmarks_beside(parts["stargan2_generator"], tree)
    return parts | landmarks, [NO_NAMES if is_named else NO_METHOD, *remarks]


def landmarks_beside(generator: Part, tree: Mapping[str, object]) -> tuple[dict[str, Part], list[str]]:
    """``stargan2_landmarks`` of a checkpoint whose generator has a high-pass filter, or the remark that it has none.

    Raises:
        BadWeights: as ``stargan2_parts``.
    """
    if not generator.config["high_pass"]:
        return {}, []
    if "fan" not in tree:
        return {}, [NO_LANDMARKS]
    return {LANDMARKS_PART: _landmarks_part_of(tensors_of(tree, "fan"))}, []


def tensors_of(tree: Mapping[str, object], name: str) -> Tensors:
    """One network's state dict.

    Raises:
        BadWeights: it is something else.
    """
    state = tree[name]
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise BadWeights(f"{name} is not a dict of tensors")
    return state


def generator_part_of(state: Tensors, size: int) -> Part:
    """A generator that was trained for pictures of ``size``; the filter's and other tensors without a use left out.

    Raises:
        BadWeights: as ``stargan2_parts``.
    """
    blocks = len({name.split(".")[1] for name in state if name.startswith("encode.")})
    widths = [_shape(state, f"encode.{block}.conv2.weight")[0] for block in range(blocks)]
    is_filtered = blocks - PLAIN_BLOCKS > int(math.log2(size // DEEPEST))
    try:
        config = GeneratorConfig(
            size=size,
            style_dim=_shape(state, "decode.0.norm1.fc.weight")[1],
            first_width=_shape(state, "from_rgb.weight")[0],
            max_width=max(widths),
            high_pass=_divisor(state) if is_filtered else 0.0,
        )
    except WrongUsage as error:
        raise BadWeights(f"the generator's sizes are not StarGAN v2's: {error}") from error
    used = {name: x for name, x in state.items() if name != FILTER and not name.startswith("attention.")}
    part = Part(GENERATOR_KIND, as_dict(config), used)
    load_generator(part, "cpu")
    return part


def _divisor(state: Tensors) -> float:
    """What the high-pass filter was divided by; 1 where it is not stored, as in L2M-GAN's."""
    centre = float(state[FILTER].max()) if FILTER in state else CENTRE
    if not centre > 0:
        raise BadWeights(f"{FILTER} is no high-pass filter: its largest number is {centre:g}")
    return CENTRE / centre


def style_encoder_config(state: Tensors) -> StyleEncoderConfig:
    """Of a style encoder's tensors.

    Raises:
        BadWeights: as ``stargan2_parts``.
    """
    blocks = sum(name.startswith("shared.") and name.endswith(".conv2.weight") for name in state)
    domains = sum(name.startswith("unshared.") and name.endswith(".weight") for name in state)
    size = LAST * 2**blocks
    if size not in SIZES or not domains:
        raise BadWeights(f"a style encoder with {blocks} blocks and {domains} branches is not one of StarGAN v2's")
    return StyleEncoderConfig(
        size=size,
        style_dim=_shape(state, "unshared.0.weight")[0],
        domains=domains,
        first_width=_shape(state, "shared.0.weight")[0],
        max_width=max(_shape(state, f"shared.{block + 1}.conv2.weight")[0] for block in range(blocks)),
    )


def _mapping_part_of(state: Tensors) -> Part:
    shared = sum(name.startswith("shared.") and name.endswith(".weight") for name in state)
    own = sum(name.startswith("unshared.0.") and name.endswith(".weight") for name in state)
    hidden, latent_dim = _shape(state, "shared.0.weight")
    config = MappingConfig(
        latent_dim=latent_dim,
        style_dim=_shape(state, f"unshared.0.{2 * (own - 1)}.weight")[0],
        domains=len({name.split(".")[1] for name in state if name.startswith("unshared.")}),
        hidden=hidden,
        shared_layers=shared,
        own_layers=own,
    )
    part = Part(MAPPING_KIND, as_dict(config), state)
    load_mapping(part, "cpu")
    return part


def _landmarks_part_of(state: Tensors) -> Part:
    depth = sum(name.startswith("m0.b1_") and name.endswith(".conv1.weight") for name in state)
    try:
        config = LandmarksConfig(width=_shape(state, "l0.weight")[1], depth=depth)
    except WrongUsage as error:
        raise BadWeights(f"a network of face landmarks of other sizes than one can have: {error}") from error
    layers = LANDMARK_LAYERS | _hourglass_layers(depth)
    part = Part(LANDMARKS_KIND, as_dict(config), {_renamed(name, layers): x for name, x in state.items()})
    load_landmarks(part, "cpu")
    return part


def _hourglass_layers(depth: int) -> dict[str, str]:
    """Their names -> ours: they number the halvings from the smallest, ours are in each other."""
    names = {"m0.b2_plus_1": "hourglass" + depth * ".inside"}
    for level in range(1, depth + 1):
        where = "hourglass" + (depth - level) * ".inside"
        names |= {
            f"m0.b{n}_{level}": f"{where}.{ours}" for n, ours in enumerate(("beside", "before", "after"), start=1)
        }
    return names


def _renamed(name: str, layers: Mapping[str, str]) -> str:
    """As it is where no layer is known by that name: loading tells of it."""
    count = 2 if name.startswith("m0.") else 1
    words = name.split(".")
    layer = ".".join(words[:count])
    return ".".join([layers.get(layer, layer), *words[count:]])


def _shape(state: Tensors, name: str) -> tuple[int, ...]:
    if name not in state:
        raise BadWeights(f"{name} is missing")
    return tuple(state[name].shape)
