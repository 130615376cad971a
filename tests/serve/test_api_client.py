from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from raypipe.client import AsyncClient, Client, Found, Like, Search, ServerProblem
from serve.http import make_app
from serve.settings import ApiSettings
from tests.pictures import picture_bytes
from tests.pipeline.search.small_collection import ATTRIBUTES, NAMES
from tests.serve.api_server import ApiServer
from tests.serve.featured import FEATURES
from tests.serve.stub_backend import StubBackend
from tests.serve.translated import DOMAINS, UNJUDGED
from tests.serve.translated import METHOD as TRANSLATING


@pytest.fixture
def client(api: ApiServer) -> Iterator[Client]:
    with Client(api.url) as client:
        yield client


def ids(found: Found) -> list[str]:
    return [hit.id for hit in found.hits]


def test_every_field_of_a_question_arrives(api: ApiServer, client: Client) -> None:
    """The client's question is the server's, field by field."""
    document = api.client.get("/openapi.json").json()["components"]["schemas"]["SearchQuestion"]["properties"]
    assert set(inspect.signature(Search).parameters) == set(document)
    asked = {"id": "face-01"}, {"adjust": {NAMES[0]: 0.5}, "prefer": {NAMES[1]: 4.0}, "where": "Male = 0", "k": 3}
    raw = api.client.post("/v1/search", json={"face": asked[0], **asked[1]}).json()
    found = client.search(Search(face="face-01", adjust={NAMES[0]: 0.5}, prefer={NAMES[1]: 4.0}, where="Male = 0", k=3))
    assert [hit.told for hit in found.hits] == raw["hits"]
    assert (found.index_version, found.exact, found.more) == (1, True, True)


def test_every_kind_of_face_finds_itself(client: Client, tmp_path: Path) -> None:
    picture = picture_bytes(7, "PNG")
    (tmp_path / "x.png").write_bytes(picture)
    codes = {name: np.array(values) for name, values in client.encode("face-07").codes.items()}
    for face in ("face-07", picture, tmp_path / "x.png", codes):
        search = Search(face=face, like=[Like(ATTRIBUTES, picture, 2.0)], exclude_own=False, k=1)
        assert ids(client.search(search)) == ["face-07"]


def test_pictures_come_back(client: Client) -> None:
    assert client.edit("face-07", {NAMES[0]: 1.0}).startswith(b"\x89PNG")
    assert client.edit(picture_bytes(1), {}, adjust={NAMES[0]: 1.0}, format="webp")[8:12] == b"WEBP"
    assert client.image("face-07").startswith(b"\xff\xd8")


def test_features_come_from_faces_of_every_kind(featured_api: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "hers.png").write_bytes(picture_bytes(8, "PNG"))
    references = {"hair": "face-08", "pose": tmp_path / "hers.png"}
    with Client(featured_api.url) as client:
        assert client.transferable() == list(FEATURES)
        made = client.transfer("face-03", references, {"hair": 0.5})
        assert client.transfer("face-03", references, {"hair": 0.5}, format="webp")[8:12] == b"WEBP"

    async def ask() -> bytes:
        async with AsyncClient(featured_api.url) as awaited:
            return await awaited.transfer("face-03", references, {"hair": 0.5})

    assert asyncio.run(ask()) == made
    question = {"face": {"id": "face-03"}, "references": {"hair": {"id": "face-08"}, "pose": {"upload": "hers"}}}
    form = {"query": json.dumps({**question, "strengths": {"hair": 0.5}})}
    raw = featured_api.client.post("/v1/transfer", data=form, files={"hers": picture_bytes(8, "PNG")})
    assert raw.content == made


@UNJUDGED
def test_faces_are_translated_in_styles_of_every_kind(translating_api: ApiServer) -> None:
    hers = picture_bytes(8, "PNG")
    with Client(translating_api.url) as client:
        assert client.domains() == DOMAINS
        by_label, like = (
            client.translate("face-03", DOMAINS[2]),
            client.translate("face-03", DOMAINS[2], reference=hers),
        )
        assert client.translate("face-03", DOMAINS[2], reference="face-08") != by_label != like
        assert client.translate("face-03", DOMAINS[2], method=TRANSLATING, format="webp")[8:12] == b"WEBP"
        with pytest.raises(ServerProblem, match="draws no styles"):
            client.translate("face-03", DOMAINS[2], seed=1)
        assert client.edit("face-03", {"Smiling": 1}, method=TRANSLATING) != client.edit("face-03", {"Smiling": 1})

    async def ask() -> tuple[list[str], bytes]:
        async with AsyncClient(translating_api.url) as awaited:
            return await awaited.domains(), await awaited.translate("face-03", DOMAINS[2], reference=hers)

    assert asyncio.run(ask()) == (DOMAINS, like)


def test_a_problem_is_an_error_that_says_what(client: Client) -> None:
    with pytest.raises(ServerProblem) as raised:
        client.search(Search(face="face-07", adjust={"Smilng": 1.0}))
    problem = raised.value
    assert (problem.status, problem.kind, problem.retry_s) == (422, "unknown-attribute", None)
    assert "Smiling" in problem.detail
    assert len(problem.request_id) == 16


def test_the_awaited_client_has_the_same_methods_and_answers(api: ApiServer, client: Client) -> None:
    def methods(kind: type) -> dict[str, str]:
        return {
            name: str(inspect.signature(method))
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert methods(Client) == methods(AsyncClient)

    async def ask() -> tuple[list[str], bytes, list[str]]:
        async with AsyncClient(api.url) as awaited:
            several = await asyncio.gather(*(awaited.search(Search(face=f"face-{i:02d}", k=1)) for i in range(8)))
            edited = await awaited.edit("face-07", {NAMES[0]: 1.0})
            return [hit for found in several for hit in ids(found)], edited, await awaited.adjustable()

    found, edited, attributes = asyncio.run(ask())
    assert found == [ids(client.search(Search(face=f"face-{i:02d}", k=1)))[0] for i in range(8)]
    assert edited == client.edit("face-07", {NAMES[0]: 1.0})
    assert attributes == client.adjustable() == list(NAMES)


def test_it_asks_again_when_the_server_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    backend = StubBackend()
    with ApiServer(make_app(backend, ApiSettings())) as server, Client(server.url) as client:
        monkeypatch.setattr(time, "sleep", waits.append)
        backend.refusals = 2
        assert client.image("x").startswith(b"\xff\xd8")
        assert (backend.refusals, waits) == (0, [2.0, 2.0])
        backend.refusals = 10
        with pytest.raises(ServerProblem, match="503"):
            client.image("x")
        assert backend.refusals == 6


def test_tokens_and_changes_arrive(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("query query-token-0123456789\nadmin admin-token-0123456789\n")
    backend = StubBackend()
    settings = ApiSettings(tokens=str(tmp_path / "tokens"), codes=str(tmp_path))
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "_SUCCESS").write_text("")
    with ApiServer(make_app(backend, settings), token="admin-token-0123456789") as server:
        with Client(server.url, token="query-token-0123456789") as client, pytest.raises(ServerProblem, match="403"):
            client.delete(["a"])
        with Client(server.url, token="admin-token-0123456789") as client:
            versions = [client.delete(["a", "b"]), client.append("more"), client.activate(3), client.activate()]
    assert versions == [2, 3, 4, 5]
    assert backend.changes == [["a", "b"], str(tmp_path / "more"), 3, None]
