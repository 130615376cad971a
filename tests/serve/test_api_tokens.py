from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from raypipe.errors import WrongUsage
from serve.auth import open_tokens
from serve.http import make_app
from serve.settings import ApiSettings
from tests.serve.api_server import ApiServer, until
from tests.serve.stub_backend import StubBackend

QUERY, ADMIN, OTHER_ADMIN = "query-token-0123456789", "admin-token-0123456789", "next-admin-0123456789"

OPEN = {"/healthz", "/readyz", "/openapi.json", "/docs"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    file.write_text(f"# who may ask\nquery {QUERY}\n\nadmin {ADMIN}\nadmin {OTHER_ADMIN}\n")
    with ApiServer(make_app(StubBackend(), ApiSettings(tokens=str(file)))) as server:
        yield server


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_every_route_but_the_open_ones_asks_for_a_token(guarded: ApiServer) -> None:
    """Found by asking the application for its routes, so that a new one is asked too."""
    document = guarded.client.get("/openapi.json").json()
    asked = 0
    nobody = "a-token-of-nobody-at-all"
    strangers = [{}, bearer(nobody), {"Authorization": "Bearer"}, {"Authorization": f"Basic {QUERY}"}]
    for path, verbs in {**document["paths"], "/metrics": {"get": {}}}.items():
        for verb in verbs:
            for headers in strangers:
                answer = guarded.client.request(verb, path.replace("{id}", "x"), headers=headers)
                assert (answer.status_code == 401) == (path not in OPEN), (path, verb)
                assert path in OPEN or answer.headers["www-authenticate"] == "Bearer"
            asked += 1
    assert asked >= 15


def test_only_an_admin_changes_the_index(guarded: ApiServer) -> None:
    document = guarded.client.get("/openapi.json").json()
    changes = [path for path in document["paths"] if path.startswith("/v1/admin/")]
    assert len(changes) == 3
    for path in changes:
        assert guarded.client.post(path, headers=bearer(QUERY)).status_code == 403
        for token in (ADMIN, OTHER_ADMIN):
            assert guarded.client.post(path, headers=bearer(token)).status_code == 415


def test_an_admin_may_query(guarded: ApiServer) -> None:
    for token in (QUERY, ADMIN):
        assert guarded.client.get("/v1/methods", headers=bearer(token)).status_code == 200
        assert guarded.client.get("/metrics", headers=bearer(token)).status_code == 200


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the server itself wrote."""
    return [each.getMessage() for each in caplog.records if each.name.startswith(("raypipe", "uvicorn.error"))]


def test_no_token_is_told_anywhere(guarded: ApiServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for token in (QUERY, ADMIN, "a-token-of-nobody-at-all"):
            answer = guarded.client.post(
                f"/v1/search?token={token}", headers=bearer(token), json={"face": {"id": token}}
            )
            assert token not in str(answer.headers)
    until(lambda: len(lines(caplog)) >= 3)
    assert not any(token in line for line in lines(caplog) for token in (QUERY, ADMIN, "a-token-of-nobody-at-all"))


def test_a_server_that_others_can_reach_needs_tokens() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.org"):
        with pytest.raises(WrongUsage, match="RAYPIPE_QUERY_TOKEN"):
            open_tokens(ApiSettings(host=host), {})
        assert open_tokens(ApiSettings(host=host), {"RAYPIPE_QUERY_TOKEN": QUERY}).role_of(QUERY) == "query"
    for host in ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"):
        assert not open_tokens(ApiSettings(host=host), {})


def test_tokens_that_cannot_be_meant_are_refused_without_showing_them(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    for line in ("admin", "root 0123456789abcdef", f"query {QUERY} {ADMIN}", "query short"):
        file.write_text(f"{line}\n")
        with pytest.raises(WrongUsage) as refused:
            open_tokens(ApiSettings(tokens=str(file)), {})
        assert not any(word in str(refused.value) for word in line.split()[1:])
    with pytest.raises(WrongUsage, match="no file of tokens"):
        open_tokens(ApiSettings(tokens=str(tmp_path / "nothing")), {})


def test_without_tokens_other_sites_pages_are_refused() -> None:
    with ApiServer(make_app(StubBackend(), ApiSettings())) as server:
        own = {"Host": f"localhost:{server.port}", "Origin": f"http://localhost:{server.port}"}
        assert server.client.get("/v1/methods", headers=own).status_code == 200
        for name in ("127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:8000", "LOCALHOST"):
            assert server.client.get("/v1/methods", headers={"Host": name}).status_code == 200
        names = ({"Host": "rebound.example"}, {"Host": "127.0.0.1.example"})
        for foreign in (*names, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            assert server.client.get("/v1/methods", headers=foreign).status_code == 403
