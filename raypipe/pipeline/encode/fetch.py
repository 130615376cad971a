"""The bytes behind the rows of a chunk: whole files, byte ranges of archives, cells of Parquet files.

A failure is a row's status, never an exception.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import random
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from raypipe import faces, storage
from raypipe.errors import RaypipeError
from raypipe.pipeline.encode.config import FetchConfig
from raypipe.pipeline.encode.sources.parquet import ROW_MARK, read_images

GAP_BYTES = 64 * 1024
NOT_READABLE = (EOFError, ValueError, RaypipeError, pa.ArrowException, asyncio.TimeoutError)
PASSING = (408, 425, 429)  # of HTTP's 4xx answers, those that waiting helps against
SPANS_AHEAD = 2  # requests a thread: one that is being read, one that waits for the decoder


@dataclass(frozen=True)
class Fetched:
    """``content`` is None exactly where ``status`` is not ``ok``."""

    content: bytes | None
    status: str = faces.OK
    error: str = ""


@dataclass(frozen=True)
class _Span:
    """Rows of the chunk whose bytes come in one request. ``read`` gives one content a row."""

    rows: list[int]
    read: Callable[[], Sequence[bytes | None]]


class Fetcher:
    """Reads the contents of listing rows, ``config.threads`` requests at a time."""

    def __init__(self, config: FetchConfig, image_column: str = "") -> None:
        self._config = config
        self._image_column = image_column
        self._threads = ThreadPoolExecutor(config.threads, thread_name_prefix="fetch")

    def fetch(self, entries: pa.Table) -> Iterator[Fetched]:
        """One result a row, in order, while a few later ones are still being read: what waits does not grow with the
        chunk.

        Rows that the listing found fault with are not fetched.
        """
        rows = entries.select(["uri", "file", "offset", "bytes", "problem", "problem_detail"]).to_pylist()
        for row in rows:
            if row["bytes"] > self._config.max_bytes and not row["problem"]:
                row["problem"] = "too_large"
                row["problem_detail"] = f"{row['bytes']:,} bytes, the limit is {self._config.max_bytes:,}"
        spans = self._spans(rows)
        results: dict[int, tuple[Future[list[Fetched]], int]] = {}
        last_rows: set[int] = set()
        for number, row in enumerate(rows):
            if row["problem"]:
                yield Fetched(None, row["problem"], row["problem_detail"])
                continue
            while len(last_rows) < SPANS_AHEAD * self._config.threads and (span := next(spans, None)):
                future = self._threads.submit(_read_with_retries, span, self._config)
                results |= {place: (future, i) for i, place in enumerate(span.rows)}
                last_rows.add(span.rows[-1])
            future, place = results.pop(number)
            last_rows.discard(number)
            yield future.result()[place]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _spans(self, rows: list[dict[str, Any]]) -> Iterator[_Span]:
        todo = [number for number, row in enumerate(rows) if not row["problem"]]
        for (file, is_cell), group in itertools.groupby(
            todo, key=lambda number: (rows[number]["file"], _is_cell(rows[number]))
        ):
            numbers = list(group)
            if is_cell:
                yield _Span(numbers, self._cells(file, [rows[n]["offset"] for n in numbers]))
            elif rows[numbers[0]]["uri"] == file:
                yield from (_Span([number], self._whole(file)) for number in numbers)
            else:
                for span in _neighbours(numbers, rows, self._config.span_bytes):
                    yield _Span(span, self._ranges(file, [(rows[n]["offset"], rows[n]["bytes"]) for n in span]))

    def _whole(self, file: str) -> Callable[[], Sequence[bytes | None]]:
        return lambda: [_read(file, None, None, self._config.timeout_s)]

    def _cells(self, file: str, cells: list[int]) -> Callable[[], Sequence[bytes | None]]:
        return lambda: read_images(file, cells, self._image_column)

    def _ranges(self, file: str, ranges: list[tuple[int, int]]) -> Callable[[], Sequence[bytes | None]]:
        first, end = ranges[0][0], ranges[-1][0] + ranges[-1][1]

        def read() -> list[bytes | None]:
            content = _read(file, first, end, self._config.timeout_s)
            return [content[offset - first : offset - first + size] for offset, size in ranges]

        return read


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


def _read_with_retries(span: _Span, config: FetchConfig) -> list[Fetched]:
    """Try again what may pass by itself (throttling, a broken connection), with growing, jittered pauses."""
    for attempt in itertools.count():
        try:
            contents = span.read()
        except (*storage.errors(), *NOT_READABLE) as error:
            status, may_pass = _classify(error)
            if not may_pass or attempt == config.retries:
                return [Fetched(None, status, f"{type(error).__name__}: {error}")] * len(span.rows)
            time.sleep(config.retry_delay_s * 2**attempt * random.uniform(0.5, 1.5))
        else:
            return [
                Fetched(None, "decode_empty", "the column is null") if content is None else Fetched(content)
                for content in contents
            ]
    raise AssertionError("unreachable")


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


def _read(file: str, start: int | None, end: int | None, timeout_s: float) -> bytes:
    fs, path = storage.filesystem(file)
    if isinstance(fs, LocalFileSystem) and not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{path} is no regular file")  # a pipe or a device may never end
    if fs.async_impl:
        return bytes(fsspec.asyn.sync(fs.loop, fs._cat_file, path, start=start, end=end, timeout=timeout_s))
    return bytes(fs.cat_file(path, start=start, end=end))
