"""The rows of a shard whose full distance is known, and the nearest hits among them.

Rows are compared with their full vectors, nearest bound first. When the next bound is above the k-th distance, no
other row can be among the k nearest: the answer is certified.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from raypipe.retrieval.answer import Hit, Part, Wish, first_count, nearest_hits
from raypipe.retrieval.shard import Shard
from raypipe.retrieval.space import Aim, Array, told_unit

_CHUNK, _BLOCK = 32, 4096


Candidates = Callable[[int], Array]
"""About so many rows that are probably near."""


class Bounds(Protocol):
    """Rows with lower bounds of their distances, nearest bound first."""

    def nearest(self, count: int) -> tuple[Array, Array]:
        """The ``count`` rows with the lowest bounds, and these; fewer if there are fewer."""

    def within(self, limit: float) -> tuple[Array, Array]:
        """All rows whose bound is not above ``limit`` (rounding may add some), and their bounds."""


class Compared:
    """What is known of a shard's distances from one query's aims.

    ``count``: rows that may be hits. ``total``: how many were compared. ``limit``: the k-th distance so far.
    """

    def __init__(self, shard: Shard, aims: Sequence[Aim], wish: Wish, allowed: Array | None) -> None:
        self._shard, self._aims, self._wish, self._allowed = shard, aims, wish, allowed
        self._factors = [factor(shard, aim) for aim in aims]
        self._hits: list[Hit] = []
        self._seen = np.zeros(shard.rows, np.bool_)
        self.count = shard.rows if allowed is None else int(np.count_nonzero(allowed))
        self.total = 0

    @property
    def limit(self) -> float:
        return self._hits[-1].distance if len(self._hits) == self._wish.k else math.inf

    def compare(self, rows: Array) -> None:
        """Take in the true distances of some rows; those that may not be hits are left out."""
        rows = rows if self._allowed is None else rows[self._allowed[rows]]
        rows = rows[~self._seen[rows]]
        for start in range(0, len(rows), _BLOCK):
            self._compare_block(rows[start : start + _BLOCK])

    def compare_in_order(self, rows: Array, bounds: Array) -> float:
        """Compare until nothing nearer is possible.

        Returns:
            A bound of the rows that were not compared; inf where all were.
        """
        start = 0
        while start < len(rows):
            stop = min(start + _CHUNK, int(np.searchsorted(bounds, self.limit, "right")))
            if stop <= start:
                return float(bounds[start])
            self.compare(rows[start:stop])
            start = stop
        return math.inf

    def take_in(self, source: Bounds) -> float:
        """Compare what may be a hit of some rows with bounds.

        The first guess of how many rows that takes is a fixed number of lowest bounds; where it does not suffice, one
        more pass looks at all rows whose bound is within the k-th distance.

        Returns:
            A bound of the rows that were not compared; inf where all were.
        """
        first = first_count(self._wish)
        while True:
            rows, bounds = source.nearest(first)
            bound = self.compare_in_order(rows, bounds)
            if math.isfinite(bound) or len(rows) < first:
                return bound
            if math.isfinite(self.limit):
                break
            first *= 4  # most of the lowest were excluded, or one person's
        limit = self.limit
        return min(self.compare_in_order(*source.within(limit)), limit)

    def take_candidates(self, sources: Sequence[Candidates]) -> float:
        """Compare what some sources find, more of it where hits are missing, and in the end all rows.

        Returns:
            A bound of the rows that were not compared: -inf as nothing is known of them, inf where there are none.
        """
        count = first_count(self._wish)
        while True:
            found = [source(count) for source in sources]
            for rows in found:
                self.compare(rows)
            if math.isfinite(self.limit) or all(len(rows) < count for rows in found):
                break
            count *= 4
        if not math.isfinite(self.limit):
            self.compare(np.arange(self._shard.rows))
        return math.inf if self.total == self.count else -math.inf

    def told_hits(self) -> list[Hit]:
        """The hits with their distances split, in the unit that users see."""
        rows = np.array([hit.row for hit in self._hits], np.int64)
        parts = list(zip(*(self._told_parts(aim, rows) for aim in self._aims), strict=True))
        return [dataclasses.replace(hit, parts=parts[i]) for i, hit in enumerate(self._hits)]

    def _told_parts(self, aim: Aim, rows: Array) -> list[Part]:
        stored = self._shard.spaces[aim.space]
        split, unit = stored.distances(aim.target, rows), told_unit(stored.space)
        return [
            Part(
                space=aim.space,
                weight=aim.weight,
                distance=float(split.total[i]) * unit,
                attributes=dict(zip(stored.space.coordinates, (split.attributes[i] * unit).tolist(), strict=True)),
                rest=float(split.rest[i]) * unit,
            )
            for i in range(len(rows))
        ]

    def _compare_block(self, rows: Array) -> None:
        self._seen[rows] = True
        self.total += len(rows)
        distances_N = self._distances(rows)
        near = np.flatnonzero(distances_N <= self.limit)
        rows, wish = rows[near], self._wish
        groups = self._shard.values(wish.diversity.column, rows) if wish.diversity else [None] * len(rows)
        found = [
            Hit(id=name, distance=distance, shard=self._shard.name, row=row, group=group)
            for name, distance, row, group in zip(
                self._shard.ids(rows), distances_N[near].tolist(), rows.tolist(), groups, strict=True
            )
            if name not in wish.exclude
        ]
        self._hits = nearest_hits([*self._hits, *found], wish.k, wish.diversity)

    def _distances(self, rows: Array) -> Array:
        total_N = np.zeros(len(rows))
        for aim, scale in zip(self._aims, self._factors, strict=True):
            total_N += scale * self._shard.spaces[aim.space].distances(aim.target, rows).total
        return total_N


def factor(shard: Shard, aim: Aim) -> float:
    """What an aim's distance is multiplied with in the query's."""
    return aim.weight * told_unit(shard.spaces[aim.space].space)
