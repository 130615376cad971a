"""Other people's StyleGAN2 weights -> parts of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from raypipe.backbones.stylegan2.foreign_nvlabs import (
    is_nvlabs_pickle,
    nvlabs_discriminator_part,
    nvlabs_generator_part,
)
from raypipe.backbones.stylegan2.foreign_reading import Persistent
from raypipe.backbones.stylegan2.foreign_rosinality import (
    is_rosinality_discriminator,
    is_rosinality_generator,
    rosinality_discriminator_part,
    rosinality_generator_part,
)
from raypipe.backbones.stylegan2.foreign_tf import is_tf_pickle, tf_discriminator_part, tf_generator_part
from raypipe.weights import Part


@dataclass(frozen=True)
class ForeignModel:
    """What a file held.

    Attributes:
        format: whose file it is, in words.
        parts: ``generator`` and ``discriminator``, as far as the file has them.
        remarks: what the file lacked and was made up.
    """

    format: str
    parts: Mapping[str, Part]
    remarks: tuple[str, ...] = ()


def model_of_checkpoint(tree: Any) -> ForeignModel | None:
    """What ``torch.save`` stored: rosinality's ``{g_ema, g, d, latent_avg, ...}``, or one network's state dict alone.

    None if it is something else. Of two generators the averaged one is taken.

    Raises:
        BadWeights: lists every tensor that is missing, unknown or of another shape.
    """
    if not isinstance(tree, Mapping):
        return None
    generator = _tensors(tree.get("g_ema", tree.get("g", tree if is_rosinality_generator(tree) else {})))
    discriminator = _tensors(tree.get("d", tree if is_rosinality_discriminator(tree) else {}))
    parts: dict[str, Part] = {}
    remarks: list[str] = []
    if generator:
        latent_avg = tree.get("latent_avg")
        parts["generator"], remarks = rosinality_generator_part(
            generator, latent_avg if isinstance(latent_avg, Tensor) else None
        )
    if discriminator:
        parts["discriminator"] = rosinality_discriminator_part(discriminator)
    return ForeignModel("rosinality stylegan2-pytorch checkpoint", parts, tuple(remarks)) if parts else None


def model_of_pickle(tree: Any) -> ForeignModel | None:
    """What NVlabs' training scripts pickled, in PyTorch or in TensorFlow. None if it is something else.

    Of two generators the averaged one is taken.

    Raises:
        BadWeights: a network that this version does not know; or lists every tensor that is missing, unknown or of
            another shape.
    """
    if is_nvlabs_pickle(tree):
        parts = {"generator": nvlabs_generator_part(tree["G_ema"])}
        if isinstance(tree.get("D"), Persistent):
            parts["discriminator"] = nvlabs_discriminator_part(tree["D"])
        return ForeignModel("NVlabs stylegan2-ada-pytorch pickle", parts)
    if is_tf_pickle(tree):
        _, discriminator, averaged = tree
        parts = {"generator": tf_generator_part(averaged), "discriminator": tf_discriminator_part(discriminator)}
        return ForeignModel("NVlabs TensorFlow pickle", parts)
    return None


def _tensors(state: Any) -> dict[str, Tensor]:
    if not isinstance(state, Mapping):
        return {}
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
