"""Batches by step, read ahead in threads."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from raypipe.contract import DataFacts
from raypipe.pipeline.train.order import Order, Rows
from raypipe.pipeline.train.readers import Arrays, Reader

THREADS = 4
AHEAD = 8
MOST_ROWS = 1_024
PIECE_BYTES = 32 * 2**20


class Batches(Protocol):
    """This worker's share of every step's batch."""

    def from_step(self, step: int) -> Generator[Arrays]:
        """The batches of ``step``, ``step + 1``, ... at least to the last step. To be closed by whoever asked."""

    @property
    def rejected(self) -> Mapping[int, str]:
        """Rows of these batches whose images could not be read, and why."""


@dataclass(frozen=True)
class LocalBatches:
    """Reads in this process. ``rows``: the data set's rows that ``order`` is about."""

    reader: Reader
    order: Order
    rows: Rows
    rank: int = 0
    workers: int = 1

    @property
    def rejected(self) -> Mapping[int, str]:
        return self.reader.rejected

    def of_step(self, step: int) -> Arrays:
        """This worker's share of one step's batch."""
        return self.reader.read(self.rows_of_step(step), self.rows)

    def rows_of_step(self, step: int) -> Rows:
        """Their numbers."""
        return self.rows[self.order.of_step(step)][self.rank :: self.workers]

    def from_step(self, step: int) -> Generator[Arrays]:
        """The same batch over and over where a batch is all rows: it is read once."""
        if self.order.batch == 0:
            yield from itertools.repeat(self.of_step(0))
        with ThreadPoolExecutor(THREADS, "batches") as threads:
            try:
                waiting: deque[Future[Arrays]] = deque(
                    threads.submit(self.of_step, step + ahead) for ahead in range(AHEAD)
                )
                for later in itertools.count(step + AHEAD):
                    yield waiting.popleft().result()
                    waiting.append(threads.submit(self.of_step, later))
            finally:
                threads.shutdown(cancel_futures=True)


def in_pieces(reader: Reader, rows: Rows) -> Iterator[Arrays]:
    """The rows, ascending, at most a thousand at a time and no more than have room in memory as float32."""
    most = max(1, min(MOST_ROWS, PIECE_BYTES // row_bytes(reader.facts)))
    for first in range(0, len(rows), most):
        yield reader.read(rows[first : first + most], rows)


def row_bytes(facts: DataFacts) -> int:
    """What a row with all columns takes, about."""
    return 3 * facts.size**2 + len(facts.attributes) + 2 * facts.code_shape[0] * facts.code_shape[1] + 32
