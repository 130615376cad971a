"""An opened index: every shard of one version, and queries over all of them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from raypipe.errors import WrongUsage
from raypipe.retrieval.answer import Answer, Hit, Wish, merge
from raypipe.retrieval.files import local_file, read_checked
from raypipe.retrieval.filters import columns_of
from raypipe.retrieval.manifest import Binding, Manifest, ShardEntry, read_manifest
from raypipe.retrieval.reduction import Reduction
from raypipe.retrieval.shard import Shard
from raypipe.retrieval.shard_search import search_shard
from raypipe.retrieval.shard_writer import Form
from raypipe.retrieval.space import Array, Target

CACHE = Path(tempfile.gettempdir()) / "raypipe-index"
"""Where files of indexes on other storages are kept, by their hash."""


class Index:
    """Immutable: a newer version is another object, so that requests in flight end on the one they began with."""

    def __init__(self, manifest: Manifest, shards: Sequence[Shard]) -> None:
        self.manifest, self._shards = manifest, tuple(shards)
        self._by_name = {shard.name: shard for shard in shards}

    @property
    def memory_bytes(self) -> int:
        """What all scan rows take in memory."""
        return sum(shard.memory_bytes for shard in self._shards)

    def search(self, targets: Sequence[Target], wish: Wish, *, asked: Binding, threads: int = 1) -> list[Answer]:
        """The nearest faces of each target; the shards of all targets are searched side by side.

        Raises:
            ModelMismatch: the targets are not of this index's method, space, model and directions.
            WrongUsage: a column that a shard does not have.
        """
        self.manifest.binding.require(asked)
        self._check_columns(wish)
        with ThreadPoolExecutor(max(1, threads)) as pool:
            allowed = list(pool.map(lambda shard: shard.allowed(wish.condition), self._shards))
            tasks = [(target, s) for target in targets for s in range(len(self._shards))]
            answers = list(
                pool.map(lambda task: search_shard(self._shards[task[1]], task[0], wish, allowed[task[1]]), tasks)
            )
        count = len(self._shards)
        return [merge(answers[i * count : (i + 1) * count], wish) for i in range(len(targets))]

    def labels(self, hits: Sequence[Hit], columns: Sequence[str]) -> list[dict[str, Any]]:
        """What the label columns say of some hits."""
        return [
            {name: self._by_name[hit.shard].values(name, np.array([hit.row]))[0] for name in columns} for hit in hits
        ]

    def shards(self) -> tuple[Shard, ...]:
        return self._shards

    def _check_columns(self, wish: Wish) -> None:
        needed = columns_of(wish.condition) if wish.condition else frozenset()
        needed |= {wish.diversity.column} if wish.diversity else set()
        for shard in self._shards:
            if shard.rows and (missing := needed - set(shard.labels.column_names)):
                raise WrongUsage(
                    f"no label column {', '.join(sorted(missing))}; there are: {', '.join(shard.labels.column_names)}"
                )


def open_index(uri: str, *, cache: Path = CACHE) -> Index:
    """The newest version at ``uri``; files that are not on a local disk are fetched to ``cache`` once.

    Raises:
        WrongUsage: there is no index.
        RaypipeError: a file is missing or damaged.
    """
    manifest = read_manifest(uri)
    reduction = Reduction.from_bytes(read_checked(uri, manifest.reduction))
    return Index(manifest, [open_shard(uri, manifest, entry, reduction, cache) for entry in manifest.shards])


def open_shard(uri: str, manifest: Manifest, entry: ShardEntry, reduction: Reduction, cache: Path) -> Shard:
    """One shard of an index, for whoever serves just that one."""
    return Shard(
        entry.name,
        {Path(file.name).name: local_file(uri, file, cache) for file in entry.files},
        entry.rows,
        Form(manifest.space, reduction, manifest.precision),
        deleted=deleted_rows(uri, entry),
    )


def deleted_rows(uri: str, entry: ShardEntry) -> Array:
    """Rows of a shard that are deleted, int64, in order."""
    if entry.deleted is None:
        return np.empty(0, np.int64)
    return np.asarray(np.load(io.BytesIO(read_checked(uri, entry.deleted.file)), allow_pickle=False))
