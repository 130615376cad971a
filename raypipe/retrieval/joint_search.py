"""A query with several aims on one shard: the sum of the aims' bounds is a bound of the sum of their distances.

All spaces have the same rows, so bounds are added row by row; comparing in their order is certified as with one aim.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from raypipe.retrieval.aim_search import AimSearch
from raypipe.retrieval.answer import Wish
from raypipe.retrieval.compared import Compared, factor
from raypipe.retrieval.plan import Kind, Plan, compare_plan, compare_seconds, factory_plan, scan_plan
from raypipe.retrieval.scan_rows import Probe
from raypipe.retrieval.shard import Shard
from raypipe.retrieval.space import Aim, Array

_COMPARED_TYPICALLY = 200


class JointSearch:
    """``scanned``: rows whose bound was looked at. ``bound``: no row that was not compared is nearer."""

    def __init__(
        self, shard: Shard, aims: Sequence[Aim], wish: Wish, allowed: Array | None, compared: Compared
    ) -> None:
        self._shard, self._aims, self._wish, self._allowed, self._compared = shard, aims, wish, allowed, compared
        self.scanned, self.bound = 0, math.inf

    def plan(self, only: Kind | None) -> Plan:
        """Compare all rows or scan the bounds of all, whichever is cheaper."""
        count, stored = self._compared.count, [self._shard.spaces[aim.space] for aim in self._aims]
        every = [compare_plan(space, self._allowed, count) for space in stored]
        scans = [scan_plan(space, self._allowed, count) for space in stored]
        compare_s = sum(plan.seconds for plan in every)
        typical_s = _COMPARED_TYPICALLY * sum(compare_seconds(space) for space in stored)
        scan_s = sum(plan.seconds for plan in scans) + typical_s
        if only == "compare all" or count == 0 or (only is None and compare_s < scan_s):
            return every[0]
        if any(space.by_factory for space in stored):
            return factory_plan(dataclasses.replace(every[0], seconds=compare_s), stored, self._wish)
        why = f"the bounds of all {count:,} rows, summed over {len(self._aims)} aims"
        return Plan("joint scan", why, scan_s, scans[0].lists, self._allowed, count)

    def follow(self, plan: Plan) -> None:
        """Compare what the plan leaves, until it is certain."""
        if plan.kind == "compare all":
            self._compared.compare(np.arange(self._shard.rows))
            return
        for aim in self._aims:
            self._compared.compare(self._shard.spaces[aim.space].strays)
        if plan.kind == "factory":
            searches = [AimSearch(self._shard, aim, self._wish, self._allowed, self._compared) for aim in self._aims]
            self.bound = self._compared.take_candidates([search.candidates for search in searches])
            self.scanned = sum(search.scanned for search in searches)
            return
        self.scanned += plan.count
        self.bound = self._compared.take_in(_Sums(self._bounds()))

    def _bounds(self) -> Array:
        """Of every row, float64 [rows]; inf for those that may not be hits."""
        bounds_N = np.zeros(self._shard.rows)
        if self._allowed is not None:
            bounds_N[~self._allowed] = math.inf
        for aim in self._aims:
            stored = self._shard.spaces[aim.space]
            reduction = stored.reduction
            probe = Probe(reduction.reduce_target(aim.target), aim.target.weights, stored.slack, reduction.scale)
            every = np.arange(len(stored.list_sizes))
            rows, scores = stored.within(probe.row, every, -math.inf, self._allowed)
            bounds_N[rows] += probe.bounds(scores) * factor(self._shard, aim)
        return bounds_N


class _Sums:
    """Summed bounds of every row, as ``compared.Bounds``."""

    def __init__(self, bounds_N: Array) -> None:
        self._bounds = bounds_N
        self._count = int(np.count_nonzero(np.isfinite(bounds_N)))

    def nearest(self, count: int) -> tuple[Array, Array]:
        kept = min(count, self._count)
        if kept == len(self._bounds):
            return self._in_order(np.arange(kept))
        return self._in_order(np.argpartition(self._bounds, kept)[:kept])

    def within(self, limit: float) -> tuple[Array, Array]:
        return self._in_order(np.flatnonzero(self._bounds <= limit))

    def _in_order(self, rows: Array) -> tuple[Array, Array]:
        bounds = self._bounds[rows]
        order = np.argsort(bounds, kind="stable")
        return rows[order], bounds[order]
