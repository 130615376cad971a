"""A shard's rows in one space, opened: full vectors stay on disk as memory maps, the scan rows are loaded by Faiss when
they are first needed: who only looks rows up never holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from raypipe.errors import RaypipeError
from raypipe.retrieval.factory import candidates
from raypipe.retrieval.files import mapped
from raypipe.retrieval.lists import Extents
from raypipe.retrieval.scan_rows import Slack, column_count
from raypipe.retrieval.space import Array, Distances, Target, distances
from raypipe.retrieval.space_writer import Form


class StoredSpace:
    """Rows 0 to ``rows`` in one space; safe to search from several threads.

    Args:
        files: path of each of ``space_writer.FILES``.

    Raises:
        RaypipeError: the files do not fit each other.
    """

    def __init__(self, files: Mapping[str, Path], rows: int, form: Form) -> None:
        self.rows, self.space, self.reduction = rows, form.space, form.reduction
        count = form.reduction.attribute_count
        self._attributes = mapped(files["attributes.bin"], "float32", (rows, count))
        self._rest = mapped(files["rest.bin"], form.precision, (rows, form.space.width - count))
        self._sorted = mapped(files["sorted.bin"], "float32", (count, rows))
        self._order = mapped(files["order.bin"], "uint32", (count, rows))
        self._columns, self.by_factory = column_count(len(form.reduction.axes), count), form.factory is not None
        self._scanned_file = files["rows.faiss"]
        self._loaded_bytes = files["rows.faiss"].stat().st_size
        with np.load(files["facts.npz"], allow_pickle=False) as facts:
            self.strays: Array = facts["strays"]
            self.slack = Slack(float(facts["rest"]), facts["attributes"], facts["largest"], float(facts["length"]))
            self.extents = Extents(facts["radius"], facts["least"], facts["most"])

    @cached_property
    def scanned(self) -> Any:
        """What Faiss holds of the rows: lists, or what a factory made. Searched by several: set nothing on it."""
        lists = _read_index(self._scanned_file)
        if lists.ntotal != self.rows:
            raise RaypipeError(f"{self._scanned_file} should have {self.rows} rows, but has {lists.ntotal}")
        return lists

    @cached_property
    def list_sizes(self) -> Array:
        """Rows of each list, int64; none where a factory holds them."""
        count = 0 if self.by_factory else self.scanned.nlist
        return np.array([self.scanned.invlists.list_size(i) for i in range(count)], np.int64)

    def load(self) -> None:
        """Read the scan rows now, not with the first search.

        Raises:
            RaypipeError: the file does not fit the others.
        """
        _ = self.scanned, self.list_sizes

    @property
    def columns(self) -> int:
        """Stored numbers of a scan row."""
        return self._columns

    @property
    def memory_bytes(self) -> int:
        """What the scan rows take: float16 numbers and an 8-byte row number each, or what a factory made of them."""
        return self._loaded_bytes if self.by_factory else self.rows * (2 * self.columns + 8)

    def distances(self, target: Target, rows: Array) -> Distances:
        """The full distance of some rows, from the memory-mapped vectors."""
        return distances(target, self._attributes[rows], self._rest[rows])

    def vectors(self, rows: Array) -> Array:
        """Full vectors, float32 [len(rows), W]."""
        return np.concatenate([self._attributes[rows], self._rest[rows].astype(np.float32)], axis=1)

    def window(self, attribute: int, low: float, high: float) -> tuple[int, int]:
        """Places in the attribute's order that hold all rows with ``low <= u <= high``."""
        values = self._sorted[attribute]
        lowest = np.nextafter(np.float32(low), np.float32(-np.inf))
        highest = np.nextafter(np.float32(high), np.float32(np.inf))
        return int(np.searchsorted(values, lowest, "left")), int(np.searchsorted(values, highest, "right"))

    def window_rows(self, attribute: int, first: int, last: int) -> Array:
        """The rows at these places."""
        return np.asarray(self._order[attribute, first:last])

    def candidates(self, probe_C: Array, count: int, recall: float, allowed: Array | None) -> tuple[Array, Array]:
        """As ``factory.candidates``, where rows are held ``by_factory``; everything below is for the others."""
        return candidates(self.scanned, probe_C, min(count, self.rows), recall, allowed)

    def scan_rows(self) -> Iterator[tuple[Array, Array]]:
        """Each list's row numbers, int64 [n], and scan rows, float16 [n,C]: views of what Faiss holds."""
        lists = self.scanned.invlists
        for number in np.flatnonzero(self.list_sizes).tolist():
            count = int(self.list_sizes[number])
            codes = faiss.rev_swig_ptr(lists.get_codes(number), count * 2 * self.columns)
            numbers: Array = faiss.rev_swig_ptr(lists.get_ids(number), count)
            yield numbers, codes.view(np.float16).reshape(count, self.columns)

    def best(self, probe_C: Array, lists: Array, count: int, allowed: Array | None) -> tuple[Array, Array]:
        """Rows and scores of the ``count`` highest scores in some lists, highest first; fewer if there are fewer."""
        scores, rows = np.empty((1, count), np.float32), np.empty((1, count), np.int64)
        chosen, parameters = _as_lists(lists), _parameters(lists, allowed)
        away = np.zeros(len(lists), np.float32)
        pointers = map(faiss.swig_ptr, (chosen, away, scores, rows))
        self.scanned.search_preassigned_c(1, faiss.swig_ptr(probe_C), count, *pointers, False, parameters)
        found = rows[0] >= 0
        return rows[0][found], scores[0][found]

    def within(self, probe_C: Array, lists: Array, score: float, allowed: Array | None) -> tuple[Array, Array]:
        """Rows and scores of all higher scores in some lists, in no order."""
        chosen, parameters, away = _as_lists(lists), _parameters(lists, allowed), np.zeros(len(lists), np.float32)
        found = faiss.RangeSearchResult(1)
        pointers = map(faiss.swig_ptr, (chosen, away))
        self.scanned.range_search_preassigned_c(1, faiss.swig_ptr(probe_C), score, *pointers, found, False, parameters)
        count = int(faiss.rev_swig_ptr(found.lims, 2)[1])
        rows = faiss.rev_swig_ptr(found.labels, count).copy()
        return rows, faiss.rev_swig_ptr(found.distances, count).copy()


def _read_index(path: Path) -> Any:
    read: Any = faiss.read_index
    try:
        return read(str(path))
    except RuntimeError as error:
        raise RaypipeError(f"{path} cannot be opened: {error}") from error


def _as_lists(lists: Array) -> Array:
    return np.ascontiguousarray(lists, dtype=np.int64)


def _parameters(lists: Array, allowed: Array | None) -> Any:
    """Of this search alone: nothing is ever set on the shared index."""
    make: Any = faiss.SearchParametersIVF
    if allowed is None:
        return make(nprobe=len(lists))
    selector: Any = faiss.IDSelectorBitmap
    return make(nprobe=len(lists), sel=selector(np.packbits(allowed, bitorder="little")))
