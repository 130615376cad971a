"""Labels in a file beside the data, by image id: CSV, Parquet, or CelebA's attribute table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from raypipe import storage
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.sources.celeba import is_table, read_attributes
from raypipe.pipeline.train.labels import attribute_table

ID = "image_id"
IDS_SHOWN = 5
PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True, eq=False)
class LabelFile:
    """``labels``: a column for each attribute, rows as ``ids`` (strings), of which no two are the same."""

    uri: str
    sha256: str
    ids: pa.Array
    labels: pa.Table

    def of_rows(
        self, ids: pa.Array, unused: pa.Array, asked: Sequence[str]
    ) -> tuple[tuple[str, ...], npt.NDArray[np.uint8]]:
        """The attributes asked for, or all columns, and uint8 [rows, attributes] of 0 and 1.

        Args:
            ids: of the rows that are trained on.
            unused: ids of the data's other rows; they may have labels.

        Raises:
            WrongUsage: a row has no labels, labels have no row, or a column has not both of 0 and 1, or others.
        """
        places = pc.index_in(ids, value_set=self.ids)
        if places.null_count:
            without = ids.filter(places.is_null())
            raise WrongUsage(f"{self.uri} has no labels for {_some(without)} of {len(ids):,} rows of the data")
        is_known = pc.or_(pc.is_in(self.ids, value_set=ids), pc.is_in(self.ids, value_set=unused))
        unknown = self.ids.filter(pc.invert(is_known))
        if len(unknown):
            raise WrongUsage(f"{self.uri} has labels for {_some(unknown)} ids that are not in the data")
        return attribute_table(self.labels.take(places), asked or self.labels.column_names, self.uri)


def read_label_file(uri: str) -> LabelFile:
    """Which of the three it is, its first bytes tell.

    Raises:
        WrongUsage: nothing there, damaged, no ``image_id``, or one that is missing or comes twice.
    """
    try:
        content = storage.read_bytes(uri)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise WrongUsage(f"labels: there is no file at {uri!r}") from error
    table = _read(uri, content)
    names = table.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise WrongUsage(f"{uri} has several columns of one name: {', '.join(twice)}")
    if ID not in names:
        raise WrongUsage(f"{uri} has no {ID!r} column; its columns: {', '.join(names) or 'none'}")
    return LabelFile(uri, storage.sha256(content), _ids(table.column(ID), uri), table.drop_columns([ID]))


def _read(uri: str, content: bytes) -> pa.Table:
    if is_table(content):
        names, rows = read_attributes(uri, content)
        values = np.array(list(rows.values()), np.int8).reshape(len(rows), len(names))
        ids = pa.array(list(rows), pa.string())
        return pa.Table.from_arrays([ids, *map(pa.array, values.T)], [ID, *names])
    buffer = pa.BufferReader(content)
    if content.startswith(PARQUET_MAGIC):
        try:
            return pq.ParquetFile(buffer).read()
        except (pa.ArrowInvalid, OSError) as error:  # OSError: what Arrow raises for pages that do not unpack
            raise WrongUsage(f"{uri} is a damaged Parquet file: {error}") from error
    try:
        as_they_are = pa.csv.ConvertOptions(column_types={ID: pa.string()})  # 000001 is not 1
        return pa.csv.read_csv(buffer, convert_options=as_they_are)
    except pa.ArrowInvalid as error:
        raise WrongUsage(f"{uri} is neither Parquet, nor CelebA's attribute table, nor CSV: {error}") from error


def _ids(column: pa.ChunkedArray, uri: str) -> pa.Array:
    try:
        ids = column.cast(pa.string()).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise WrongUsage(f"{uri}: {ID!r} must be text, not {column.type}") from error
    if ids.null_count:
        raise WrongUsage(f"{uri}: {ids.null_count:,} of {len(ids):,} rows have no {ID}")
    counts = pc.value_counts(ids)
    twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        raise WrongUsage(f"{uri} has several rows for {_some(twice)} ids")
    return ids


def _some(ids: pa.Array) -> str:
    """How many, and the first of them."""
    more = ", ..." if len(ids) > IDS_SHOWN else ""
    return f"{len(ids):,} ({', '.join(ids[:IDS_SHOWN].to_pylist())}{more})"
