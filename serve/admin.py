"""``/v1/admin``: what changes the index, for the role admin. Each is in effect before its answer."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from raypipe import storage
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.dataset import Dataset
from serve import answers, documents
from serve.asking import Desk
from serve.errors import NotFound, NotOffered
from serve.routes import VERSION_HEADER
from serve.schemas import Activation, Addition, Removal


def add_changes(router: APIRouter, desk: Desk, *, codes: str) -> None:
    """``codes``: the folder or URI whose datasets may be appended; "": none."""

    @router.post("/activate", response_model=answers.Changed, openapi_extra=documents.body_of(Activation))
    async def activate(request: Request) -> Response:
        """Answer from another version of the index; never from one that has faces which were deleted since."""
        asked = await desk.read(request, Activation)
        return _changed(await desk.backend.activate(asked.question.version))

    @router.post("/append", response_model=answers.Changed, openapi_extra=documents.body_of(Addition))
    async def append(request: Request) -> Response:
        """The faces of an encoded dataset become searchable. Takes as long as indexing them does."""
        asked = await desk.read(request, Addition)
        if not codes:
            raise NotOffered("this server was given no folder of codes: nothing can be appended through it")
        uri = storage.join(codes, asked.question.codes)
        if not await asyncio.to_thread(Dataset(uri).is_complete):
            raise NotFound(f"there is no finished encoded dataset {asked.question.codes!r}")
        return _changed(await desk.backend.append(uri))

    @router.post("/delete", response_model=answers.Changed, openapi_extra=documents.body_of(Removal))
    async def delete(request: Request) -> Response:
        """No answer has these faces from now on; ids that are not there are fine."""
        asked = await desk.read(request, Removal)
        if len(asked.question.ids) > desk.limits.ids:
            raise WrongUsage(f"{len(asked.question.ids):,} ids: at most {desk.limits.ids:,} at once")
        return _changed(await desk.backend.delete(asked.question.ids))


def _changed(version: int) -> JSONResponse:
    return JSONResponse({"index_version": version}, headers={VERSION_HEADER: str(version), "Cache-Control": "no-store"})
