"""The bytes behind the rows of a chunk: whole files, byte ranges of archives, cells of Parquet files.

A failure is a row's status, never an exception.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from raypipe import faces, storage
from raypipe.errors import RaypipeError
from raypipe.pipeline.encode.config import FetchConfig
from raypipe.pipeline.encode.read_file import Listed, Reader, Refused
from raypipe.pipeline.encode.sources.parquet import ROW_MARK, read_images
from raypipe.pipeline.interrupts import never

GAP_BYTES = 64 * 1024
NOT_READABLE = (EOFError, ValueError, RaypipeError, pa.ArrowException, asyncio.TimeoutError)
PASSING = (408, 425, 429)  # of HTTP's 4xx answers, those that waiting helps against
_COLUMNS = ["uri", "file", "offset", "bytes", "file_bytes", "etag", "problem", "problem_detail"]
SPANS_AHEAD = 2  # requests a thread: one that is being read, one that waits for the decoder


@dataclass(frozen=True)
class Fetched:
    """``content`` is None exactly where ``status`` is not ``ok``."""

    content: bytes | None
    status: str = faces.OK
    error: str = ""


Content = bytes | str | None
"""What was read for a row; None where a table's cell is null, text where it names another file that has the bytes."""

_Found = Fetched | Future[Any]
"""A future of one more read, where the first one only said what to read."""

TAKE_IT = "--retry fetch_changed takes it as it is now"
LIST_IT = "what it holds now is found by listing it anew, with --restart or to another output"


@dataclass(frozen=True)
class _Span:
    """Rows of the chunk whose bytes come in one request. ``read`` gives one content a row."""

    rows: list[int]
    read: Callable[[], Sequence[Content]]


class Fetcher:
    """Reads the contents of listing rows, ``config.threads`` requests at a time."""

    def __init__(self, config: FetchConfig, image_column: str = "", check: Callable[[], None] = never) -> None:
        """``check`` is called before a read is tried again; it may raise."""
        self._config = config
        self._check = check
        self._image_column = image_column
        self._reader = Reader(config.timeout_s, config.max_bytes)
        self._threads = ThreadPoolExecutor(config.threads, thread_name_prefix="fetch")

    def fetch(self, entries: pa.Table) -> Iterator[Fetched]:
        """One result a row, in order, while a few later ones are still being read: what waits does not grow with the
        chunk.

        Rows that the listing found fault with are not fetched.
        """
        rows = entries.select(_COLUMNS).to_pylist()
        for row in rows:
            if row["bytes"] > self._config.max_bytes and not row["problem"]:
                row["problem"] = "too_large"
                row["problem_detail"] = f"{row['bytes']:,} bytes, the limit is {self._config.max_bytes:,}"
        spans = self._spans(rows)
        results: dict[int, tuple[Future[Sequence[_Found]], int]] = {}
        last_rows: set[int] = set()
        for number, row in enumerate(rows):
            if row["problem"]:
                yield Fetched(None, row["problem"], row["problem_detail"])
                continue
            while len(last_rows) < SPANS_AHEAD * self._config.threads and (span := next(spans, None)):
                future = self._threads.submit(self._read, span)
                results |= {place: (future, i) for i, place in enumerate(span.rows)}
                last_rows.add(span.rows[-1])
            future, place = results.pop(number)
            last_rows.discard(number)
            found = future.result()[place]
            yield found if isinstance(found, Fetched) else found.result()[0]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _spans(self, rows: list[dict[str, Any]]) -> Iterator[_Span]:
        todo = [number for number, row in enumerate(rows) if not row["problem"]]
        for (file, is_cell), group in itertools.groupby(
            todo, key=lambda number: (rows[number]["file"], _is_cell(rows[number]))
        ):
            numbers = list(group)
            first = rows[numbers[0]]
            if is_cell:
                yield _Span(numbers, self._cells(first, [rows[n]["offset"] for n in numbers]))
            elif first["uri"] == file:
                yield from (_Span([n], self._whole(file, _listed(rows[n], TAKE_IT))) for n in numbers)
            else:
                for span in _neighbours(numbers, rows, self._config.span_bytes):
                    yield _Span(span, self._ranges(first, [(rows[n]["offset"], rows[n]["bytes"]) for n in span]))

    def _whole(self, file: str, listed: Listed) -> Callable[[], Sequence[Content]]:
        return lambda: [self._reader.whole(file, listed)]

    def _cells(self, row: dict[str, Any], cells: list[int]) -> Callable[[], Sequence[Content]]:
        return lambda: read_images(row["file"], cells, self._image_column, _listed(row, LIST_IT))

    def _ranges(self, row: dict[str, Any], ranges: list[tuple[int, int]]) -> Callable[[], Sequence[Content]]:
        first, end = ranges[0][0], ranges[-1][0] + ranges[-1][1]

        def read() -> list[bytes]:
            content = self._reader.range(row["file"], first, end, _listed(row, LIST_IT))
            return [content[offset - first : offset - first + size] for offset, size in ranges]

        return read

    def _read(self, span: _Span) -> Sequence[_Found]:
        """Try again what may pass by itself (throttling, a broken connection), with growing, jittered pauses."""
        for attempt in itertools.count():
            try:
                return [self._found(content) for content in span.read()]
            except Refused as refusal:
                return len(span.rows) * [Fetched(None, refusal.status, str(refusal))]
            except (*storage.errors(), *NOT_READABLE) as error:
                status, may_pass = _classify(error)
                if not may_pass or attempt == self._config.retries:
                    return len(span.rows) * [Fetched(None, status, f"{type(error).__name__}: {error}")]
                self._check()
                time.sleep(self._config.retry_delay_s * 2**attempt * random.uniform(0.5, 1.5))
        raise AssertionError("unreachable")

    def _found(self, content: Content) -> _Found:
        if content is None:
            return Fetched(None, "decode_empty", "the column is null")
        if isinstance(content, str):
            return self._threads.submit(self._read, _Span([0], self._whole(content, Listed())))
        return Fetched(content)


def _listed(row: dict[str, Any], remedy: str) -> Listed:
    return Listed(row["file_bytes"], row["etag"], remedy)


def _is_cell(row: dict[str, Any]) -> bool:
    return bool(row["uri"] == f"{row['file']}{ROW_MARK}{row['offset']}")


def _neighbours(numbers: list[int], rows: list[dict[str, Any]], span_bytes: int) -> Iterator[list[int]]:
    """Byte ranges of one archive, joined while the gaps and the whole stay small."""
    span: list[int] = []
    for number in numbers:
        start, size = rows[number]["offset"], rows[number]["bytes"]
        if span:
            end = rows[span[-1]]["offset"] + rows[span[-1]]["bytes"]
            if not (0 <= start - end <= GAP_BYTES and start + size - rows[span[0]]["offset"] <= span_bytes):
                yield span
                span = []
        span.append(number)
    if span:
        yield span


def _classify(error: BaseException) -> tuple[str, bool]:
    """The status of a failed read, and whether the same read may succeed later."""
    if isinstance(error, FileNotFoundError):
        return "fetch_404", False
    if isinstance(error, PermissionError) or getattr(error, "status", None) in (401, 403):
        return "fetch_denied", False
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)) or "timeout" in type(error).__name__.lower():
        return "fetch_timeout", True
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return "fetch_404", False
    final = (IsADirectoryError, NotADirectoryError, ValueError, RaypipeError, pa.ArrowException)
    status = getattr(error, "status", 0)
    is_final = isinstance(error, final) or (400 <= status < 500 and status not in PASSING)
    return "fetch_error", not is_final
