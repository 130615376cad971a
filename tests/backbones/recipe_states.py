"""Comparing what recipes hold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from raypipe.contract import Recipe
from raypipe.weights import Part


def flat(tree: Any, path: str = "") -> dict[str, Any]:
    """Every leaf of nested mappings and lists by its path."""
    if isinstance(tree, (dict, list, tuple)):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {name: leaf for key, value in items for name, leaf in flat(value, f"{path}/{key}").items()}
    return {path: tree}


def assert_same_state(actual: Recipe, expected: Recipe, tolerance: float) -> None:
    mine, wanted = flat(actual.state_dict()), flat(expected.state_dict())
    assert mine.keys() == wanted.keys()
    for name, value in wanted.items():
        if isinstance(value, Tensor):
            torch.testing.assert_close(mine[name], value, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: n + m)
        else:
            assert mine[name] == value, name


def differing(one: Part, other: Part) -> list[str]:
    """Names of the tensors that are not the same, bit for bit."""
    return [name for name, tensor in one.tensors.items() if not torch.equal(tensor, other.tensors[name])]
