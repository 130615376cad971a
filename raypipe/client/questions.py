"""What can be asked, as the requests that the server takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

Face = str | Path | bytes | Mapping[str, Any]
"""An id of the collection, a picture file or its content, or codes by column (arrays or nested lists)."""


@dataclass(frozen=True)
class Like:
    """Another face that hits are to be like, in one space."""

    space: str
    face: Face
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Search:
    """A question; each field means what it does in ``POST /v1/search``."""

    face: Face | None = None
    space: str = ""
    weight: float = 1.0
    adjust: Mapping[str, float] = field(default_factory=dict)
    move: Mapping[str, float] = field(default_factory=dict)
    prefer: Mapping[str, float] = field(default_factory=dict)
    like: Sequence[Like] = ()
    where: str | Mapping[str, Any] | None = None
    k: int = 20
    page: int = 1
    recall: float | None = None
    exclude_own: bool = True
    exclude_identity: bool = False
    most_per_identity: int = 0
    rerank: int = 0
    labels: Sequence[str] | None = None
    explain: bool = False
    partial: bool = False


@dataclass(frozen=True)
class Request:
    """``question``: None for a GET. ``pictures``: by the names of their parts."""

    path: str
    question: Mapping[str, Any] | None = None
    pictures: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def verb(self) -> str:
        return "GET" if self.question is None else "POST"

    def body(self) -> dict[str, Any]:
        """As the arguments of an HTTP client: JSON, or a form where there are pictures."""
        if not self.pictures:
            return {} if self.question is None else {"json": self.question}
        query = (None, json.dumps(self.question), "application/json")
        files = {name: (name, content, "application/octet-stream") for name, content in self.pictures.items()}
        return {"files": {"query": query, **files}}


def search_request(search: Search) -> Request:
    pictures: dict[str, bytes] = {}
    told = {
        **vars(search),
        "face": None if search.face is None else _face(search.face, pictures),
        "like": [
            {"space": each.space, "face": _face(each.face, pictures), "weight": each.weight} for each in search.like
        ],
        "labels": None if search.labels is None else list(search.labels),
    }
    return Request("/v1/search", told, pictures)


def edit_request(
    face: Face, edits: Mapping[str, float], adjust: Mapping[str, float], method: str, format: str
) -> Request:
    pictures: dict[str, bytes] = {}
    question = {"face": _face(face, pictures), "edits": dict(edits), "adjust": dict(adjust)}
    return Request("/v1/edit", {**question, "method": method, "format": format}, pictures)


def transfer_request(
    face: Face, references: Mapping[str, Face], strengths: Mapping[str, float], method: str, format: str
) -> Request:
    pictures: dict[str, bytes] = {}
    question = {
        "face": _face(face, pictures),
        "references": {feature: _face(other, pictures) for feature, other in references.items()},
        "strengths": dict(strengths),
        "method": method,
        "format": format,
    }
    return Request("/v1/transfer", question, pictures)


def translate_request(
    face: Face, domain: str, reference: Face | None, seed: int | None, method: str, format: str
) -> Request:
    pictures: dict[str, bytes] = {}
    question = {
        "face": _face(face, pictures),
        "domain": domain,
        "reference": None if reference is None else _face(reference, pictures),
        "seed": seed,
        "method": method,
        "format": format,
    }
    return Request("/v1/translate", question, pictures)


def encode_request(face: Face) -> Request:
    pictures: dict[str, bytes] = {}
    return Request("/v1/encode", {"face": _face(face, pictures)}, pictures)


def image_request(id: str) -> Request:
    return Request(f"/v1/images/{quote(id, safe='')}")


def _face(face: Face, pictures: dict[str, bytes]) -> dict[str, Any]:
    if isinstance(face, str):
        return {"id": face}
    if isinstance(face, Mapping):
        return {"codes": {name: _lists(values) for name, values in face.items()}}
    name = f"picture-{len(pictures)}"
    pictures[name] = face.read_bytes() if isinstance(face, Path) else face
    return {"upload": name}


def _lists(values: Any) -> Any:
    """Of an array or a tensor, its numbers."""
    return values.tolist() if hasattr(values, "tolist") else values
