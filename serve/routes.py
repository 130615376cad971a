"""``/v1``: what anybody may ask who may query."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from raypipe.pipeline.search.query import Face
from serve import answers, documents
from serve.asking import Desk, check_search, check_transfer, drawing_method, method_for, shown_labels
from serve.backend import Change, Description, Pixels, Transfer, Translation, Versioned
from serve.errors import NotFound
from serve.marking import Marking
from serve.pictures import MEDIA_TYPES, PictureFormat, encoded_picture
from serve.provenance import Provenance
from serve.schemas import EditQuestion, EncodeQuestion, SearchQuestion, TransferQuestion, TranslateQuestion

VERSION_HEADER = "Index-Version"


def add_descriptions(router: APIRouter, desk: Desk) -> None:
    """What is served, as the contract tells of it."""

    @router.get("/methods", response_model=answers.Methods)
    async def methods() -> Response:
        """The installed methods, and what each can be asked for."""
        return _json(answers.methods_json(await desk.backend.describe()))

    @router.get("/spaces", response_model=answers.Spaces)
    async def spaces() -> Response:
        """What can be searched."""
        return _json(answers.spaces_json(await desk.backend.describe()))

    @router.get("/attributes", response_model=answers.Attributes)
    async def attributes() -> Response:
        """What can be edited, adjusted, moved and preferred, and how far."""
        return _json(answers.attributes_json(await desk.backend.describe()))

    @router.get("/index", response_model=answers.IndexTold)
    async def index() -> Response:
        """How many faces there are, the columns that filters may use, and this server's limits."""
        return _json(answers.index_json(await desk.backend.describe(), desk.limits))


def add_questions(router: APIRouter, desk: Desk) -> None:
    """What takes a face and answers with JSON."""

    @router.post("/search", response_model=answers.Found, openapi_extra=documents.body_of(SearchQuestion))
    async def search(request: Request) -> Response:
        """Faces like one, but with what is to be different and what matters; exact unless asked otherwise."""
        asked = await desk.read(request, SearchQuestion)
        question = asked.question
        check_search(question, desk.limits)
        labels = shown_labels(question, await desk.backend.describe())
        async with desk.rerank_turn() if question.rerank else desk.turn():
            query = await desk.faces(asked.uploads).query(question)
            with desk.metrics.stage("rerank" if question.rerank else "search"):
                found = await desk.backend.search(query, partial=question.partial)
        desk.metrics.count_search(found.value)
        root = request.scope.get("root_path", "")
        return _json(answers.found_json(found, labels, explain=question.explain, root=root))

    @router.post("/encode", response_model=answers.EncodedTold, openapi_extra=documents.body_of(EncodeQuestion))
    async def encode(request: Request) -> Response:
        """The codes of a face, by every method of the model, and where its attributes stand."""
        asked = await desk.read(request, EncodeQuestion)
        async with desk.turn():
            faces = desk.faces(asked.uploads)
            face = await faces.face(asked.question.face)
            faces.require_all_used()
            with desk.metrics.stage("encode"):
                encoded = await desk.backend.encode(face)
        return _json(answers.encoded_json(encoded))


def add_pictures(router: APIRouter, desk: Desk, marking: Marking) -> None:
    """What answers with a picture."""

    async def drawn(made: Versioned[Pixels], kind: PictureFormat, told: Provenance) -> Response:
        with desk.metrics.stage("picture"):
            content = await asyncio.to_thread(marking.file, made.value, kind, told)
        return _picture(content, kind, made.index_version)

    @router.post("/edit", openapi_extra=documents.body_of(EditQuestion), **documents.PICTURE)
    async def edit(request: Request) -> Response:
        """The face with other attributes. With nothing to change: what the method makes of it as it is."""
        asked = await desk.read(request, EditQuestion)
        question, served = asked.question, await desk.backend.describe()
        method = drawing_method(question.method, served)
        async with desk.turn():
            faces = desk.faces(asked.uploads)
            face = await faces.face(question.face)
            faces.require_all_used()
            with desk.metrics.stage("edit"):
                made = await desk.backend.edit(face, question.change, method)
            return await drawn(made, question.format, _provenance(served, method, made, face, question.change))

    @router.post("/transfer", openapi_extra=documents.body_of(TransferQuestion), **documents.PICTURE)
    async def transfer(request: Request) -> Response:
        """The face with features of others: these eyes, that hair. 501 where no method of the model offers it."""
        asked = await desk.read(request, TransferQuestion)
        question, served = asked.question, await desk.backend.describe()
        method = method_for("transfer", question.method, served)
        check_transfer(question, method)
        async with desk.turn():
            face, change = await desk.faces(asked.uploads).transfer(question, method.usual_strength)
            with desk.metrics.stage("transfer"):
                made = await desk.backend.transfer(face, change, method.name)
            return await drawn(made, question.format, _provenance(served, method.name, made, face, change))

    @router.post("/translate", openapi_extra=documents.body_of(TranslateQuestion), **documents.PICTURE)
    async def translate(request: Request) -> Response:
        """The face as a member of another domain: smiling, older. 501 where no method of the model offers it."""
        asked = await desk.read(request, TranslateQuestion)
        question, served = asked.question, await desk.backend.describe()
        method = method_for("translate", question.method, served).name
        async with desk.turn():
            face, translation = await desk.faces(asked.uploads).translation(question)
            with desk.metrics.stage("translate"):
                made = await desk.backend.translate(face, translation, method)
            return await drawn(made, question.format, _provenance(served, method, made, face, translation))

    @router.get("/images/{id:path}", **documents.PICTURE)
    async def image(request: Request, id: str) -> Response:
        """A face of the collection, a JPEG. Ask again with its ETag to hear whether it is still there."""
        if request.scope["path"].endswith("\n"):  # routing's `$` takes it for the id without it
            raise NotFound("no face of an id that ends with a line break")
        async with desk.picture_turn():
            with desk.metrics.stage("image"):
                found = await desk.backend.image(id)
            tag = f'"{hashlib.sha256(found.value.tobytes()).hexdigest()[:32]}"'
            if tag in request.headers.get("if-none-match", ""):
                answer = Response(status_code=304, headers={VERSION_HEADER: str(found.index_version)})
            else:
                with desk.metrics.stage("picture"):
                    content = await asyncio.to_thread(encoded_picture, found.value, "jpeg")
                answer = _picture(content, "jpeg", found.index_version)
        # A face can be deleted: whoever keeps a copy has to ask each time whether it may still be shown.
        answer.headers.update({"ETag": tag, "Cache-Control": "private, no-cache"})
        return answer


def _json(content: dict[str, Any]) -> JSONResponse:
    return JSONResponse(content, headers={VERSION_HEADER: str(content["index_version"]), "Cache-Control": "no-store"})


def _picture(content: bytes, kind: PictureFormat, version: int) -> Response:
    headers = {VERSION_HEADER: str(version), "Cache-Control": "no-store"}
    return Response(content, headers=headers, media_type=MEDIA_TYPES[kind])


def _provenance(
    told: Description, method: str, made: Versioned[Pixels], face: Face, change: Change | Transfer | Translation
) -> Provenance:
    return Provenance(
        model=told.model,
        fingerprint=told.fingerprint,
        method=method,
        index_version=made.index_version,
        face=face,
        change=change,
    )
