"""The answer to a search, and the same as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from raypipe.pipeline.search.collection import Place
from raypipe.pipeline.search.conditions_json import condition_as_json
from raypipe.pipeline.search.query import Face, FromCodes, FromIndex, SearchQuery
from raypipe.retrieval.answer import Explanation, Part


@dataclass(frozen=True, kw_only=True)
class FoundFace:
    """A hit.

    Attributes:
        parts: its distance by aim, each split into its attributes and the rest.
        intensities: of the attributes that matter, on the scale of adjustments.
        labels: what the index's label columns say.
    """

    rank: int
    id: str
    distance: float
    parts: tuple[Part, ...]
    intensities: Mapping[str, float]
    labels: Mapping[str, Any]
    place: Place


@dataclass(frozen=True, kw_only=True)
class AskedAim:
    """A face that was looked for in a space."""

    space: str
    face: Face
    weight: float


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """One page.

    Attributes:
        aims: what was looked for, in the order of each hit's parts.
        wanted: the intensities that were looked for, of the attributes that matter, on the scale of adjustments.
        exact: certified: no row that may be a hit is nearer than these; never where hits were reranked.
        recall: what was asked for, or what the index was built for.
        more: there is another page.
        rows: that the filter leaves.
        covered: the share of the index's rows that was searched.
        explanations: what was done, shard by shard.
        ask_ms, search_ms: to make vectors of the question, and to find the nearest; both of all questions of a call.
    """

    query: SearchQuery
    aims: tuple[AskedAim, ...]
    wanted: Mapping[str, float]
    hits: tuple[FoundFace, ...]
    exact: bool
    recall: float
    more: bool
    rows: int
    covered: float
    explanations: tuple[Explanation, ...]
    ask_ms: float
    search_ms: float

    @property
    def compared(self) -> int:
        """Rows whose full distance was computed."""
        return sum(explanation.compared for explanation in self.explanations)

    @property
    def plans(self) -> tuple[str, ...]:
        """The kinds of plans that were followed."""
        return tuple(dict.fromkeys(explanation.plan for explanation in self.explanations))


def as_json(result: SearchResult, *, labels: Sequence[str] | None = None, explain: bool = False) -> dict[str, Any]:
    """Plain values. ``labels``: which of them hits are told with; None: all. ``explain``: what was done, by shard."""
    told: dict[str, Any] = {
        "query": _query_json(result),
        "hits": [_hit_json(hit, labels) for hit in result.hits],
        "page": result.query.page,
        "more": result.more,
        "exact": result.exact,
        "recall": result.recall,
        "rows": result.rows,
        "covered": result.covered,
        "plans": list(result.plans),
        "compared": result.compared,
        "ask_ms": round(result.ask_ms, 3),
        "search_ms": round(result.search_ms, 3),
    }
    if explain:
        told["shards"] = [_explanation_json(explanation) for explanation in result.explanations]
    return told


def face_in_words(face: Face) -> str:
    """What a face is, in a word or two."""
    if isinstance(face, FromIndex):
        return face.id
    return "codes" if isinstance(face, FromCodes) else face.name


def _query_json(result: SearchResult) -> dict[str, Any]:
    query = result.query
    return {
        "aims": [{"space": a.space, "face": face_in_words(a.face), "weight": a.weight} for a in result.aims],
        "adjust": dict(query.adjust),
        "move": dict(query.move),
        "prefer": dict(query.prefer),
        "wanted": dict(result.wanted),
        "where": None if query.where is None else condition_as_json(query.where),
        "k": query.k,
        "exclude_own": query.exclude_own,
        "exclude_identity": query.exclude_identity,
        "most_per_identity": query.most_per_identity,
        "rerank": query.rerank,
    }


def _hit_json(hit: FoundFace, labels: Sequence[str] | None) -> dict[str, Any]:
    return {
        "rank": hit.rank,
        "id": hit.id,
        "distance": hit.distance,
        "parts": [{**asdict(part), "attributes": dict(part.attributes)} for part in hit.parts],
        "intensities": dict(hit.intensities),
        "labels": {name: value for name, value in hit.labels.items() if labels is None or name in labels},
    }


def _explanation_json(explanation: Explanation) -> dict[str, Any]:
    """JSON knows no infinity: where every row was compared, ``bound`` is null."""
    bound = explanation.bound if math.isfinite(explanation.bound) else None
    return {**asdict(explanation), "bound": bound, "ms": round(explanation.ms, 3)}
