"""The encoder before its first step, and the generator that it is trained for."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn

from raypipe.backbones.identity import arcface
from raypipe.backbones.psp.config import EncoderConfig
from raypipe.backbones.psp.encoder import Encoder, load_encoder
from raypipe.backbones.psp.training_config import InversionConfig
from raypipe.backbones.stylegan2 import Generator, load_generator
from raypipe.blocks.equalised import EqualisedLinear
from raypipe.contract import Site
from raypipe.errors import WrongUsage
from raypipe.weights import Part

GENERATOR_PART, IDENTITY_PART, ENCODER_PART = "generator", "identity", "encoder"
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


def first_encoder(kind: str, config: InversionConfig, generator: Generator, site: Site) -> Encoder:
    """For pictures of the data's size and all rows of the generator.

    Raises:
        WrongUsage: no encoder can have these sizes, or what it should begin with is missing or of others.
    """
    if config.start_from_encoder:
        encoder = given_encoder(generator, site, kind)
    else:
        encoder = _new_encoder(kind, config, generator, site)
    encoder.to(site.device)
    for weight in encoder.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return encoder


def _new_encoder(kind: str, config: InversionConfig, generator: Generator, site: Site) -> Encoder:
    """Its codes are relative to the average w."""
    sizes = config.encoder.config(
        input_size=site.data.size, num_layers=generator.num_layers, style_dim=generator.config.style_dim
    )
    encoder = Encoder(kind, sizes)
    encoder.latent_avg.copy_(generator.w_avg.expand_as(encoder.latent_avg))
    if config.start_from_identity:
        _take_backbone(encoder, site.parts)
    if kind == "e4e":
        _zero_offsets(encoder)
    return encoder


def given_encoder(generator: Generator, site: Site, kind: str = "") -> Encoder:
    """A copy of the site's encoder, to be trained further; ``kind``: what it has to be, if that matters.

    Raises:
        WrongUsage: there is none, or it is made for another generator or other data.
        BadWeights: the part is no encoder.
    """
    part = site.parts.get(ENCODER_PART)
    if part is None or kind not in ("", part.kind):
        of_kind = f" of kind {kind!r}" if kind else ""
        raise WrongUsage(f"training an encoder further needs a part {ENCODER_PART!r}{of_kind}; {_told(site.parts)}")
    # A copy: a loaded network shares its tensors with the part, which is the site's.
    encoder = copy.deepcopy(load_encoder(part, site.device)).requires_grad_(True)
    given = (encoder.input_size, *encoder.code_shape)
    wanted = (site.data.size, generator.num_layers, generator.config.style_dim)
    if given != wanted:
        raise WrongUsage(f"the encoder to start with has (size, rows, width) {given}, and the generator needs {wanted}")
    return encoder


def _take_backbone(encoder: Encoder, parts: Mapping[str, Part]) -> None:
    """Begin with the residual layers of an identity network: they know faces already.

    Raises:
        WrongUsage: there is no identity network, or it is built otherwise than the encoder's backbone.
    """
    part = parts.get(IDENTITY_PART)
    if part is None or part.kind != arcface.KIND:
        raise WrongUsage(f"start_from_identity needs a part {IDENTITY_PART!r} of kind {arcface.KIND!r}; {_told(parts)}")
    wanted = {name: x.shape for name, x in encoder.network.state_dict().items() if name.startswith(BACKBONE)}
    given = {name: x for name, x in part.tensors.items() if name.startswith(BACKBONE)}
    if wanted != {name: x.shape for name, x in given.items()}:
        raise WrongUsage(
            f"start_from_identity: the identity network has the sizes {dict(part.config)}, "
            f"the encoder {_sizes(encoder.config)}"
        )
    encoder.network.load_state_dict(given, strict=False)


@torch.no_grad()
def _zero_offsets(encoder: Encoder) -> None:
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


def _told(parts: Mapping[str, Part]) -> str:
    return f"parts: {', '.join(f'{name} ({part.kind})' for name, part in parts.items()) or 'none'}"


def _sizes(config: EncoderConfig) -> dict[str, object]:
    return {"widths": config.widths, "depths": config.depths, "squeeze_excite": config.squeeze_excite}
