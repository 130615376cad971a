"""A shard, opened: labels, which rows are deleted, and the rows in each space."""

from __future__ import annotations

import bisect
import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe.errors import RaypipeError
from raypipe.retrieval.files import mapped
from raypipe.retrieval.filters import Filter, matching_rows
from raypipe.retrieval.shard_writer import BY_ID, ID, LABELS
from raypipe.retrieval.space import Array
from raypipe.retrieval.space_writer import FILES, Form
from raypipe.retrieval.stored_space import StoredSpace

_FEW_ROWS = 256


class Shard:
    """Rows 0 to ``rows`` of a shard; safe to search from several threads.

    Args:
        files: path of each file, by the name that ``write_shard`` gives it.
        deleted: rows that no answer may have.

    Raises:
        RaypipeError: the files do not fit each other.
    """

    def __init__(
        self,
        name: str,
        files: Mapping[str, Path],
        rows: int,
        forms: Mapping[str, Form],
        *,
        deleted: Array,
    ) -> None:
        self.name, self.rows = name, rows
        self.labels: pa.Table = pa.ipc.open_file(pa.memory_map(str(files[LABELS]))).read_all()
        if self.labels.num_rows != rows:
            raise RaypipeError(f"shard {name} should have {rows} rows, but {self.labels.num_rows} have labels")
        self.spaces: Mapping[str, StoredSpace] = {
            space: StoredSpace({file: files[f"{space}/{file}"] for file in FILES}, rows, form)
            for space, form in forms.items()
        }
        self._by_id = mapped(files[BY_ID], "uint32", (rows,))
        sizes = [batch.num_rows for batch in self.labels.to_batches()]
        self._starts = np.cumsum([0, *sizes])[:-1]
        self._alive = _all_but(deleted, rows) if len(deleted) else None

    @property
    def memory_bytes(self) -> int:
        """What the scan rows of all spaces take."""
        return sum(space.memory_bytes for space in self.spaces.values())

    def with_deleted(self, deleted: Array) -> Shard:
        """The same rows, of which others are deleted; nothing is opened again."""
        other = copy.copy(self)
        other._alive = _all_but(deleted, self.rows) if len(deleted) else None
        return other

    def load(self) -> None:
        """Read the scan rows of all spaces now."""
        for space in self.spaces.values():
            space.load()

    def allowed(self, condition: Filter | None) -> Array | None:
        """Which rows may be hits, bool [rows]; None: all.

        Raises:
            WrongUsage: a condition on something that the labels do not have.
        """
        if condition is None:
            return self._alive
        matches = matching_rows(condition, self.labels)
        return matches if self._alive is None else matches & self._alive

    def values(self, column: str, rows: Array) -> list[Any]:
        """What some rows have in a label column."""
        values = self.labels.column(column)
        if len(rows) > _FEW_ROWS:
            return list(values.take(pa.array(rows)).to_pylist())
        # Arrow's take looks at every chunk of the column first: a millisecond for a million rows.
        chunk_N = np.searchsorted(self._starts, rows, "right") - 1
        places = zip(chunk_N.tolist(), (rows - self._starts[chunk_N]).tolist(), strict=True)
        return [values.chunk(chunk)[place].as_py() for chunk, place in places]

    def ids(self, rows: Array) -> list[str]:
        return self.values(ID, rows)

    def row_of(self, id: str) -> int | None:
        """The row of an id; None: there is none, or it is deleted."""
        place = bisect.bisect_left(range(self.rows), id, key=lambda place: self.ids(self._by_id[place : place + 1])[0])
        if place == self.rows:
            return None
        row = self._by_id[place : place + 1]
        is_it = self.ids(row)[0] == id and (self._alive is None or self._alive[row[0]])
        return int(row[0]) if is_it else None


def _all_but(rows: Array, count: int) -> Array:
    alive = np.ones(count, np.bool_)
    alive[rows] = False
    return alive
