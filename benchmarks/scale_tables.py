"""The tables of ``benchmarks.scale`` in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.scale_figures import Figures

if TYPE_CHECKING:
    from benchmarks.scale import Check, Plan

_FROM, _TO = "<!-- figures -->", "<!-- end of figures -->"


def plan_table(plans: Sequence[Plan]) -> str:
    """A line for each number of faces."""
    loads = list(plans[0].loaded_ms)
    head = ["faces", "shards", "nodes", "disk", "memory", "build", "a shard's part", "queries/s at most", "ms, idle"]
    rows = [
        [
            f"{plan.faces:,}",
            f"{plan.shards:,}",
            f"{plan.columns:,} x 2",
            _bytes(plan.disk_bytes),
            _bytes(plan.memory_bytes),
            _seconds(plan.build_s),
            _seconds(plan.part_s),
            f"{plan.rate:,.1f}",
            _both(plan.alone_ms),
            *(_both(plan.loaded_ms[load]) for load in loads),
        ]
        for plan in plans
    ]
    return _table([*head, *(f"ms, load {load}" for load in loads)], rows)


def figure_table(measured: Figures) -> str:
    """What the plans are made of."""
    each = (
        ("disk", f"{measured.disk_bytes.each:,.0f} bytes", _bytes(measured.disk_bytes.fixed)),
        ("memory", f"{measured.memory_bytes.each:,.0f} bytes", _bytes(measured.memory_bytes.fixed)),
        ("build, one core", f"{measured.build_s.each * 1e6:,.1f} us", _seconds(measured.build_s.fixed)),
        ("a query's part, one core", f"{measured.search_s.each * 1e9:,.1f} ns", _seconds(measured.search_s.fixed)),
    )
    others = (
        f"Axes and lists: {measured.fit_s:,.1f} s once. A scan row has {measured.columns} numbers; the code takes "
        f"{measured.code_bytes:,} bytes in float16. A query compares {measured.compared:,.0f} full vectors on a shard "
        f"of {measured.split_rows:,} rows, growing with the rows to the power {measured.growth:.2f}; reading one that "
        f"is not in memory takes {measured.cold_read_s * 1e6:,.0f} us. Merging a shard's answer: "
        f"{measured.merge_s * 1e6:,.0f} us. {measured.threads} threads at once: each {measured.slowdown:.2f} times "
        f"slower."
    )
    return f"{_table(['measured', 'each row', 'each shard'], [list(row) for row in each])}\n\n{others}"


def check_table(checks: Sequence[Check]) -> str:
    """Prediction and measurement."""
    head = ["shards", "threads", "load", "queries/s", "simulated ms", "measured ms", "measured / simulated"]
    rows = [
        [
            f"{check.shards} x {check.rows_per_shard:,}",
            str(check.threads),
            f"{check.load:g}" if check.load else "idle",
            f"{check.rate:,.1f}" if check.load else "",
            _both(check.simulated_ms),
            _both(check.measured_ms),
            " / ".join(f"{b / a:.2f}" for a, b in zip(check.simulated_ms, check.measured_ms, strict=True)),
        ]
        for check in checks
    ]
    return _table(head, rows)


def put_in(path: Path, tables: Iterable[str]) -> None:
    """Put the tables between the two marks of a file."""
    figures = "\n\n".join(tables)
    pattern = f"(?s){re.escape(_FROM)}.*{re.escape(_TO)}"
    path.write_text(re.sub(pattern, lambda _: f"{_FROM}\n\n{figures}\n\n{_TO}", path.read_text()))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["--", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _both(ms: tuple[float, float]) -> str:
    return " / ".join(f"{value:,.0f}" if value >= 100 else f"{value:.1f}" for value in ms)


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:,.1f} kB"


def _seconds(seconds: float) -> str:
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds * 1e3:,.1f} ms"
