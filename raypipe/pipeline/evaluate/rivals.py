"""What a method that edits is compared with: other models and methods, by the contract that all of them share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raypipe.attributes import Edit
from raypipe.backbones.psp import load_encoder
from raypipe.blocks.sizes import of_size
from raypipe.contract import Rival
from raypipe.errors import WrongUsage
from raypipe.pipeline.loading import ENCODER, load_method, picture_size, represent
from raypipe.weights import open_bundle


@dataclass(frozen=True)
class RivalName:
    """``NAME=MODEL:METHOD@STRENGTH``, in pieces."""

    name: str
    model: str
    method: str
    strength: float = 1.0


def parse_rival(text: str) -> RivalName:
    """Raises:
    WrongUsage: not of that form, or a strength that is not a finite number above 0.
    """
    name, _, rest = text.partition("=")
    model, _, method_and_strength = rest.rpartition(":")
    method, at, number = method_and_strength.partition("@")
    if not (name and model and method):
        raise WrongUsage(f"rival {text!r} is not of the form NAME=MODEL:METHOD or NAME=MODEL:METHOD@STRENGTH")
    if not at:
        return RivalName(name, model, method)
    try:
        strength = float(number)
    except ValueError as error:
        raise WrongUsage(f"rival {text!r}: {number!r} is not a number") from error
    if not (math.isfinite(strength) and strength > 0):
        raise WrongUsage(f"rival {text!r}: the strength must be a finite number above 0")
    return RivalName(name, model, method, strength)


def open_rivals(texts: Sequence[str], device: torch.device) -> Mapping[str, Rival]:
    """By name, in the order that they are given in.

    Raises:
        WrongUsage: as ``parse_rival``; a name twice, no such model or method, or one without attributes.
        BadWeights: a model lacks what its method needs.
    """
    rivals: dict[str, Rival] = {}
    for told in map(parse_rival, texts):
        if told.name in rivals:
            raise WrongUsage(f"two rivals are named {told.name!r}")
        rivals[told.name] = _open(told, device)
    return rivals


def _open(told: RivalName, device: torch.device) -> Rival:
    bundle = open_bundle(told.model)
    method = load_method(told.method, bundle, device)
    if not method.attributes:
        raise WrongUsage(f"rival {told.name!r}: method {told.method!r} edits no attributes")
    networks = {"w_plus": load_encoder(bundle.read(ENCODER), device)} if "w_plus" in method.needs else {}
    size = picture_size(bundle)

    def edited(images: Tensor, attribute: str, sign: float) -> Tensor:
        pictures = of_size(images.to(device), size)
        inputs = {"image": pictures, **{name: network(pictures) for name, network in networks.items()}}
        columns = represent(method, inputs)
        return method.render(method.edit(columns, [Edit(attribute, sign * told.strength)]), pictures)

    return Rival(tuple(method.attributes), edited)
