"""Queries that need every shard, simulated over nodes with some cores and replicas each.

The shards are spread over columns; each node of a column holds all of its shards. A query comes, goes to the replica of
every column that has the least work left, waits there for free cores first come first served, and is answered when its
slowest part is. Service is first come first served, so each part's end follows from when a core is free next: one heap
of such moments a node is the whole state, and events are handled in the order of the queries. Q queries, S shards.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """``columns`` nodes hold all shards once, ``replicas`` times so many are there, with ``cores`` each."""

    columns: int
    replicas: int
    cores: int


@dataclass(frozen=True, eq=False)
class ServiceTimes:
    """How the seconds of a shard's part vary, as factors of the typical time.

    ``queries``: of a query on all shards (some preferences cost more); ``parts``: of one part among its query's.
    """

    queries: Array
    parts: Array

    @staticmethod
    def of(seconds_QS: Array) -> ServiceTimes:
        """From measured ones: the typical time is the mean, so that the load is kept."""
        query_Q = seconds_QS.mean(1)
        return ServiceTimes(query_Q / query_Q.mean(), (seconds_QS / query_Q[:, None]).ravel())

    def draw(self, typical_s: float, queries: int, shards: int, random: np.random.Generator) -> Array:
        """Seconds [Q,S], float64."""
        query_Q, part_QS = random.choice(self.queries, queries), random.choice(self.parts, (queries, shards))
        return np.asarray(typical_s * query_Q[:, None] * part_QS)


def poisson(rate: float, queries: int, random: np.random.Generator) -> Array:
    """Moments of arrival in seconds, float64 [Q]; ``rate`` a second."""
    return np.asarray(random.exponential(1 / rate, queries).cumsum())


def latencies(arrivals_Q: Array, seconds_QS: Array, cluster: Cluster) -> Array:
    """Seconds from each query's arrival until its slowest part is done, float64 [Q].

    Args:
        arrivals_Q: in order.
    """
    done_Q = np.zeros(len(arrivals_Q))
    for shards in np.array_split(np.arange(seconds_QS.shape[1]), cluster.columns):
        done_Q = np.maximum(done_Q, _column(arrivals_Q, seconds_QS[:, shards], cluster))
    return np.asarray(done_Q - arrivals_Q)


def _column(arrivals_Q: Array, seconds_QS: Array, cluster: Cluster) -> Array:
    """When the last part of each query is done there."""
    nodes = [[0.0] * cluster.cores for _ in range(cluster.replicas)]
    done_Q = arrivals_Q.copy()
    for query, now in enumerate(arrivals_Q.tolist()):
        free, last = min(nodes, key=partial(_work_left, now)), now
        for seconds in seconds_QS[query].tolist():
            end = max(now, free[0]) + seconds
            heapq.heapreplace(free, end)
            last = max(last, end)
        done_Q[query] = last
    return done_Q


def _work_left(now: float, node: list[float]) -> float:
    return sum(max(0.0, moment - now) for moment in node)
