"""A model's methods, ready for use, with the shared inputs that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from raypipe import catalog
from raypipe.backbones.psp import load_encoder
from raypipe.contract import Method
from raypipe.errors import BadWeights, WrongUsage
from raypipe.weights import Bundle

SHARED_INPUTS = ("image", "w_plus")
"""What faces are described with before any method sees them; ``w_plus`` is the inversion encoder's."""


def load_method(name: str, bundle: Bundle, device: str | torch.device) -> Method:
    """A method with the model's weights.

    Raises:
        WrongUsage: no such method.
        BadWeights: the model lacks a part that it needs, or it needs an input that nothing provides.
    """
    module = catalog.method_module(name)
    method: Method = module.load({part: bundle.read(part) for part in module.PARTS}, device)
    if unknown := set(method.needs) - set(SHARED_INPUTS):
        raise BadWeights(f"method {name!r} needs {', '.join(sorted(unknown))}, which nothing provides")
    return method


def methods_of(bundle: Bundle) -> tuple[str, ...]:
    """The installed methods whose parts a model has."""
    return tuple(name for name in catalog.method_names() if set(catalog.method_module(name).PARTS) <= set(bundle.parts))


def only_method(bundle: Bundle, asked: str) -> str:
    """The method that was asked for, or the one that there is.

    Raises:
        WrongUsage: none or several, and none was asked for.
    """
    if asked:
        return asked
    names = methods_of(bundle)
    if len(names) != 1:
        raise WrongUsage(
            f"model {bundle.name!r} has {'several methods' if names else 'no method'}; "
            f"give one with --method: {', '.join(names or catalog.method_names())}"
        )
    return names[0]


def shared_inputs(
    needs: Sequence[str], images: Tensor, bundle: Bundle, device: str | torch.device
) -> dict[str, Tensor]:
    """``image`` and, where it is needed, ``w_plus`` of pictures [n,3,s,s] in [-1,1] of the encoder's size."""
    inputs = {"image": images.to(device)}
    if "w_plus" in needs:
        with torch.no_grad():
            inputs["w_plus"] = load_encoder(bundle.read("encoder"), device)(inputs["image"])
    return inputs


def represent(method: Method, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The shared inputs and the method's own columns."""
    with torch.no_grad():
        return {**inputs, **method.represent({name: inputs[name] for name in method.needs})}
