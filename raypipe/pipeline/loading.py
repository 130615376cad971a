"""A model's methods, ready for use, with the shared inputs that they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from raypipe import catalog
from raypipe.backbones.psp import load_encoder
from raypipe.contract import Columns, Method
from raypipe.errors import BadWeights, WrongUsage
from raypipe.weights import Bundle

T = TypeVar("T")

ENCODER = "encoder"
"""The part that makes ``w_plus`` of pictures. A model whose methods need none may lack it."""

SHARED_INPUTS = ("image", "w_plus")
"""What faces are described with before any method sees them; ``w_plus`` is the inversion encoder's."""


def load_method(name: str, bundle: Bundle, device: str | torch.device) -> Method:
    """A method with the model's weights.

    Raises:
        WrongUsage: no such method.
        BadWeights: the model lacks a part that it needs, or it needs an input that nothing provides.
    """
    module = catalog.method_module(name)
    others = [part for part in getattr(module, "OPTIONAL_PARTS", ()) if part in bundle.parts]
    method: Method = module.load({part: bundle.read(part) for part in (*module.PARTS, *others)}, device)
    if unknown := set(method.needs) - set(SHARED_INPUTS):
        raise BadWeights(f"method {name!r} needs {', '.join(sorted(unknown))}, which nothing provides")
    return method


def methods_of(bundle: Bundle) -> tuple[str, ...]:
    """The installed methods whose parts a model has."""
    return _methods_with(bundle.parts)


def _methods_with(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in catalog.method_names() if set(catalog.method_module(name).PARTS) <= set(parts))


def picture_size(bundle: Bundle) -> int:
    """Side in pixels of the faces that are given to a model, without loading it: of several networks that look at
    pictures the largest one's.

    Raises:
        BadWeights: as ``picture_size_of``.
    """
    return picture_size_of({name: info.config for name, info in bundle.parts.items()})


def picture_size_of(parts: Mapping[str, Mapping[str, Any]]) -> int:
    """The same of the configs of a model's parts, by name.

    Raises:
        BadWeights: there is no encoder, and no method that looks at pictures.
    """
    of_methods = [getattr(catalog.method_module(name), "PICTURE_SIZE", None) for name in _methods_with(parts)]
    places = [(ENCODER, "input_size"), *filter(None, of_methods)]
    sizes = [int(parts[part][entry]) for part, entry in places if part in parts]
    if not sizes:
        raise BadWeights("the model has no encoder, and no method that looks at pictures")
    return max(sizes)


def method_that(
    offers: Callable[[Method], T | None], bundle: Bundle, asked: str, device: str | torch.device
) -> tuple[Method, T]:
    """The method that was asked for, or the model's only one that offers something; and what it offers.

    Raises:
        WrongUsage: it does not offer that; or none or several do, and none was asked for.
        BadWeights: as ``load_method``.
    """
    loaded = {name: load_method(name, bundle, device) for name in ([asked] if asked else methods_of(bundle))}
    able = {name: has for name, method in loaded.items() if (has := offers(method)) is not None}
    if asked and not able:
        raise WrongUsage(f"method {asked!r} does not offer this")
    if len(able) != 1:
        raise WrongUsage(
            f"model {bundle.name!r} has {'several methods' if able else 'no method'} for this; "
            f"give one with --method: {', '.join(able or catalog.method_names())}"
        )
    ((name, offered),) = able.items()
    return loaded[name], offered


def shared_inputs(
    needs: Sequence[str], images: Tensor, bundle: Bundle, device: str | torch.device
) -> dict[str, Tensor]:
    """``image`` and, where it is needed, ``w_plus`` of pictures [n,3,s,s] in [-1,1], no smaller than the model's."""
    inputs = {"image": images.to(device)}
    if "w_plus" in needs:
        with torch.no_grad():
            inputs["w_plus"] = load_encoder(bundle.read(ENCODER), device)(inputs["image"])
    return inputs


class Completed(Mapping[str, Tensor]):
    """Stored columns of some faces. Those that a method adds and the dataset lacks, because it was made before the
    method was trained, are computed when one of them is first asked for: it may take a network to do so."""

    def __init__(self, method: Method, stored: Columns) -> None:
        self._method, self._stored = method, stored

    def __getitem__(self, name: str) -> Tensor:
        return self._stored[name] if name in self._stored else self._added[name]

    def __contains__(self, name: object) -> bool:
        return name in self._stored or name in self._added

    def __iter__(self) -> Iterator[str]:
        return iter({**self._stored, **self._added})

    def __len__(self) -> int:
        return len({**self._stored, **self._added})

    @cached_property
    def _added(self) -> Columns:
        with torch.no_grad():
            return self._method.represent({name: self._stored[name] for name in self._method.needs})


def represent(method: Method, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The shared inputs and the method's own columns."""
    with torch.no_grad():
        return {**inputs, **method.represent({name: inputs[name] for name in method.needs})}
