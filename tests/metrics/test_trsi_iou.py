from __future__ import annotations

import pytest
import torch

from raypipe.errors import WrongUsage
from raypipe.metrics.trsi_iou import trsi_iou


def test_sets_by_hand() -> None:
    """{1,2,3} and {3,4}: 1 of 4. A person counts once, however often found."""
    assert trsi_iou(torch.tensor([[1, 2, 3]]), torch.tensor([[3, 4, 4]])).tolist() == [0.25]


def test_the_same_people_are_one_and_others_are_zero() -> None:
    people = torch.tensor([[5, 5, 7], [1, 2, 3]])
    assert trsi_iou(people, people.flip(1)).tolist() == [1.0, 1.0]
    assert trsi_iou(people, people + 100).tolist() == [0.0, 0.0]


def test_it_is_what_python_sets_say() -> None:
    random = torch.Generator().manual_seed(0)
    first, second = (torch.randint(0, 12, (40, k), generator=random) for k in (6, 9))
    expected = [
        len(set(a) & set(b)) / len(set(a) | set(b)) for a, b in zip(first.tolist(), second.tolist(), strict=True)
    ]
    assert trsi_iou(first, second).tolist() == pytest.approx(expected)
    assert torch.equal(trsi_iou(first, second), trsi_iou(second, first))


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(WrongUsage, match=r"people \[q,k\]"):
        trsi_iou(torch.zeros(2, 3), torch.zeros(3, 3))
    with pytest.raises(WrongUsage, match="no people"):
        trsi_iou(torch.zeros(2, 0), torch.zeros(2, 3))
