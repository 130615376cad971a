"""One space of a shard, written in one pass with the scan rows as the only thing held in memory.

::

    attributes.bin   u, float32 [N,A]           rest.bin   r, float32 or float16 [N,R]
    rows.faiss       what is scanned: an inverted file of float16 rows, or what a factory made; the only file that is
                     loaded, not mapped
    sorted.bin       each attribute's values in order, float32 [A,N]     order.bin   and their rows, uint32 [A,N]
    facts.npz        the slack, the strays, the lists' extents
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np

from raypipe.contract import SearchSpace
from raypipe.errors import WrongUsage
from raypipe.retrieval.factory import Factory, add_rows, without_rows
from raypipe.retrieval.lists import Extents
from raypipe.retrieval.reduction import Reduction, list_points
from raypipe.retrieval.scan_lists import add_to_lists, empty_lists
from raypipe.retrieval.scan_rows import column_count, no_slack, stored_rows
from raypipe.retrieval.space import Array, comparable

FILES = ("attributes.bin", "rest.bin", "rows.faiss", "sorted.bin", "order.bin", "facts.npz")

_ROWS_AT_ONCE = 2048
"""So few that what is computed of them in float64 stays in the processor's cache."""

Precision = Literal["float32", "float16"]


@dataclass(frozen=True, eq=False)
class Form:
    """How all shards of an index hold their rows in one space. ``factory``: in place of the scanned rows."""

    space: SearchSpace
    reduction: Reduction
    precision: Precision
    factory: Factory | None = None


class SpaceWriter:
    """Writes ``FILES`` to a folder that is there; ``add`` as often as needed, then ``finish``."""

    def __init__(self, folder: Path, form: Form) -> None:
        self._folder, self._form, self._reduction = folder, form, form.reduction
        reduction = form.reduction
        self._attributes = open(folder / "attributes.bin", "wb")  # noqa: SIM115 (closed in finish)
        self._rest = open(folder / "rest.bin", "wb")  # noqa: SIM115
        self._scanned = without_rows(form.factory) if form.factory else _new_lists(reduction)
        axes = len(reduction.axes)
        self._extents = Extents.of_nothing(len(reduction.centroids), reduction.attribute_count)
        self._slack = no_slack(axes, reduction.attribute_count)
        self._strays: list[Array] = []
        self._rows = 0

    def add(self, vectors_NW: Array) -> None:
        """The next rows.

        Raises:
            WrongUsage: vectors that the space cannot compare.
        """
        for start in range(0, len(vectors_NW), _ROWS_AT_ONCE):
            self._add(comparable(self._form.space, vectors_NW[start : start + _ROWS_AT_ONCE]))

    def finish(self) -> None:
        """Write what needs all rows."""
        self._attributes.close()
        self._rest.close()
        faiss.write_index(self._scanned, str(self._folder / "rows.faiss"))
        self._write_orders()
        facts: dict[str, Any] = {
            "strays": np.concatenate([*self._strays, np.empty(0, np.int64)]),
            "rest": self._slack.rest,
            "attributes": self._slack.attributes,
            "largest": self._slack.largest,
            "length": self._slack.length,
            **self._extents.arrays(),
        }
        np.savez(self._folder / "facts.npz", **facts)

    def _add(self, vectors_NW: Array) -> None:
        attributes, rest = _split(vectors_NW, self._reduction.attribute_count, self._form.precision)
        attributes.tofile(self._attributes)
        rest.tofile(self._rest)
        if rest.dtype != np.float32:  # what is searched is what is stored
            vectors_NW = np.concatenate([attributes, rest.astype(np.float32)], axis=1)
        reduced = self._reduction.reduce(vectors_NW)
        rows, is_stray_N, slack = stored_rows(reduced)
        list_N = self._nearest_lists(list_points(reduced))
        numbers = np.arange(self._rows, self._rows + len(rows), dtype=np.int64)
        if self._form.factory:
            add_rows(self._scanned, rows)
        else:
            add_to_lists(self._scanned, rows, numbers, list_N)
        self._extents.widen(list_N, reduced, self._reduction.centroids)
        self._slack = self._slack.with_rows(slack)
        self._strays.append(numbers[is_stray_N])
        self._rows += len(rows)

    def _nearest_lists(self, points: Array) -> Array:
        if not len(points):
            return np.empty(0, np.int64)
        return np.ascontiguousarray(faiss.knn(points, self._reduction.centroids, 1)[1][:, 0])

    def _write_orders(self) -> None:
        shape = (self._rows, self._reduction.attribute_count)
        values_NA = np.fromfile(self._folder / "attributes.bin", np.float32).reshape(shape)
        with open(self._folder / "sorted.bin", "wb") as values, open(self._folder / "order.bin", "wb") as rows:
            for column in values_NA.T:
                order = np.argsort(column, kind="stable")
                column[order].tofile(values)
                order.astype(np.uint32).tofile(rows)


def _new_lists(reduction: Reduction) -> Any:
    return empty_lists(len(reduction.centroids), column_count(len(reduction.axes), reduction.attribute_count))


def _split(vectors_NW: Array, attributes: int, precision: Precision) -> tuple[Array, Array]:
    with np.errstate(over="ignore"):
        rest = np.ascontiguousarray(vectors_NW[:, attributes:], dtype=precision)
    if not np.isfinite(rest).all():
        raise WrongUsage("a vector has a number beyond 65504: store it with precision float32")
    return np.ascontiguousarray(vectors_NW[:, :attributes]), rest
