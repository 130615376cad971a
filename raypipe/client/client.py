"""The same methods twice: called, and awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import httpx

from raypipe.client import answers, questions
from raypipe.client.answers import Encoded, Found
from raypipe.client.questions import Face, Request, Search

TIMEOUT_S = 60.0

TRIES = 4
"""Where the server says when to ask again (429, 503)."""


class Client:
    """Asks one server, over connections that are kept. Safe to be used from several threads.

    Raises, all methods:
        ServerProblem: the server refused, or could not, also after it was asked again as it said.
        httpx.TransportError: no server there, or the connection was lost.
    """

    def __init__(self, url: str, *, token: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._http = httpx.Client(base_url=url, headers=_headers(token), timeout=timeout_s)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def describe(self, what: str) -> dict[str, Any]:
        """What is served: of ``methods``, ``spaces``, ``attributes`` or ``index``."""
        return dict(self._send(Request(f"/v1/{what}")).json())

    def adjustable(self) -> list[str]:
        """The attributes that can be adjusted and edited."""
        return answers.adjustable_in(self.describe("attributes"))

    def transferable(self) -> list[str]:
        """The features that can be taken from other faces."""
        return answers.transferable_in(self.describe("methods"))

    def domains(self) -> list[str]:
        """What faces can be translated to."""
        return answers.domains_in(self.describe("methods"))

    def search(self, search: Search) -> Found:
        return answers.found_of(self._send(questions.search_request(search)).json())

    def encode(self, face: Face) -> Encoded:
        return answers.encoded_of(self._send(questions.encode_request(face)).json())

    def edit(
        self,
        face: Face,
        edits: Mapping[str, float],
        *,
        adjust: Mapping[str, float] | None = None,
        method: str = "",
        format: str = "png",
    ) -> bytes:
        """The picture file of the changed face."""
        return self._send(questions.edit_request(face, edits, adjust or {}, method, format)).content

    def transfer(
        self,
        face: Face,
        references: Mapping[str, Face],
        strengths: Mapping[str, float] | None = None,
        *,
        method: str = "",
        format: str = "png",
    ) -> bytes:
        """The picture file of the face with features of others, by feature; strengths: 1 is theirs, 0 its own."""
        request = questions.transfer_request(face, references, strengths or {}, method, format)
        return self._send(request).content

    def translate(
        self,
        face: Face,
        domain: str,
        *,
        reference: Face | None = None,
        seed: int | None = None,
        method: str = "",
        format: str = "png",
    ) -> bytes:
        """The picture file of the face as a member of a domain: in the style of ``reference``, in one that ``seed``
        draws, or in the one that the label alone gives."""
        request = questions.translate_request(face, domain, reference, seed, method, format)
        return self._send(request).content

    def image(self, id: str) -> bytes:
        """A face of the collection, a JPEG."""
        return self._send(questions.image_request(id)).content

    def activate(self, version: int | None = None) -> int:
        """The version of the index that answers from now on; asked for None, the newest."""
        return int(self._send(Request("/v1/admin/activate", {"version": version})).json()["index_version"])

    def append(self, codes: str) -> int:
        """The version that has the faces of an encoded dataset, by its name on the server."""
        return int(self._send(Request("/v1/admin/append", {"codes": codes})).json()["index_version"])

    def delete(self, ids: Sequence[str]) -> int:
        """The version without these faces."""
        return int(self._send(Request("/v1/admin/delete", {"ids": list(ids)})).json()["index_version"])

    def _send(self, request: Request) -> httpx.Response:
        for tried in range(1, TRIES + 1):
            response = self._http.request(request.verb, request.path, **request.body())
            if response.is_success:
                return response
            problem = answers.problem_of(response)
            if problem.retry_s is None or tried == TRIES:
                break
            time.sleep(problem.retry_s)
        raise problem


class AsyncClient:
    """``Client``, awaited."""

    def __init__(self, url: str, *, token: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(token), timeout=timeout_s)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def describe(self, what: str) -> dict[str, Any]:
        """What is served: of ``methods``, ``spaces``, ``attributes`` or ``index``."""
        return dict((await self._send(Request(f"/v1/{what}"))).json())

    async def adjustable(self) -> list[str]:
        """The attributes that can be adjusted and edited."""
        return answers.adjustable_in(await self.describe("attributes"))

    async def transferable(self) -> list[str]:
        """The features that can be taken from other faces."""
        return answers.transferable_in(await self.describe("methods"))

    async def domains(self) -> list[str]:
        """What faces can be translated to."""
        return answers.domains_in(await self.describe("methods"))

    async def search(self, search: Search) -> Found:
        return answers.found_of((await self._send(questions.search_request(search))).json())

    async def encode(self, face: Face) -> Encoded:
        return answers.encoded_of((await self._send(questions.encode_request(face))).json())

    async def edit(
        self,
        face: Face,
        edits: Mapping[str, float],
        *,
        adjust: Mapping[str, float] | None = None,
        method: str = "",
        format: str = "png",
    ) -> bytes:
        """The picture file of the changed face."""
        return (await self._send(questions.edit_request(face, edits, adjust or {}, method, format))).content

    async def transfer(
        self,
        face: Face,
        references: Mapping[str, Face],
        strengths: Mapping[str, float] | None = None,
        *,
        method: str = "",
        format: str = "png",
    ) -> bytes:
        """The picture file of the face with features of others, by feature; strengths: 1 is theirs, 0 its own."""
        request = questions.transfer_request(face, references, strengths or {}, method, format)
        return (await self._send(request)).content

    async def translate(
        self,
        face: Face,
        domain: str,
        *,
        reference: Face | None = None,
        seed: int | None = None,
        method: str = "",
        format: str = "png",
    ) -> bytes:
        """The picture file of the face as a member of a domain: in the style of ``reference``, in one that ``seed``
        draws, or in the one that the label alone gives."""
        request = questions.translate_request(face, domain, reference, seed, method, format)
        return (await self._send(request)).content

    async def image(self, id: str) -> bytes:
        """A face of the collection, a JPEG."""
        return (await self._send(questions.image_request(id))).content

    async def activate(self, version: int | None = None) -> int:
        """The version of the index that answers from now on; asked for None, the newest."""
        return int((await self._send(Request("/v1/admin/activate", {"version": version}))).json()["index_version"])

    async def append(self, codes: str) -> int:
        """The version that has the faces of an encoded dataset, by its name on the server."""
        return int((await self._send(Request("/v1/admin/append", {"codes": codes}))).json()["index_version"])

    async def delete(self, ids: Sequence[str]) -> int:
        """The version without these faces."""
        return int((await self._send(Request("/v1/admin/delete", {"ids": list(ids)}))).json()["index_version"])

    async def _send(self, request: Request) -> httpx.Response:
        for tried in range(1, TRIES + 1):
            response = await self._http.request(request.verb, request.path, **request.body())
            if response.is_success:
                return response
            problem = answers.problem_of(response)
            if problem.retry_s is None or tried == TRIES:
                break
            await asyncio.sleep(problem.retry_s)
        raise problem


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
