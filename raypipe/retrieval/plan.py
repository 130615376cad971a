"""Ways to look through a shard without missing a hit, and which is the cheapest for a query.

Once k distances are known, their largest, d_k, rules rows out under any weights: those outside |u_m - c_m| <=
sqrt(d_k / p_m) for any attribute m, and the lists whose bound is above it. How many rows remain is then known exactly,
so costs are counted, not guessed. The constants were measured (one thread of an AVX-512 core, rows in memory).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from raypipe.retrieval.answer import Wish, first_count
from raypipe.retrieval.space import Array, Target
from raypipe.retrieval.stored_space import StoredSpace

Kind = Literal["compare all", "scan", "lists", "window", "some lists", "joint scan", "factory"]

SCAN_S = (1e-9, 5.5e-11)
"""Per row, and per row and column: the product with the query's row."""

SELECT_S = 2e-9
"""Per row that a selector may turn away."""

JUMP_S = 1e-7
"""Per row that a selector keeps, where it keeps few: memory is not read in order. A quarter of it at half the rows."""

COMPARE_S = (2e-6, 4e-9)
"""Per row, and per row and number: gathering a full vector and its distance."""

CALL_S = 5e-5

_WINDOWS_LOOKED_AT = 3


@dataclass(frozen=True, eq=False)
class Plan:
    """Look at ``lists`` only, and in them at ``rows`` only (bool [rows] of the shard; None: all).

    ``seconds``: estimated. ``count``: how many rows are looked at. ``limit``: rows that are left out are farther away.
    """

    kind: Kind
    why: str
    seconds: float
    lists: Array
    rows: Array | None
    count: int
    limit: float = math.inf


def compare_plan(stored: StoredSpace, allowed: Array | None, count: int) -> Plan:
    """Compute every distance."""
    seconds = CALL_S + count * compare_seconds(stored)
    return Plan("compare all", f"only {count:,} rows to compare", seconds, np.empty(0, np.int64), allowed, count)


def scan_plan(stored: StoredSpace, allowed: Array | None, count: int) -> Plan:
    """Look at the bound of every row."""
    every = np.arange(len(stored.list_sizes))
    seconds = scan_seconds(stored, stored.rows, count, allowed)
    return Plan("scan", f"the bounds of all {count:,} rows", seconds, every, allowed, count)


def lists_plan(stored: StoredSpace, allowed: Array | None, bounds_L: Array, limit: float) -> Plan:
    """Leave out the lists that cannot have a hit."""
    lists = np.flatnonzero(bounds_L <= limit)
    rows = int(stored.list_sizes[lists].sum())
    why = f"{len(lists):,} of {len(bounds_L):,} lists can have rows within {limit:.4g}"
    return Plan("lists", why, scan_seconds(stored, rows, rows, allowed), lists, allowed, rows, limit)


def window_plan(stored: StoredSpace, target: Target, allowed: Array | None, limit: float, lists: Array) -> Plan | None:
    """Look only at rows near the wanted value of the attribute that leaves the fewest; None: none is weighted."""
    best: tuple[int, int, int, int] | None = None
    for attribute in np.argsort(-target.weights, kind="stable")[:_WINDOWS_LOOKED_AT]:
        if target.weights[attribute] <= 1.0:
            break
        half = math.sqrt(limit / target.weights[attribute]) * (1 + 1e-9)
        wanted = float(target.wanted[attribute])
        first, last = stored.window(int(attribute), wanted - half, wanted + half)
        if best is None or last - first < best[0]:
            best = (last - first, int(attribute), first, last)
    if best is None:
        return None
    count, attribute, first, last = best
    seconds = scan_seconds(stored, int(stored.list_sizes[lists].sum()), count, allowed, selects=True)
    inside = np.zeros(stored.rows, np.bool_)
    inside[stored.window_rows(attribute, first, last)] = True
    name = stored.space.coordinates[attribute]
    why = f"{count:,} of {stored.rows:,} rows are near enough in {name!r} (preference {target.weights[attribute]:g})"
    return Plan("window", why, seconds, lists, inside if allowed is None else inside & allowed, count, limit)


def factory_plan(every: Plan, stored: Sequence[StoredSpace], wish: Wish) -> Plan:
    """Let an index of one's own choice find candidates, unless ``every`` plan, which is exact, costs little more."""
    seconds = CALL_S + first_count(wish) * sum(map(compare_seconds, stored))
    if every.seconds < 2 * seconds:
        return every
    why = "candidates from the factory's index: nothing proves that they are all"
    return Plan("factory", why, seconds, np.empty(0, np.int64), every.rows, every.count)


def compare_seconds(stored: StoredSpace) -> float:
    """Of one row."""
    return COMPARE_S[0] + COMPARE_S[1] * stored.space.width


def scan_seconds(stored: StoredSpace, rows: int, kept: int, allowed: Array | None, *, selects: bool = False) -> float:
    """Of Faiss looking at ``kept`` of ``rows`` rows for one query."""
    seconds = CALL_S + kept * (SCAN_S[0] + SCAN_S[1] * stored.columns)
    if not selects and allowed is None:
        return seconds
    return seconds + rows * SELECT_S + kept * JUMP_S * (1.0 - kept / max(1, rows)) ** 2
