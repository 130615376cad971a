"""Stored columns and those that are computed."""

from __future__ import annotations

import torch
from torch import Tensor

from raypipe.contract import Columns
from raypipe.pipeline.loading import Completed


class Counting:
    """A method's ``represent``: adds twice the code, and counts how often it was asked to."""

    needs = ("w_plus",)

    def __init__(self) -> None:
        self.asked = 0

    def represent(self, inputs: Columns) -> Columns:
        self.asked += 1
        return {"double": 2 * inputs["w_plus"]}


def completed(method: Counting, stored: dict[str, Tensor]) -> Completed:
    return Completed(method, stored)  # type: ignore[arg-type]


def test_what_is_stored_is_not_computed() -> None:
    method, stored = Counting(), {"w_plus": torch.ones(2, 3), "double": torch.zeros(2, 3)}
    columns = completed(method, stored)
    assert torch.equal(columns["double"], stored["double"])
    assert torch.equal(columns["w_plus"], stored["w_plus"])
    assert method.asked == 0


def test_what_is_missing_is_computed_once() -> None:
    method = Counting()
    columns = completed(method, {"w_plus": torch.ones(2, 3)})
    assert "double" in columns
    assert torch.equal(columns["double"], torch.full((2, 3), 2.0))
    assert dict(columns).keys() == {"w_plus", "double"}
    assert len(columns) == 2
    assert "other" not in columns
    assert method.asked == 1
