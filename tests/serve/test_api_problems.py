from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raypipe.errors import BadWeights, OutputInUse
from serve.errors import Overloaded, Unavailable, WrongFields
from serve.http import make_app
from serve.settings import ApiSettings, Limits
from tests.pictures import picture_bytes
from tests.pipeline.search.small_collection import NAMES
from tests.serve.api_server import ApiServer, received
from tests.serve.stub_backend import StubBackend

FACE = {"id": "face-01"}
SECRET = "/srv/secret/index"


@pytest.fixture(scope="module")
def stub() -> StubBackend:
    return StubBackend()


@pytest.fixture(scope="module")
def stubbed(stub: StubBackend) -> Iterator[ApiServer]:
    with ApiServer(make_app(stub, ApiSettings(limits=Limits(body_bytes=100_000)))) as server:
        yield server


def assert_problem(answer: Any, status: int, kind: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    told = answer.json()
    assert told["type"] == f"urn:raypipe:problem:{kind}"
    assert told["status"] == status
    assert told["title"]
    assert told["detail"]
    assert told["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "wrong-question"),
    ({"face": {}}, "wrong-fields"),
    ({"face": {"id": "face-01", "upload": "x"}}, "wrong-fields"),
    ({"face": {"upload": "x"}}, "wrong-question"),
    ({"face": {"id": "nobody"}}, "wrong-question"),
    ({"face": {"id": "x" * 5000}}, "wrong-fields"),
    ({"face": {"url": "http://169.254.169.254/"}}, "wrong-fields"),
    ({"face": {"path": "/etc/passwd"}}, "wrong-fields"),
    ({"face": FACE, "surprise": 1}, "wrong-fields"),
    ({"face": FACE, "k": 0}, "wrong-fields"),
    ({"face": FACE, "k": "5"}, "wrong-fields"),
    ({"face": FACE, "k": 5.5}, "wrong-fields"),
    ({"face": FACE, "k": 201}, "wrong-question"),
    ({"face": FACE, "k": 10**30}, "wrong-question"),
    ({"face": FACE, "k": 200, "page": 9000}, "wrong-question"),
    ({"face": FACE, "page": 50}, "wrong-question"),
    ({"face": FACE, "recall": 0}, "wrong-fields"),
    ({"face": FACE, "adjust": {NAMES[0]: 1.5}}, "wrong-fields"),
    ({"face": FACE, "adjust": {"Smilng": 0.5}}, "unknown-attribute"),
    ({"face": FACE, "prefer": {NAMES[0]: -1}}, "wrong-fields"),
    ({"face": FACE, "prefer": {NAMES[0]: True}}, "wrong-fields"),
    ({"face": FACE, "adjust": {NAMES[0]: 0}, "move": {NAMES[0]: 1}}, "wrong-question"),
    ({"face": FACE, "space": "nowhere"}, "wrong-question"),
    ({"face": FACE, "where": "Male ="}, "wrong-question"),
    ({"face": FACE, "where": {"column": "Male", "~": 1}}, "wrong-question"),
    ({"face": FACE, "where": "Male = 1 or " * 2000}, "wrong-fields"),
    ({"face": FACE, "where": "not " * 60 + "Male = 1"}, "wrong-question"),
    ({"like": [{"space": "w_plus", "face": FACE}] * 17}, "wrong-fields"),
    ({"face": {"codes": {"w_plus": [1, [2]]}}}, "wrong-question"),
    ({"face": {"codes": {"w_plus": ["a"]}}}, "wrong-question"),
    ({"face": {"codes": {"w_plus": [1e300]}}}, "wrong-question"),
    ({"face": {"codes": {"w_plus": [[0.5] * 16] * 7}}}, "wrong-question"),
    ({"face": {"codes": {"w_plus": []}}}, "wrong-question"),
    ({"face": {"codes": {}}}, "wrong-question"),
    ({"face": FACE, "labels": ["no such column"]}, "wrong-question"),
    ({"face": {"id": "face-09"}, "exclude_identity": True, "most_per_identity": -1}, "wrong-fields"),
]


@pytest.mark.parametrize(("question", "kind"), WRONG)
def test_a_question_that_cannot_be_meant_is_told_why(api: ApiServer, question: dict[str, Any], kind: str) -> None:
    assert_problem(api.client.post("/v1/search", json=question), 422, kind)


def test_wrong_fields_are_named_all_at_once(api: ApiServer) -> None:
    told = api.client.post("/v1/search", json={"face": FACE, "k": 0, "page": "x", "kk": 1}).json()
    assert {field["where"] for field in told["errors"]} == {"k", "page", "kk"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"k": NaN}', b"\xff\xfe", b"[" * 100_000, b'{"face": {"id": "\\ud800"}}', b"null", b'"x"', b"[]"],
)
def test_what_is_no_question_is_refused(api: ApiServer, body: bytes) -> None:
    answer = api.client.post("/v1/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert_problem(answer, answer.status_code, answer.json()["type"].rsplit(":", 1)[1])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "image/png"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_other_content_is_refused(api: ApiServer, headers: dict[str, str]) -> None:
    answer = api.client.post("/v1/search", content=json.dumps({"face": FACE}).encode(), headers=headers)
    assert_problem(answer, 415, "unsupported-media")


FORM = "multipart/form-data"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"x"),
        (f"{FORM}; boundary=", b"----\r\n"),
        (f"{FORM}; boundary=b", b"--b\r\nno header at all\r\n--b--\r\n"),
        (f"{FORM}; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
        (f"{FORM}; boundary=b", b"--c\r\n\r\n"),
        (f"{FORM}; boundary=b", b'--b\r\nContent-Disposition: form-data; name="query"\r\n\r\n{}\r\n'),
        (f"{FORM}; boundary=b", b""),
        (f"{FORM}; boundary=b; charset=nothing", b'--b\r\nContent-Disposition: form-data; name="q"\r\n\r\n{}\r\n--b--'),
    ],
)
def test_a_form_that_is_none_is_the_callers_fault(api: ApiServer, content_type: str, body: bytes) -> None:
    answer = api.client.post("/v1/search", content=body, headers={"Content-Type": content_type})
    assert answer.status_code in (400, 415, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def bomb() -> bytes:
    """A PNG of 50,000 x 50,000 white pixels in some kilobytes."""
    side = 50_000

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(side // 8 + 1) * 1000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def truncated() -> bytes:
    content = picture_bytes(1, "PNG", (200, 200))
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (bomb(), 413),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
        (b"%PDF-1.7", 415),
        (b"", 422),
        (truncated(), 422),
        (picture_bytes(1, "PNG", (4, 4)), 422),
        (b"\xff\xd8\xff" + b"\x00" * 100, 422),
    ],
)
def test_pictures_that_are_none_are_told_why(api: ApiServer, content: bytes, status: int) -> None:
    query = json.dumps({"face": {"upload": "p"}})
    answer = api.client.post("/v1/search", data={"query": query}, files={"p": ("p.png", io.BytesIO(content))})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["face", "space", "weight", "adjust", "move", "prefer", "like", "where", "k", "page", "recall", "labels"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.booleans())
def test_no_json_is_a_fault_of_the_server(api: ApiServer, question: dict[str, Any], with_face: bool) -> None:
    body = json.dumps({**question, **({"face": FACE} if with_face else {})}).encode()
    answer = api.client.post("/v1/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 422)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1, max_size=40))
def test_an_id_is_looked_up_and_nothing_else(stubbed: ApiServer, stub: StubBackend, id: str) -> None:
    before = len(stub.asked)
    raw = f"GET /v1/images/{quote(id.encode(errors='surrogatepass'), safe='')} HTTP/1.1\r\nHost: localhost\r\n"
    with stubbed.raw(raw.encode(), b"Connection: close\r\n\r\n") as connection:
        content = received(connection)
    assert content.startswith((b"HTTP/1.1 200", b"HTTP/1.1 404"))
    assert stub.asked[before:] in ([id], [])


@pytest.mark.parametrize(
    "id", ["../../../etc/passwd", "/etc/passwd", "..", "a/../b", "%2e%2e%2f", "http://x/", "\x00", "☃ü", "nobody"]
)
def test_ids_that_are_not_in_the_index_are_not_found(api: ApiServer, id: str) -> None:
    raw = f"GET /v1/images/{quote(id, safe='')} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with api.raw(raw.encode()) as connection:
        content = received(connection)
    assert content.startswith(b"HTTP/1.1 404")
    assert b"urn:raypipe:problem:not-found" in content


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (RuntimeError(SECRET), 500, "failed"),
        (OSError(2, "No such file", SECRET), 500, "failed"),
        (BadWeights(f"{SECRET}: encoder is damaged"), 500, "failed"),
        (OutputInUse(f"{SECRET}: version 3 was written by another job"), 409, "in-use"),
        (Unavailable("shard 2 is down"), 503, "unavailable"),
        (Overloaded("too many"), 429, "overloaded"),
        (WrongFields([{"where": "a", "what": "b"}]), 422, "wrong-fields"),
    ],
)
def test_nothing_of_the_servers_inside_gets_out(
    stubbed: ApiServer, stub: StubBackend, error: Exception, status: int, kind: str
) -> None:
    stub.error = error
    answer = stubbed.client.post("/v1/encode", json={"face": FACE})
    assert_problem(answer, status, kind)
    assert "secret" not in answer.text
    assert ("retry-after" in answer.headers) == (status in (409, 429, 503))


def test_addresses_that_are_none_are_problems_too(api: ApiServer) -> None:
    assert_problem(api.client.get("/v1/nothing"), 404, "not-found")
    assert_problem(api.client.get("/v2/search"), 404, "not-found")
    assert_problem(api.client.get("/v1/search"), 405, "method-not-allowed")
