"""What an index holds, told from its manifest: no shard is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from raypipe import storage
from raypipe.pipeline.encode.dataset import MANIFEST
from raypipe.pipeline.index.summary import counted
from raypipe.retrieval.manifest import Manifest, read_manifest, versions


@dataclass(frozen=True, kw_only=True)
class SpaceInfo:
    """A space of an index. ``bytes`` on disk; ``memory_bytes``: of it, what is loaded to search."""

    width: int
    metric: str
    attributes: tuple[str, ...]
    precision: str
    bytes: int
    memory_bytes: int
    model: str
    directions: str


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """A dataset that rows came from. ``state``: whether it is still what the index was made of."""

    uri: str
    hash: str
    rows: int
    deleted: int
    state: str


@dataclass(frozen=True, kw_only=True)
class IndexInfo:
    """An index. ``rows`` can be found; ``deleted`` are still stored; ``versions`` are those that are still there."""

    uri: str
    version: int
    versions: tuple[int, ...]
    rows: int
    deleted: int
    shards: int
    recall: float
    bytes: int
    memory_bytes: int
    spaces: Mapping[str, SpaceInfo]
    sources: tuple[SourceInfo, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def in_words(self) -> str:
        stored = max(1, self.rows + self.deleted)
        answers = "exact and certified" if self.recall == 1 else f"about {self.recall:.0%} of the true hits"
        lines = [
            self.in_short(),
            (
                f"  disk {_mib(self.bytes)} ({self.bytes / stored:,.0f} bytes a row), "
                f"memory to search {_mib(self.memory_bytes)} ({self.memory_bytes / stored:,.0f} bytes a row)"
            ),
            f"  answers {answers}, unless a query asks for something else",
            f"  versions there: {', '.join(map(str, self.versions))}",
        ]
        for name, space in self.spaces.items():
            lines.append(
                f"  space {name}: {space.width} numbers, {space.metric.replace('_', ' ')}, {space.precision}, "
                f"{len(space.attributes)} attributes; model {space.model[:12]}, directions {space.directions[:12]}"
            )
        for source in self.sources:
            gone = f" and {source.deleted:,} deleted" if source.deleted else ""
            lines.append(
                f"  codes {source.uri} ({source.hash[:12]}): {counted(source.rows, 'face')}{gone}; {source.state}"
            )
        return "\n".join(lines)

    def in_short(self) -> str:
        gone = f" ({self.deleted:,} more deleted, stored until compact)" if self.deleted else ""
        return (
            f"{self.uri}: index, version {self.version}: {counted(self.rows, 'face')}{gone} in "
            f"{counted(self.shards, 'shard')}, spaces: {', '.join(self.spaces)}"
        )

    def checked_words(self, queries: int) -> str:
        """What ``verify`` looked at."""
        stored = f"{counted(self.rows, 'face')} in {counted(self.shards, 'shard')}, {_mib(self.bytes)}"
        return f"{stored}; searches for {counted(queries, 'row')} of each shard compared with every row's full distance"


def index_info(uri: str) -> IndexInfo:
    """Raises:
    WrongUsage: there is no index.
    """
    manifest = read_manifest(uri)
    return IndexInfo(
        uri=uri,
        version=manifest.version,
        versions=tuple(versions(uri)),
        rows=manifest.rows,
        deleted=sum(entry.rows - entry.alive for entry in manifest.shards),
        shards=len(manifest.shards),
        recall=manifest.recall,
        bytes=sum(file.bytes for file in manifest.files()),
        memory_bytes=sum(_memory(manifest, name) for name in manifest.spaces),
        spaces={name: _space(manifest, name) for name in manifest.spaces},
        sources=tuple(_source(manifest, codes) for codes in dict.fromkeys(entry.codes for entry in manifest.shards)),
    )


def _space(manifest: Manifest, name: str) -> SpaceInfo:
    entry = manifest.spaces[name]
    folder = f"/{name}/"
    return SpaceInfo(
        width=entry.space.width,
        metric=entry.space.metric,
        attributes=entry.space.coordinates,
        precision=entry.precision,
        bytes=sum(file.bytes for file in manifest.files() if folder in file.name),
        memory_bytes=_memory(manifest, name),
        model=entry.binding.model,
        directions=entry.binding.directions,
    )


def _memory(manifest: Manifest, space: str) -> int:
    """The one file of a space that is loaded, not mapped."""
    return sum(file.bytes for file in manifest.files() if file.name.endswith(f"/{space}/rows.faiss"))


def _source(manifest: Manifest, codes: str) -> SourceInfo:
    uri = manifest.sources.get(codes, "")
    shards = [entry for entry in manifest.shards if entry.codes == codes]
    return SourceInfo(
        uri=uri or "unknown",
        hash=codes,
        rows=sum(entry.alive for entry in shards),
        deleted=sum(entry.rows - entry.alive for entry in shards),
        state=_state(uri, codes),
    )


def _state(uri: str, codes: str) -> str:
    if not uri:
        return "its place is not known"
    try:
        content = storage.read_bytes(storage.join(uri, MANIFEST))
    except storage.errors():
        return "cannot be read"
    return "unchanged" if storage.sha256(content) == codes else "has changed since"


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
