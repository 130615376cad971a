"""Batches by step, read ahead in threads."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from raypipe.pipeline.train.order import Order, Rows
from raypipe.pipeline.train.readers import Arrays, Reader

THREADS = 4
AHEAD = 8
MOST_ROWS = 1_024


class Batches(Protocol):
    """This worker's share of every step's batch."""

    def from_step(self, step: int) -> Iterator[Arrays]:
        """The batches of ``step``, ``step + 1``, ... to the last step."""

    @property
    def rejected(self) -> Mapping[str, str]:
        """Images of these batches that could not be read, and why."""


@dataclass(frozen=True)
class LocalBatches:
    """Reads in this process. ``rows``: the data set's rows that ``order`` is about."""

    reader: Reader
    order: Order
    rows: Rows
    rank: int = 0
    workers: int = 1

    @property
    def rejected(self) -> Mapping[str, str]:
        return self.reader.rejected

    def of_step(self, step: int) -> Arrays:
        """This worker's share of one step's batch."""
        return self.reader.read(self.rows_of_step(step))

    def rows_of_step(self, step: int) -> Rows:
        """Their numbers."""
        return self.rows[self.order.of_step(step)][self.rank :: self.workers]

    def from_step(self, step: int) -> Iterator[Arrays]:
        """The same batch over and over where a batch is all rows: it is read once."""
        if self.order.batch == 0:
            yield from itertools.repeat(self.of_step(0))
        with ThreadPoolExecutor(THREADS, "batches") as threads:
            try:
                # The order of an epoch is made by one thread; the reading of its rows is what takes time.
                waiting: deque[Future[Arrays]] = deque(
                    threads.submit(self.of_step, step + ahead) for ahead in range(AHEAD)
                )
                for later in itertools.count(step + AHEAD):
                    yield waiting.popleft().result()
                    waiting.append(threads.submit(self.of_step, later))
            finally:
                threads.shutdown(cancel_futures=True)


def in_pieces(reader: Reader, rows: Rows) -> Iterator[Arrays]:
    """The rows in their order, at most a thousand at a time."""
    for first in range(0, len(rows), MOST_ROWS):
        yield reader.read(rows[first : first + MOST_ROWS])
