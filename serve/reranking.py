"""The first hits of a search in the order of whole vectors. Both backends do it this way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from raypipe.pipeline.search.whole import reordered
from raypipe.retrieval.answer import Answer, Hit

FACES_AT_ONCE = 16
"""Between so many and the next, whoever shares the network has their turn, and what nobody waits for any more ends."""


async def reranked(
    answer: Answer, first: Sequence[Hit], compare: Callable[[Sequence[Hit]], Awaitable[list[Hit]]]
) -> Answer:
    """The answer with ``first`` of its hits in the order that ``compare`` finds, before all others."""
    whole: list[Hit] = []
    for start in range(0, len(first), FACES_AT_ONCE):
        whole += await compare(first[start : start + FACES_AT_ONCE])
    return reordered(answer, whole)
