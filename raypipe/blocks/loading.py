"""Putting stored tensors into a module: all of them, of the right shape, or an error that says which not."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from raypipe.errors import BadWeights


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
