"""Whether an index is whole: every file's hash, every count, and a sample of queries against the plain computation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
_K = 10

_FAR = 0.75
"""A factory's index that finds less than this share of the recall that was promised is a problem."""


@dataclass
class Verified:
    """``problems``: what is wrong, one line each; none: the index is whole.

    ``recalls``: of each space that a factory's index searches, the share of the true hits that a sample of queries
    found, without each query's own row. Nothing is there for other spaces: their answers are exact or a problem.
    """

    problems: list[str]
    recalls: dict[str, float]


@dataclass
class _Found:
    """Of the true hits, how many."""

    hits: int = 0
    true: int = 0


def verify(uri: str, *, queries: int = 3, cache: Path = CACHE) -> Verified:
    """What is wrong with the newest version.

    ``queries``: of each shard so many rows are searched for, under several preferences, and compared with the answer
    from every row's full distance.
    """
    manifest = read_manifest(uri)
    try:
        forms = read_forms(uri, manifest.spaces)
    except RaypipeError as error:
        return Verified([str(error)], {})
    problems, found = [], {name: _Found() for name, form in forms.items() if form.factory}
    for entry in manifest.shards:
        shard = _whole_shard(uri, entry, forms, cache)
        if isinstance(shard, list):
            problems += shard
            continue
        for name in forms:
            if name in found:
                _count_hits(found[name], shard, name, queries, manifest.recall)
            else:
                problems += _missed(shard, name, queries)
    recalls = {name: count.hits / count.true for name, count in found.items() if count.true}
    for name, recall in recalls.items():
        if recall < _FAR * manifest.recall:
            problems.append(
                f"{name}: factory {manifest.spaces[name].factory!r} finds {recall:.0%} of {found[name].true:,} true "
                f"hits, but the index was built for recall {manifest.recall:g}: build it with another factory, or "
                "with the recall that is enough"
            )
    return Verified(problems, recalls)


def _whole_shard(uri: str, entry: ShardEntry, forms: Mapping[str, Form], cache: Path) -> Shard | list[str]:
    """The shard, or what is wrong with its files."""
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
        return open_shard(uri, entry, forms, cache)
    except RaypipeError as error:
        return [str(error)]


def _missed(shard: Shard, space: str, queries: int) -> list[str]:
    """Searches whose certified answer is another than the plain one."""
    allowed, wish, problems = shard.allowed(None), Wish(k=_K), []
    for row, weight, aim in _sample(shard, space, queries):
        expected = search_shard(shard, [aim], wish, allowed, only="compare all")
        got = search_shard(shard, [aim], wish, allowed, only="scan")
        if [hit.id for hit in got.hits] != [hit.id for hit in expected.hits]:
            problems.append(f"shard {shard.name}: searching row {row} of {space} at preference {weight:g} misses hits")
    return problems


def _count_hits(found: _Found, shard: Shard, space: str, queries: int, recall: float) -> None:
    """What searches as users make them find of the plain answer."""
    allowed = shard.allowed(None)
    for row, _, aim in _sample(shard, space, queries):
        wish = Wish(k=_K, recall=recall, exclude=frozenset(shard.ids(np.array([row]))))
        expected = search_shard(shard, [aim], wish, allowed, only="compare all")
        got = search_shard(shard, [aim], wish, allowed)
        found.hits += len({hit.row for hit in got.hits} & {hit.row for hit in expected.hits})
        found.true += len(expected.hits)


def _sample(shard: Shard, space: str, queries: int) -> Iterator[tuple[int, float, Aim]]:
    """Some rows under several preferences: the row, the preference, the query."""
    stored = shard.spaces[space]
    count = stored.reduction.attribute_count
    for row in np.random.default_rng(0).integers(0, shard.rows, queries).tolist() if shard.rows else ():
        vector = stored.vectors(np.array([row]))[0].astype(np.float64)
        for weight in _WEIGHTS if count else (1.0,):
            yield row, weight, Aim(space, Target(vector[:count], vector[count:], np.full(count, weight)))
