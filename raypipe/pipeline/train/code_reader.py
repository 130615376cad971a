"""Codes of an encoded dataset as training data."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe import faces, storage
from raypipe.contract import DataFacts
from raypipe.errors import RaypipeError, WrongUsage
from raypipe.pipeline.encode.dataset import PLAN, Dataset, Part
from raypipe.pipeline.train.config import DataConfig
from raypipe.pipeline.train.label_file import ID, read_label_file
from raypipe.pipeline.train.labels import IDENTITY, attribute_table, identity_numbers
from raypipe.pipeline.train.order import Rows

COLUMNS = ("w_plus", "labels", "identity")
PARTS_IN_MEMORY = 16
BASE = frozenset(field.name for field in faces.base_fields())


class CodeReader:
    """Rows with status ``ok``. Labels are held in memory, codes a few part files at a time."""

    def __init__(self, config: DataConfig, columns: Sequence[str]) -> None:
        if missing := sorted(set(columns) - set(COLUMNS)):
            raise WrongUsage(f"{config.uri!r} is an encoded dataset, it has no {', '.join(missing)}")
        self._dataset = Dataset(config.uri)
        self._parts = _parts_of(self._dataset)
        self._columns = tuple(columns)
        self.uri = config.uri
        self.rejected: dict[int, str] = {}
        self._cache: OrderedDict[int, npt.NDArray[np.float16]] = OrderedDict()
        self._lock = threading.Lock()
        schema = pq.read_schema(self._dataset.open_part(self._parts[0]))
        codes = [field for field in schema if field.metadata and b"shape" in field.metadata]
        labels = [field.name for field in schema if field.name not in BASE and field not in codes]
        if config.labels:
            labels = [ID, *(name for name in labels if name == IDENTITY)]
        tables = [self._read_labels(part, labels) for part in self._parts]
        self._ok_rows = [table.column("row").to_numpy() for table in tables]
        self._set_facts(config, pa.concat_tables(tables).select(labels), codes)

    def _set_facts(self, config: DataConfig, labels: pa.Table, codes: list[pa.Field]) -> None:
        shapes = {field.name: faces.code_shape(field) for field in codes}
        if "w_plus" in self._columns and "w_plus" not in shapes:
            raise WrongUsage(f"{config.uri!r} has no w_plus codes; its codes: {', '.join(shapes) or 'none'}")
        names: tuple[str, ...] = ()
        self.labels: npt.NDArray[np.uint8] | None = None
        self._labels_sha256: dict[str, str] = {}
        if config.labels:
            file = read_label_file(config.labels)
            names, self.labels = file.of_rows(labels.column(ID), self._unused_ids(), config.attributes)
            self._labels_sha256 = {"labels_sha256": file.sha256}
        elif "labels" in self._columns:
            names, self.labels = attribute_table(labels, config.attributes, config.uri)
        self.identities: npt.NDArray[np.int64] | None = None
        if "identity" in self._columns:
            self.identities = identity_numbers(labels, config.uri)
        layers, width = shapes.get("w_plus", (0, 0))
        self.facts = DataFacts(
            rows=sum(self.groups),
            attributes=names,
            identities=0 if self.identities is None else int(self.identities.max()) + 1,
            code_shape=(layers, width),
        )

    @property
    def groups(self) -> tuple[int, ...]:
        return tuple(len(rows) for rows in self._ok_rows)

    @property
    def encoder_sha256(self) -> str:
        """Of the weights that the codes were made with."""
        plan = self._dataset.read_json(*PLAN) or {}
        return str(plan["made_from"]["weights"]["encoder"])

    def read(self, rows: Rows, among: Rows) -> Mapping[str, npt.NDArray[Any]]:
        """Raises:
        RaypipeError: a part file is damaged, or a code is not finite.
        """
        arrays: dict[str, npt.NDArray[Any]] = {}
        if "w_plus" in self._columns:
            arrays["w_plus"] = self._codes(rows)
        if self.labels is not None:
            arrays["labels"] = self.labels[rows]
        if self.identities is not None:
            arrays["identity"] = self.identities[rows]
        return arrays

    def made_from(self) -> Mapping[str, Any]:
        hashes = json.dumps([[part.file, part.sha256] for part in self._parts])
        files = {"files_sha256": storage.sha256(hashes.encode()), **self._labels_sha256}
        return {"uri": self.uri, "rows": self.facts.rows, **files}

    def close(self) -> None:
        self._cache.clear()

    def _unused_ids(self) -> pa.ChunkedArray:
        """Of rows that are not ok."""
        parts = self._dataset.parts(self._dataset.finished_chunks())
        tables = [self._read_columns(part, ["status", ID]) for part in parts if part.statuses.keys() != {faces.OK}]
        ids = [table.filter(pc.not_equal(table.column("status"), faces.OK)).column(ID) for table in tables]
        return pa.chunked_array([chunk for column in ids for chunk in column.chunks], pa.string())

    def _read_labels(self, part: Part, labels: list[str]) -> pa.Table:
        table = self._read_columns(part, ["status", *labels])
        table = table.append_column("row", pa.array(np.arange(table.num_rows)))
        return table.filter(pc.equal(table.column("status"), faces.OK))

    def _read_columns(self, part: Part, names: list[str]) -> pa.Table:
        """Only these columns' bytes are read: of a part nearly all are codes."""
        uri = storage.join(self.uri, part.file)
        fs, path = storage.filesystem(uri)
        try:
            with fs.open(path, "rb") as file:
                return pq.read_table(file, columns=names)
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise RaypipeError(f"{uri} is damaged ({error}); encode its images again") from error

    def _codes(self, rows: Rows) -> npt.NDArray[np.float16]:
        starts = np.concatenate([[0], np.cumsum(self.groups)])
        of_part = np.searchsorted(starts, rows, side="right") - 1
        codes = np.empty((len(rows), *self.facts.code_shape), np.float16)
        for part in np.unique(of_part):
            places = np.flatnonzero(of_part == part)
            codes[places] = self._part_codes(int(part))[rows[places] - starts[part]]
        return codes

    def _part_codes(self, number: int) -> npt.NDArray[np.float16]:
        with self._lock:
            if number in self._cache:
                self._cache.move_to_end(number)
                return self._cache[number]
        table = self._read_columns(self._parts[number], ["w_plus"])
        column = table.column("w_plus").combine_chunks().take(pa.array(self._ok_rows[number]))
        flat: npt.NDArray[np.float16] = column.flatten().to_numpy(zero_copy_only=False)
        codes = flat.reshape(-1, *self.facts.code_shape)
        if not np.isfinite(codes).all():
            raise RaypipeError(f"{self.uri}/{self._parts[number].file}: a w_plus code is not finite")
        with self._lock:
            self._cache[number] = codes
            while len(self._cache) > PARTS_IN_MEMORY:
                self._cache.popitem(last=False)
        return codes


def _parts_of(dataset: Dataset) -> list[Part]:
    """Raises:
    WrongUsage: the dataset is not finished, or empty.
    """
    if not dataset.is_complete():
        raise WrongUsage(f"{dataset.uri!r} is not finished: run its encode command again first")
    parts = [part for part in dataset.parts(dataset.finished_chunks()) if part.statuses.get(faces.OK)]
    if not parts:
        raise WrongUsage(f"{dataset.uri!r} has no row with status {faces.OK!r}")
    return parts
