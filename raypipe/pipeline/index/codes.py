"""Encoded datasets as blocks of faces: ids, labels and codes of the rows that are ok, a part file at a time."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe import catalog, faces, storage
from raypipe.errors import ModelMismatch, RaypipeError, WrongUsage
from raypipe.pipeline.encode.dataset import MANIFEST, Dataset, Part
from raypipe.pipeline.loading import ENCODER
from raypipe.weights import Bundle

T = TypeVar("T")

PART, ROW = "_part", "_row"
"""Label columns of an index: the number of a row's part file, and its place there."""

BLOCK_ROWS = 4096
PARTS_AHEAD = 2

_BASE = frozenset(field.name for field in faces.base_fields())
_ALWAYS = ("image_id", "uri")


@dataclass(frozen=True)
class Faces:
    """N rows that are ok: ``labels`` as an index takes them, ``codes`` float32 [N,...] by column."""

    labels: pa.Table
    codes: Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Codes:
    """A finished dataset, as its manifest tells of it.

    Attributes:
        hash: of the manifest, which names every part by hash.
        shapes: of the code columns.
        made_from: model, weights and settings.
    """

    uri: str
    hash: str
    parts: tuple[Part, ...]
    shapes: Mapping[str, tuple[int, ...]]
    made_from: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """Rows that are ok."""
        return sum(ok_rows(part) for part in self.parts)

    @property
    def rejected(self) -> dict[str, int]:
        """The others, by status."""
        counts: dict[str, int] = {}
        for part in self.parts:
            for status, count in part.statuses.items():
                if status != faces.OK:
                    counts[status] = counts.get(status, 0) + count
        return counts

    def read(self, first: int, last: int, columns: Sequence[str]) -> Iterator[Faces]:
        """The rows that are ok from number ``first`` to before ``last``, with some code columns.

        Raises:
            RaypipeError: a part file is missing or another one than the manifest names.
        """
        wanted, start = [], 0
        for number, part in enumerate(self.parts):
            count = ok_rows(part)
            low, high = max(first - start, 0), min(last - start, count)
            if low < high:
                wanted.append((number, low, high))
            start += count
        tables = ahead((self._ok_rows(number, columns).slice(low, high - low) for number, low, high in wanted))
        for table in tables:
            for low in range(0, table.num_rows, BLOCK_ROWS):
                yield self._faces(table.slice(low, BLOCK_ROWS), columns)

    def read_some(self, number: int, places: npt.NDArray[np.int64], columns: Sequence[str]) -> Faces:
        """Of a part, some of the rows that are ok."""
        return self._faces(self._ok_rows(number, columns).take(pa.array(places)), columns)

    def label_types(self) -> dict[str, pa.DataType]:
        """The source's own columns."""
        schema = pq.read_schema(pa.BufferReader(self._content(self.parts[0])))
        others = _BASE | set(self.shapes)
        return {field.name: field.type for field in schema if field.name not in others and field.name[:1] != "_"}

    def _ok_rows(self, number: int, columns: Sequence[str]) -> pa.Table:
        content = pa.BufferReader(self._content(self.parts[number]))
        file = pq.ParquetFile(content)
        labels = [field.name for field in file.schema_arrow if _is_label(field, self.shapes)]
        table = file.read(columns=[*_ALWAYS, "status", *labels, *columns])
        rows = pa.array(np.arange(table.num_rows, dtype=np.int32))
        table = table.append_column(PART, pa.array(np.full(table.num_rows, number, np.int32))).append_column(ROW, rows)
        return table.filter(pc.equal(table.column("status"), faces.OK)).drop_columns(["status"])

    def _faces(self, table: pa.Table, columns: Sequence[str]) -> Faces:
        codes = {}
        for name in columns:
            column = table.column(name).combine_chunks()
            flat = np.full((len(column), int(np.prod(self.shapes[name]))), np.nan, np.float32)
            flat[~np.asarray(column.is_null())] = (
                column.flatten().to_numpy(zero_copy_only=False).reshape(-1, flat.shape[1])
            )
            codes[name] = flat.reshape(-1, *self.shapes[name])
        return Faces(table.drop_columns(list(columns)), codes)

    def _content(self, part: Part) -> bytes:
        uri = storage.join(self.uri, part.file)
        try:
            content = storage.read_bytes(uri)
        except FileNotFoundError as error:
            raise RaypipeError(f"{uri} is missing: run its encode command again") from error
        if storage.sha256(content) != part.sha256:
            raise RaypipeError(f"{uri} is another file than {MANIFEST} names: run its encode command again")
        return content


def open_codes(uri: str) -> Codes:
    """A dataset to index.

    Raises:
        WrongUsage: there is none, or it is not finished.
        RaypipeError: its manifest is damaged.
    """
    dataset = Dataset(uri)
    if not dataset.is_complete():
        raise WrongUsage(f"{uri!r} is no finished output of raypipe encode: it has no _SUCCESS")
    content = storage.read_bytes(storage.join(uri, MANIFEST))
    try:
        tree = json.loads(content)
        return Codes(
            uri=storage.absolute(uri),
            hash=storage.sha256(content),
            parts=tuple(Part(**part) for part in tree["files"]),
            shapes={name: tuple(shape) for name, shape in tree["plan"]["shapes"].items()},
            made_from=tree["plan"]["made_from"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RaypipeError(f"{storage.join(uri, MANIFEST)} is damaged: {error}") from error


def require_model(codes: Codes, bundle: Bundle, methods: Iterable[str]) -> None:
    """Raises:
    ModelMismatch: the codes are of another encoder, or have columns of a method with other weights.
    BadWeights: the model lacks a part that they were made with.
    """
    made_by = codes.made_from["weights"]
    stored = [name for name in methods if name in codes.made_from["methods"]]
    of_methods = [part for name in stored for part in catalog.method_module(name).PARTS]
    for part in (*({ENCODER} & set(made_by)), *of_methods):
        if (had := made_by[part]) != (has := bundle.describe(part).sha256):
            raise ModelMismatch(
                f"{codes.uri} was encoded by {part} {had[:12]}; model {bundle.name!r} has {has[:12]}: "
                f"give the model that encoded it with --model"
            )


def rejected_of(datasets: Sequence[Codes]) -> dict[str, int]:
    """Rows that are not ok, by status."""
    counts: dict[str, int] = {}
    for codes in datasets:
        for status, count in codes.rejected.items():
            counts[status] = counts.get(status, 0) + count
    return counts


def ok_rows(part: Part) -> int:
    return part.statuses.get(faces.OK, 0)


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same, made in a thread while the ones before are worked on; at most ``PARTS_AHEAD`` wait."""
    nothing: Any = object()
    with ThreadPoolExecutor(1, "read") as thread:
        try:
            waiting = deque(thread.submit(next, items, nothing) for _ in range(PARTS_AHEAD))
            while (item := waiting.popleft().result()) is not nothing:
                waiting.append(thread.submit(next, items, nothing))
                yield item
        finally:
            thread.shutdown(cancel_futures=True)


def is_searchable(kind: pa.DataType) -> bool:
    """Whether an index takes labels of this type: true or false, numbers, words."""
    types = pa.types
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(
        types.is_boolean(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
    )


def _is_label(field: pa.Field, codes: Iterable[str]) -> bool:
    return field.name not in _BASE and field.name not in codes and is_searchable(field.type) and field.name[:1] != "_"
