"""Normalised discounted cumulative gain: how near the best order a ranked list is. Jaervelin and Kekaelaeinen, 2002.

Paper 1 names the measure and not its gain, discount or ideal. Ours, and why:

- gain: 1 where the result shows what the query asks of the adjusted attribute (``adjusted_gains``). The paper's lists
  without preference score about 0.6, which counting all attributes that agree (``agreement_gains``) could not give: two
  random faces agree on most attributes.
- discount: 1 / log2(place + 1), which most libraries and papers use, see ``log_discount``.
- ideal: the best that the whole gallery could give, see ``ndcg``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from raypipe.errors import WrongUsage


def log_discount(count: int) -> Tensor:
    """1 / log2(place + 1) of places 1 to ``count``, [count] float64."""
    return 1 / torch.log2(torch.arange(1, count + 1, dtype=torch.float64) + 1)


def late_discount(count: int) -> Tensor:
    """1, then 1 / log2(place): the measure's first form, in which the second place counts as much as the first."""
    return 1 / torch.log2(torch.arange(1, count + 1, dtype=torch.float64)).clamp_min(1)


def exponential_gains(relevance: Tensor) -> Tensor:
    """2^relevance - 1 (Burges et al., 2005): stretches grades, leaves 0 and 1 as they are."""
    return torch.exp2(relevance.double()) - 1


def adjusted_gains(wanted: Tensor, found: Tensor, is_adjusted: Tensor) -> Tensor:
    """1 where a result shows all that the query asks for, else 0.

    Args:
        wanted: labels after the adjustment, [q,A] of 0 and 1.
        found: the results' labels, [q,k,A].
        is_adjusted: which of the labels the query asks for, [q,A] bool.

    Returns:
        [q,k] float64.
    """
    return ((wanted[:, None] == found) | ~is_adjusted[:, None]).all(2).double()


def agreement_gains(wanted: Tensor, found: Tensor) -> Tensor:
    """The share of all labels that agree: [q,A] and [q,k,A] -> [q,k] float64 in [0,1]."""
    return (wanted[:, None] == found).double().mean(2)


def ndcg(gains: Tensor, ideal: Tensor | None = None, *, discount: Callable[[int], Tensor] = log_discount) -> Tensor:
    """The discounted sum of each list's gains, as a share of that of the best list.

    Args:
        gains: of the results in their order, [..., k], at least 0.
        ideal: gains of all that could have been found, [..., m] in any order, m >= k; the best list is its k highest.
            Without it the same results in their best order: that flatters a list which missed what it should have
            found, and is for comparing with code that computes it so.
        discount: the weights of places 1 to k.

    Returns:
        [...] float64 in [0,1]; 0 where nothing relevant could have been found.

    Raises:
        WrongUsage: negative gains, or fewer ideal ones than results.
    """
    count = gains.shape[-1]
    best = gains if ideal is None else ideal
    if best.shape[-1] < count:
        raise WrongUsage(f"{count} results, but gains of only {best.shape[-1]} that could have been found")
    if bool((gains < 0).any()) or bool((best < 0).any()):
        raise WrongUsage("gains must be at least 0")
    weights = discount(count).to(gains.device)
    reached = (gains.double() * weights).sum(-1)
    most = (best.double().topk(count).values * weights).sum(-1)
    return torch.where(most > 0, reached / most, torch.zeros_like(most))
