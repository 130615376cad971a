"""A query with one aim on one shard: choose a plan, scan bounds, compare."""

from __future__ import annotations

import math

import numpy as np

from raypipe.retrieval.answer import Wish, first_count
from raypipe.retrieval.compared import Compared, factor
from raypipe.retrieval.factory import share_of_lists
from raypipe.retrieval.lists import weighted_ranks
from raypipe.retrieval.plan import (
    Kind,
    Plan,
    compare_plan,
    compare_seconds,
    factory_plan,
    lists_plan,
    scan_plan,
    window_plan,
)
from raypipe.retrieval.scan_rows import Probe
from raypipe.retrieval.shard import Shard
from raypipe.retrieval.space import Aim, Array

_COMPARED_TYPICALLY = 100
_SEEDS_PER_HIT = 8
_FEWEST_ROWS = 256

_HEAVY = 10.0
"""Beyond such a preference, lists made without preferences lose too much, and being exact costs little."""

_OUTWARDS = 1 + 1e-12
"""More than dividing by an aim's factor rounds."""


class AimSearch:
    """``scanned``: rows whose bound was looked at. ``bound``: no row that was not compared is nearer."""

    def __init__(self, shard: Shard, aim: Aim, wish: Wish, allowed: Array | None, compared: Compared) -> None:
        self._stored, self._target, self._factor = shard.spaces[aim.space], aim.target, factor(shard, aim)
        self._wish, self._allowed, self._compared = wish, allowed, compared
        reduction = self._stored.reduction
        self._reduced = reduction.reduce_target(aim.target)
        self._probe = Probe(self._reduced, aim.target.weights, self._stored.slack, reduction.scale)
        self.scanned, self.bound = 0, math.inf
        self._given: tuple[Array, Array] | None = None

    @property
    def probe_row(self) -> Array:
        """What scan rows are multiplied with, float32 [C]."""
        row: Array = self._probe.row
        return row

    def give_best(self, rows: Array, scores: Array) -> None:
        """What ``first_count(wish)`` rows have the highest scores, where somebody else has scanned all that may be."""
        self._given = rows, scores

    def plan(self, only: Kind | None) -> Plan:
        """The cheapest plan; the rows that it needs to know a limit are compared here."""
        count = self._compared.count
        every = compare_plan(self._stored, self._allowed, count)
        if only == "compare all" or count <= self._wish.k:
            return every
        if self._stored.by_factory:
            return factory_plan(every, [self._stored], self._wish)
        scan = scan_plan(self._stored, self._allowed, count)
        if only == "scan":
            return scan
        compare_s = compare_seconds(self._stored)
        if only is None and every.seconds < scan.seconds + _COMPARED_TYPICALLY * compare_s:
            return every
        if self._wish.asked_recall < 1.0 and self._target.weights.max(initial=1.0) <= _HEAVY:
            return self._some_lists()
        if only is None and scan.seconds < _SEEDS_PER_HIT * self._wish.k * compare_s:
            return scan
        return self._informed_plan(scan, only)

    def follow(self, plan: Plan) -> None:
        """Compare what the plan leaves, until it is certain."""
        if plan.kind == "compare all":
            self._compared.compare(np.arange(self._stored.rows) if plan.rows is None else np.flatnonzero(plan.rows))
            return
        self._compared.compare(self._stored.strays)
        if plan.kind == "factory":
            self.bound = self._compared.take_candidates([self.candidates])
            return
        if plan.rows is not None and plan.count * compare_seconds(self._stored) < plan.seconds:
            self._compared.compare(np.flatnonzero(plan.rows))
        else:
            self.scanned += plan.count
            self.bound = self._compared.take_in(_Scan(self, plan.lists, plan.rows))
        self.bound = min(self.bound, plan.limit * self._factor)
        if plan.kind == "some lists":
            left_out = np.setdiff1d(np.arange(len(self._stored.list_sizes)), plan.lists)
            nearest = float(self._bounds_of_lists()[left_out].min(initial=math.inf)) * self._factor
            self.bound = min(self.bound, math.nextafter(nearest, 0.0))

    def bounds_nearest_first(self, rows: Array, scores: Array) -> tuple[Array, Array]:
        order = np.argsort(-scores, kind="stable")
        return rows[order], self._probe.bounds(scores[order]) * self._factor

    def first_best(self, lists: Array, count: int, allowed: Array | None) -> tuple[Array, Array]:
        """``best``, from what was given where that suffices."""
        if self._given is None or count > first_count(self._wish):
            return self.best(lists, count, allowed)
        return self.bounds_nearest_first(*self._given)

    def best(self, lists: Array, count: int, allowed: Array | None) -> tuple[Array, Array]:
        """Rows with the lowest bounds in some lists, and these."""
        rows, scores = self._stored.best(self._probe.row, lists, min(count, self._stored.rows), allowed)
        return self.bounds_nearest_first(rows, scores)

    def within(self, lists: Array, limit: float, allowed: Array | None) -> tuple[Array, Array]:
        """All rows in some lists whose bound is not above ``limit``, and their bounds."""
        least = self._probe.least_score(limit / self._factor * _OUTWARDS)
        return self.bounds_nearest_first(*self._stored.within(self._probe.row, lists, least, allowed))

    def candidates(self, count: int) -> Array:
        """Rows that a factory's index finds."""
        rows, _ = self._stored.candidates(self._probe.row, count, self._wish.asked_recall, self._allowed)
        self.scanned += len(rows)
        return rows

    def _informed_plan(self, scan: Plan, only: Kind | None) -> Plan:
        """With the distances of some near rows."""
        ranked = self._ranked_lists()
        seeds = 1 + int(np.searchsorted(np.cumsum(self._stored.list_sizes[ranked]), _SEEDS_PER_HIT * self._wish.k))
        self._compared.compare(self._stored.strays)
        self._compared.compare_in_order(*self.best(ranked[:seeds], self._wish.k, self._allowed))
        if not math.isfinite(self._compared.limit):
            return scan
        limit = self._compared.limit / self._factor * _OUTWARDS
        lists = lists_plan(self._stored, self._allowed, self._bounds_of_lists(), limit)
        window = window_plan(self._stored, self._target, self._allowed, limit, lists.lists)
        plans = {plan.kind: plan for plan in (scan, lists, window) if plan is not None}
        return plans[only] if only in plans else min(plans.values(), key=lambda plan: plan.seconds)

    def _some_lists(self) -> Plan:
        asked = self._wish.asked_recall
        share = share_of_lists(asked)
        ranked, sizes_L = self._ranked_lists(), self._stored.list_sizes
        wanted = max(share * self._stored.rows, float(_FEWEST_ROWS))
        count = int(np.searchsorted(np.cumsum(sizes_L[ranked]), wanted)) + 1
        rows = int(sizes_L[ranked[:count]].sum())
        why = f"recall {asked:g} asked: the nearest {share:.0%} of the rows, by lists under the preferences"
        return Plan("some lists", why, 0.0, ranked[:count], self._allowed, rows)

    def _ranked_lists(self) -> Array:
        return weighted_ranks(self._reduced, self._target.weights, self._stored.reduction.centroids)

    def _bounds_of_lists(self) -> Array:
        return self._stored.extents.bounds(self._reduced, self._target.weights, self._stored.reduction)


class _Scan:
    """The bounds of a plan's rows, as ``compared.Bounds``."""

    def __init__(self, search: AimSearch, lists: Array, rows: Array | None) -> None:
        self._search, self._lists, self._rows = search, lists, rows

    def nearest(self, count: int) -> tuple[Array, Array]:
        return self._search.first_best(self._lists, count, self._rows)

    def within(self, limit: float) -> tuple[Array, Array]:
        return self._search.within(self._lists, limit, self._rows)
