"""Whether an index is whole: every file's hash, every count, and a sample of queries against the plain computation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from raypipe.errors import RaypipeError
from raypipe.retrieval.answer import Wish
from raypipe.retrieval.files import describe, local_file
from raypipe.retrieval.index import CACHE, deleted_rows, open_shard, read_forms
from raypipe.retrieval.manifest import ShardEntry, read_manifest
from raypipe.retrieval.shard import Shard
from raypipe.retrieval.shard_search import search_shard
from raypipe.retrieval.space import Aim, Target
from raypipe.retrieval.space_writer import Form

_WEIGHTS = (1.0, 10.0, 1000.0)


def problems(uri: str, *, queries: int = 3, cache: Path = CACHE) -> list[str]:
    """What is wrong with the newest version, one line each; none: it is whole.

    ``queries``: of each shard so many rows are searched for, under several preferences, and compared with the answer
    from every row's full distance.
    """
    manifest = read_manifest(uri)
    try:
        forms = read_forms(uri, manifest.spaces)
    except RaypipeError as error:
        return [str(error)]
    found: list[str] = []
    for entry in manifest.shards:
        found += _shard_problems(uri, entry, forms, queries, cache)
    return found


def _shard_problems(uri: str, entry: ShardEntry, forms: Mapping[str, Form], queries: int, cache: Path) -> list[str]:
    damaged = []
    for file in entry.files:
        try:
            if describe(local_file(uri, file, cache), file.name) != file:
                damaged.append(f"{file.name} is damaged: its sha256 is not the one in the manifest")
        except RaypipeError as error:
            damaged.append(str(error))
    if damaged:
        return damaged
    try:
        if entry.deleted and len(deleted_rows(uri, entry)) != entry.deleted.rows:
            return [f"{entry.deleted.file.name} does not name {entry.deleted.rows} rows"]
        shard = open_shard(uri, entry, forms, cache)
    except RaypipeError as error:
        return [str(error)]
    return [problem for name in forms for problem in _search_problems(shard, name, queries)]


def _search_problems(shard: Shard, space: str, queries: int) -> list[str]:
    stored, allowed, wish = shard.spaces[space], shard.allowed(None), Wish(k=10)
    count, found = stored.reduction.attribute_count, []
    if stored.by_factory:  # which promises nothing that could be checked
        return []
    for row in np.random.default_rng(0).integers(0, shard.rows, queries) if shard.rows else ():
        vector = stored.vectors(np.array([row]))[0].astype(np.float64)
        for weight in _WEIGHTS if count else (1.0,):
            aims = [Aim(space, Target(vector[:count], vector[count:], np.full(count, weight)))]
            expected = search_shard(shard, aims, wish, allowed, only="compare all")
            got = search_shard(shard, aims, wish, allowed, only="scan")
            if [hit.id for hit in got.hits] != [hit.id for hit in expected.hits]:
                found.append(f"shard {shard.name}: searching row {row} of {space} at preference {weight:g} misses hits")
    return found
