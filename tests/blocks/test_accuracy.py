from __future__ import annotations

import pytest
import torch

from raypipe.blocks.accuracy import area_under_roc, balanced_accuracy, share_found
from raypipe.errors import WrongUsage


def test_balanced_accuracy_by_hand() -> None:
    """Three of four true rows and one of two false ones are right; the second column holds one class only."""
    scores = torch.tensor([1.0, 2.0, 0.5, -1.0, -3.0, 4.0])
    is_true = torch.tensor([1, 1, 1, 1, 0, 0])
    both = balanced_accuracy(torch.stack([scores, scores], 1), torch.stack([is_true, torch.ones(6)], 1))
    assert both[0] == (3 / 4 + 1 / 2) / 2
    assert both[1].isnan()


def test_a_constant_score_is_chance() -> None:
    assert balanced_accuracy(torch.ones(10), torch.arange(10) < 3) == 0.5
    assert area_under_roc(torch.ones(10), torch.arange(10) < 3) == 0.5


def test_area_is_the_share_of_pairs_in_order() -> None:
    random = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 20, (60,), generator=random).float()  # with ties
    is_true = torch.rand(60, generator=random) < 0.3
    pairs = scores[is_true][:, None] - scores[~is_true][None]
    expected = ((pairs > 0).double() + 0.5 * (pairs == 0).double()).mean()
    assert area_under_roc(scores, is_true) == pytest.approx(float(expected), abs=1e-12)


def test_area_of_perfect_and_reversed_order() -> None:
    scores = torch.arange(7.0)
    assert area_under_roc(scores, scores > 3) == 1.0
    assert area_under_roc(-scores, scores > 3) == 0.0


def test_share_found_by_hand() -> None:
    """False scores 0 to 99: a threshold of 89 is exceeded by ten of them, and by the true 90 and 95."""
    scores = torch.cat([torch.arange(100.0), torch.tensor([50.0, 89.0, 90.0, 95.0])])
    is_true = torch.arange(104) >= 100
    assert share_found(scores, is_true, false_share=0.1) == 0.5
    assert share_found(scores, is_true, false_share=0.0) == 0.0


def test_one_class_has_no_ranking() -> None:
    with pytest.raises(WrongUsage, match="0 true and 4 false"):
        area_under_roc(torch.zeros(4), torch.zeros(4))
    with pytest.raises(WrongUsage, match="differ in shape"):
        balanced_accuracy(torch.zeros(4), torch.zeros(5))
