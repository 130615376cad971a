"""Checkpoints of pSp (eladrich/pixel2style2pixel) and e4e (omertov/encoder4editing) as parts of a bundle.

They hold ``{state_dict: encoder.* and decoder.*, opts, latent_avg}``. What the options do not say is read off the
tensors' shapes: old files lack some options.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from torch import Tensor

from raypipe import storage
from raypipe.backbones.psp.config import EncoderConfig
from raypipe.backbones.psp.encoder import LATENT_AVG, load_encoder
from raypipe.backbones.stylegan2 import GeneratorConfig
from raypipe.backbones.stylegan2.foreign_reading import read_torch
from raypipe.backbones.stylegan2.foreign_rosinality import rosinality_generator_part
from raypipe.config import as_dict, read_config
from raypipe.errors import BadWeights, WrongUsage
from raypipe.weights import Part

KINDS_BY_TYPE: Mapping[str, str] = {
    "GradualStyleEncoder": "psp",
    "Encoder4Editing": "e4e",
    "SingleStyleCodeEncoder": "psp_into_w",
    "BackboneEncoderUsingLastLayerIntoW": "psp_into_w",
    "BackboneEncoderUsingLastLayerIntoWPlus": "psp_into_w_plus",
}
"""Their ``encoder_type`` -> our kind."""

Tensors = Mapping[str, Tensor]


def read_checkpoint(path: str) -> dict[str, Part]:
    """The parts ``encoder`` and ``generator`` of a checkpoint file or URI; nothing in it is executed.

    Raises:
        FileNotFoundError: there is nothing at ``path``.
        BadWeights: damaged, not such a checkpoint, or one whose encoder does not map photographs to W+.
    """
    checkpoint = read_torch(storage.read_bytes(path))
    if not is_encoder_checkpoint(checkpoint):
        raise BadWeights(f"{path}: not a pSp or e4e checkpoint: it must hold state_dict and opts")
    return encoder_checkpoint_parts(checkpoint)[0]


def is_encoder_checkpoint(checkpoint: object) -> bool:
    """Whether it is laid out as pSp's and e4e's checkpoints are."""
    return isinstance(checkpoint, Mapping) and {"state_dict", "opts"} <= checkpoint.keys()


def encoder_checkpoint_parts(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Part], list[str]]:
    """A checkpoint's content -> the parts ``encoder`` and ``generator``, and remarks on what was missing and made up.

    Raises:
        BadWeights: as ``read_checkpoint``.
    """
    options = _options(checkpoint["opts"])
    encoder = _under("encoder.", checkpoint["state_dict"])
    kind = _kind(options, encoder)
    _check_is_for_photographs(options, encoder)
    average = checkpoint.get(LATENT_AVG)
    generator, remarks = rosinality_generator_part(_under("decoder.", checkpoint["state_dict"]), average)
    config = _config(encoder, num_layers=read_config(GeneratorConfig, generator.config).num_layers)
    if not options.get("start_from_latent_avg", average is not None or kind == "e4e"):
        average_LD = generator.tensors["w_avg"].new_zeros(config.num_layers, config.style_dim)
    else:
        average_LD = _average(generator.tensors["w_avg"] if average is None else average, config)
    part = Part(kind, as_dict(config), {**encoder, LATENT_AVG: average_LD})
    load_encoder(part, "cpu")
    return {"encoder": part, "generator": generator}, remarks


def _options(opts: object) -> Mapping[str, Any]:
    if isinstance(opts, argparse.Namespace):
        return vars(opts)
    if isinstance(opts, Mapping):
        return opts
    raise BadWeights(f"opts is a {type(opts).__name__}; it must be a dict of options")


def _under(prefix: str, tensors: object) -> dict[str, Tensor]:
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise BadWeights("state_dict is not a dict of tensors")
    found = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if not found:
        raise BadWeights(f"state_dict has no {prefix}* tensors")
    return found


def _kind(options: Mapping[str, Any], encoder: Tensors) -> str:
    told = options.get("encoder_type")
    if told is None:
        if "styles.0.linear.weight" in encoder:
            return "e4e" if "stylegan_size" in options else "psp"
        return "psp_into_w_plus" if "output_layer_2.3.weight" in encoder else "psp_into_w"
    if told not in KINDS_BY_TYPE:
        raise BadWeights(f"encoder_type {told!r} is not one that is read: {', '.join(KINDS_BY_TYPE)}")
    return KINDS_BY_TYPE[told]


def _check_is_for_photographs(options: Mapping[str, Any], encoder: Tensors) -> None:
    channels = _shape(encoder, "input_layer.0.weight")[1]
    if channels != 3:
        raise BadWeights(f"the encoder takes {channels} channels (sketches or segmentations), not RGB photographs")
    if options.get("input_code", False):
        raise BadWeights("opts.input_code is set: the encoder gives z codes, not W+ codes")


def _config(encoder: Tensors, *, num_layers: int) -> EncoderConfig:
    """Sizes from the shapes: a stage is a run of bottlenecks of one width, a head halves its level to one pixel."""
    blocks = len({name.split(".")[1] for name in encoder if name.startswith("body.")})
    stages = [
        (width, len(list(run)))
        for width, run in groupby(_shape(encoder, f"body.{i}.res_layer.3.weight")[0] for i in range(blocks))
    ]
    halvings = sum(name.startswith("styles.0.convs.") and name.endswith(".bias") for name in encoder)
    try:
        return EncoderConfig(
            input_size=16 * 2**halvings if halvings else 256,
            num_layers=num_layers,
            style_dim=_shape(encoder, "styles.0.linear.weight" if halvings else "linear.weight")[1],
            widths=tuple(width for width, _ in stages),
            depths=tuple(depth for _, depth in stages),
            squeeze_excite="body.0.res_layer.5.fc1.weight" in encoder,
        )
    except WrongUsage as error:
        raise BadWeights(f"the encoder's sizes are not of a known kind: {error}") from error


def _average(average: Tensor, config: EncoderConfig) -> Tensor:
    """[D], [1,D] or [L,D] -> [L,D]."""
    rows = average.float().reshape(-1, config.style_dim)
    if len(rows) not in (1, config.num_layers):
        raise BadWeights(f"latent_avg has {len(rows)} rows; the generator takes {config.num_layers}")
    return rows.expand(config.num_layers, -1).contiguous()


def _shape(tensors: Tensors, name: str) -> tuple[int, ...]:
    if name not in tensors:
        raise BadWeights(f"encoder.{name} is missing")
    return tuple(tensors[name].shape)
