"""A shard group: every ``count``-th shard of a version, opened for whoever serves just these."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from raypipe.retrieval.index import CACHE, Index, deleted_rows, open_shard, read_forms
from raypipe.retrieval.manifest import Manifest, ShardEntry, read_version
from raypipe.retrieval.shard import Shard


def groups_of(manifest: Manifest, count: int) -> int:
    """How many of ``count`` groups have shards at all."""
    return min(count, len(manifest.shards))


@dataclass(frozen=True)
class Share:
    """Every ``count``-th shard of a version, from the ``number``-th on."""

    index: str
    version: int
    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.version} of the index"  # for messages, which tell nobody where it lies


def open_group(share: Share, *, like: tuple[Share, Index] | None = None, device: str = "cpu") -> Index:
    """The shards of a group. Appended shards come last in a manifest, so that the others stay where they are.

    Args:
        like: another share; shards of the same index that it has are not opened again.

    Raises:
        WrongUsage: there is no such version.
        RaypipeError: a file is missing or damaged.
    """
    manifest = read_version(share.index, share.version)
    own = dataclasses.replace(manifest, shards=manifest.shards[share.number :: share.count])
    there = like[1] if like and like[0].index == share.index else None
    return Index(own, open_shards(share.index, own, there), torch.device(device))


def open_shards(uri: str, manifest: Manifest, like: Index | None) -> list[Shard]:
    """As ``open_group``."""
    forms = read_forms(uri, manifest.spaces)
    there = _reusable(manifest, like) if like else {}
    return [_opened(uri, entry, there) or open_shard(uri, entry, forms, CACHE) for entry in manifest.shards]


def _reusable(manifest: Manifest, like: Index) -> Mapping[str, tuple[ShardEntry, Shard]]:
    if like.manifest.spaces != manifest.spaces:
        return {}
    pairs: Sequence[tuple[ShardEntry, Shard]] = list(zip(like.manifest.shards, like.shards(), strict=True))
    return {entry.name: (entry, shard) for entry, shard in pairs}


def _opened(uri: str, entry: ShardEntry, there: Mapping[str, tuple[ShardEntry, Shard]]) -> Shard | None:
    if entry.name not in there:
        return None
    known, shard = there[entry.name]
    return shard if known.deleted == entry.deleted else shard.with_deleted(deleted_rows(uri, entry))
