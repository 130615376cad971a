"""Which faces are fitted with, which choose settings, which are measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from raypipe.errors import WrongUsage
from raypipe.pipeline.train.order import Rows


def split_sets(
    rows: int, identities: npt.NDArray[np.int64] | None, sizes: Sequence[int], *, limit: int = 0, seed: int = 0
) -> tuple[Rows, ...]:
    """Disjoint sets of rows, each in ascending order; the same for the same arguments.

    Args:
        rows: of the data.
        identities: the person of every row, where known: a person's rows then all lie in one set. A person who does
            not fit into a set as a whole ends it, so that a set may be a few faces short.
        sizes: wanted numbers of faces; all are scaled down alike where there are fewer.
        limit: at most so many faces in all; 0 = no limit.

    Raises:
        WrongUsage: too few rows for a face in each set.
    """
    wanted, there = sum(sizes), min(rows, limit or rows)
    counts = [size if wanted <= there else size * there // wanted for size in sizes]
    order = np.random.default_rng(seed).permutation(rows)
    if identities is not None:
        order = _person_by_person(order, identities)
    sets = []
    start = 0
    for count in counts:
        end = start + count
        if identities is not None and end < rows:
            end = _end_of_person(order, identities, start, end)
        sets.append(np.sort(order[start:end]))
        start = end
    if min(len(chosen) for chosen in sets) < 1:
        raise WrongUsage(f"{there} faces are too few for {len(sizes)} sets in the proportion {list(sizes)}")
    return tuple(sets)


def _person_by_person(order: Rows, identities: npt.NDArray[np.int64]) -> Rows:
    """The same rows with every person's brought together, persons in the order of their first row."""
    _, first, person = np.unique(identities[order], return_index=True, return_inverse=True)
    return order[np.argsort(first[person], kind="stable")]


def _end_of_person(order: Rows, identities: npt.NDArray[np.int64], start: int, end: int) -> int:
    """The last place up to ``end`` at which a person ends."""
    while end > start and identities[order[end]] == identities[order[end - 1]]:
        end -= 1
    return end
