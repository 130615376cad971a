"""One query on one shard: choose a plan, scan bounds, compare in order of the bound until nothing nearer is possible.

Rows are compared with their full vectors, nearest bound first. When the next bound is above the k-th distance, no
other row can be among the k nearest: the answer is certified. The first guess of how many rows that takes is a fixed
number of best scores; where it does not suffice, one more pass fetches all rows whose bound is within the k-th
distance.
"""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np

from raypipe.retrieval.answer import Answer, Explanation, Hit, Wish, nearest_hits
from raypipe.retrieval.lists import weighted_ranks
from raypipe.retrieval.plan import Kind, Plan, compare_plan, compare_seconds, lists_plan, scan_plan, window_plan
from raypipe.retrieval.scan_rows import Probe
from raypipe.retrieval.shard import Shard
from raypipe.retrieval.space import Array, Target, told_unit

_FIRST_SCORES = 256
_CHUNK = 32
_COMPARED_TYPICALLY = 100
_SEEDS_PER_HIT = 8

LIST_SHARES = ((0.9, 0.2), (0.99, 0.5))
"""Asked recall -> the share of a shard's rows looked at. Measured, see ``benchmarks/search.py``."""

_HEAVY = 10.0
"""Beyond such a preference, lists made without preferences lose too much, and being exact costs little."""


def search_shard(shard: Shard, target: Target, wish: Wish, allowed: Array | None, only: Kind | None = None) -> Answer:
    """The nearest rows of a shard.

    Args:
        allowed: the rows that may be hits, as ``shard.allowed(wish.condition)`` gives them.
        only: take this plan instead of the cheapest, where the query admits it.
    """
    started = time.perf_counter()
    search = _Search(shard, target, wish, allowed)
    plan = search.plan(only)
    search.follow(plan)
    hits = search.told_hits()
    explanation = Explanation(
        shard=shard.name,
        plan=plan.kind,
        why=plan.why,
        rows=search.count,
        scanned=search.scanned,
        compared=search.compared,
        bound=search.bound * told_unit(shard.space),
        certified=search.bound >= search.limit,
        ms=(time.perf_counter() - started) * 1e3,
    )
    return Answer(hits, [explanation])


class _Search:
    """``limit``: the k-th distance so far. ``bound``: no row that was left out is nearer."""

    def __init__(self, shard: Shard, target: Target, wish: Wish, allowed: Array | None) -> None:
        self._shard, self._target, self._wish, self._allowed = shard, target, wish, allowed
        self._reduced = shard.reduction.reduce_target(target)
        self._probe = Probe(self._reduced, target.weights, shard.slack, shard.reduction.scale)
        self._hits: list[Hit] = []
        self._seen = np.zeros(shard.rows, np.bool_)
        self.count = shard.rows if allowed is None else int(np.count_nonzero(allowed))
        self.scanned = self.compared = 0
        self.bound = math.inf

    @property
    def limit(self) -> float:
        return self._hits[-1].distance if len(self._hits) == self._wish.k else math.inf

    def plan(self, only: Kind | None) -> Plan:
        """The cheapest plan; the rows that it needs to know a limit are compared here."""
        every = compare_plan(self._shard, self._allowed, self.count)
        if only == "compare all" or self.count <= self._wish.k:
            return every
        scan = scan_plan(self._shard, self._allowed, self.count)
        if only == "scan":
            return scan
        compare_s = compare_seconds(self._shard)
        if only is None and every.seconds < scan.seconds + _COMPARED_TYPICALLY * compare_s:
            return every
        if self._wish.recall < 1.0 and self._target.weights.max(initial=1.0) <= _HEAVY:
            return self._some_lists()
        if only is None and scan.seconds < _SEEDS_PER_HIT * self._wish.k * compare_s:
            return scan
        return self._informed_plan(scan, only)

    def _informed_plan(self, scan: Plan, only: Kind | None) -> Plan:
        """With the distances of some near rows."""
        ranked = self._ranked_lists()
        seeds = 1 + int(np.searchsorted(np.cumsum(self._shard.list_sizes[ranked]), _SEEDS_PER_HIT * self._wish.k))
        self._compare(self._allowed_of(self._shard.strays))
        self._compare_in_order(*self._best(ranked[:seeds], self._wish.k, self._allowed))
        if not math.isfinite(self.limit):
            return scan
        lists = lists_plan(self._shard, self._allowed, self._bounds_of_lists(), self.limit)
        window = window_plan(self._shard, self._target, self._allowed, self.limit, lists.lists)
        plans = {plan.kind: plan for plan in (scan, lists, window) if plan is not None}
        return plans[only] if only in plans else min(plans.values(), key=lambda plan: plan.seconds)

    def _some_lists(self) -> Plan:
        share = next((share for recall, share in LIST_SHARES if self._wish.recall <= recall), 1.0)
        ranked, sizes_L = self._ranked_lists(), self._shard.list_sizes
        wanted = max(share * self._shard.rows, float(_FIRST_SCORES))
        count = int(np.searchsorted(np.cumsum(sizes_L[ranked]), wanted)) + 1
        rows = int(sizes_L[ranked[:count]].sum())
        why = f"recall {self._wish.recall:g} asked: the nearest {share:.0%} of the rows, by lists under the preferences"
        return Plan("some lists", why, 0.0, ranked[:count], self._allowed, rows)

    def follow(self, plan: Plan) -> None:
        """Compare what the plan leaves, until it is certain."""
        self.bound = math.inf
        if plan.kind == "compare all":
            self._compare(np.arange(self._shard.rows) if plan.rows is None else np.flatnonzero(plan.rows))
            return
        self._compare(self._allowed_of(self._shard.strays))
        if plan.rows is not None and plan.count * compare_seconds(self._shard) < plan.seconds:
            self._compare(np.flatnonzero(plan.rows))
        else:
            self.scanned += plan.count
            self._scan(plan)
        self.bound = min(self.bound, plan.limit)
        if plan.kind == "some lists":
            left_out = np.setdiff1d(np.arange(len(self._shard.list_sizes)), plan.lists)
            nearest = float(self._bounds_of_lists()[left_out].min(initial=math.inf))
            self.bound = min(self.bound, math.nextafter(nearest, 0.0))

    def told_hits(self) -> list[Hit]:
        """The hits with their distances split, in the unit that users see."""
        rows = np.array([hit.row for hit in self._hits], np.int64)
        parts, unit = self._shard.distances(self._target, rows), told_unit(self._shard.space)
        return [
            dataclasses.replace(
                hit,
                distance=float(parts.total[i]) * unit,
                attributes=dict(zip(self._shard.space.coordinates, parts.attributes[i].tolist(), strict=True)),
                rest=float(parts.rest[i]) * unit,
            )
            for i, hit in enumerate(self._hits)
        ]

    def _scan(self, plan: Plan) -> None:
        first = max(_FIRST_SCORES, 2 * self._wish.k)
        while True:
            rows, scores = self._best(plan.lists, first, plan.rows)
            if self._compare_in_order(rows, scores) or len(rows) < first:
                return
            if math.isfinite(self.limit):
                break
            first *= 4  # most of the best were excluded, or one person's
        limit = self.limit
        least = self._probe.least_score(limit)
        if not self._compare_in_order(*self._shard.within(self._probe.row, plan.lists, least, plan.rows)):
            self.bound = limit  # lower scores are farther than that

    def _compare_in_order(self, rows: Array, scores: Array) -> bool:
        """True where the rest of these rows, and all with lower scores, are beyond the limit."""
        order = np.argsort(-scores, kind="stable")
        rows, bounds = rows[order], self._probe.bounds(scores[order])
        start = 0
        while start < len(rows):
            stop = min(start + _CHUNK, int(np.searchsorted(bounds, self.limit, "right")))
            if stop <= start:
                self.bound = float(bounds[start])
                return True
            self._compare(rows[start:stop])
            start = stop
        return False

    def _compare(self, rows: Array) -> None:
        """Take in the true distances of some rows that are allowed."""
        rows = rows[~self._seen[rows]]
        for start in range(0, len(rows), 4096):
            self._compare_block(rows[start : start + 4096])

    def _compare_block(self, rows: Array) -> None:
        self._seen[rows] = True
        self.compared += len(rows)
        distances_N = self._shard.distances(self._target, rows).total
        near = np.flatnonzero(distances_N <= self.limit)
        rows, wish = rows[near], self._wish
        groups = self._shard.values(wish.diversity.column, rows) if wish.diversity else [None] * len(rows)
        found = [
            Hit(id=name, distance=distance, attributes={}, rest=0.0, shard=self._shard.name, row=row, group=group)
            for name, distance, row, group in zip(
                self._shard.ids(rows), distances_N[near].tolist(), rows.tolist(), groups, strict=True
            )
            if name not in wish.exclude
        ]
        self._hits = nearest_hits([*self._hits, *found], wish.k, wish.diversity)

    def _best(self, lists: Array, count: int, allowed: Array | None) -> tuple[Array, Array]:
        return self._shard.best(self._probe.row, lists, min(count, self._shard.rows), allowed)

    def _ranked_lists(self) -> Array:
        return weighted_ranks(self._reduced, self._target.weights, self._shard.reduction.centroids)

    def _bounds_of_lists(self) -> Array:
        return self._shard.extents.bounds(self._reduced, self._target.weights, self._shard.reduction)

    def _allowed_of(self, rows: Array) -> Array:
        return rows if self._allowed is None else rows[self._allowed[rows]]
