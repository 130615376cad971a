"""How large, how slow and how many machines for 1 M, 100 M and 1 B faces, from figures measured on a small index.

    python -m benchmarks.scale [--rows 200000] [--faces 1000] [--queries 48] [--threads N] [--doc docs/scale.md]
                               [--json FILE]

Codes of the shipped generator (1,280 numbers), as ``benchmarks.search`` draws them, and of the size of StyleGAN2-1024's
(9,216, a quarter of ``--rows``). Figures a row, a shard and a query are measured here (``scale_figures``); queries over
shards and replicas are simulated (``queues``); the simulation of a few shards stands beside what they really take.
Prints the tables and JSON; ``--doc`` puts the tables where they are in that file. The assumptions are the constants.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import faiss
import numpy as np
import torch

from benchmarks.faiss_rivals import K
from benchmarks.machine import machine
from benchmarks.made_up_codes import Faces, measured_faces
from benchmarks.queues import Array, Cluster, ServiceTimes, latencies, poisson
from benchmarks.scale_figures import (
    CHECKED,
    SPLIT,
    WHOLE,
    Figures,
    built,
    figures,
    part_seconds,
    queries,
    wide_faces,
)
from benchmarks.scale_tables import check_table, figure_table, plan_table, put_in
from raypipe.retrieval.answer import Wish, merge
from raypipe.retrieval.index import Index
from raypipe.retrieval.shard_search import search_shard
from raypipe.retrieval.space import Aim

FACES = (1_000_000, 100_000_000, 1_000_000_000)
ROWS_PER_SHARD = 1_000_000
NODE_CORES, NODE_BYTES, NODE_BYTES_S = 16, 128 * 2**30, 200e9
"""Of a node: cores, memory, and what its memory can be read with a second."""

USABLE = 0.75
"""Of a node's memory for scan rows; the rest is the system's, and pages of full vectors."""

REPLICAS = 2
ALONE_S = 0.25
"""So many nodes that a query which finds all of them idle takes no longer."""

NETWORK_S = 0.001
"""To the nodes and back."""

LOADS = (0.3, 0.7)
SIMULATED, ROUNDS = 1500, 50
"""Queries of a plan, and how often the arrivals of a check are drawn anew."""

WIDTH, ATTRIBUTES = 9216, 40


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What so many faces need. Bytes of one replica; latencies in ms: median and 99th percentile by load.

    ``part_s``: of a query's part on one shard; ``rate``: queries a second at full load.
    """

    faces: int
    shards: int
    columns: int
    disk_bytes: float
    memory_bytes: float
    build_s: float
    part_s: float
    rate: float
    alone_ms: tuple[float, float]
    loaded_ms: dict[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Check:
    """A few shards on this machine: ms at the median and the 99th percentile, simulated and measured."""

    shards: int
    rows_per_shard: int
    threads: int
    load: float
    rate: float
    simulated_ms: tuple[float, float]
    measured_ms: tuple[float, float]


def main() -> None:
    """Read the options, measure, simulate, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--faces", type=int, default=1000)
    options.add_argument("--queries", type=int, default=48)
    options.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options.add_argument("--doc", help="a Markdown file with places for the tables")
    options.add_argument("--json", help="also write the figures there")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    small = measured_faces(chosen.faces)
    about = f"{machine()}, faiss {faiss.__version__}, {chosen.rows:,} rows, {chosen.threads} threads"
    report: dict[str, object] = {"benchmark": "scale", "about": about}
    tables = [about]
    for faces, rows in ((small, chosen.rows), (wide_faces(small, WIDTH, ATTRIBUTES), chosen.rows // 4)):
        measured, times, checks = measure(faces, rows, chosen.queries, chosen.threads)
        plans = [plan_for(count, measured, times) for count in FACES]
        name = f"{measured.width:,} numbers, {measured.attributes} attributes"
        report[name] = {part: [asdict(each) for each in of] for part, of in (("plans", plans), ("checks", checks))}
        report[f"{name}: measured"] = asdict(measured)
        tables += [f"### {name}", plan_table(plans), figure_table(measured), check_table(checks)]
        print("\n\n".join(tables[-4:]), flush=True)
    print(json.dumps(report, indent=1))
    if chosen.doc:
        put_in(Path(chosen.doc), tables)
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(report, indent=1))


def measure(faces: Faces, rows: int, count: int, threads: int) -> tuple[Figures, ServiceTimes, list[Check]]:
    """Build three indexes of the same rows; the third only checks what the others say."""
    asked = queries(faces, count)
    with tempfile.TemporaryDirectory() as folder:
        whole, split, third = (built(f"{folder}/{n}", faces, rows, n) for n in (WHOLE, SPLIT, CHECKED))
        measured, times = figures(whole, split, faces, asked, threads)
        part_seconds(third.index, asked)  # reads the pages
        checks = [
            check(third.index, asked, measured, times, pool, load)
            for pool in sorted({1, threads})
            for load in (0.0, *LOADS)
        ]
    return measured, times, checks


def plan_for(faces: int, measured: Figures, times: ServiceTimes) -> Plan:
    """Shards of equal size; as many nodes as memory and latency need."""
    shards = math.ceil(faces / ROWS_PER_SHARD)
    rows = faces / shards
    disk, memory = shards * measured.disk_bytes.at(rows), shards * measured.memory_bytes.at(rows)
    warm_s = measured.search_s.at(rows)
    crowd = max(1.0, NODE_CORES * measured.memory_bytes.at(rows) / warm_s / NODE_BYTES_S)
    cold_s = measured.compared * (rows / measured.split_rows) ** measured.growth * measured.cold_read_s
    part_s = warm_s * crowd + cold_s
    columns = min(shards, math.ceil(max(memory / (USABLE * NODE_BYTES), shards * part_s / NODE_CORES / ALONE_S)))
    cluster = Cluster(columns=columns, replicas=REPLICAS, cores=NODE_CORES)
    rate = columns * REPLICAS * NODE_CORES / (shards * part_s)
    random = np.random.default_rng(0)
    seconds_QS = times.draw(part_s, SIMULATED, shards, random)
    extra_s = NETWORK_S + shards * measured.merge_s
    loaded = {load: poisson(load * rate, SIMULATED, random) for load in LOADS}
    return Plan(
        faces=faces,
        shards=shards,
        columns=columns,
        disk_bytes=disk,
        memory_bytes=memory,
        build_s=measured.fit_s + math.ceil(shards / (columns * REPLICAS * NODE_CORES)) * measured.build_s.at(rows),
        part_s=part_s,
        rate=rate,
        alone_ms=percentiles(latencies(np.arange(SIMULATED) * 1e4, seconds_QS, cluster) + extra_s),
        loaded_ms={
            f"{load:g}": percentiles(latencies(arrivals, seconds_QS, cluster) + extra_s)
            for load, arrivals in loaded.items()
        },
    )


def check(
    index: Index, asked: Sequence[Sequence[Aim]], measured: Figures, times: ServiceTimes, threads: int, load: float
) -> Check:
    """The same arrivals simulated, from the other indexes' figures, and in earnest. ``load`` 0: one at a time."""
    shards, rows = len(index.shards()), index.manifest.rows / len(index.shards())
    part_s = measured.search_s.at(rows) * (measured.slowdown if threads > 1 else 1.0)
    rate, random = load * threads / (shards * part_s), np.random.default_rng(1)
    arrivals = poisson(rate, 2 * len(asked), random) if load else np.arange(len(asked)) * 10.0 * shards * part_s
    cluster, simulated = Cluster(columns=1, replicas=1, cores=threads), []
    for _ in range(ROUNDS):
        moments = poisson(rate, len(arrivals), random) if load else arrivals
        seconds_QS = times.draw(part_s, len(arrivals), shards, random)
        simulated.append(latencies(moments, seconds_QS, cluster) + shards * measured.merge_s)
    return Check(
        shards=shards,
        rows_per_shard=round(rows),
        threads=threads,
        load=load,
        rate=rate,
        simulated_ms=percentiles(np.concatenate(simulated)),
        measured_ms=percentiles(served(index, asked, arrivals, threads)),
    )


def served(index: Index, asked: Sequence[Sequence[Aim]], arrivals: Array, threads: int) -> Array:
    """Seconds until each query's answer, where they come at these moments and threads take parts in turn."""
    wish, done = Wish(k=K), np.empty(len(arrivals))
    with ThreadPoolExecutor(threads) as parts, ThreadPoolExecutor(len(arrivals)) as waiting:
        begun = time.perf_counter()

        def answer(number: int) -> None:
            aims = asked[number % len(asked)]
            work = [parts.submit(search_shard, shard, aims, wish, None) for shard in index.shards()]
            merge([part.result() for part in work], wish)
            done[number] = time.perf_counter() - begun

        for number, moment in enumerate(arrivals):
            time.sleep(max(0.0, begun + moment - time.perf_counter()))
            waiting.submit(answer, number)
    return np.asarray(done - arrivals)


def percentiles(seconds: Array) -> tuple[float, float]:
    """Median and 99th, in ms."""
    return float(np.quantile(seconds, 0.5) * 1e3), float(np.quantile(seconds, 0.99) * 1e3)


if __name__ == "__main__":
    main()
