"""Bodies: a question as JSON, or as multipart/form-data with the question in a part ``query`` and pictures beside."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from raypipe.errors import WrongUsage
from raypipe.pipeline.search.query import LIKE_LIMIT
from serve.errors import Malformed, TooLarge, TooSlow, UnsupportedMedia, WrongFields
from serve.schemas import Question

Q = TypeVar("Q", bound=Question)

QUERY_PART = "query"
MOST_FILES = LIKE_LIMIT + 2


@dataclass(frozen=True)
class Asked(Generic[Q]):
    """A question, and the pictures that came with it by the names of their parts."""

    question: Q
    uploads: Mapping[str, bytes]


async def read(request: Request, kind: type[Q], *, seconds: float, most: int) -> Asked[Q]:
    """The question of a request, of at most so many bytes, and what came with it.

    Raises:
        UnsupportedMedia: another content type, or a packed body.
        Malformed, WrongFields: no JSON, no form, or not such a question.
        TooLarge: a longer body or question than is read; ``TooSlow``: it does not arrive within ``seconds``.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMedia("packed bodies are not read: send it without Content-Encoding")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(seconds):
            if content_type == "application/json":
                return Asked(_parsed(kind, await request.body(), most), {})
            if content_type == "multipart/form-data":
                return await _read_form(request, kind, most)
    except TimeoutError as error:
        raise TooSlow(f"the body did not arrive within {seconds:g} s") from error
    raise UnsupportedMedia(
        f"{content_type[:100] or 'no content type'} is not read here: send application/json, or multipart/form-data "
        f"with the question in a part {QUERY_PART!r}"
    )


class _InMemory(MultiPartParser):
    """Bodies are of bounded size: no picture of anybody is written to a disk."""

    spool_max_size = 2**40


async def _read_form(request: Request, kind: type[Q], most: int) -> Asked[Q]:
    parser = _InMemory(request.headers, request.stream(), max_files=MOST_FILES, max_fields=1, max_part_size=2**40)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError) as error:
        raise Malformed("the body is no multipart/form-data as its content type says") from error
    question, uploads = b"", {}
    for name, part in form.multi_items():
        content = await part.read() if isinstance(part, UploadFile) else part.encode()
        if name == QUERY_PART:
            question = content
        elif name in uploads or not isinstance(part, UploadFile):
            raise WrongUsage(f"part {name!r}: each picture is one file part with a name of its own")
        else:
            uploads[name] = content
    if not question:
        raise WrongFields([{"where": QUERY_PART, "what": "the form has no such part with the question"}])
    return Asked(_parsed(kind, question, most), uploads)


def _parsed(kind: type[Q], content: bytes, most: int) -> Q:
    if len(content) > most:
        raise TooLarge(f"the question has {len(content):,} bytes; at most {most:,} are read")
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        if problems[0]["type"] == "json_invalid":
            raise Malformed(f"not JSON: {problems[0]['msg']}") from error
        # Names are the caller's own, but may be of any length.
        fields = [{"where": ".".join(map(str, each["loc"]))[:200], "what": each["msg"]} for each in problems[:20]]
        raise WrongFields(fields) from error
