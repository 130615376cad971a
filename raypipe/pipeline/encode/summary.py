"""What a run did, kept while it runs and told at its end: counts, rates, where the time went, what to do about it."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from raypipe import __version__, faces
from raypipe.pipeline.encode.stages import STAGES, ChunkReport

BUSY = 0.75


@dataclass(kw_only=True)
class RunRecord:
    """The running counts of one run. ``rows``: how many it set out to do; ``halfway``: seconds and images when half of
    them were done."""

    config: Mapping[str, Any]
    receipt: Mapping[str, Any]
    device: str
    workers: str
    rows: int
    model_workers: int
    started: float = field(default_factory=time.time)
    done: int = 0
    first_part_s: float = 0.0
    halfway: tuple[float, int] = (0.0, 0)
    statuses: Counter[str] = field(default_factory=Counter)
    fetched_bytes: int = 0
    written_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    network_seconds: Counter[str] = field(default_factory=Counter)

    def add(self, report: ChunkReport) -> None:
        self.done += report.rows
        self.statuses.update(report.statuses)
        self.fetched_bytes += report.fetched_bytes
        self.written_bytes += report.written_bytes
        for stage, seconds in report.seconds.items():
            self.seconds[stage] += seconds
        self.network_seconds.update(report.network_seconds)
        self.first_part_s = self.first_part_s or self.elapsed_s
        if not self.halfway[1] and 2 * self.done >= self.rows:
            self.halfway = (self.elapsed_s, self.done)

    @property
    def steady_rate(self) -> float:
        """Images a second in the second half of the run: without the start of workers, the loading of weights, and
        what was read ahead meanwhile. Where that half took less than a second, of the whole run."""
        half_s, half_done = self.halfway
        if self.elapsed_s - half_s < 1.0:
            return self.done / max(self.elapsed_s, 1e-9)
        return (self.done - half_done) / (self.elapsed_s - half_s)

    @property
    def elapsed_s(self) -> float:
        return time.time() - self.started

    def _per_image(self, seconds: Mapping[str, float]) -> dict[str, float]:
        """Milliseconds of one worker."""
        return {name: round(1e3 * value / max(self.done, 1), 3) for name, value in seconds.items()}

    def to_json(self, state: str) -> dict[str, Any]:
        """``run.json``: ``state`` is done or failed."""
        return {
            "state": state,
            "config": dict(self.config),
            "receipt": dict(self.receipt),
            "versions": versions(),
            "device": self.device,
            "workers": self.workers,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "seconds": round(self.elapsed_s, 3),
            "images": self.done,
            "images_per_s": round(self.done / max(self.elapsed_s, 1e-9), 2),
            "images_per_s_once_running": round(self.steady_rate, 2),
            "statuses": dict(sorted(self.statuses.items())),
            "fetched_bytes": self.fetched_bytes,
            "written_bytes": self.written_bytes,
            "stage_seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "ms_per_image": self._per_image(self.seconds),
            "model_ms_per_image": self._per_image(self.network_seconds),
            "bottleneck": bottleneck(self),
        }


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The end of a job. ``statuses`` counts the whole output, ``run`` tells of this run."""

    out: str
    rows: int
    statuses: Mapping[str, int]
    run: Mapping[str, Any]

    @property
    def rejected_share(self) -> float:
        """Of the rows that were not deleted on purpose."""
        rows = self.rows - self.statuses.get(faces.DELETED, 0)
        return 1.0 - self.statuses.get(faces.OK, 0) / rows if rows else 0.0

    def in_words(self) -> str:
        """The closing lines of a run."""
        run = self.run
        counts = ", ".join(f"{count:,} {status}" for status, count in sorted(self.statuses.items(), key=_ok_first))
        rates = f"{run['images_per_s']:,.1f} images/s ({run['images_per_s_once_running']:,.1f} once running)"
        total = sum(run["stage_seconds"].values()) or 1.0
        shares = ", ".join(f"{stage} {seconds / total:.0%}" for stage, seconds in run["stage_seconds"].items())
        return "\n".join(
            [
                f"{self.out}: {self.rows:,} images ({counts})",
                f"this run: {run['images']:,} images in {run['seconds']:,.1f} s, {rates}",
                f"on {run['device']}: {run['workers']}",
                f"read {_mib(run['fetched_bytes'])}, wrote {_mib(run['written_bytes'])}; time by stage: {shares}",
                f"a worker's time an image: {_ms(run['ms_per_image'])}; the model: {_ms(run['model_ms_per_image'])}",
                run["bottleneck"],
            ]
        )


def bottleneck(record: RunRecord) -> str:
    """One sentence: what the rest waited for."""
    if not record.done:
        return "nothing was left to do"
    if record.first_part_s > record.elapsed_s / 2:
        part = f"{record.first_part_s:.0f} of {record.elapsed_s:.0f} s"
        return f"starting up was the bottleneck: it took {part}; larger jobs pay it once"
    total = sum(record.seconds.values())
    busiest = max(STAGES, key=lambda stage: record.seconds[stage])
    model_busy = record.seconds["model"] / (record.model_workers * max(record.elapsed_s, 1e-9))
    if model_busy >= BUSY:
        busiest = "model"
    advice = {
        "fetch": "the storage is the bottleneck: try more fetch threads or a nearer bucket",
        "decode": "decoding is the bottleneck: add CPU cores",
        "model": "the model is the bottleneck: more or faster model workers help, faster reading does not",
        "write": "writing is the bottleneck: try larger commits or a faster storage",
    }[busiest]
    share = record.seconds[busiest] / max(total, 1e-9)
    return f"{advice} ({busiest} took {share:.0%} of the work; the model was busy {model_busy:.0%} of the time)"


def _ok_first(item: tuple[str, int]) -> tuple[bool, str]:
    return item[0] != faces.OK, item[0]


def _ms(costs: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {ms:.3g} ms" for name, ms in costs.items()) or "nothing"


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def versions() -> dict[str, str]:
    return {
        "raypipe": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
    }
