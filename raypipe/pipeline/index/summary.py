"""What a build or an append did: counts, rates, where the time went, what to do about it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from raypipe.pipeline.encode.summary import versions
from raypipe.pipeline.index.stage import EXAMPLES, STAGES, ShardReport
from raypipe.retrieval.manifest import Manifest

ALL_STAGES = ("sample", "fit", *STAGES, "publish")

_ADVICE = {
    "sample": "starting the workers and reading the sample was the bottleneck: larger collections pay it once",
    "fit": "fitting the axes was the bottleneck: larger collections pay it once",
    "read": "reading the codes is the bottleneck: a nearer storage or more workers help",
    "vectors": "computing vectors is the bottleneck: more workers or CPU cores help",
    "write": "reducing and writing the rows is the bottleneck: more workers help, a faster storage hardly does",
    "publish": "publishing was the bottleneck: it looks for ids that are there already, and deletes leftovers",
}


@dataclass(kw_only=True)
class RunRecord:
    """The running counts of one run. ``rows``: how many it set out to do; ``kept_rows``: done by an earlier run;
    ``fitted``, ``ended``: when the first shard began and the last one ended."""

    config: Mapping[str, Any]
    workers: str
    worker_count: int
    started: float = field(default_factory=time.time)
    rows: int = 0
    kept_rows: int = 0
    kept_shards: int = 0
    done: int = 0
    shards: int = 0
    indexed: int = 0
    bytes: int = 0
    fitted: float = 0.0
    ended: float = 0.0
    skipped: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ALL_STAGES, 0.0))

    @property
    def elapsed_s(self) -> float:
        return time.time() - self.started

    def begin(self, *, rows: int, before: Sequence[ShardReport]) -> None:
        """The shards begin; ``before`` was finished by an earlier run."""
        self.rows, self.kept_shards = rows, len(before)
        self.fitted = self.ended = time.time()
        self.kept_rows = sum(report.rows for report in before)
        for report in before:
            self._add_skipped(report)

    def add(self, report: ShardReport) -> None:
        self.shards += report.entry is not None
        self.indexed += report.rows
        self.bytes += report.bytes
        self.ended = time.time()
        for stage, seconds in report.seconds.items():
            self.seconds[stage] += seconds
        self._add_skipped(report)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - started

    def to_json(self, state: str) -> dict[str, Any]:
        """``run.json``: ``state`` is done or failed."""
        elapsed = max(self.elapsed_s, 1e-9)
        return {
            "state": state,
            "config": dict(self.config),
            "versions": versions(),
            "workers": self.workers,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "seconds": round(elapsed, 3),
            "rows": self.indexed,
            "shards": self.shards,
            "rows_of_an_earlier_run": self.kept_rows,
            "shards_of_an_earlier_run": self.kept_shards,
            "skipped": {reason: {"rows": count, "ids": ids} for reason, (count, ids) in self.skipped.items()},
            "rows_per_s": round(self.indexed / elapsed, 1),
            "rows_per_s_once_fitted": round(self.indexed / max(self.ended - self.fitted, 1e-9), 1),
            "bytes": self.bytes,
            "bytes_per_row": round(self.bytes / max(1, self.indexed), 1),
            "stage_seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "bottleneck": bottleneck(self),
        }

    def _add_skipped(self, report: ShardReport) -> None:
        for reason, (count, ids) in report.skipped.items():
            before, examples = self.skipped.get(reason, (0, []))
            self.skipped[reason] = (before + count, [*examples, *ids][:EXAMPLES])


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The end of a job: the version that is there, ``rejected`` rows of the datasets by status, and ``run.json``."""

    out: str
    manifest: Manifest
    rejected: Mapping[str, int]
    run: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "out": self.out,
            "version": self.manifest.version,
            "rows": self.manifest.rows,
            "shards": len(self.manifest.shards),
            "spaces": list(self.manifest.spaces),
            "rejected": dict(self.rejected),
            "run": dict(self.run),
        }

    def in_words(self) -> str:
        """The closing lines of a run."""
        run, manifest = self.run, self.manifest
        held = (
            f"{self.out}: version {manifest.version}, {counted(manifest.rows, 'face')} in "
            f"{counted(len(manifest.shards), 'shard')}, spaces: {', '.join(manifest.spaces)}"
        )
        if not run["shards"] + run["shards_of_an_earlier_run"]:
            return f"{held}\n{run['bottleneck']}"
        lines = [
            held,
            (
                f"this run: {counted(run['rows'], 'face')} in {run['seconds']:,.1f} s, "
                f"{run['rows_per_s']:,.0f} rows/s ({run['rows_per_s_once_fitted']:,.0f} once fitted), "
                f"{run['bytes_per_row']:,.0f} bytes a row on disk"
            ),
        ]
        if run["shards_of_an_earlier_run"]:
            lines.append(
                f"an earlier run had finished {counted(run['rows_of_an_earlier_run'], 'face')} in "
                f"{counted(run['shards_of_an_earlier_run'], 'shard')}: they were kept"
            )
        if self.rejected:
            told = ", ".join(f"{count:,} {status}" for status, count in sorted(self.rejected.items()))
            lines.append(f"left out, as their codes say: {told}")
        for reason, some in run["skipped"].items():
            lines.append(f"left out, {reason}: {some['rows']:,} ({', '.join(some['ids'])}{_more(some)})")
        total = sum(run["stage_seconds"].values()) or 1.0
        shares = ", ".join(f"{stage} {seconds / total:.0%}" for stage, seconds in run["stage_seconds"].items())
        return "\n".join([*lines, f"on {run['workers']}; time by stage: {shares}", run["bottleneck"]])


def bottleneck(record: RunRecord) -> str:
    """One sentence: what the rest waited for."""
    if not record.shards:
        return "nothing was left to do"
    waited = {
        stage: seconds / (record.worker_count if stage in STAGES else 1) for stage, seconds in record.seconds.items()
    }
    busiest = max(waited, key=lambda stage: waited[stage])
    known = sum(waited.values())
    if record.elapsed_s > 2 * known:
        return (
            f"starting up was the bottleneck: {record.elapsed_s - known:.0f} of {record.elapsed_s:.0f} s were no work"
        )
    return f"{_ADVICE[busiest]} ({busiest} took {waited[busiest] / max(known, 1e-9):.0%} of the time)"


def counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _more(some: Mapping[str, Any]) -> str:
    return ", ..." if some["rows"] > len(some["ids"]) else ""
