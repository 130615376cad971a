"""Comparing what recipes hold."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from raypipe.contract import Columns, Recipe
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


def assert_goes_on_the_same(build: Callable[[], Recipe], batches: Sequence[Columns], *, cut: int) -> None:
    """From a state that was stored after ``cut`` of the batches: the same numbers and weights, bit for bit."""
    unbroken, resumed = build(), build()
    for batch in batches[:cut]:
        unbroken.step(batch)
    stored = io.BytesIO()
    torch.save(unbroken.state_dict(), stored)
    stored.seek(0)
    resumed.load_state_dict(torch.load(stored, weights_only=True))
    for batch in batches[cut:]:
        numbers, again = unbroken.step(batch), resumed.step(batch)
        assert {name: float(value) for name, value in numbers.items()} == {
            name: float(value) for name, value in again.items()
        }
    assert_same_state(resumed, unbroken, 0.0)


def differing(one: Part, other: Part) -> list[str]:
    """Names of the tensors that are not the same, bit for bit."""
    return [name for name, tensor in one.tensors.items() if not torch.equal(tensor, other.tensors[name])]
