"""The manifest of a job: every input, one row, in a fixed order, written once. A chunk is one row group of it.

Fetching and decoding come after it, so a job that goes on touches only the images of unfinished chunks.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe import faces, storage
from raypipe.errors import RaypipeError

LISTING_FILE = "listing.json"
CHUNKS_PER_FILE = 1024

ENTRY_FIELDS = [
    pa.field("image_id", pa.string()),
    pa.field("uri", pa.string()),
    pa.field("file", pa.string()),
    pa.field("offset", pa.int64()),
    pa.field("bytes", pa.int64()),
    pa.field("file_bytes", pa.int64()),
    pa.field("etag", pa.string()),
    pa.field("landmarks", pa.list_(pa.float32())),
    pa.field("problem", pa.string()),
    pa.field("problem_detail", pa.string()),
]
"""``uri`` is for people; ``file`` is what is opened; ``offset`` is the first byte in it (a row's number in a Parquet
file); ``bytes``, of the image, and ``file_bytes``, of ``file``, are -1 where the source does not say; so is ``etag``,
of ``file``, empty. ``problem`` is a status known already from the listing."""

STAGE_COLUMNS = ("pixels", "keep", "chunk", "fetched_bytes", "fetch_s", "decode_s", "model_s", "write_s")
"""What the stages of the job say to each other beside the columns of the dataset."""

RESERVED = frozenset({field.name for field in (*faces.base_fields(), *ENTRY_FIELDS)} | set(STAGE_COLUMNS))


def label_names(given: Iterable[str]) -> list[str]:
    """What a source's own columns are called in the listing and the dataset: ``source_status`` where ``status`` is
    ours, and never twice the same."""
    names: list[str] = []
    for name in map(storable, given):
        while name in RESERVED or name in names:
            name = f"source_{name}"
        names.append(name)
    return names


def storable(text: str) -> str:
    """Text as it is; bytes of file names that are no UTF-8 (which Python keeps as lone surrogates) spelled out."""
    return text.encode(errors="backslashreplace").decode()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One input. ``landmarks``: x0, y0, x1, y1, ... in pixels of the picture."""

    image_id: str
    uri: str
    file: str
    offset: int = 0
    bytes: int = -1
    file_bytes: int = -1
    etag: str = ""
    landmarks: list[float] | None = None
    problem: str = ""
    problem_detail: str = ""
    labels: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A finished listing. ``skipped`` counts files that are no images by name, by extension."""

    uri: str
    rows: int
    commit_rows: int
    labels: tuple[str, ...]
    skipped: Mapping[str, int]

    @property
    def chunks(self) -> int:
        return -(-self.rows // self.commit_rows)

    def rows_in(self, chunk: int) -> int:
        return min(self.commit_rows, self.rows - chunk * self.commit_rows)

    def in_words(self) -> str:
        skipped = ", ".join(f"{count:,} {extension}" for extension, count in sorted(self.skipped.items()))
        return f"{self.rows:,} images in {self.chunks:,} parts" + (
            f"; passed over by name: {skipped}" if skipped else ""
        )

    def read_chunk(self, chunk: int) -> pa.Table:
        """The rows of a chunk: ``ENTRY_FIELDS``, then the label columns.

        Raises:
            RaypipeError: the file is damaged or gone.
        """
        uri = storage.join(self.uri, _file_name(chunk // CHUNKS_PER_FILE))
        fs, path = storage.filesystem(uri)
        try:
            with fs.open(path, "rb") as file:
                return pq.ParquetFile(file).read_row_group(chunk % CHUNKS_PER_FILE)
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise RaypipeError(f"{uri} is damaged ({error}); start again with --restart") from error


def write_listing(
    uri: str, entries: Iterable[Entry], label_fields: list[pa.Field], commit_rows: int, skipped: Mapping[str, int]
) -> Listing:
    """Write the entries below ``uri``, a row group a chunk; memory does not grow with their number.

    ``skipped`` is read after the last entry was taken.
    """
    schema = pa.schema([*ENTRY_FIELDS, *label_fields])
    rows = 0
    groups = _groups(entries, commit_rows)
    for number in itertools.count():
        some = list(itertools.islice(groups, CHUNKS_PER_FILE))
        if not some:
            break
        _write_file(storage.join(uri, _file_name(number)), some, schema)
        rows += sum(map(len, some))
    names = tuple(field.name for field in label_fields)
    told = {"rows": rows, "commit_rows": commit_rows, "labels": names, "skipped": dict(skipped)}
    storage.write_bytes(storage.join(uri, LISTING_FILE), json.dumps(told, indent=2).encode())
    return Listing(uri=uri, rows=rows, commit_rows=commit_rows, labels=names, skipped=dict(skipped))


def as_it_is_now(entries: pa.Table) -> pa.Table:
    """Rows of a chunk without what was listed of images that are whole files, so that nothing is compared with it. An
    archive must still be the listed one: what else would its offsets mean?"""
    is_whole = pc.equal(entries.column("uri"), entries.column("file"))
    for name, unknown in (("bytes", -1), ("file_bytes", -1), ("etag", "")):
        place = entries.schema.get_field_index(name)
        entries = entries.set_column(
            place, entries.schema.field(place), pc.if_else(is_whole, unknown, entries.column(name))
        )
    return entries


def open_listing(uri: str) -> Listing | None:
    """The listing below ``uri``; None where it was never finished.

    Raises:
        RaypipeError: ``listing.json`` is damaged.
    """
    try:
        told = json.loads(storage.read_bytes(storage.join(uri, LISTING_FILE)))
        return Listing(
            uri=uri,
            rows=told["rows"],
            commit_rows=told["commit_rows"],
            labels=tuple(told["labels"]),
            skipped=told["skipped"],
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise RaypipeError(f"{uri}/{LISTING_FILE} is damaged ({error}); start again with --restart") from error


def _write_file(uri: str, groups: list[list[Entry]], schema: pa.Schema) -> None:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for group in groups:
            columns = [pa.array([getattr(entry, f.name) for entry in group], f.type) for f in ENTRY_FIELDS]
            for label in list(schema)[len(ENTRY_FIELDS) :]:
                columns.append(pa.array([(entry.labels or {}).get(label.name) for entry in group], label.type))
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=len(group))
    storage.write_bytes(uri, sink.getvalue().to_pybytes())


def _groups(entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    group: list[Entry] = []
    for entry in entries:
        group.append(_storable_entry(entry))
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _storable_entry(entry: Entry) -> Entry:
    """An address that cannot be written down cannot be opened later either: that is the row's problem."""
    texts = (entry.image_id, entry.uri, entry.file, entry.problem_detail)
    labels = {n: storable(v) if isinstance(v, str) else v for n, v in (entry.labels or {}).items()}
    if all(map(_is_storable, texts)):
        return replace(entry, labels=labels) if labels != (entry.labels or {}) else entry
    image_id, uri, file, detail = map(storable, texts)
    problem = entry.problem
    if not problem and file != entry.file:
        problem, detail = "fetch_error", "the name of the file is not UTF-8; rename it"
    return replace(entry, image_id=image_id, uri=uri, file=file, problem=problem, problem_detail=detail, labels=labels)


def _is_storable(text: str) -> bool:
    return text.isascii() or storable(text) == text


def _file_name(number: int) -> str:
    return f"listing-{number:05d}.parquet"
