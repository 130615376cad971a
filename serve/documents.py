"""What OpenAPI cannot read off the routes: bodies that come as JSON or as a form, pictures, and problems."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from raypipe import __version__
from serve import schemas
from serve.answers import Problem
from serve.pictures import MEDIA_TYPES
from serve.problems import KINDS, MEDIA_TYPE
from serve.reading import QUERY_PART
from serve.schemas import Question

EXAMPLES: dict[type[Question], dict[str, Any]] = {
    schemas.SearchQuestion: {
        "face": {"id": "ID"},
        "adjust": {"ATTRIBUTE": 0.9},
        "prefer": {"ATTRIBUTE": 10},
        "where": "COLUMN = 1",
        "k": 12,
    },
    schemas.EditQuestion: {"face": {"id": "ID"}, "edits": {"ATTRIBUTE": 1.5}, "format": "png"},
    schemas.TransferQuestion: {
        "face": {"id": "ID"},
        "references": {"FEATURE": {"id": "OTHER_ID"}, "OTHER_FEATURE": {"upload": "picture"}},
        "strengths": {"FEATURE": 0.8},
        "format": "png",
    },
    schemas.TranslateQuestion: {
        "face": {"id": "ID"},
        "domain": "DOMAIN",
        "reference": {"upload": "picture"},
        "format": "png",
    },
    schemas.EncodeQuestion: {"face": {"upload": "picture"}},
    schemas.Activation: {"version": None},
    schemas.Addition: {"codes": "NAME"},
    schemas.Removal: {"ids": ["ID"]},
}
"""Names in capitals stand for what GET /v1/attributes, /v1/index and the like tell."""

_BINARY = {"type": "string", "format": "binary"}

PICTURE: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {"description": "The picture.", "content": {media: {"schema": _BINARY} for media in MEDIA_TYPES.values()}}
    },
}
"""What a route says that answers with a picture."""

PROBLEMS: dict[int | str, dict[str, Any]] = {
    kind.status: {
        "description": kind.title,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for _, kind in reversed(KINDS)
}

_REFERENCE = "#/components/schemas/{model}"


def body_of(kind: type[Question]) -> dict[str, Any]:
    """The request body of a route, for ``openapi_extra``; pictures can come with what has faces."""
    schema = {"$ref": _REFERENCE.format(model=kind.__name__)}
    content: dict[str, Any] = {"application/json": {"schema": schema, "example": EXAMPLES[kind]}}
    if kind not in (schemas.Activation, schemas.Addition, schemas.Removal):
        form = {
            "type": "object",
            "properties": {QUERY_PART: schema},
            "required": [QUERY_PART],
            "additionalProperties": _BINARY,
        }
        content["multipart/form-data"] = {"schema": form, "encoding": {QUERY_PART: {"contentType": "application/json"}}}
    return {"requestBody": {"required": True, "content": content}}


def describe(app: FastAPI) -> None:
    """Have ``/openapi.json`` tell everything."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            told = get_openapi(title="raypipe", version=__version__, description=app.description, routes=app.routes)
            known = told["components"]["schemas"]
            kinds: tuple[type[BaseModel], ...] = (Problem, *EXAMPLES)
            for kind in kinds:
                schema = kind.model_json_schema(ref_template=_REFERENCE)
                known |= schema.pop("$defs", {})
                known[kind.__name__] = schema
            app.openapi_schema = told
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
