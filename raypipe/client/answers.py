"""What a server answers, as plain dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from raypipe.errors import RaypipeError


class ServerProblem(RaypipeError):
    """The server refused, or could not.

    Attributes:
        kind: ``unknown-attribute``, ``overloaded``, ...: the end of the problem's type; "" if it told none.
        retry_s: when to ask again; None: not at all.
        request_id: to be looked up in the server's log.
    """

    def __init__(self, status: int, kind: str, detail: str, retry_s: float | None, request_id: str) -> None:
        super().__init__(f"{status} {kind}: {detail}")
        self.status, self.kind, self.detail = status, kind, detail
        self.retry_s, self.request_id = retry_s, request_id


@dataclass(frozen=True)
class Hit:
    """``told``: everything that the server said of it."""

    rank: int
    id: str
    distance: float
    labels: Mapping[str, Any]
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """A page of hits; ``exact``: certified. ``told``: the whole answer."""

    index_version: int
    hits: tuple[Hit, ...]
    exact: bool
    more: bool
    covered: float
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Encoded:
    """Codes by column, numbers in nested lists; ``intensities`` by method and attribute."""

    index_version: int
    codes: Mapping[str, Any]
    intensities: Mapping[str, Mapping[str, float]]


def found_of(told: Mapping[str, Any]) -> Found:
    hits = tuple(Hit(hit["rank"], hit["id"], hit["distance"], hit["labels"], hit) for hit in told["hits"])
    return Found(told["index_version"], hits, told["exact"], told["more"], told["covered"], told)


def encoded_of(told: Mapping[str, Any]) -> Encoded:
    return Encoded(told["index_version"], told["codes"], told["intensities"])


def adjustable_in(told: Mapping[str, Any]) -> list[str]:
    """Of what GET /v1/attributes says."""
    return [attribute["name"] for attribute in told["attributes"] if attribute["adjust"] is not None]


def transferable_in(told: Mapping[str, Any]) -> list[str]:
    """Of what GET /v1/methods says."""
    return list(dict.fromkeys(feature for method in told["methods"] for feature in method["features"]))


def domains_in(told: Mapping[str, Any]) -> list[str]:
    """Of what GET /v1/methods says."""
    return list(dict.fromkeys(domain for method in told["methods"] for domain in method["domains"]))


def problem_of(response: httpx.Response) -> ServerProblem:
    """Of an answer that is none; a proxy's, which is no problem details, too."""
    told: Mapping[str, Any] = {}
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        told = response.json()
    wait = response.headers.get("retry-after", "")
    return ServerProblem(
        status=response.status_code,
        kind=str(told.get("type", "")).rsplit(":", 1)[-1],
        detail=str(told.get("detail", response.reason_phrase)),
        retry_s=float(wait) if wait.isdigit() else None,
        request_id=response.headers.get("x-request-id", ""),
    )
