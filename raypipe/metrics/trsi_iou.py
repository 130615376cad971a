"""TRSI-IoU: do searches by two features of the same face find the same people?

Source: Chong, Chu and Kumar, Retrieve in Style, ICCV 2021, section 4.2. Where one feature tells much about the other,
both searches find the same people, and the value is high; what features have to themselves makes it low.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raypipe.errors import WrongUsage


def trsi_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of the sets of people that two searches found, for each query.

    Args:
        first: whose faces were found by one feature, int [q,k]; a person may be there several times.
        second: by another feature of the same queries, [q,k2].

    Returns:
        [q] float64 in [0,1].

    Raises:
        WrongUsage: unequal numbers of queries, or a search that found nothing.
    """
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second):
        raise WrongUsage(f"people [q,k] and [q,k2], got {list(first.shape)} and {list(second.shape)}")
    if 0 in (first.shape[1], second.shape[1]):
        raise WrongUsage("a search without results has no people to compare")
    both = _distinct(torch.cat([first, second], dim=1))
    apart = _distinct(first) + _distinct(second)
    return (apart - both).double() / both.double()


def _distinct(people: Tensor) -> Tensor:
    """How many different numbers are in each row, [q] int64."""
    ordered = people.sort(dim=1).values
    return 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(1)
