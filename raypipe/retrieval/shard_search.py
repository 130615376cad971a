"""One query on one shard, and what was done to answer it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from raypipe.retrieval.aim_search import AimSearch
from raypipe.retrieval.answer import Answer, Explanation, Wish
from raypipe.retrieval.compared import Compared
from raypipe.retrieval.joint_search import JointSearch
from raypipe.retrieval.plan import Kind
from raypipe.retrieval.shard import Shard
from raypipe.retrieval.space import Aim, Array


def search_shard(
    shard: Shard, aims: Sequence[Aim], wish: Wish, allowed: Array | None, only: Kind | None = None
) -> Answer:
    """The nearest rows of a shard.

    Args:
        allowed: the rows that may be hits, as ``shard.allowed(wish.condition)`` gives them.
        only: take this plan instead of the cheapest, where the query admits it.
    """
    started = time.perf_counter()
    compared = Compared(shard, aims, wish, allowed)
    search = (
        AimSearch(shard, aims[0], wish, allowed, compared)
        if len(aims) == 1
        else JointSearch(shard, aims, allowed, compared)
    )
    plan = search.plan(only)
    search.follow(plan)
    hits = compared.told_hits()
    explanation = Explanation(
        shard=shard.name,
        plan=plan.kind,
        why=plan.why,
        rows=compared.count,
        scanned=search.scanned,
        compared=compared.total,
        bound=search.bound,
        certified=search.bound >= compared.limit,
        ms=(time.perf_counter() - started) * 1e3,
    )
    return Answer(hits, [explanation])
