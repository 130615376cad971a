"""An opened index: every shard of one version, and queries over all of them."""

from __future__ import annotations

import dataclasses
import io
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raypipe.errors import RaypipeError, WrongUsage
from raypipe.retrieval.answer import Answer, Hit, Wish, merge
from raypipe.retrieval.batch_scan import FirstScan
from raypipe.retrieval.factory import Factory
from raypipe.retrieval.files import local_file, read_checked
from raypipe.retrieval.filters import columns_of, shown_columns
from raypipe.retrieval.gpu_scan import faiss_gpu, first_scan
from raypipe.retrieval.manifest import Binding, Manifest, ShardEntry, SpaceEntry, read_manifest, versions
from raypipe.retrieval.reduction import Reduction
from raypipe.retrieval.shard import Shard
from raypipe.retrieval.shard_search import ShardSearch, scan_together
from raypipe.retrieval.space import Aim, Array
from raypipe.retrieval.space_writer import Form

CACHE = Path(tempfile.gettempdir()) / "raypipe-index"
"""Where files of indexes on other storages are kept, by their hash."""

_QUERIES_AT_ONCE = 32
"""Each holds some bytes a row while it is answered."""


class Index:
    """Immutable: a newer version is another object, so that requests in flight end on the one they began with."""

    def __init__(self, manifest: Manifest, shards: Sequence[Shard], device: torch.device) -> None:
        self.manifest, self._shards, self._device = manifest, tuple(shards), device
        self._by_name = {shard.name: shard for shard in shards}

    def load(self) -> Index:
        """Hold the scan rows now; else the first search waits for them. Whoever never searches need not.

        Raises:
            RaypipeError: a file is damaged.
        """
        for shard in self._shards:
            shard.load()
        _ = self._scans
        return self

    @cached_property
    def _scans(self) -> dict[tuple[str, str], FirstScan]:
        gpu = faiss_gpu(self._device)
        return {
            # Where rows are deleted, every query has a filter, which Faiss does not know on a GPU.
            (shard.name, name): first_scan(stored, self._device, gpu if shard.allowed(None) is None else None)
            for shard in self._shards
            for name, stored in shard.spaces.items()
            if not stored.by_factory
        }

    @property
    def memory_bytes(self) -> int:
        """What all scan rows take in memory."""
        return sum(shard.memory_bytes for shard in self._shards)

    def search(
        self, queries: Sequence[Sequence[Aim]], wish: Wish, *, asked: Mapping[str, Binding], threads: int = 1
    ) -> list[Answer]:
        """The nearest faces of each query; the shards of all queries are searched side by side.

        Args:
            queries: one or more aims each; distances are sums over the aims of weight times distance.
            asked: what the targets in each space are.

        Raises:
            ModelMismatch: the targets are not of this index's method, space, model and directions.
            WrongUsage: a query without aims, a space that the index does not have, or a column that a shard does not.
        """
        self._check_aims(queries, asked)
        self._check_columns(wish)
        wish = dataclasses.replace(wish, recall=self.manifest.recall) if wish.recall is None else wish
        with ThreadPoolExecutor(max(1, threads)) as pool:
            rows = list(pool.map(lambda shard: shard.allowed(wish.condition), self._shards))
            allowed = {shard.name: some for shard, some in zip(self._shards, rows, strict=True)}
            answers: list[Answer] = []
            for start in range(0, len(queries), _QUERIES_AT_ONCE):
                answers += self._answers(queries[start : start + _QUERIES_AT_ONCE], wish, allowed, pool)
        return answers

    def labels(self, hits: Sequence[Hit], columns: Sequence[str]) -> list[dict[str, Any]]:
        """What the label columns say of some hits."""
        return [
            {name: self._by_name[hit.shard].values(name, np.array([hit.row]))[0] for name in columns} for hit in hits
        ]

    def vector(self, space: str, shard: str, row: int) -> Array:
        """What is stored of a row in a space, float32 [W]: a query by it finds that row at distance 0."""
        vector: Array = self._by_name[shard].spaces[space].vectors(np.array([row]))[0]
        return vector

    def places(self, ids: Sequence[str]) -> list[tuple[str, int] | None]:
        """Shard and row of each id; None where no row that can be found has it."""
        return [self._place(id) for id in ids]

    def _place(self, id: str) -> tuple[str, int] | None:
        found = ((shard.name, shard.row_of(id)) for shard in self._shards)
        return next(((name, row) for name, row in found if row is not None), None)

    def shards(self) -> tuple[Shard, ...]:
        return self._shards

    def _answers(
        self,
        queries: Sequence[Sequence[Aim]],
        wish: Wish,
        allowed: Mapping[str, Array | None],
        pool: ThreadPoolExecutor,
    ) -> list[Answer]:
        tasks = [(query, shard) for query in queries for shard in self._shards]
        plan = lambda task: ShardSearch(task[1], task[0], wish, allowed[task[1].name])  # noqa: E731
        searches = list(pool.map(plan, tasks))
        scan_together(searches, self._scans, wish, allowed)
        parts, count = list(pool.map(ShardSearch.answer, searches)), len(self._shards)
        return [merge(parts[i * count : (i + 1) * count], wish) for i in range(len(queries))]

    def _check_aims(self, queries: Sequence[Sequence[Aim]], asked: Mapping[str, Binding]) -> None:
        if not all(queries):
            raise WrongUsage("a query needs at least one aim")
        used = {aim.space for query in queries for aim in query}
        if unsaid := sorted(used - set(asked)):
            raise WrongUsage(f"nothing says what the targets in {', '.join(unsaid)} are")
        self.manifest.require({name: asked[name] for name in used})

    def _check_columns(self, wish: Wish) -> None:
        needed = columns_of(wish.condition) if wish.condition else frozenset()
        needed |= {wish.diversity.column} if wish.diversity else set()
        lacking = [shard for shard in self._shards if shard.rows and needed - set(shard.labels.column_names)]
        if lacking:
            labels, count = lacking[0].labels, sum(shard.rows for shard in lacking)
            missing, rows = sorted(needed - set(labels.column_names)), sum(shard.rows for shard in self._shards)
            whose = f" for {count:,} of the {rows:,} faces" if count < rows else ""
            raise WrongUsage(f"no label column {', '.join(missing)}{whose}; there are: {shown_columns(labels)}")


def open_index(uri: str, *, cache: Path = CACHE, device: str = "cpu") -> Index:
    """The newest version at ``uri``; files that are not on a local disk are fetched to ``cache`` once.

    Args:
        device: where many rows are scanned; on a GPU a copy of the scan rows is held, by Faiss if it was installed for
            one. The answers are the same.

    Raises:
        WrongUsage: there is no index.
        RaypipeError: a file is missing or damaged.
    """
    while True:
        manifest = read_manifest(uri)
        try:
            forms = read_forms(uri, manifest.spaces)
            shards = [open_shard(uri, entry, forms, cache) for entry in manifest.shards]
            return Index(manifest, shards, torch.device(device)).load()
        except (RaypipeError, FileNotFoundError):
            if versions(uri)[-1:] != [manifest.version]:
                continue  # a newer version came, and the files of this one were swept away
            raise


def read_forms(uri: str, spaces: Mapping[str, SpaceEntry]) -> dict[str, Form]:
    """How the rows of an index are held, by the spaces' names."""
    forms = {}
    for name, entry in spaces.items():
        reduction = Reduction.from_bytes(read_checked(uri, entry.reduction))
        factory = Factory(entry.factory, read_checked(uri, entry.trained)) if entry.trained else None
        forms[name] = Form(entry.space, reduction, entry.precision, factory)
    return forms


def open_shard(uri: str, entry: ShardEntry, forms: Mapping[str, Form], cache: Path) -> Shard:
    """One shard of an index, for whoever serves just that one."""
    root = f"shards/{entry.name}/"
    files = {file.name.removeprefix(root): local_file(uri, file, cache) for file in entry.files}
    return Shard(entry.name, files, entry.rows, forms, deleted=deleted_rows(uri, entry))


def deleted_rows(uri: str, entry: ShardEntry) -> Array:
    """Rows of a shard that are deleted, int64, in order."""
    if entry.deleted is None:
        return np.empty(0, np.int64)
    return np.asarray(np.load(io.BytesIO(read_checked(uri, entry.deleted.file)), allow_pickle=False))
