"""A shard: one independent set of files with some faces' labels and their rows in every space.

::

    labels.arrow     image_id and the label columns; names that begin with "_" are for programs, not shown
    by_id.bin        uint32 [rows]: the rows in the order of their ids
    SPACE/...        as ``space_writer`` has it
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.errors import WrongUsage
from raypipe.retrieval.files import FileInfo, describe
from raypipe.retrieval.space import Array
from raypipe.retrieval.space_writer import FILES, Form, SpaceWriter

ID = "image_id"
LABELS = "labels.arrow"
BY_ID = "by_id.bin"


@dataclass(frozen=True, eq=False)
class Block:
    """Some faces: ``labels`` has ``image_id`` and any label columns, ``vectors`` each space's, [n,W] by its name."""

    labels: pa.Table
    vectors: Mapping[str, Array]

    @property
    def rows(self) -> int:
        return int(self.labels.num_rows)

    def cut(self, start: int, stop: int) -> Block:
        """Rows ``start`` to ``stop``."""
        vectors = {name: rows[start:stop] for name, rows in self.vectors.items()}
        return Block(self.labels.slice(start, stop - start), vectors)


@dataclass(frozen=True)
class ShardInfo:
    """A written shard. ``files`` are named relative to its folder."""

    rows: int
    files: tuple[FileInfo, ...]


def write_shard(folder: Path, blocks: Iterable[Block], forms: Mapping[str, Form]) -> ShardInfo:
    """Write the files of a shard to a local folder; blocks are taken one at a time.

    Args:
        forms: by the spaces' names; every block has vectors of just these.

    Raises:
        WrongUsage: vectors that a space cannot compare, ids that are missing or there twice, or blocks with different
            columns.
    """
    folder.mkdir(parents=True, exist_ok=True)
    writers = {}
    for name, form in forms.items():
        (folder / name).mkdir()
        writers[name] = SpaceWriter(folder / name, form)
    labels, rows = _LabelWriter(folder), 0
    for block in blocks:
        _check(block, forms)
        labels.add(block.labels)
        for name, writer in writers.items():
            writer.add(block.vectors[name])
        rows += block.rows
    labels.finish()
    for writer in writers.values():
        writer.finish()
    names = [LABELS, BY_ID, *(f"{space}/{name}" for space in forms for name in FILES)]
    return ShardInfo(rows, tuple(describe(folder / name, name) for name in names))


def _check(block: Block, forms: Mapping[str, Form]) -> None:
    if set(block.vectors) != set(forms):
        raise WrongUsage(f"a block has vectors of {sorted(block.vectors)}, but the index has {sorted(forms)}")
    for name, vectors in block.vectors.items():
        if len(vectors) != block.rows:
            raise WrongUsage(f"{block.rows} rows of labels, but {len(vectors)} vectors of {name!r}")


class _LabelWriter:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: pa.ipc.RecordBatchFileWriter | None = None
        self._ids: list[pa.Array] = []

    def add(self, table: pa.Table) -> None:
        labels = _plain_labels(table)
        if self._file is None:
            self._file, self._schema = pa.ipc.new_file(str(self._folder / LABELS), labels.schema), labels.schema
        if not labels.schema.equals(self._schema):
            raise WrongUsage(f"blocks with different label columns: {self._schema.names}, {labels.schema.names}")
        self._file.write_table(labels)
        self._ids += labels.column(ID).chunks

    def finish(self) -> None:
        if self._file is None:
            self.add(pa.table({ID: pa.array([], pa.string())}))
        self._file.close()  # type: ignore[union-attr]
        _write_order(self._folder / BY_ID, pa.chunked_array(self._ids, pa.string()))


def _write_order(path: Path, ids: pa.ChunkedArray) -> None:
    rows = pc.sort_indices(ids)
    in_order = ids.take(rows)
    again = in_order[1:].filter(pc.equal(in_order[1:], in_order[:-1])).unique()
    if len(again):
        raise WrongUsage(f"{len(again):,} ids are there more than once, as {', '.join(again[:5].to_pylist())}")
    rows.to_numpy().astype(np.uint32).tofile(path)


def _plain_labels(labels: pa.Table) -> pa.Table:
    """Without dictionaries and long strings, which compare like other types."""
    if ID not in labels.column_names or labels.column(ID).null_count:
        raise WrongUsage(f"every row needs an {ID}")
    fields = []
    for field in labels.schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        fields.append(pa.field(field.name, pa.string() if pa.types.is_large_string(kind) else kind))
    return labels.cast(pa.schema(fields)).combine_chunks()
