"""The first hits of a search in the order of whole vectors, in steps: between two of them whoever shares the network or
the files has their turn, and what nobody waits for any more ends. Both backends do it this way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from raypipe.pipeline.search.collection import Columns
from raypipe.pipeline.search.prepared import Prepared
from raypipe.pipeline.search.whole import Comparison, reordered
from raypipe.retrieval.answer import Answer, Hit

FACES_AT_ONCE = 16


async def reranked(
    answer: Answer,
    prepared: Prepared,
    first: Sequence[Sequence[Hit]],
    *,
    read: Callable[[Sequence[Hit]], Awaitable[list[Columns]]],
    compare: Callable[[Comparison], Awaitable[list[Hit]]],
) -> Answer:
    """The answer with the hits that are to be reranked before all others.

    Args:
        first: these hits, those together whose codes are in one file.
        read: their codes.
        compare: what is told of them by whole vectors.
    """
    hits: list[Hit] = []
    stored: list[Columns] = []
    for some in first:
        hits += some
        stored += await read(some)
    whole: list[Hit] = []
    for start in range(0, len(hits), FACES_AT_ONCE):
        part = slice(start, start + FACES_AT_ONCE)
        whole += await compare(Comparison(prepared.aims, tuple(hits[part]), tuple(stored[part])))
    return reordered(answer, whole)
