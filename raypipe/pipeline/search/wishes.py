"""Which rows may be hits, and how many, as the engine is told; and which of its hits are shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raypipe.errors import WrongUsage
from raypipe.pipeline.search.query import IDENTITY, SearchQuery
from raypipe.retrieval.answer import Diversity, Hit, Wish
from raypipe.retrieval.filters import AllOf, AnyOf, Filter, Not, Null, OneOf
from raypipe.retrieval.index import Index


def wish_of(query: SearchQuery, index: Index) -> Wish:
    """One hit more than is shown or reranked: is there another page?

    The query's own faces are among the hits, for whoever asks to leave out, so that a batch of ids is one wish. Only
    where hits of a person are counted are they excluded: they must not count.

    Raises:
        WrongUsage: the index has no identities, or the query none to exclude.
    """
    if query.most_per_identity or query.exclude_identity:
        _check_identities(index)
    own = query.own_ids if query.exclude_own else ()
    counts = query.most_per_identity > 0
    return Wish(
        k=max(query.k * query.page, query.rerank) + 1 + (0 if counts else len(own)),
        condition=_condition(query, index),
        exclude=frozenset(own) if counts else frozenset(),
        diversity=Diversity(IDENTITY, query.most_per_identity) if counts else None,
        recall=query.recall,
    )


def not_own(query: SearchQuery, hits: Sequence[Hit]) -> list[Hit]:
    """The hits without the faces that are asked with, if these are not to be found."""
    own = query.own_ids if query.exclude_own else ()
    return [hit for hit in hits if hit.id not in own]


def page_of(query: SearchQuery, hits: Sequence[Hit]) -> tuple[Sequence[Hit], bool]:
    """The hits of the page that was asked for, and whether there is another one.

    Raises:
        WrongUsage: the page is beyond the last.
    """
    first, last = query.k * (query.page - 1), query.k * query.page
    if query.page > 1 and len(hits) <= first:
        pages = -(-len(hits) // query.k)
        raise WrongUsage(f"page {query.page} is beyond the end: {len(hits):,} hits are {pages:,} pages of {query.k}")
    return hits[first:last], len(hits) > last


def _condition(query: SearchQuery, index: Index) -> Filter | None:
    if not query.exclude_identity:
        return query.where
    if not query.own_ids:
        raise WrongUsage("whose identity should be excluded? Only faces of the index have one: give an id")
    shards = {shard.name: shard for shard in index.shards()}
    places = [place for place in index.places(query.own_ids) if place is not None]
    persons = {shards[shard].values(IDENTITY, np.array([row]))[0] for shard, row in places} - {None}
    others = AnyOf((Null(IDENTITY), Not(OneOf(IDENTITY, tuple(sorted(persons))))))
    return others if query.where is None else AllOf((query.where, others))


def _check_identities(index: Index) -> None:
    if any(IDENTITY not in shard.labels.column_names for shard in index.shards()):
        raise WrongUsage(f"the index has no label column {IDENTITY!r}: its faces cannot be told apart by person")
