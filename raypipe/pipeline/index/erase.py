"""Wiping deleted faces from the Parquet codes that an index is made of.

A wiped row keeps its place and its id, with status ``deleted`` and nothing else, so that a later encode run knows that
it is not missing. A part is replaced whole; one that is wiped already is left alone, so this can be done again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raypipe import faces, storage
from raypipe.errors import ModelMismatch, WrongUsage
from raypipe.pipeline.encode.dataset import MANIFEST, PLAN, Dataset
from raypipe.pipeline.encode.lease import Lease
from raypipe.pipeline.index.codes import PART, ROW
from raypipe.retrieval.files import local_file
from raypipe.retrieval.index import CACHE, deleted_rows
from raypipe.retrieval.manifest import ShardEntry, read_manifest
from raypipe.retrieval.shard_writer import ID, LABELS


@dataclass
class Wiped:
    """``counts``: rows by the dataset's URI; ``renamed``: hash of its manifest before -> now; ``sources``: of those."""

    counts: dict[str, int] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


def erase_deleted(index: str, say: Callable[[str], None]) -> Wiped:
    """Wipe the rows that are deleted in an index from its datasets.

    Raises:
        WrongUsage: a dataset is not where it was.
        OutputInUse: another job writes to a dataset.
        ModelMismatch: it has other faces in these places than the index.
    """
    wiped, manifest = Wiped(), read_manifest(index)
    for codes, uri in manifest.sources.items():
        tables = [_deleted_rows(index, entry) for entry in manifest.shards if entry.codes == codes and entry.deleted]
        if not tables:
            continue
        gone = pa.concat_tables(tables)
        wiped.counts[uri] = _wipe(uri, gone, say)
        now = storage.sha256(storage.read_bytes(storage.join(uri, MANIFEST)))
        if now != codes:
            wiped.renamed[codes], wiped.sources[now] = now, uri
    return wiped


def _deleted_rows(index: str, entry: ShardEntry) -> pa.Table:
    """Ids and places of a shard's deleted rows."""
    file = next(file for file in entry.files if file.name.endswith(f"/{LABELS}"))
    labels = pa.ipc.open_file(pa.memory_map(str(local_file(index, file, CACHE)))).read_all()
    return labels.select([ID, PART, ROW]).take(pa.array(deleted_rows(index, entry)))


def _wipe(uri: str, gone: pa.Table, say: Callable[[str], None]) -> int:
    dataset = Dataset(uri)
    if not storage.exists(storage.join(uri, *PLAN)):
        raise WrongUsage(f"the codes are not at {uri!r} any more: nothing was wiped")
    with Lease(dataset.lease_uri, say) as lease:
        dataset.remove_scratch()
        count = 0
        for number in pc.unique(gone.column(PART)).to_pylist():
            lease.check()
            some = gone.filter(pc.equal(gone.column(PART), number))
            count += _wipe_part(dataset, number, some.column(ROW).to_numpy(), some.column(ID).to_pylist())
        if not dataset.is_complete():
            dataset.finish(dataset.parts(dataset.finished_chunks()), dataset.read_json(*PLAN) or {})
    return count


def _wipe_part(dataset: Dataset, number: int, rows: npt.NDArray[np.int32], ids: Sequence[str]) -> int:
    table = dataset.read_part(number)
    there = table.column(ID).to_pylist()
    for row, id_ in zip(rows.tolist(), ids, strict=True):
        if row >= len(there) or there[row] != id_:
            raise ModelMismatch(
                f"{dataset.uri}: row {row} of part {number} is not {id_!r}: these are other codes than the index was "
                f"made of"
            )
    is_gone = np.zeros(table.num_rows, bool)
    is_gone[rows] = True
    is_new = is_gone & np.asarray(pc.not_equal(table.column("status"), faces.DELETED))
    if is_new.any():
        dataset.reopen([number])
        dataset.write_part(number, _without(table, is_gone))
    return int(is_new.sum())


def _without(table: pa.Table, is_gone: npt.NDArray[np.bool_]) -> pa.Table:
    """The rows with nothing left but their ids."""
    mask = pa.array(is_gone)
    for place, column in enumerate(table.schema):
        if column.name == ID:
            continue
        value: Mapping[str, str] | str | None = faces.DELETED if column.name == "status" else None
        values = table.column(place).combine_chunks()
        filled = (
            pc.if_else(mask, pa.scalar(value, column.type), values)
            if not pa.types.is_fixed_size_list(column.type)
            else _null_lists(values, is_gone)
        )
        table = table.set_column(place, column, filled)
    return table


def _null_lists(values: pa.FixedSizeListArray, is_gone: npt.NDArray[np.bool_]) -> pa.FixedSizeListArray:
    """Null, and zeros where the numbers were: Parquet does not keep them, but memory does."""
    is_null = is_gone | np.asarray(values.is_null())
    full = np.zeros((len(values), values.type.list_size), np.float16)
    full[~is_null] = values.filter(pa.array(~is_null)).flatten().to_numpy().reshape(-1, values.type.list_size)
    return pa.FixedSizeListArray.from_arrays(pa.array(full.reshape(-1)), type=values.type, mask=pa.array(is_null))
