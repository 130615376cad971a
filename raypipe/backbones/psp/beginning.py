"""The encoder before its first step, and the generator that it is trained for."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from raypipe.backbones.identity import arcface
from raypipe.backbones.psp.config import EncoderConfig
from raypipe.backbones.psp.encoder import Encoder
from raypipe.backbones.psp.training_config import EncoderShape
from raypipe.backbones.stylegan2 import Generator, load_generator
from raypipe.blocks.equalised import EqualisedLinear
from raypipe.contract import Site
from raypipe.errors import WrongUsage
from raypipe.weights import Part

GENERATOR_PART, IDENTITY_PART = "generator", "identity"
BACKBONE = ("input_layer.", "body.")


def frozen_generator(site: Site) -> Generator:
    """The generator whose codes are learned.

    Raises:
        WrongUsage: there is none, or its pictures are smaller than the data's.
        BadWeights: the part is no generator.
    """
    if GENERATOR_PART not in site.parts:
        raise WrongUsage(
            f"an encoder is trained for a generator: a model with a part {GENERATOR_PART!r} is needed; "
            f"parts: {', '.join(site.parts) or 'none'}"
        )
    generator = load_generator(site.parts[GENERATOR_PART], site.device)
    if not 0 < site.data.size <= generator.config.size:
        raise WrongUsage(
            f"the data must be pictures of at most the generator's {generator.config.size} px, got {site.data.size}"
        )
    return generator


def new_encoder(kind: str, shape: EncoderShape, generator: Generator, site: Site) -> Encoder:
    """For pictures of the data's size and all rows of the generator; its codes are relative to the average w.

    Raises:
        WrongUsage: no encoder can have these sizes.
    """
    config = shape.config(
        input_size=site.data.size, num_layers=generator.num_layers, style_dim=generator.config.style_dim
    )
    encoder = Encoder(kind, config)
    encoder.latent_avg.copy_(generator.w_avg.expand_as(encoder.latent_avg))
    encoder.to(site.device)
    for weight in encoder.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return encoder


def take_backbone(encoder: Encoder, parts: Mapping[str, Part]) -> None:
    """Begin with the residual layers of an identity network: they know faces already.

    Raises:
        WrongUsage: there is no identity network, or it is built otherwise than the encoder's backbone.
    """
    part = parts.get(IDENTITY_PART)
    if part is None or part.kind != arcface.KIND:
        raise WrongUsage(
            f"start_from_identity needs a part {IDENTITY_PART!r} of kind {arcface.KIND!r}; "
            f"parts: {', '.join(f'{name} ({part.kind})' for name, part in parts.items()) or 'none'}"
        )
    wanted = {name: x.shape for name, x in encoder.network.state_dict().items() if name.startswith(BACKBONE)}
    given = {name: x for name, x in part.tensors.items() if name.startswith(BACKBONE)}
    if wanted != {name: x.shape for name, x in given.items()}:
        raise WrongUsage(
            f"start_from_identity: the identity network has the sizes {dict(part.config)}, "
            f"the encoder {_sizes(encoder.config)}"
        )
    encoder.network.load_state_dict(given, strict=False)


@torch.no_grad()
def zero_offsets(encoder: Encoder) -> None:
    """Let every row of an e4e code but the first begin as an offset of zero, so that it joins without a jump."""
    width = encoder.config.style_dim
    for index, head in enumerate(encoder.network.get_submodule("styles").children()):
        linear = head.get_submodule("linear")
        assert isinstance(linear, EqualisedLinear)
        linear.weight[width if index == 0 else 0 :].zero_()


def heads(encoder: Encoder) -> list[tuple[int, nn.Module]]:
    """The encoder's heads, each with the first row of the code that it gives."""
    modules = list(encoder.network.get_submodule("styles").children())
    if not encoder.config.shared_heads:
        return list(enumerate(modules))
    coarse, middle, _ = encoder.config.rows
    return list(zip((0, coarse, coarse + middle), modules, strict=True))


def _sizes(config: EncoderConfig) -> dict[str, object]:
    return {"widths": config.widths, "depths": config.depths, "squeeze_excite": config.squeeze_excite}
