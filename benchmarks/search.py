"""Search under preferences and adjustments against the paper's computation and against Faiss on full vectors.

    python -m benchmarks.search [--rows 100000] [--faces 2000] [--threads N] [--rounds 3] [--queries 32] [--device cuda]
                               [--json FILE]

The rows are made-up W+ codes with the statistics of the shipped encoder's: mean and principal components of the codes
of ``--faces`` drawn faces, normal along each component. The directions are the least-squares ones of these faces'
attributes, made orthonormal. A query is another such code with one or three attributes moved to the end of their range.

- paper: equations 1 to 3 as they are printed, NumPy in float32, in blocks of rows
- faiss flat, faiss ivf: over [r, u, u^2, |r|^2] in full (``faiss_rivals``); the inverted file looks at as many lists as
  a recall of 0.99 takes
- ours: certified exact search, one shard a thread, one query at a time (its pages are read first) and all at once; with
  ``--device`` their first scans are done there, and nothing of the other ways is. ``first_scan_ms`` has the scan alone

The ways take turns, ``--rounds`` times, on the same queries; times are medians, ratios medians over the rounds. Recall
is against the plain computation in float64. Prints a table, then JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import psutil
import pyarrow as pa
import torch

from benchmarks.faiss_rivals import K, flat_over, full_vectors, full_width, inverted_over, nearest, probe_for
from benchmarks.machine import machine
from benchmarks.made_up_codes import Array, Faces, measured_faces
from benchmarks.search_results import Case, Result, print_table, recall, seconds_each
from benchmarks.search_scans import scan_ms
from raypipe.contract import SearchSpace
from raypipe.retrieval.answer import Answer, Wish
from raypipe.retrieval.build import IndexSettings, build
from raypipe.retrieval.index import Index, open_index
from raypipe.retrieval.manifest import Binding
from raypipe.retrieval.shard_writer import Block
from raypipe.retrieval.space import Aim, Target, make_target

SPACE = "sparse_directions.w_plus"
BINDINGS = {SPACE: Binding("sparse_directions", "w_plus", "benchmark")}
PREFERENCES = ((1.0, 1), (10.0, 1), (100.0, 1), (1000.0, 1), (10.0, 3), (100.0, 3))
"""The preference, and of how many adjusted attributes."""

BATCH, BLOCK = 32, 8192
RECALLS = (0.9, 0.99)
IVF_RECALL = 0.99
FEW = 4
"""Queries a round for the slow ways."""

SPARE = 1.3
"""What Faiss's indexes take, one after the other, as a multiple of the full vectors; where there is no memory for it
they are left out."""


class FullRows:
    """The codes as Faiss's own indexes take them."""

    def __init__(self, codes_RP: Array, faces: Faces) -> None:
        self._codes, self._faces = codes_RP, faces

    @property
    def shape(self) -> tuple[int, int]:
        rows, width = self._codes.shape
        return rows, full_width(width, len(self._faces.directions))

    def __iter__(self) -> Iterator[Array]:
        for start in range(0, len(self._codes), BLOCK):
            vectors = self._faces.vectors(self._codes[start : start + BLOCK])
            yield full_vectors(vectors, len(self._faces.directions))


def main() -> None:
    """Read the options, build, measure, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--faces", type=int, default=2000)
    options.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--queries", type=int, default=BATCH)
    options.add_argument("--device", default="cpu", help="where ours scans, such as cuda")
    options.add_argument("--json", help="also write the figures there")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    faiss.omp_set_num_threads(chosen.threads)
    faces = measured_faces(chosen.faces)
    with tempfile.TemporaryDirectory() as folder:
        about = {"benchmark": "search", "machine": machine(), "rows": chosen.rows, "threads": chosen.threads}
        about |= {"device": chosen.device, "faiss": faiss.__version__}
        about |= build_index(folder, faces, chosen.rows, chosen.threads)
        rivals = Rivals(folder, faces, chosen.rows, chosen.threads, chosen.device)
        about |= {"first_scan_ms": rivals.first_scan(chosen.queries)}
        print(json.dumps(about, indent=1), flush=True)
        results = rivals.compare(chosen.queries, chosen.rounds)
    report = {**about, "results": [asdict(result) for result in results]}
    print(json.dumps(report, indent=1))
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(report, indent=1))
    if any(result.recall < 1 or result.certified < 1 for result in results):
        raise SystemExit("an answer was not exact")


def build_index(folder: str, faces: Faces, rows: int, threads: int) -> dict[str, Any]:
    """Build, without the time that drawing the codes takes, and the method for its vectors."""
    drawing_s = 0.0

    def read() -> Iterator[Block]:
        nonlocal drawing_s
        for number, start in enumerate(range(0, rows, BLOCK)):
            began = time.perf_counter()
            codes = faces.codes(min(BLOCK, rows - start), number)
            ids = pa.array([f"face-{i:09d}" for i in range(start, start + len(codes))])
            vectors = faces.vectors(codes)
            drawing_s += time.perf_counter() - began
            yield Block(pa.table({"image_id": ids}), {SPACE: vectors})

    width = faces.directions.shape[1]
    names = tuple(f"a{i}" for i in range(len(faces.directions)))
    space = SearchSpace(len(names) + width, "weighted_l2", names)
    started = time.perf_counter()
    build(folder, {SPACE: space}, BINDINGS, read, IndexSettings(rows_per_shard=-(-rows // threads)))
    seconds = time.perf_counter() - started - drawing_s
    index = open_index(folder)
    stored = index.shards()[0].spaces[SPACE]
    return {
        "build_rows_per_s": round(rows / seconds),
        "memory_bytes_per_row": index.memory_bytes / rows,
        "float16_code_bytes_per_row": 2 * width,
        "disk_bytes_per_row": round(sum(file.bytes for file in index.manifest.files()) / rows),
        "attributes": len(names),
        "axes": len(stored.reduction.axes),
        "lists": len(stored.list_sizes),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


class Rivals:
    """The same rows as codes, in our index, and in Faiss's own, of which memory holds one at a time."""

    def __init__(self, folder: str, faces: Faces, rows: int, threads: int, device: str) -> None:
        self._faces, self._rows, self._threads, self._device = faces, rows, threads, torch.device(device)
        self._index: Index = open_index(folder, device=device)
        self._codes = np.empty((rows, faces.directions.shape[1]), np.float32)
        for number, start in enumerate(range(0, rows, BLOCK)):
            codes = faces.codes(min(BLOCK, rows - start), number)
            self._codes[start : start + len(codes)] = codes

    def first_scan(self, queries: int) -> dict[str, list[float]]:
        """Of one shard, by each way there is: for one query and for all."""
        stored = self._index.shards()[0].spaces[SPACE]
        return scan_ms(stored, self._targets(*PREFERENCES[0], queries), K, self._device)

    def compare(self, queries: int, rounds: int) -> list[Result]:
        """All preferences, a line each."""
        cases = [self._case(preference, moved, queries) for preference, moved in PREFERENCES]
        rows = FullRows(self._codes, self._faces)
        fits = SPARE * 4 * math.prod(rows.shape) < psutil.virtual_memory().available
        flat = flat_over(rows) if fits else None
        results = [self._measured(case, flat, rounds) for case in cases]
        del flat
        if fits:
            inverted = inverted_over(rows)
            results = [self._with_inverted(*both, inverted, rounds) for both in zip(cases, results, strict=True)]
        print_table(results)
        return results

    def _case(self, preference: float, moved: int, queries: int) -> Case:
        targets = self._targets(preference, moved, queries)
        return Case(preference, moved, targets, [self._plain(target) for target in targets])

    def _measured(self, case: Case, flat: Any, rounds: int) -> Result:
        """Without the inverted file."""
        targets = case.targets
        ways: dict[str, Callable[[Target], Any]] = {"paper": self._paper, "ours": self._ours_alone}
        if flat is not None:
            ways["flat"] = partial(nearest, flat)
        seconds: dict[str, list[float]] = {name: [] for name in (*ways, "batch")}
        for turn in range(rounds):
            for name, taken in _turn(ways, targets, turn, rounds).items():
                seconds[name].append(taken)
            batch_s = seconds_each(lambda many: self._ours(many, 1.0), [targets])
            seconds["batch"].append(batch_s / len(targets))
        ms = {name: statistics.median(each) * 1e3 for name, each in seconds.items()}
        paper = seconds["paper"]
        answers = self._ours(targets, 1.0)
        explanations = [part for answer in answers for part in answer.explanations]
        return Result(
            preference=case.preference,
            attributes=case.moved,
            paper_ms=ms["paper"],
            flat_ms=ms.get("flat"),
            ours_ms=ms["ours"],
            ours_batch_ms=ms["batch"],
            ratio=statistics.median(p / o for p, o in zip(paper, seconds["ours"], strict=True)),
            ratio_batch=statistics.median(p / o for p, o in zip(paper, seconds["batch"], strict=True)),
            plans={kind: [part.plan for part in explanations].count(kind) for kind in {p.plan for p in explanations}},
            compared=statistics.median(sum(part.compared for part in answer.explanations) for answer in answers),
            certified=sum(answer.certified for answer in answers) / len(answers),
            recall=recall(answers, case.truth),
            asked_recall={f"{asked:g}": recall(self._ours(targets, asked), case.truth) for asked in RECALLS},
        )

    def _with_inverted(self, case: Case, result: Result, inverted: Any, rounds: int) -> Result:
        """And with it, in turns with ours again."""
        reached = probe_for(inverted, case.targets, case.truth, IVF_RECALL)
        ways: dict[str, Callable[[Target], Any]] = {"ours": self._ours_alone, "ivf": partial(nearest, inverted)}
        turns = [_turn(ways, case.targets, turn, rounds) for turn in range(rounds)]
        return replace(
            result,
            ivf_ms=statistics.median(turn["ivf"] for turn in turns) * 1e3,
            ivf_ratio=statistics.median(turn["ivf"] / turn["ours"] for turn in turns),
            ivf_lists=inverted.nprobe / inverted.nlist,
            ivf_recall=reached,
        )

    def _targets(self, preference: float, moved: int, queries: int) -> list[Target]:
        """New faces, ``moved`` attributes of each at the least or the most that the rows have."""
        space, count = self._index.manifest.spaces[SPACE].space, len(self._faces.directions)
        along = self._codes @ self._faces.directions.T
        ends, targets = (along.min(0), along.max(0)), []
        vectors = self._faces.vectors(self._faces.codes(queries, 10**6))
        random = np.random.default_rng(0)
        for vector in vectors:
            chosen = random.choice(count, moved, replace=False)
            vector[chosen] = ends[int(random.integers(2))][chosen]
            targets.append(make_target(space, vector, {space.coordinates[i]: preference for i in chosen}))
        return targets

    def _paper(self, target: Target) -> Array:
        """Equations 1 to 3."""
        directions = self._faces.directions
        wanted, weights = target.wanted.astype(np.float32), target.weights.astype(np.float32)
        code = target.rest.astype(np.float32) + wanted @ directions
        distances = np.empty(self._rows, np.float32)
        for start in range(0, self._rows, BLOCK):
            difference = code - self._codes[start : start + BLOCK]
            along = difference @ directions.T
            across = difference - along @ directions
            distances[start : start + BLOCK] = (along**2) @ weights + (across**2).sum(1)
        nearest: Array = np.argpartition(distances, K)[:K]
        return nearest[np.argsort(distances[nearest])]

    def _ours_alone(self, target: Target) -> list[Answer]:
        return self._ours([target], 1.0)

    def _ours(self, targets: Sequence[Target], asked: float) -> list[Answer]:
        queries = [[Aim(SPACE, target)] for target in targets]
        return self._index.search(queries, Wish(k=K, recall=asked), asked=BINDINGS, threads=self._threads)

    def _plain(self, target: Target) -> set[int]:
        """The rows of the true answer, in float64 of the method's own float32 vectors."""
        distances, count = np.empty(self._rows), len(target.wanted)
        for start in range(0, self._rows, BLOCK):
            vectors = self._faces.vectors(self._codes[start : start + BLOCK].astype(np.float16)).astype(np.float64)
            along = (target.wanted - vectors[:, :count]) ** 2 @ target.weights
            distances[start : start + BLOCK] = along + ((target.rest - vectors[:, count:]) ** 2).sum(1)
        return set(np.argpartition(distances, K)[:K].tolist())


def _turn(
    ways: Mapping[str, Callable[[Target], Any]], targets: Sequence[Target], turn: int, rounds: int
) -> dict[str, float]:
    """Seconds of each way in one round, on some of the queries; of the slow ways on few."""
    some = targets[turn::rounds] if rounds < len(targets) else targets
    return {name: seconds_each(way, some if name == "ours" else some[:FEW]) for name, way in ways.items()}


if __name__ == "__main__":
    main()
