"""What a comparison of searches asks, measures and prints."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.retrieval.answer import Answer
from raypipe.retrieval.space import Target


@dataclass(frozen=True, kw_only=True)
class Result:
    """Milliseconds a query; ``compared``: full distances a query, median; ``ratio``: paper / ours at batch 1; of the
    inverted file the share of lists that it looks at, and the recall that gives."""

    preference: float
    attributes: int
    paper_ms: float
    flat_ms: float | None
    ours_ms: float
    ours_batch_ms: float
    ratio: float
    ratio_batch: float
    plans: dict[str, int]
    compared: float
    certified: float
    recall: float
    asked_recall: dict[str, float]
    ivf_ms: float | None = None
    ivf_ratio: float | None = None
    ivf_lists: float | None = None
    ivf_recall: float | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """Queries that move so many attributes with a preference; ``truth``: the rows of each true answer."""

    preference: float
    moved: int
    targets: Sequence[Target]
    truth: Sequence[set[int]]


def print_table(results: Sequence[Result]) -> None:
    columns = ("preference", "paper", "flat", "ivf", "ours", "batch", "ratio", "compared")
    print("".join(f"{name:>12}" for name in columns))
    for result in results:
        times = (result.paper_ms, result.flat_ms, result.ivf_ms, result.ours_ms, result.ours_batch_ms)
        told = "".join(f"{math.nan if ms is None else ms:>9.2f} ms" for ms in times)
        asked = f"{result.preference:g} x {result.attributes}"
        print(f"{asked:>12}{told}{result.ratio:>11.0f}x{result.compared:>12.0f}  {result.plans}", flush=True)


def recall(answers: list[Answer], truth: Sequence[set[int]]) -> float:
    """The share of the true hits that was found."""
    found = [{int(hit.id.removeprefix("face-")) for hit in answer.hits} for answer in answers]
    return sum(len(a & b) for a, b in zip(found, truth, strict=True)) / sum(map(len, truth))


def seconds_each(run: Callable[[Any], Any], arguments: Sequence[Any]) -> float:
    """The median."""
    taken = []
    for argument in arguments:
        started = time.perf_counter()
        run(argument)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)
