"""Putting stored tensors into a module: all of them, of the right shape, or an error that says which not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from raypipe.config import read_config
from raypipe.errors import BadWeights, WrongUsage
from raypipe.weights import Part

Network = TypeVar("Network", bound=nn.Module)
Config = TypeVar("Config")


def load_network(
    part: Part, kind: str, config_type: type[Config], build: Callable[[Config], Network], device: str | torch.device
) -> Network:
    """The network of a bundle's part, ready for inference. ``build`` makes one of its config.

    Raises:
        BadWeights: the part is of another kind, or its tensors do not fit its config.
    """
    if part.kind != kind:
        raise BadWeights(f"a part of kind {part.kind!r} is not {kind!r}")
    try:
        config = read_config(config_type, part.config)
    except WrongUsage as error:
        raise BadWeights(f"config of {kind!r}: {error}") from error
    with torch.device("meta"):
        network = build(config)
    load_exactly(network, part.tensors, f"network of kind {kind!r}")
    return network.to(device).eval().requires_grad_(False)


def load_exactly(module: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Replace all parameters and buffers of ``module``, which may live on the meta device, by ``tensors``.

    Floating tensors become float32, whatever they were stored as. The tensors are taken over, not copied where
    they already fit.

    Raises:
        BadWeights: a tensor is missing, unknown or of another shape; names up to five of each kind.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    problems = [
        _told("missing", sorted(wanted.keys() - given.keys())),
        _told("unknown", sorted(given.keys() - wanted.keys())),
        _told(
            "of another shape",
            [
                f"{name} {list(given[name])} instead of {list(shape)}"
                for name, shape in wanted.items()
                if given.get(name, shape) != shape
            ],
        ),
    ]
    if any(problems):
        raise BadWeights(f"{what}: " + "; ".join(filter(None, problems)))
    module.load_state_dict(
        {name: tensor.to(torch.float32) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()},
        assign=True,
    )


def _told(kind: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{len(names)} tensor(s) {kind}: {', '.join(names[:5])}{more}"
