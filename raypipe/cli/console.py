"""What the commands share at the edge: words to standard error, progress with a rate and the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

LINE_EVERY_S = 10.0

errors = Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """A line for people. Standard output is left to results."""
    errors.print(message, markup=False, soft_wrap=True)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """For what cannot tell how far it is: on a terminal the seconds, as long as it takes; elsewhere a line."""
    if not sys.stderr.isatty():
        say(what)
        yield
        return
    with Progress(TextColumn(what), SpinnerColumn("line"), TimeElapsedColumn(), console=errors, transient=True) as line:
        line.add_task(what, total=None)
        yield


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0.0:,.0f}{self._unit and ' '}{self._unit}/s")


class ProgressLine:
    """A bar on a terminal; elsewhere a line every ten seconds, so that a job's log stays readable.

    The rate is that since the first update: what an earlier run did, and how long it takes to begin, is not in it.
    """

    def __init__(self, what: str, unit: str = "") -> None:
        self._what, self._unit = what, unit
        self._last_line = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn(what), BarColumn(), MofNCompleteColumn(), _Rate(unit), TimeRemainingColumn(), console=errors
            )
            self._task = self._bar.add_task(what, total=None)

    def __enter__(self) -> ProgressLine:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)
            return
        now = time.monotonic()
        if self._first is None or done < self._first[1]:  # or the run was thrown back behind where it began
            self._first = now, done
        if now - self._last_line < LINE_EVERY_S:
            return
        self._last_line = now
        rate = (done - self._first[1]) / max(now - self._first[0], 1e-9)
        left = f"{(total - done) / rate:,.0f} s left" if rate else "waiting"
        unit = self._unit and f" {self._unit}"
        say(f"{self._what}: {done:,} of {total:,}{unit}, {rate:,.1f}{unit}/s, {left}")
