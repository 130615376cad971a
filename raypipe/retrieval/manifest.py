"""What an index is: versions of one immutable JSON file each, the greatest of which counts.

Every operation writes new files first and then the next ``manifest-N.json``, at once and only if nobody else wrote that
version. Whoever reads sees the old index or the new one; files that no manifest names are leftovers, see ``changes``.

::

    INDEX/manifest-000002.json         INDEX/reduction-<sha>.npz         INDEX/reduction-<sha>.faiss
    INDEX/shards/<sha>/labels.arrow    INDEX/shards/<sha>/<space>/...    INDEX/deleted/<shard>-<sha>.npy
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raypipe import storage
from raypipe.contract import SearchSpace
from raypipe.errors import ModelMismatch, OutputInUse, RaypipeError, WrongUsage
from raypipe.retrieval.files import FileInfo
from raypipe.retrieval.space_writer import Precision

FORMAT = 3

_NAME = re.compile(r"manifest-(\d{6,})\.json")
_TRIES = 3


@dataclass(frozen=True)
class Binding:
    """What the vectors mean: only queries of the same method, space, model and directions can be compared with them.

    ``model``: the fingerprint of the model's parts. ``directions``: the hash of the method's own weights, or "".
    """

    method: str
    space: str
    model: str
    directions: str = ""

    def require(self, asked: Binding) -> None:
        """Raises:
        ModelMismatch: the query belongs to something else; names all that differs.
        """
        different = [
            f"{field.name} {getattr(asked, field.name)!r}, but the index {getattr(self, field.name)!r}"
            for field in dataclasses.fields(self)
            if getattr(asked, field.name) != getattr(self, field.name)
        ]
        if different:
            raise ModelMismatch(f"the query has {'; '.join(different)}")


@dataclass(frozen=True)
class Deleted:
    """Rows of a shard that no answer may have."""

    rows: int
    file: FileInfo


@dataclass(frozen=True)
class ShardEntry:
    """A shard; ``codes``: the hash of the manifest of the dataset that its rows came from."""

    name: str
    rows: int
    codes: str
    files: tuple[FileInfo, ...]
    deleted: Deleted | None = None

    @property
    def alive(self) -> int:
        return self.rows - (self.deleted.rows if self.deleted else 0)


@dataclass(frozen=True)
class SpaceEntry:
    """A space of the index: what its vectors mean, how they compare and how they are stored.

    ``factory``: the string for Faiss where an expert gave one; ``trained``: the index that it made, without rows.
    """

    binding: Binding
    space: SearchSpace
    precision: Precision
    reduction: FileInfo
    factory: str = ""
    trained: FileInfo | None = None

    def files(self) -> list[FileInfo]:
        return [self.reduction, *([self.trained] if self.trained else [])]


@dataclass(frozen=True)
class Manifest:
    """A version.

    Attributes:
        recall: what a query gets that asks for none; 1: exact and certified.
        spaces: by their names in queries, "METHOD.SPACE".
        sources: hash of a codes dataset's manifest -> its URI.
    """

    version: int
    recall: float
    spaces: Mapping[str, SpaceEntry]
    shards: tuple[ShardEntry, ...]
    sources: Mapping[str, str]

    @property
    def rows(self) -> int:
        """Rows that can be found."""
        return sum(shard.alive for shard in self.shards)

    def next(self, shards: tuple[ShardEntry, ...], sources: Mapping[str, str] | None = None) -> Manifest:
        """The following version, with these shards; ``sources``: more of them. Those of no shard are dropped."""
        known, needed = {**self.sources, **(sources or {})}, {shard.codes for shard in shards}
        kept = {codes: uri for codes, uri in known.items() if codes in needed}
        return dataclasses.replace(self, version=self.version + 1, shards=shards, sources=kept)

    def require(self, asked: Mapping[str, Binding]) -> None:
        """Raises:
        WrongUsage: a space that the index does not have.
        ModelMismatch: one that is bound to something else.
        """
        for name, binding in asked.items():
            if name not in self.spaces:
                raise WrongUsage(f"the index has no space {name!r}; it has: {', '.join(self.spaces)}")
            self.spaces[name].binding.require(binding)

    def files(self) -> list[FileInfo]:
        """Every file that this version needs."""
        deleted = [shard.deleted.file for shard in self.shards if shard.deleted]
        shared = [file for entry in self.spaces.values() for file in entry.files()]
        return [*shared, *(file for shard in self.shards for file in shard.files), *deleted]


def manifest_name(version: int) -> str:
    return f"manifest-{version:06d}.json"


def versions(uri: str) -> list[int]:
    """The versions at ``uri``, oldest first."""
    return sorted(int(match[1]) for match in map(_NAME.fullmatch, storage.list_names(uri)) if match)


def read_manifest(uri: str) -> Manifest:
    """The newest version.

    Raises:
        WrongUsage: there is no index.
        RaypipeError: its manifest is damaged, or written by a later version of this package.
    """
    for _ in range(_TRIES):
        found = versions(uri)
        if not found:
            raise WrongUsage(f"no index at {uri!r}: it has no {manifest_name(1)}")
        whole = storage.join(uri, manifest_name(found[-1]))
        try:
            return _parsed(storage.read_bytes(whole), whole)
        except FileNotFoundError:  # a newer version came, and this one was swept away
            continue
    raise RaypipeError(f"{uri}: the newest manifest vanished {_TRIES} times while it was read")


def read_version(uri: str, version: int) -> Manifest:
    """A version, perhaps an older one: they are there until the next compaction.

    Raises:
        WrongUsage: there is no such version.
        RaypipeError: as ``read_manifest``.
    """
    whole = storage.join(uri, manifest_name(version))
    try:
        return _parsed(storage.read_bytes(whole), whole)
    except FileNotFoundError as error:
        there = ", ".join(map(str, versions(uri)))
        raise WrongUsage(f"the index has no version {version}; versions: {there or 'none'}") from error


def publish(uri: str, manifest: Manifest) -> Manifest:
    """Make this version the newest. From here on readers see it, on a local disk also after a power cut.

    Raises:
        OutputInUse: somebody else wrote that version in the meantime.
    """
    tree = {"format": FORMAT, **dataclasses.asdict(manifest)}
    content = json.dumps(tree, indent=1).encode()
    if not storage.create_exclusively(storage.join(uri, manifest_name(manifest.version)), content):
        raise OutputInUse(
            f"{uri}: version {manifest.version} of the index was written by another job; run the command again"
        )
    if storage.is_local(uri):
        storage.sync_folder(storage.filesystem(uri)[1])
    return manifest


def _parsed(content: bytes, whole: str) -> Manifest:
    try:
        tree: dict[str, Any] = json.loads(content)
        if tree.pop("format") != FORMAT:
            raise RaypipeError(f"{whole} has another format than {FORMAT}, the one that this version reads")
        return Manifest(
            version=tree["version"],
            recall=tree["recall"],
            spaces={name: read_space(entry) for name, entry in tree["spaces"].items()},
            shards=tuple(read_shard(entry) for entry in tree["shards"]),
            sources=tree["sources"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RaypipeError(f"{whole} is damaged: {error}") from error


def read_space(tree: dict[str, Any]) -> SpaceEntry:
    """From ``dataclasses.asdict`` of one, through JSON."""
    told = tree["space"]
    return SpaceEntry(
        binding=Binding(**tree["binding"]),
        space=SearchSpace(told["width"], told["metric"], tuple(told["coordinates"])),
        precision=tree["precision"],
        reduction=FileInfo(**tree["reduction"]),
        factory=tree["factory"],
        trained=FileInfo(**tree["trained"]) if tree["trained"] else None,
    )


def read_shard(tree: dict[str, Any]) -> ShardEntry:
    """From ``dataclasses.asdict`` of one, through JSON."""
    deleted = tree["deleted"]
    return ShardEntry(
        name=tree["name"],
        rows=tree["rows"],
        codes=tree["codes"],
        files=tuple(FileInfo(**file) for file in tree["files"]),
        deleted=Deleted(deleted["rows"], FileInfo(**deleted["file"])) if deleted else None,
    )
