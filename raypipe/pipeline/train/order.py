"""Which rows a step is trained with: a function of the step alone, so that a run can go on anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Order:
    """The rows of a data set, one epoch after the other, each epoch shuffled anew; a batch may span two epochs.

    Attributes:
        groups: rows that lie together in storage, as consecutive ranges' lengths. Groups are shuffled, and rows within
            ``window`` neighbouring groups of that order, so that a reader needs only those in memory. One group of all
            rows is a plain shuffle.
        batch: rows of a step; 0: all of them, in their own order.
    """

    groups: tuple[int, ...]
    batch: int
    seed: int
    window: int = 8

    @property
    def rows(self) -> int:
        return sum(self.groups)

    def of_step(self, step: int) -> Rows:
        """The global batch of a step: [batch] indices into the data set."""
        if self.batch == 0:
            return np.arange(self.rows)
        first = step * self.batch
        epochs = range(first // self.rows, (first + self.batch - 1) // self.rows + 1)
        several = np.concatenate([_shuffled(self, epoch) for epoch in epochs])
        start = first - epochs[0] * self.rows
        return several[start : start + self.batch]


@lru_cache(maxsize=2)  # steps come one after the other, and a batch may span two epochs
def _shuffled(order: Order, epoch: int) -> Rows:
    """The rows of an epoch in the order in which they are trained with."""
    random = np.random.default_rng([order.seed, epoch])
    starts = np.concatenate([[0], np.cumsum(order.groups)])
    groups = random.permutation(len(order.groups))
    parts: list[Rows] = []
    for first in range(0, len(groups), order.window):
        rows = [np.arange(starts[group], starts[group + 1]) for group in groups[first : first + order.window]]
        parts.append(random.permutation(np.concatenate(rows)))
    return np.concatenate(parts)
