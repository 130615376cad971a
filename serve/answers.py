"""What is answered, as JSON: the models are the documentation, and tests hold real answers against them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from raypipe.attributes import STRENGTH_LIMIT
from raypipe.pipeline.search.query import MOVE_LIMIT
from raypipe.pipeline.search.result import SearchResult, as_json
from raypipe.retrieval.space import WEIGHT_LIMIT
from serve.backend import Description, Encoded, MethodFacts, Versioned
from serve.settings import Limits


class Answer(BaseModel):
    """Every answer names the version of the index that all of it came from."""

    model_config = ConfigDict(extra="forbid")

    index_version: int


class Problem(BaseModel):
    """RFC 9457. `type` is `urn:raypipe:problem:` and what kind it is; `errors`: the fields that are wrong."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[dict[str, str]] = []


class Range(BaseModel):
    """The least and the most that may be asked, and what changes nothing."""

    least: float
    most: float
    neutral: float | None


class StrengthTold(Range):
    """As a range; 1 is the other face's."""

    usual: float = Field(description="What is meant where none is named.")


class MethodTold(BaseModel):
    name: str
    verbs: list[Literal["search", "edit", "transfer", "translate", "encode"]]
    attributes: list[str]
    features: list[str] = Field(description="What can be taken from other faces.")
    strength: StrengthTold | None = Field(description="How much of a feature; null where none can be taken.")
    domains: list[str] = Field(description="What faces can be translated to.")
    samples_styles: bool = Field(description="Whether a seed draws styles of a domain.")
    spaces: list[str]
    needs: list[str]


class Methods(Answer):
    model: str
    fingerprint: str
    methods: list[MethodTold]


class SpaceTold(BaseModel):
    name: str
    method: str
    metric: str
    width: int
    coordinates: list[str] = Field(description="The attributes that can be preferred.")
    reranks: bool = Field(description="Whether more of a face can be compared than is stored: `rerank` of a search.")


class Spaces(Answer):
    spaces: list[SpaceTold]


class AttributeTold(BaseModel):
    """A range is null where no method, or no space, has it."""

    name: str
    methods: list[str]
    spaces: list[str]
    edit: Range | None
    adjust: Range | None
    move: Range | None
    prefer: Range | None


class Attributes(Answer):
    attributes: list[AttributeTold]


class LimitsTold(BaseModel):
    body_bytes: int
    pixels: int
    hits: int
    rerank: int = Field(description="Hits that a search can rerank, times the faces that it asks with; 0: none.")


class IndexTold(Answer):
    rows: int
    recall: float = Field(description="What a search gets that asks for none; 1: exact and certified.")
    labels: list[str]
    image_size: int
    examples: list[str] = Field(description="Some ids, to begin with.")
    limits: LimitsTold


class HitTold(BaseModel):
    rank: int
    id: str
    distance: float
    parts: list[dict[str, Any]] = Field(description="The distance by aim, split into attributes and the rest.")
    intensities: dict[str, float]
    labels: dict[str, Any]
    image: str = Field(description="Where its picture is, on this server.")


class Found(Answer):
    query: dict[str, Any]
    hits: list[HitTold]
    page: int
    more: bool
    exact: bool = Field(description="Certified: no row that may be a hit is nearer than these.")
    recall: float
    rows: int
    covered: float = Field(description="The share of the index's rows that was searched.")
    plans: list[str]
    compared: int
    ask_ms: float
    search_ms: float
    shards: list[dict[str, Any]] = []


class EncodedTold(Answer):
    codes: dict[str, list[Any]]
    intensities: dict[str, dict[str, float]] = Field(
        description="By method: where attributes stand on the scale of adjustments."
    )


class Changed(Answer):
    """The version that answers from now on."""


def methods_json(told: Description) -> dict[str, Any]:
    return {
        "index_version": told.index_version,
        "model": told.model,
        "fingerprint": told.fingerprint,
        "methods": [_method(method) for method in told.methods],
    }


def spaces_json(told: Description) -> dict[str, Any]:
    return {"index_version": told.index_version, "spaces": [asdict(space) for space in told.spaces]}


def attributes_json(told: Description) -> dict[str, Any]:
    """Every attribute of a method or a space, in the order in which they tell them."""
    methods, spaces = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for method in told.methods:
        for name in method.attributes:
            methods[name].append(method.name)
    for space in told.spaces:
        for name in space.coordinates:
            spaces[name].append(space.name)
    return {
        "index_version": told.index_version,
        "attributes": [
            {
                "name": name,
                "methods": methods.get(name, []),
                "spaces": spaces.get(name, []),
                "edit": _range(name in methods, -STRENGTH_LIMIT, STRENGTH_LIMIT, 0.0),
                "adjust": _range(name in methods, 0.0, 1.0, None),
                "move": _range(name in methods, -MOVE_LIMIT, MOVE_LIMIT, 0.0),
                "prefer": _range(name in spaces, 0.0, WEIGHT_LIMIT, 1.0),
            }
            for name in dict.fromkeys([*methods, *spaces])
        ],
    }


def index_json(told: Description, limits: Limits) -> dict[str, Any]:
    return {
        "index_version": told.index_version,
        "rows": told.rows,
        "recall": told.recall,
        "labels": list(told.labels),
        "image_size": told.image_size,
        "examples": list(told.examples),
        "limits": {
            "body_bytes": limits.body_bytes,
            "pixels": limits.pixels,
            "hits": limits.hits,
            "rerank": limits.rerank,
        },
    }


def found_json(found: Versioned[SearchResult], labels: Sequence[str], *, explain: bool, root: str) -> dict[str, Any]:
    """``root``: the path under which the server is reached, "" where it is the whole address."""
    told = as_json(found.value, labels=labels, explain=explain)
    for hit in told["hits"]:
        hit["labels"] = {name: _plain(value) for name, value in hit["labels"].items()}
        hit["image"] = image_url(hit["id"], root)
    return {"index_version": found.index_version, **told}


def encoded_json(encoded: Versioned[Encoded]) -> dict[str, Any]:
    codes = {name: values.tolist() for name, values in encoded.value.codes.items()}
    return {"index_version": encoded.index_version, "codes": codes, "intensities": dict(encoded.value.intensities)}


def image_url(id: str, root: str) -> str:
    return f"{root}/v1/images/{quote(id, safe='')}"


def _method(facts: MethodFacts) -> dict[str, Any]:
    told = asdict(facts)
    usual = {"usual": told.pop("usual_strength")}
    strength = _range(bool(facts.features), -STRENGTH_LIMIT, STRENGTH_LIMIT, 0.0)
    return {**told, "strength": None if strength is None else {**strength, **usual}}


def _range(is_there: bool, least: float, most: float, neutral: float | None) -> Mapping[str, float | None] | None:
    return {"least": least, "most": most, "neutral": neutral} if is_there else None


def _plain(value: object) -> object:
    """JSON knows no nan and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
