"""Parquet files with a column of image bytes, or of addresses. Other scalar columns are kept as labels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe import faces, storage
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.config import SourceConfig
from raypipe.pipeline.encode.listing import ENTRY_FIELDS, Entry
from raypipe.pipeline.encode.sources.folder import FoundFile, walk_files

ID_NAMES = ("image_id", "id", "key", "__key__", "name")
IMAGE_NAMES = ("image", "bytes", "image_bytes", "jpg", "png", "content", "img")
LANDMARK_NAMES = ("landmarks",)
URI_NAMES = ("uri", "url", "path", "file", "filename", "file_name", "image_path")

ROW_MARK = "#row="


@dataclass(frozen=True)
class ParquetSource:
    """Files of one schema. One of ``image_column`` (bytes, or a struct with ``bytes``) and ``uri_column`` is set."""

    uri: str
    id_column: str
    image_column: str
    uri_column: str
    landmarks_column: str
    label_fields: list[pa.Field]

    def entries(self) -> Iterator[Entry]:
        """One entry a row, in the order of files and rows. Ids that come again are marked, so are missing ones."""
        fs, _ = storage.filesystem(self.uri)
        seen = _SeenIds()
        for found in _files(self.uri):
            address = fs.unstrip_protocol(found.path)
            with fs.open(found.path, "rb") as file:
                yield from self._file_entries(pq.ParquetFile(file), address, found, seen)

    def _file_entries(self, parquet: pq.ParquetFile, address: str, found: FoundFile, seen: _SeenIds) -> Iterator[Entry]:
        names = [field.name for field in self.label_fields]
        own = (self.id_column, self.uri_column, self.landmarks_column)
        wanted = [name for name in (*own, *map(_source_name, names)) if name]
        row = 0
        for batch in parquet.iter_batches(batch_size=8192, columns=wanted):
            columns = {name: batch.column(name).to_pylist() for name in wanted}
            for i in range(batch.num_rows):
                labels = {name: columns[_source_name(name)][i] for name in names}
                image_id = columns[self.id_column][i] if self.id_column else f"{found.relative}{ROW_MARK}{row}"
                where = columns[self.uri_column][i] if self.uri_column else None
                entry = self._entry(image_id, where, address, row, found.etag, labels, seen)
                yield replace(entry, landmarks=columns[self.landmarks_column][i]) if self.landmarks_column else entry
                row += 1

    def _entry(
        self, given: Any, where: str | None, address: str, row: int, etag: str, labels: dict[str, Any], seen: _SeenIds
    ) -> Entry:
        image_id = "" if given is None else str(given)
        at_row = f"{address}{ROW_MARK}{row}"
        problem, detail = "", ""
        if not image_id:
            problem, detail, image_id = "missing_id", f"column {self.id_column!r} is empty", at_row
        elif self.id_column and seen.is_repeated(image_id):
            problem, detail = "duplicate_id", f"{image_id!r} stands in an earlier row too"
        elif self.uri_column and not where:
            problem, detail = "fetch_404", f"column {self.uri_column!r} is empty"
        where = _beside(address, where) if where else at_row
        file, offset = (where, 0) if self.uri_column else (address, row)
        return Entry(
            image_id=image_id,
            uri=where,
            file=file,
            offset=offset,
            etag="" if self.uri_column else etag,
            problem=problem,
            problem_detail=detail,
            labels=labels,
        )


def open_parquet(uri: str, columns: SourceConfig) -> ParquetSource:
    """Find the columns of the files at ``uri``, by name where ``columns`` does not say.

    Raises:
        WrongUsage: no image or address column, or a named column that is not there.
    """
    fs, _ = storage.filesystem(uri)
    first = next(_files(uri))
    with fs.open(first.path, "rb") as file:
        schema = pq.read_schema(file)
    id_column = _pick(schema, columns.id_column, ID_NAMES, "id")
    image_column = "" if columns.uri_column else _pick(schema, columns.image_column, IMAGE_NAMES, "image")
    if image_column and not _holds_bytes(schema.field(image_column).type):
        image_column = _refuse_text(image_column, columns)
    uri_column = "" if image_column else _pick(schema, columns.uri_column, URI_NAMES, "address")
    if not image_column and not uri_column:
        raise WrongUsage(
            f"{first.path}: no column of image bytes ({', '.join(IMAGE_NAMES)}) or of addresses "
            f"({', '.join(URI_NAMES)}) among: {', '.join(schema.names)}; name one with --image-column or --uri-column"
        )
    landmarks_column = _pick(schema, columns.landmarks_column, LANDMARK_NAMES, "landmarks")
    if landmarks_column and not _is_list_of_numbers(schema.field(landmarks_column).type):
        raise WrongUsage(f"landmarks column {landmarks_column!r} must hold lists of numbers: x0, y0, x1, y1, ...")
    used = {id_column, image_column, uri_column, landmarks_column}
    labels = [
        pa.field(_label_name(field.name), field.type)
        for field in schema
        if field.name not in used and _is_scalar(field.type)
    ]
    return ParquetSource(uri, id_column, image_column, uri_column, landmarks_column, labels)


def read_images(address: str, rows: list[int], image_column: str) -> list[bytes | None]:
    """The image bytes of some rows (ascending) of a file; only their row groups are read."""
    fs, path = storage.filesystem(address)
    contents: dict[int, bytes | None] = {}
    with fs.open(path, "rb") as file:
        parquet = pq.ParquetFile(file)
        start = 0
        for group in range(parquet.num_row_groups):
            end = start + parquet.metadata.row_group(group).num_rows
            inside = [row - start for row in rows if start <= row < end]
            if inside:
                column = parquet.read_row_group(group, columns=[image_column]).column(0).combine_chunks()
                taken = column.take(pa.array(inside)).to_pylist()
                contents |= {start + row: _bytes_of(value) for row, value in zip(inside, taken, strict=True)}
            start = end
    return [contents[row] for row in rows]


class _SeenIds:
    """64-bit hashes of the ids so far, 8 bytes each, in sorted runs that are merged as they grow."""

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sorted = np.empty(0, np.int64)

    def is_repeated(self, image_id: str) -> bool:
        value = int.from_bytes(bytes.fromhex(storage.sha256(image_id.encode())[:16]), "big", signed=True)
        at = int(np.searchsorted(self._sorted, value))
        if value in self._recent or (at < len(self._sorted) and int(self._sorted[at]) == value):
            return True
        self._recent.add(value)
        if len(self._recent) > max(100_000, len(self._sorted) // 8):
            self._sorted = np.sort(np.concatenate([self._sorted, np.fromiter(self._recent, np.int64)]))
            self._recent.clear()
        return False


def _files(uri: str) -> Iterator[FoundFile]:
    return (found for found in walk_files(uri) if found.relative.endswith((".parquet", ".pq")))


def _pick(schema: pa.Schema, asked: str, usual: tuple[str, ...], what: str) -> str:
    if asked and asked not in schema.names:
        raise WrongUsage(f"no {what} column {asked!r}; columns: {', '.join(schema.names)}")
    return asked or next((name for name in usual if name in schema.names), "")


def _refuse_text(column: str, columns: SourceConfig) -> str:
    if columns.image_column:
        raise WrongUsage(f"image column {column!r} does not hold bytes")
    return ""


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_list_of_numbers(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


def _bytes_of(value: dict[str, bytes | None] | bytes | None) -> bytes | None:
    return value["bytes"] if isinstance(value, dict) else value


def _is_scalar(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
    )


_RESERVED = {field.name for field in (*faces.base_fields(), *ENTRY_FIELDS)}


def _label_name(name: str) -> str:
    return f"source_{name}" if name in _RESERVED else name


def _source_name(label: str) -> str:
    plain = label.removeprefix("source_")
    return plain if label.startswith("source_") and plain in _RESERVED else label


def _beside(file: str, address: str) -> str:
    """An address as it is, or a relative one as meant from the folder of the file that names it."""
    return address if "://" in address or os.path.isabs(address) else storage.join(os.path.dirname(file), address)
