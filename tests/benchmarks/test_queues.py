from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.queues import Cluster, ServiceTimes, latencies, poisson

QUERIES = 100_000
ALONE = Cluster(columns=1, replicas=1, cores=1)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_core_with_times_that_vary_exponentially_waits_as_queueing_theory_says(load: float) -> None:
    random = np.random.default_rng(0)
    times = latencies(poisson(load, QUERIES, random), random.exponential(1.0, (QUERIES, 1)), ALONE)
    assert times.mean() == pytest.approx(1 / (1 - load), rel=0.05)  # M/M/1
    assert np.quantile(times, 0.99) == pytest.approx(math.log(100) / (1 - load), rel=0.1)


def test_one_core_with_equal_times_waits_as_queueing_theory_says() -> None:
    times = latencies(poisson(0.7, QUERIES, np.random.default_rng(0)), np.ones((QUERIES, 1)), ALONE)
    assert times.mean() == pytest.approx(1 + 0.7 / (2 * 0.3), rel=0.05)  # M/D/1, Pollaczek and Khinchine


def test_several_cores_wait_as_queueing_theory_says() -> None:
    random, cores, offered = np.random.default_rng(0), 4, 2.8
    one = Cluster(columns=1, replicas=1, cores=cores)
    times = latencies(poisson(offered, QUERIES, random), random.exponential(1.0, (QUERIES, 1)), one)
    busy = offered**cores / math.factorial(cores) * cores / (cores - offered)
    waits = busy / (sum(offered**i / math.factorial(i) for i in range(cores)) + busy)
    assert times.mean() == pytest.approx(1 + waits / (cores - offered), rel=0.05)  # M/M/c, Erlang C


def test_without_a_queue_the_slowest_part_decides() -> None:
    seconds = np.random.default_rng(0).random((50, 6))
    rarely = np.arange(50) * 100.0
    assert latencies(rarely, seconds, Cluster(columns=6, replicas=1, cores=1)) == pytest.approx(seconds.max(1))
    assert latencies(rarely, seconds, Cluster(columns=1, replicas=1, cores=6)) == pytest.approx(seconds.max(1))
    assert latencies(rarely, seconds, ALONE) == pytest.approx(seconds.sum(1))


def test_a_query_goes_to_the_replica_with_the_least_work_left() -> None:
    seconds = np.array([[5.0], [1.0], [1.0]])
    two = Cluster(columns=1, replicas=2, cores=1)
    assert latencies(np.array([0.0, 1.0, 2.5]), seconds, two) == pytest.approx([5.0, 1.0, 1.0])


def test_drawn_times_vary_as_the_measured_ones_and_keep_their_mean() -> None:
    random = np.random.default_rng(0)
    measured = random.lognormal(0.0, 0.5, (60, 1)) * random.lognormal(0.0, 0.2, (60, 8)) * 3.0
    drawn = ServiceTimes.of(measured).draw(3.0, 20_000, 8, random)
    assert drawn.mean() == pytest.approx(3.0, rel=0.02)
    assert np.log(drawn.max(1)).std() == pytest.approx(np.log(measured.max(1)).std(), rel=0.15)
    assert np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1] > 0.5
