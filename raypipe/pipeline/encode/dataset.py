"""The output of an encode job: one Parquet file a chunk, under a name that the chunk alone decides.

A chunk is finished exactly when its part file exists, and a part file appears whole or not at all. So whoever writes a
chunk again, after a crash or beside a slow twin, replaces it by the same rows; nothing is lost and nothing is twice.

::

    OUT/part-000000.parquet ...          the rows
    OUT/manifest.json, _SUCCESS          files, counts, hashes; written last
    OUT/run.json                         config, versions, timing of the runs
    OUT/_raypipe/plan.json               what the rows were made from; a later run must agree
    OUT/_raypipe/listing*.{json,parquet} the inputs
    OUT/_raypipe/done/part-*.json        counts and hash of a part; made again from the part where missing
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe import storage
from raypipe.errors import RaypipeError, WrongUsage

STATE = "_raypipe"
MANIFEST = "manifest.json"
SUCCESS = "_SUCCESS"
RUN = "run.json"
PLAN = (STATE, "plan.json")

_PART = re.compile(r"part-(\d{6,})\.parquet")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A finished chunk, as the manifest tells of it."""

    file: str
    rows: int
    bytes: int
    sha256: str
    statuses: Mapping[str, int]


@dataclass(frozen=True)
class Dataset:
    """An encoded dataset at ``uri``, finished or not."""

    uri: str

    @property
    def state_uri(self) -> str:
        return storage.join(self.uri, STATE)

    @property
    def listing_uri(self) -> str:
        return storage.join(self.uri, STATE, "listing")

    @property
    def _done_uri(self) -> str:
        return storage.join(self.state_uri, "done")

    @property
    def lease_uri(self) -> str:
        return storage.join(self.uri, STATE, "lease.json")

    def is_complete(self) -> bool:
        return storage.exists(storage.join(self.uri, SUCCESS))

    def finished_chunks(self) -> set[int]:
        names = storage.list_names(self.uri)
        return {int(match[1]) for match in map(_PART.fullmatch, names) if match}

    def write_part(self, chunk: int, table: pa.Table) -> Part:
        """Commit a chunk: zstd Parquet, one row group."""
        sink = pa.BufferOutputStream()
        # A dictionary of float16 codes costs more than all other writing and makes the file larger; a smallest and a
        # largest of them help no reader.
        others = [field.name for field in table.schema if not pa.types.is_fixed_size_list(field.type)]
        rows = max(1, table.num_rows)
        pq.write_table(
            table, sink, compression="zstd", row_group_size=rows, use_dictionary=others, write_statistics=others
        )
        content = sink.getvalue().to_pybytes()
        storage.write_bytes(storage.join(self.uri, part_name(chunk)), content)
        return self._record(chunk, content, table.column("status"))

    def read_part(self, chunk: int) -> pa.Table:
        """The rows of a finished chunk.

        Raises:
            FileNotFoundError: it is not finished.
            RaypipeError: its file is damaged.
        """
        return self._read(chunk, storage.read_bytes(storage.join(self.uri, part_name(chunk))))

    def open_part(self, part: Part) -> pa.BufferReader:
        """A part file's content, for readers that want a few columns of it."""
        return pa.BufferReader(storage.read_bytes(storage.join(self.uri, part.file)))

    def part(self, chunk: int) -> Part:
        """What is known of a finished chunk. A run that was killed between part and record left the record out; one
        that does not fit its part is made again.

        Raises:
            RaypipeError: the part's file is damaged.
        """
        uri = storage.join(self.uri, part_name(chunk))
        try:
            part = Part(**json.loads(storage.read_bytes(self._record_uri(chunk))))
            if part.bytes == storage.size(uri):
                return part
        except (FileNotFoundError, ValueError, TypeError):
            pass
        content = storage.read_bytes(uri)
        return self._record(chunk, content, self._read(chunk, content).column("status"))

    def _read(self, chunk: int, content: bytes) -> pa.Table:
        try:
            return pq.read_table(pa.BufferReader(content))
        except (pa.ArrowInvalid, OSError) as error:  # OSError: what Arrow raises for pages that do not unpack
            uri = storage.join(self.uri, part_name(chunk))
            raise RaypipeError(
                f"{uri} is damaged ({error}); delete it and run the same command again: its images are then done again"
            ) from error

    def parts(self, chunks: Iterable[int]) -> list[Part]:
        with ThreadPoolExecutor(16) as threads:
            return list(threads.map(self.part, sorted(chunks)))

    def chunks_with(self, statuses: frozenset[str]) -> set[int]:
        """The finished chunks that have a row of one of these statuses."""
        chunks = sorted(self.finished_chunks())
        return {c for c, part in zip(chunks, self.parts(chunks), strict=True) if statuses & set(part.statuses)}

    def reopen(self, chunks: Iterable[int]) -> None:
        """Before parts are written again: the dataset is not complete, and the records of these chunks are void."""
        storage.remove(storage.join(self.uri, SUCCESS))
        for chunk in chunks:
            storage.remove(self._record_uri(chunk))

    def finish(self, parts: list[Part], plan: Mapping[str, Any]) -> dict[str, Any]:
        """Write the manifest and then the mark that says all is there."""
        manifest = {
            "rows": sum(part.rows for part in parts),
            "statuses": dict(sum_statuses(parts)),
            "plan": dict(plan),
            "files": [vars(part) for part in parts],
        }
        storage.write_bytes(storage.join(self.uri, MANIFEST), json.dumps(manifest, indent=1).encode())
        storage.write_bytes(storage.join(self.uri, SUCCESS), b"")
        return manifest

    def read_json(self, *names: str) -> dict[str, Any] | None:
        """A JSON file of the dataset; None where there is none.

        Raises:
            RaypipeError: it is damaged.
        """
        try:
            return dict(json.loads(storage.read_bytes(storage.join(self.uri, *names))))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise RaypipeError(f"{storage.join(self.uri, *names)} is damaged: {error}") from error

    def write_json(self, tree: Mapping[str, Any], *names: str) -> None:
        storage.write_bytes(storage.join(self.uri, *names), json.dumps(tree, indent=2).encode())

    def clear(self) -> None:
        """Delete what an encode job wrote here, and nothing else."""
        for name in (SUCCESS, MANIFEST, RUN):
            storage.remove(storage.join(self.uri, name))
        for chunk in self.finished_chunks():
            storage.remove(storage.join(self.uri, part_name(chunk)))
        for name in storage.list_names(self.state_uri):
            if storage.join(self.state_uri, name) != self.lease_uri:
                storage.remove(storage.join(self.state_uri, name))
        storage.remove(self._done_uri, recursive=True)
        storage.remove(self.listing_uri, recursive=True)

    def remove_scratch(self) -> None:
        """Delete what killed runs left half written. For the holder of the lease, before it writes anything."""
        for uri in (self.uri, self.listing_uri, self._done_uri):
            storage.remove_scratch(uri, "*")
        storage.remove_scratch(self.state_uri, PLAN[-1])  # not the lease's: another job may be asking for it just now

    def refuse_foreign_files(self) -> None:
        """Raise WrongUsage where the output holds something that no encode job wrote."""
        names = [name for name in storage.list_names(self.uri) if not name.startswith(".")]
        if names:
            raise WrongUsage(
                f"{self.uri!r} is not empty and not an encoded dataset (it holds {', '.join(names[:3])}"
                f"{', ...' if len(names) > 3 else ''}); choose another output"
            )

    def _record(self, chunk: int, content: bytes, statuses: pa.ChunkedArray) -> Part:
        counts = {item["values"]: item["counts"] for item in pc.value_counts(statuses).to_pylist()}
        part = Part(
            file=part_name(chunk),
            rows=len(statuses),
            bytes=len(content),
            sha256=storage.sha256(content),
            statuses=dict(sorted(counts.items())),
        )
        storage.write_bytes(self._record_uri(chunk), json.dumps(vars(part)).encode())
        return part

    def _record_uri(self, chunk: int) -> str:
        return storage.join(self._done_uri, f"part-{chunk:06d}.json")


def part_name(chunk: int) -> str:
    return f"part-{chunk:06d}.parquet"


def sum_statuses(parts: Iterable[Part]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part.statuses)
    return total
