"""Deleting from an index and compacting it, with the codes that it is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any

from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.lease import Lease
from raypipe.pipeline.index.erase import erase_deleted
from raypipe.pipeline.index.info import index_info
from raypipe.pipeline.index.job import changing, lease_uri, remove_scratch
from raypipe.pipeline.index.summary import counted
from raypipe.retrieval import changes
from raypipe.retrieval.manifest import read_manifest


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """What a delete did; ``unknown``: ids that the index does not have or had deleted before."""

    index: str
    version: int
    deleted: int
    unknown: int
    rows: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def in_words(self) -> str:
        if not self.deleted:
            return f"{self.index}: nothing deleted: none of the {counted(self.unknown, 'id')} is in the index"
        unknown = f"; {counted(self.unknown, 'id')} not there" if self.unknown else ""
        return (
            f"{self.index}: version {self.version}: {counted(self.deleted, 'face')} deleted{unknown}; "
            f"{counted(self.rows, 'face')} left"
        )


@dataclass(frozen=True, kw_only=True)
class Compaction:
    """What a compaction did; ``erased``: rows wiped from codes, by the dataset's URI."""

    index: str
    version: int
    rows: int
    dropped: int
    shards_before: int
    shards: int
    bytes_before: int
    bytes: int
    erased: dict[str, int]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def in_words(self) -> str:
        lines = [f"{uri}: {counted(count, 'face')} wiped from the codes" for uri, count in self.erased.items()]
        before, after = f"{self.bytes_before / 2**20:,.1f}", f"{self.bytes / 2**20:,.1f}"
        lines.append(
            f"{self.index}: version {self.version}: {counted(self.rows, 'face')} in "
            f"{counted(self.shards, 'shard')} (before: {self.shards_before}), {self.dropped:,} deleted ones gone, "
            f"{before} -> {after} MiB in {self.seconds:,.1f} s"
        )
        return "\n".join(lines)


def delete(index: str, ids: Collection[str], say: Callable[[str], None]) -> Deletion:
    """No answer has these ids from the next version on. Shards may be made meanwhile.

    Raises:
        WrongUsage: there is no index.
        OutputInUse: another delete or a compaction runs, or an append is just being published.
    """
    read_manifest(index)
    wanted = set(ids)
    with changing(index, say):
        count = changes.delete(index, wanted)
    manifest = read_manifest(index)
    return Deletion(
        index=index, version=manifest.version, deleted=count, unknown=len(wanted) - count, rows=manifest.rows
    )


def compact(index: str, *, rows_per_shard: int, with_codes: bool, say: Callable[[str], None]) -> Compaction:
    """What is left in full shards; with codes, deleted faces are gone from the Parquet files first.

    Killed anywhere and called again, it ends as if it had never been killed.

    Raises:
        WrongUsage: there is no index, or the place of its codes is not known.
        OutputInUse: another job writes to the index or to the codes.
        ModelMismatch: the codes are not those that the index was made of.
    """
    before, started = index_info(index), time.monotonic()
    if with_codes and (lost := [source.hash[:12] for source in before.sources if source.uri == "unknown"]):
        raise WrongUsage(f"{index!r} does not say where the codes {', '.join(lost)} are, so they cannot be wiped")
    with Lease(lease_uri(index), say), changing(index, say):
        remove_scratch(index)
        erased: dict[str, int] = {}
        if with_codes:
            wiped = erase_deleted(index, say)
            erased = wiped.counts
            if wiped.renamed:
                changes.rename_codes(index, wiped.renamed, wiped.sources)
        manifest = changes.compact(index, rows_per_shard=rows_per_shard)
    return Compaction(
        index=index,
        version=manifest.version,
        rows=manifest.rows,
        dropped=before.deleted,
        shards_before=before.shards,
        shards=len(manifest.shards),
        bytes_before=before.bytes,
        bytes=sum(file.bytes for file in manifest.files()),
        erased=erased,
        seconds=round(time.monotonic() - started, 2),
    )
