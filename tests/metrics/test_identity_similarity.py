from __future__ import annotations

import math

import pytest
import torch

from raypipe.errors import WrongUsage
from raypipe.metrics.identity_similarity import identity_similarity


def test_by_angles() -> None:
    """Results at 0, 60 and 180 degrees from their query: (1 + 1/2 - 1) / 3, whatever the lengths."""
    angles = torch.tensor([0.0, math.pi / 3, math.pi])
    results = torch.stack([angles.cos(), angles.sin()], 1)[None] * torch.tensor([[[1.0], [7.0], [0.1]]])
    assert float(identity_similarity(torch.tensor([[3.0, 0.0]]), results)[0]) == pytest.approx(1 / 6, abs=1e-6)


def test_each_query_meets_its_own_results() -> None:
    vectors = torch.eye(3)
    results = vectors[:, None].expand(3, 2, 3)
    assert identity_similarity(vectors, results).tolist() == [1.0, 1.0, 1.0]
    assert identity_similarity(vectors.roll(1, 0), results).tolist() == [0.0, 0.0, 0.0]


def test_other_shapes_are_refused() -> None:
    with pytest.raises(WrongUsage, match=r"got \[2, 3\] and \[3, 4, 3\]"):
        identity_similarity(torch.ones(2, 3), torch.ones(3, 4, 3))
