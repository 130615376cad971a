"""The three stages of an encode job, each a plain callable: a chunk's number -> pixels -> codes -> a part file.

Between stages a chunk is one Arrow table: the base columns and labels of the dataset, and

- ``pixels``: fixed-size binary, uint8 [size,size,3]; zeros where the row is not ok
- ``keep``: the row stands in an earlier version of the part and is not done again
- ``chunk`` and ``*_s``: the chunk's number and the seconds that a stage took, the same in every row; ``networks``:
  those of the model by network, as JSON
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raypipe import faces, storage
from raypipe.errors import OutputInUse
from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.encode.dataset import PLAN, Dataset
from raypipe.pipeline.encode.decode_pool import DecodePool
from raypipe.pipeline.encode.face_decoder import DecodedFace, FaceDecoder
from raypipe.pipeline.encode.face_model import FaceModel
from raypipe.pipeline.encode.fetch import Fetcher
from raypipe.pipeline.encode.listing import Listing, as_it_is_now
from raypipe.pipeline.interrupts import never

STAGES = ("fetch", "decode", "model", "write")

_BASE = [field.name for field in faces.base_fields()]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every stage of a job must know; plain values, so that it travels to any process.

    ``shapes``: the code columns. ``retry``: statuses whose rows are done again; empty when chunks are new.
    ``receipt`` goes into the metadata of every part file.
    """

    config: EncodeConfig
    listing: Listing
    image_size: int
    image_column: str
    shapes: Mapping[str, tuple[int, ...]]
    retry: frozenset[str]
    receipt: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ChunkReport:
    """A committed chunk. ``rows`` and ``statuses`` count what this run did, kept rows left out; ``seconds`` by stage,
    and those of the model by network."""

    chunk: int
    rows: int
    statuses: Mapping[str, int]
    fetched_bytes: int
    written_bytes: int
    seconds: Mapping[str, float]
    network_seconds: Mapping[str, float]


class ReadFaces:
    """Fetches and decodes a chunk. Bytes come in ``config.fetch.threads`` at a time, decoding is a process beside."""

    def __init__(self, work: Work, check: Callable[[], None] = never) -> None:
        """``check`` is called between images; it may raise."""
        self._work = work
        self._check = check
        config = work.config
        self._fetcher = Fetcher(config.fetch, work.image_column, check)
        self._pool = DecodePool(FaceDecoder(config.face, work.image_size), timeout_s=config.decode_timeout_s)

    def __call__(self, chunk: int) -> pa.Table:
        entries = self._work.listing.read_chunk(chunk)
        keep = self._rows_to_keep(chunk, entries.num_rows)
        todo = entries.filter(pa.array(~keep))
        if self._work.retry:
            todo = as_it_is_now(todo)
        faces_read = _ChunkOfFaces(entries.num_rows, self._work.image_size)
        started = time.perf_counter()
        contents = faces_read.contents(todo, np.flatnonzero(~keep), self._fetcher)
        for face in self._pool.map(contents):
            self._check()
            faces_read.take(face)
        seconds = time.perf_counter() - started
        numbers = {"chunk": chunk, "fetched_bytes": faces_read.fetched_bytes}
        times = {"fetch_s": faces_read.fetch_s, "decode_s": seconds - faces_read.fetch_s}
        return _as_table(entries, self._work.listing.labels, faces_read, keep, numbers | times)

    def close(self) -> None:
        self._fetcher.close()
        self._pool.close()

    def _rows_to_keep(self, chunk: int, rows: int) -> npt.NDArray[np.bool_]:
        if not self._work.retry:
            return np.zeros(rows, bool)
        try:
            statuses = Dataset(self._work.config.out).read_part(chunk).column("status").to_pylist()
        except FileNotFoundError:
            return np.zeros(rows, bool)
        return np.array([status not in self._work.retry for status in statuses], bool)


class EncodeFaces:
    """Adds the code columns to a chunk and takes ``pixels`` away."""

    def __init__(self, work: Work, model: FaceModel) -> None:
        self._work = work
        self._model = model

    def __call__(self, table: pa.Table) -> pa.Table:
        started = time.perf_counter()
        self._model.seconds.clear()
        pixels = _pixels_of(table, self._work.image_size)
        is_ok = _is_ok(table)
        codes = self._model(pixels if is_ok.all() else pixels[is_ok])
        table = _with_codes(table.drop_columns(["pixels"]), codes, self._work.shapes)
        table = table.append_column("networks", pa.array([json.dumps(self._model.seconds)] * table.num_rows))
        return table.append_column("model_s", pa.array([time.perf_counter() - started] * table.num_rows))


class CommitPart:
    """Writes a chunk's part file."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._dataset = Dataset(work.config.out)
        receipt = json.dumps(work.receipt)
        self._receipt = json.loads(receipt)
        self._metadata = {b"raypipe": receipt.encode()}

    def __call__(self, table: pa.Table) -> ChunkReport:
        started = time.perf_counter()
        self._refuse_stranger()
        chunk = int(table.column("chunk")[0].as_py())
        keep = np.array(table.column("keep").to_pylist(), bool)
        names = [*_BASE, *self._work.listing.labels, *self._work.shapes]
        rows = table.select(names)
        if keep.any():
            rows = _merge(self._dataset.read_part(chunk), rows.filter(pa.array(~keep)), keep)
        part = self._dataset.write_part(chunk, rows.replace_schema_metadata(self._metadata))
        done = [status for status, kept in zip(table.column("status").to_pylist(), keep, strict=True) if not kept]
        return ChunkReport(
            chunk=chunk,
            rows=len(done),
            statuses={status: done.count(status) for status in sorted(set(done))},
            fetched_bytes=int(table.column("fetched_bytes")[0].as_py()),
            written_bytes=part.bytes,
            seconds={name: float(table.column(f"{name}_s")[0].as_py()) for name in STAGES[:-1]}
            | {"write": time.perf_counter() - started},
            network_seconds=json.loads(table.column("networks")[0].as_py()),
        )

    def _refuse_stranger(self) -> None:
        """A worker may outlive its job, and the output may have been begun again meanwhile, with another model.

        Raises:
            OutputInUse: so it is.
        """
        if self._dataset.read_json(*PLAN) != self._receipt:
            raise OutputInUse(f"{self._dataset.uri} is made by another plan now: another job has begun there")


class _ChunkOfFaces:
    """The base columns of a chunk, filled as contents arrive and as faces come out of the decoder, in order."""

    def __init__(self, rows: int, image_size: int) -> None:
        self.columns: dict[str, list[Any]] = {name: [None] * rows for name in _BASE[2:]}
        self.pixels = np.zeros((rows, image_size, image_size, 3), np.uint8)
        self.fetch_s = 0.0
        self.fetched_bytes = 0
        self._decoding: deque[int] = deque()

    def contents(
        self, entries: pa.Table, rows: npt.NDArray[np.int_], fetcher: Fetcher
    ) -> Iterator[tuple[bytes, npt.NDArray[np.float32] | None]]:
        """What the decoder gets: contents that arrived, with landmarks [k,2] where the source has them."""
        landmarks = entries.column("landmarks").to_pylist()
        arriving = fetcher.fetch(entries)
        for row, points in zip(rows, landmarks, strict=True):
            started = time.perf_counter()
            fetched = next(arriving)
            self.fetch_s += time.perf_counter() - started
            if fetched.content is None:
                self._set(row, status=fetched.status, error=fetched.error)
                continue
            self.fetched_bytes += len(fetched.content)
            self._set(row, sha256=storage.sha256(fetched.content))
            self._decoding.append(int(row))
            yield fetched.content, None if points is None else np.array(points, np.float32).reshape(-1, 2)

    def take(self, face: DecodedFace) -> None:
        """The next face that the decoder gave back."""
        row = self._decoding.popleft()
        self._set(row, status=face.status, error=face.error or None)
        if face.width:
            self._set(row, width=face.width, height=face.height)
        if face.pixels is not None:
            self.pixels[row] = face.pixels

    def _set(self, row: int, **values: Any) -> None:
        for name, value in values.items():
            self.columns[name][row] = value


def _as_table(
    entries: pa.Table,
    labels: Sequence[str],
    read: _ChunkOfFaces,
    keep: npt.NDArray[np.bool_],
    numbers: Mapping[str, float],
) -> pa.Table:
    rows = entries.num_rows
    base = {field.name: field.type for field in faces.base_fields()}
    columns = {name: entries.column(name) for name in _BASE[:2]}
    columns |= {name: pa.array(values, base[name]) for name, values in read.columns.items()}
    columns |= {name: entries.column(name) for name in labels}
    size = read.pixels[0].size
    columns["pixels"] = pa.FixedSizeBinaryArray.from_buffers(pa.binary(size), rows, [None, pa.py_buffer(read.pixels)])
    columns["keep"] = pa.array(keep)
    columns |= {name: pa.array([value] * rows) for name, value in numbers.items()}
    return pa.table(columns)


def _pixels_of(table: pa.Table, image_size: int) -> npt.NDArray[np.uint8]:
    """The ``pixels`` column as uint8 [n,size,size,3], without a copy where it is in one piece."""
    column = table.column("pixels").combine_chunks()
    size = 3 * image_size * image_size
    flat = np.frombuffer(column.buffers()[1], np.uint8, count=len(column) * size, offset=column.offset * size)
    return flat.reshape(-1, image_size, image_size, 3)


def _is_ok(table: pa.Table) -> npt.NDArray[np.bool_]:
    is_ok: npt.NDArray[np.bool_] = pc.equal(table.column("status"), faces.OK).fill_null(False).to_numpy()
    return is_ok


def _with_codes(
    table: pa.Table, codes: Mapping[str, npt.NDArray[np.float16]], shapes: Mapping[str, tuple[int, ...]]
) -> pa.Table:
    """Put the codes of the rows that are ok into their places; a code that is not finite makes its row not ok."""
    status, error = table.column("status").to_pylist(), table.column("error").to_pylist()
    sent = np.flatnonzero(_is_ok(table))
    for name, values in codes.items():
        flat = np.isfinite(values.reshape(len(values), -1))
        for place in np.flatnonzero(~flat.all(axis=1)):
            bad = f"{name}: {int((~flat[place]).sum())} of {flat.shape[1]} values are not finite in float16"
            status[sent[place]], error[sent[place]] = "encoder_nan", bad
    is_ok = np.array([value == faces.OK for value in status], bool)
    table = _replace(_replace(table, "status", status), "error", error)
    for name, shape in shapes.items():
        full = np.zeros((len(status), *shape), np.float16)
        if len(sent):
            full[sent] = codes[name]
        full[~is_ok] = 0
        table = table.append_column(faces.code_field(name, shape), faces.code_array(full, is_ok))
    return table


def _replace(table: pa.Table, name: str, values: list[str | None]) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.string()))


def _merge(old: pa.Table, new: pa.Table, keep: npt.NDArray[np.bool_]) -> pa.Table:
    """The old part with the rows that are not kept replaced, in the old order."""
    order = np.empty(len(keep), np.int64)
    order[keep] = np.flatnonzero(keep)
    order[~keep] = len(keep) + np.arange(int((~keep).sum()))
    return pa.concat_tables([old, new.cast(old.schema)]).take(pa.array(order))
