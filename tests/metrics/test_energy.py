from __future__ import annotations

import pytest
import torch

from raypipe.errors import WrongUsage
from raypipe.metrics.energy import energy_curves, entries_holding


def test_by_hand() -> None:
    vectors = torch.tensor([[1.0, -3.0, 0.0, 2.0], [1.0, 1.0, -1.0, 1.0]])
    expected = torch.tensor([[9 / 14, 13 / 14, 1.0, 1.0], [0.25, 0.5, 0.75, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(energy_curves(vectors), expected)
    assert entries_holding(vectors, 0.5).tolist() == [1, 2]
    assert entries_holding(vectors, 0.9).tolist() == [2, 4]
    assert entries_holding(vectors, 1.0).tolist() == [3, 4]


def test_length_and_order_do_not_matter() -> None:
    vectors = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(energy_curves(5 * vectors.flip(1)), energy_curves(vectors))


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(WrongUsage, match="vector 1 of 2 is zero"):
        energy_curves(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    with pytest.raises(WrongUsage, match="at most 1, got 95"):
        entries_holding(torch.ones(1, 4), 95)
