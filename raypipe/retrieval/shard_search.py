"""One query on one shard, and what was done to answer it; queries that scan together."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from raypipe.retrieval.aim_search import AimSearch
from raypipe.retrieval.answer import Answer, Explanation, Wish, first_count
from raypipe.retrieval.batch_scan import FirstScan
from raypipe.retrieval.compared import Compared
from raypipe.retrieval.joint_search import JointSearch
from raypipe.retrieval.plan import Kind
from raypipe.retrieval.shard import Shard
from raypipe.retrieval.space import Aim, Array


def search_shard(
    shard: Shard, aims: Sequence[Aim], wish: Wish, allowed: Array | None, only: Kind | None = None
) -> Answer:
    """The nearest rows of a shard; as ``ShardSearch``."""
    return ShardSearch(shard, aims, wish, allowed, only).answer()


class ShardSearch:
    """A query with a plan. ``scan``: the search whose rows a product may scan, None where the plan is another.

    Args:
        allowed: the rows that may be hits, as ``shard.allowed(wish.condition)`` gives them.
        only: take this plan instead of the cheapest, where the query admits it.
    """

    def __init__(
        self, shard: Shard, aims: Sequence[Aim], wish: Wish, allowed: Array | None, only: Kind | None = None
    ) -> None:
        started = time.perf_counter()
        self.shard, self.space = shard, aims[0].space
        self.compared = Compared(shard, aims, wish, allowed)
        one = AimSearch(shard, aims[0], wish, allowed, self.compared) if len(aims) == 1 else None
        self._search = one or JointSearch(shard, aims, wish, allowed, self.compared)
        self._plan = self._search.plan(only)
        self.scan = one if self._plan.kind == "scan" else None
        self._why = self._plan.why
        self._seconds = time.perf_counter() - started

    def give_best(self, scan: AimSearch, found: tuple[Array, Array], together: int, seconds: float) -> None:
        """What one scan of several queries found for it, as ``AimSearch.give_best``."""
        scan.give_best(*found)
        self._why += ", in one scan" + (f" with {together - 1} other queries" if together > 1 else "")
        self._seconds += seconds

    def answer(self) -> Answer:
        """Follow the plan."""
        started = time.perf_counter()
        self._search.follow(self._plan)
        hits = self.compared.told_hits()
        explanation = Explanation(
            shard=self.shard.name,
            plan=self._plan.kind,
            why=self._why,
            rows=self.compared.count,
            scanned=self._search.scanned,
            compared=self.compared.total,
            bound=self._search.bound,
            certified=self._search.bound >= self.compared.limit,
            ms=(self._seconds + time.perf_counter() - started) * 1e3,
        )
        return Answer(hits, [explanation])


def scan_together(
    searches: Sequence[ShardSearch],
    scans: Mapping[tuple[str, str], FirstScan],
    wish: Wish,
    allowed: Mapping[str, Array | None],
) -> None:
    """Where many searches scan the same rows, scan for all at once; the answers stay the same.

    Args:
        searches: all of the same wish.
        scans: of each shard and space.
        allowed: by shard, as the searches have it.
    """
    groups: dict[tuple[str, str], list[tuple[ShardSearch, AimSearch]]] = {}
    for search in searches:
        if search.scan is not None:
            groups.setdefault((search.shard.name, search.space), []).append((search, search.scan))
    for place, group in groups.items():
        started = time.perf_counter()
        probes_QC = np.stack([scan.probe_row for _, scan in group])
        found = scans[place].propose(probes_QC, first_count(wish), allowed[place[0]])
        if found is not None:
            seconds = (time.perf_counter() - started) / len(group)
            for (search, scan), best in zip(group, found, strict=True):
                search.give_best(scan, best, len(group), seconds)
