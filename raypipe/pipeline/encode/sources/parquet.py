"""Parquet files with a column of image bytes, or of addresses. Other scalar columns are kept as labels.

A file that is no Parquet is a row with status ``fetch_error``, as nobody can say how many it should have been.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe import storage
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.config import SourceConfig
from raypipe.pipeline.encode.listing import Entry, label_names
from raypipe.pipeline.encode.read_file import Listed
from raypipe.pipeline.encode.sources import column_types
from raypipe.pipeline.encode.sources.folder import FoundFile, missing_rows, skip, unlisted, walk_files

EXTENSIONS = (".parquet", ".pq")

ID_NAMES = ("image_id", "id", "key", "__key__", "name")
IMAGE_NAMES = ("image", "bytes", "image_bytes", "jpg", "png", "content", "img")
LANDMARK_NAMES = ("landmarks",)
URI_NAMES = ("uri", "url", "path", "file", "filename", "file_name", "image_path")

ROW_MARK = "#row="
ROWS_AT_ONCE = 64
"""Images of a row group that are in memory at once: a group may be the whole file."""


@dataclass(frozen=True)
class ParquetSource:
    """Files of one schema. One of ``image_column`` (bytes, or a struct with ``bytes``) and ``uri_column`` is set.

    ``labels``: column -> its field in the listing. A name that two columns share is not among them.
    """

    uri: str
    id_column: str
    image_column: str
    uri_column: str
    landmarks_column: str
    labels: dict[str, pa.Field]

    @property
    def label_fields(self) -> list[pa.Field]:
        return list(self.labels.values())

    def entries(self, skipped: dict[str, int]) -> Iterator[Entry]:
        """One entry a row, in the order of files and rows. Ids that come again are marked, so are missing ones.

        Raises:
            WrongUsage: a file lacks a column that the first one has, or has it with other values.
        """
        fs, _ = storage.filesystem(self.uri)
        seen = _SeenIds()
        for found in walk_files(self.uri):
            address = fs.unstrip_protocol(found.path)
            if found.problem:
                yield unlisted(found, address)
            elif found.extension in EXTENSIONS:
                with fs.open(found.path, "rb") as file:
                    yield from self._file_entries(file, address, found, seen)
            elif not self.uri_column:  # else these are the pictures that the rows name
                skip(found, skipped)

    def _file_entries(self, file: Any, address: str, found: FoundFile, seen: _SeenIds) -> Iterator[Entry]:
        try:
            parquet = pq.ParquetFile(file)
        except pa.ArrowInvalid as error:
            detail = f"not a readable Parquet file, its rows are missing here: {error}"
            yield missing_rows(f"{found.relative}#damaged", address, "fetch_error", detail)
            return
        names = set(parquet.schema_arrow.names)
        own = [name for name in (self.id_column, self.uri_column, self.landmarks_column) if name]
        for name in filter(None, (self.image_column, *own)):
            if name not in names:
                raise WrongUsage(f"{found.path}: no column {name!r}, which other files have; columns: {sorted(names)}")
        row = 0
        labels = [name for name in self.labels if name in names]
        for batch in parquet.iter_batches(batch_size=8192, columns=[*own, *labels]):
            columns = {name: batch.column(name).to_pylist() for name in own}
            told = {self.labels[name].name: self._label_values(batch, name, found) for name in labels}
            for i in range(batch.num_rows):
                image_id = columns[self.id_column][i] if self.id_column else f"{found.relative}{ROW_MARK}{row}"
                where = columns[self.uri_column][i] if self.uri_column else None
                values = {name: column[i] for name, column in told.items()}
                entry = self._entry(_text(image_id), _text(where), address, row, found, values, seen)
                yield (
                    replace(entry, landmarks=_points(columns[self.landmarks_column][i]))
                    if self.landmarks_column
                    else entry
                )
                row += 1

    def _label_values(self, batch: pa.RecordBatch, name: str, found: FoundFile) -> list[Any]:
        wanted = self.labels[name].type
        try:
            return list(batch.column(name).cast(wanted, safe=False).to_pylist())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise WrongUsage(
                f"{found.path}: column {name!r} is {batch.schema.field(name).type}, in other files {wanted}: {error}"
            ) from error

    def _entry(
        self,
        image_id: str,
        where: str,
        address: str,
        row: int,
        found: FoundFile,
        labels: dict[str, Any],
        seen: _SeenIds,
    ) -> Entry:
        at_row = f"{address}{ROW_MARK}{row}"
        problem, detail = "", ""
        if not image_id:
            problem, detail, image_id = "missing_id", f"column {self.id_column!r} is empty", at_row
        elif self.id_column and seen.is_repeated(image_id):
            problem, detail = "duplicate_id", f"{image_id!r} stands in an earlier row too"
        elif self.uri_column and not where:
            problem, detail = "fetch_404", f"column {self.uri_column!r} is empty"
        where = _beside(address, where) if where else at_row
        file, offset, size, etag = (address, row, found.bytes, found.etag) if self.image_column else (where, 0, -1, "")
        return Entry(
            image_id=image_id,
            uri=where,
            file=file,
            offset=offset,
            file_bytes=size,
            etag=etag,
            problem=problem,
            problem_detail=detail,
            labels=labels,
        )


def open_parquet(uri: str, columns: SourceConfig) -> ParquetSource:
    """Find the columns of the files at ``uri``, by name where ``columns`` does not say.

    Raises:
        WrongUsage: no image or address column, or a named column that is not there or of another type.
    """
    path, schema = _first_schema(uri)
    id_column = _pick(schema, columns.id_column, ID_NAMES, "id")
    image_column = "" if columns.uri_column else _pick(schema, columns.image_column, IMAGE_NAMES, "image")
    if image_column and not column_types.holds_bytes(schema.field(image_column).type):
        image_column = _refuse_text(image_column, columns)
    uri_column = "" if image_column else _pick(schema, columns.uri_column, URI_NAMES, "address")
    if not image_column and not uri_column:
        raise WrongUsage(
            f"{path}: no column of image bytes ({', '.join(IMAGE_NAMES)}) or of addresses "
            f"({', '.join(URI_NAMES)}) among: {', '.join(schema.names)}; name one with --image-column or --uri-column"
        )
    if uri_column and not column_types.holds_text(schema.field(uri_column).type):
        raise WrongUsage(f"address column {uri_column!r} must hold text, not {schema.field(uri_column).type}")
    landmarks_column = _pick(schema, columns.landmarks_column, LANDMARK_NAMES, "landmarks")
    if landmarks_column and not column_types.is_list_of_numbers(schema.field(landmarks_column).type):
        raise WrongUsage(f"landmarks column {landmarks_column!r} must hold lists of numbers: x0, y0, x1, y1, ...")
    used = {id_column, image_column, uri_column, landmarks_column}
    count = Counter(schema.names)
    kept = [
        f
        for f in schema
        if f.name not in used and count[f.name] == 1 and column_types.is_scalar(column_types.plain(f.type))
    ]
    names = label_names(field.name for field in kept)
    labels = {
        field.name: pa.field(name, column_types.plain(field.type)) for field, name in zip(kept, names, strict=True)
    }
    return ParquetSource(uri, id_column, image_column, uri_column, landmarks_column, labels)


def read_images(address: str, rows: list[int], image_column: str, listed: Listed) -> list[bytes | str | None]:
    """The images of some rows (ascending) of a file; only their row groups are read, ``ROWS_AT_ONCE`` at a time.

    An image is its bytes, or the address of the file that a struct without bytes names in ``path``.

    Raises:
        Refused: the file is another one than was listed.
        ValueError: the file has no such rows or no such column.
    """
    fs, path = storage.filesystem(address)
    fs.invalidate_cache(path)  # else an object store's size and ETag may be those of the listing
    contents: dict[int, bytes | str | None] = {}
    with fs.open(path, "rb") as file:
        listed.check(file.seek(0, os.SEEK_END), str(getattr(file, "details", {}).get("ETag", "")).strip('"'))
        parquet = pq.ParquetFile(file)
        if image_column not in parquet.schema_arrow.names or rows[-1] >= parquet.metadata.num_rows:
            raise ValueError(f"{address} has changed: it has no column {image_column!r} or no row {rows[-1]}")
        end = 0
        for group in range(parquet.num_row_groups):
            start, end = end, end + parquet.metadata.row_group(group).num_rows
            inside = {row for row in rows if start <= row < end}
            if not inside:
                continue
            for batch in parquet.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[image_column]):
                taken = [row for row in range(start, start + batch.num_rows) if row in inside]
                values = batch.column(0).take(pa.array([row - start for row in taken], pa.int64())).to_pylist()
                contents |= {row: _image(value, address) for row, value in zip(taken, values, strict=True)}
                start += batch.num_rows
                if start > max(inside):
                    break
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


def _first_schema(uri: str) -> tuple[str, pa.Schema]:
    """Of the first file that can be read."""
    fs, _ = storage.filesystem(uri)
    problem = "no Parquet file"
    for found in walk_files(uri):
        if found.extension in EXTENSIONS and not found.problem:
            try:
                with fs.open(found.path, "rb") as file:
                    return found.path, pq.read_schema(file)
            except pa.ArrowInvalid as error:
                problem = f"{found.path}: {error}"
    raise WrongUsage(f"{uri!r} has no readable Parquet file: {problem}")


def _pick(schema: pa.Schema, asked: str, usual: tuple[str, ...], what: str) -> str:
    name = asked or next((name for name in usual if name in schema.names), "")
    if name and schema.names.count(name) != 1:
        problem = "two columns" if name in schema.names else "no column"
        raise WrongUsage(f"{problem} {name!r} to take as {what}; columns: {', '.join(schema.names)}")
    return name


def _refuse_text(column: str, columns: SourceConfig) -> str:
    if columns.image_column:
        raise WrongUsage(f"image column {column!r} does not hold bytes")
    return ""


def _image(value: dict[str, Any] | bytes | None, address: str) -> bytes | str | None:
    if not isinstance(value, dict):
        return value
    content: bytes | None = value["bytes"]
    return _beside(address, value["path"]) if content is None and value.get("path") else content


def _text(value: Any) -> str:
    """A cell as text; empty where it is null."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return "" if value is None else str(value)


def _points(value: list[float] | None) -> list[float] | None:
    """Landmarks as they are; None for a list that is no pairs."""
    return value if value and len(value) % 2 == 0 else None


def _beside(file: str, address: str) -> str:
    """An address as it is, or a relative one as meant from the folder of the file that names it."""
    return address if "://" in address or os.path.isabs(address) else storage.join(os.path.dirname(file), address)
