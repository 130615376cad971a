from __future__ import annotations

import math

import pytest
import torch

from raypipe.errors import WrongUsage
from raypipe.metrics.ndcg import (
    adjusted_gains,
    agreement_gains,
    exponential_gains,
    late_discount,
    log_discount,
    ndcg,
)
from tests.shared_files import oracle


def test_the_variants_in_use() -> None:
    stored = torch.load(oracle("directions/ndcg_variants.pt"), weights_only=True)
    graded, binary = stored["rel"], stored["binary"]
    standard, exponential, late = stored["std"], stored["exp"], stored["ceng501"]
    assert float(ndcg(graded)) == pytest.approx(standard["graded"], abs=1e-12)
    assert float(ndcg(binary)) == pytest.approx(standard["binary"], abs=1e-12)
    all_relevant = ndcg(binary, torch.ones(5))
    assert float(all_relevant) == pytest.approx(standard["binary_ideal_all_ones"], abs=1e-12)
    assert float(ndcg(exponential_gains(binary))) == pytest.approx(exponential["binary"], abs=1e-12)
    assert float(ndcg(graded, discount=late_discount)) == pytest.approx(late["graded"], abs=1e-12)
    assert float(ndcg(binary, discount=late_discount)) == pytest.approx(late["binary"], abs=1e-12)


def test_discounts_by_hand() -> None:
    torch.testing.assert_close(log_discount(3).tolist(), [1.0, 1 / math.log2(3), 0.5])
    torch.testing.assert_close(late_discount(4).tolist(), [1.0, 1.0, 1 / math.log2(3), 0.5])


def test_the_best_order_has_one_and_every_other_less() -> None:
    gains = torch.tensor([0.5, 3.0, 1.0, 2.0])
    orders = torch.cartesian_prod(*[torch.arange(4)] * 4)
    orders = orders[(orders.sort(1).values == torch.arange(4)).all(1)]
    scores = ndcg(gains[orders])
    is_best = (gains[orders] == gains.sort(descending=True).values).all(1)
    assert scores[is_best].tolist() == [1.0]
    assert float(scores[~is_best].max()) < 1.0


def test_many_lists_at_once_are_each_alone() -> None:
    random = torch.Generator().manual_seed(0)
    gains, ideal = torch.rand(3, 5, generator=random), torch.rand(3, 20, generator=random) + 1
    together = ndcg(gains, ideal)
    alone = torch.stack([ndcg(one, best) for one, best in zip(gains, ideal, strict=True)])
    assert torch.equal(together, alone)


def test_the_ideal_is_of_the_whole_gallery() -> None:
    """One of two relevant faces found at the first of two places: 1 of 1 + 1 / log2(3)."""
    score = ndcg(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0]))
    assert float(score) == pytest.approx(1 / (1 + 1 / math.log2(3)))


def test_nothing_to_find_is_zero() -> None:
    assert float(ndcg(torch.zeros(3), torch.zeros(9))) == 0.0


def test_gains_of_labels() -> None:
    wanted = torch.tensor([[1, 0, 1, 0]])
    found = torch.tensor([[[1, 0, 1, 0], [0, 0, 1, 0], [1, 1, 0, 1]]])
    is_adjusted = torch.tensor([[True, False, False, False]])
    assert adjusted_gains(wanted, found, is_adjusted).tolist() == [[1.0, 0.0, 1.0]]
    assert agreement_gains(wanted, found).tolist() == [[1.0, 0.75, 0.25]]


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(WrongUsage, match="3 results, but gains of only 2"):
        ndcg(torch.ones(3), torch.ones(2))
    with pytest.raises(WrongUsage, match="at least 0"):
        ndcg(torch.tensor([1.0, -1.0]))
