"""How well scores tell two classes apart."""

from __future__ import annotations

import torch
from torch import Tensor

from raypipe.errors import WrongUsage


def balanced_accuracy(scores: Tensor, is_true: Tensor) -> Tensor:
    """The mean of the shares of true and of false rows that a score's sign gets right; 0.5 is chance.

    Args:
        scores: [n, ...] float; above 0 means true.
        is_true: [n, ...], bool or 0 and 1.

    Returns:
        [...] float64 in [0,1]; nan where a column holds one class only, for it then has no balanced accuracy.
    """
    _check(scores, is_true)
    positive, said = is_true.bool(), scores > 0
    hits = (said & positive).sum(0, dtype=torch.float64) / positive.sum(0, dtype=torch.float64)
    rejections = (~said & ~positive).sum(0, dtype=torch.float64) / (~positive).sum(0, dtype=torch.float64)
    return (hits + rejections) / 2


def area_under_roc(scores: Tensor, is_true: Tensor) -> float:
    """How often a random true row scores higher than a random false one; ties count one half. All [n].

    The Mann-Whitney statistic, in O(n log n).

    Raises:
        WrongUsage: one of the two classes is missing, or other shapes.
    """
    found, others = _classes(scores, is_true)
    ranked = others.sort().values
    below = torch.searchsorted(ranked, found) + torch.searchsorted(ranked, found, right=True)
    return float(below.double().mean()) / (2 * len(others))


def share_found(scores: Tensor, is_true: Tensor, *, false_share: float) -> float:
    """The share of true rows above the threshold that at most ``false_share`` of the false rows exceed. All [n].

    Raises:
        WrongUsage: one of the two classes is missing, or other shapes.
    """
    found, others = _classes(scores, is_true)
    threshold = others.sort(descending=True).values[min(int(false_share * len(others)), len(others) - 1)]
    return float((found > threshold).double().mean())


def _classes(scores: Tensor, is_true: Tensor) -> tuple[Tensor, Tensor]:
    _check(scores, is_true)
    found, others = scores[is_true.bool()], scores[~is_true.bool()]
    if not len(found) or not len(others):
        raise WrongUsage(f"ranking takes rows of both classes, got {len(found)} true and {len(others)} false")
    return found, others


def _check(scores: Tensor, is_true: Tensor) -> None:
    if scores.shape != is_true.shape:
        raise WrongUsage(f"scores {list(scores.shape)} and truth {list(is_true.shape)} differ in shape")
