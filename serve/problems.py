"""Errors as problem details (RFC 9457). Nothing of the server's inside gets out: what is not the caller's fault is
written to the log, and told by its kind only."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from raypipe import storage
from raypipe.errors import OutputInUse, RaypipeError, UnknownAttribute, WrongUsage
from raypipe.pipeline.search.collection import LostCodes
from serve import errors

MEDIA_TYPE = "application/problem+json"

_log = logging.getLogger("raypipe.serve")


@dataclass(frozen=True)
class Kind:
    """``name``: the end of the problem's type. ``retry_s``: when to ask again. ``tells``: the caller hears why."""

    status: int
    name: str
    title: str
    retry_s: int = 0
    tells: bool = True


KINDS: tuple[tuple[type[RaypipeError], Kind], ...] = (
    (errors.Malformed, Kind(400, "malformed", "The body cannot be read")),
    (errors.Unauthenticated, Kind(401, "unauthenticated", "A token is needed")),
    (errors.Forbidden, Kind(403, "forbidden", "Not allowed")),
    (errors.NotFound, Kind(404, "not-found", "There is no such thing")),
    (errors.TooSlow, Kind(408, "too-slow", "The body took too long")),
    (OutputInUse, Kind(409, "in-use", "Another job is changing the index", retry_s=5, tells=False)),
    (LostCodes, Kind(503, "unavailable", "Not possible now", retry_s=2, tells=False)),
    (errors.TooLarge, Kind(413, "too-large", "Too large")),
    (errors.UnsupportedMedia, Kind(415, "unsupported-media", "Not a kind of content that is read")),
    (UnknownAttribute, Kind(422, "unknown-attribute", "There is no such attribute or feature")),
    (errors.WrongFields, Kind(422, "wrong-fields", "The question has wrong fields")),
    (WrongUsage, Kind(422, "wrong-question", "The question cannot be meant")),
    (errors.Overloaded, Kind(429, "overloaded", "Too many questions at once", retry_s=1)),
    (errors.NotOffered, Kind(501, "not-offered", "No method of the model does that")),
    (errors.Unavailable, Kind(503, "unavailable", "Not possible now", retry_s=2)),
    (RaypipeError, Kind(500, "failed", "The server failed", tells=False)),
)
"""The first that fits counts."""

FAILED = KINDS[-1][1]


def kind_of(error: RaypipeError) -> Kind:
    return next(kind for type_, kind in KINDS if isinstance(error, type_))


def problem(kind: Kind, detail: str, request: Request, **more: object) -> JSONResponse:
    """The answer; ``more``: members beside the standard ones."""
    request.state.problem = kind.name
    content = {
        "type": f"urn:raypipe:problem:{kind.name}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "request_id": request.state.request_id,
        **more,
    }
    headers = {"Cache-Control": "no-store", "X-Request-Id": request.state.request_id}
    if kind.retry_s:
        headers["Retry-After"] = str(kind.retry_s)
    if kind.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if kind.status in (408, 413):
        headers["Connection"] = "close"  # the rest of the body is not wanted
    return JSONResponse(content, kind.status, headers, MEDIA_TYPE)


def add_to(app: FastAPI) -> None:
    """Every error becomes a problem."""
    app.add_exception_handler(RaypipeError, _of_raypipe)
    for kind in storage.errors():
        app.add_exception_handler(kind, _of_storage)
    app.add_exception_handler(RequestValidationError, _of_parameters)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _of_nobody)


async def _of_raypipe(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RaypipeError)
    kind = kind_of(error)
    if not kind.tells:
        _log.error("request %s: %s", request.state.request_id, kind.name, exc_info=error)
        return problem(kind, _log_says(request), request)
    if isinstance(error, errors.WrongFields):
        return problem(kind, str(error), request, errors=error.fields)
    return problem(kind, str(error), request)


async def _of_storage(request: Request, error: Exception) -> JSONResponse:
    _log.error("request %s: the storage failed", request.state.request_id, exc_info=error)
    return problem(FAILED, _log_says(request), request)


async def _of_parameters(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = [{"where": ".".join(map(str, each["loc"])), "what": each["msg"]} for each in error.errors()]
    return await _of_raypipe(request, errors.WrongFields(fields))


async def _of_http(request: Request, error: Exception) -> JSONResponse:
    """Routing's own: no such path, no such method."""
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    kind = Kind(error.status_code, phrase.lower().replace(" ", "-"), phrase)
    answer = problem(kind, f"{request.method} is not answered at this address", request)
    answer.headers.update(error.headers or {})
    return answer


async def _of_nobody(request: Request, error: Exception) -> JSONResponse:
    """A bug; Starlette hands it on to the server, which logs it with its traceback and closes the connection."""
    answer = problem(FAILED, _log_says(request), request)
    answer.headers["Connection"] = "close"
    return answer


def _log_says(request: Request) -> str:
    return f"the server's log says more, under {request.state.request_id}"
