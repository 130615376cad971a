from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from serve.http import make_app
from serve.settings import ApiSettings, Limits
from tests.serve.api_server import ApiServer, received, until
from tests.serve.stub_backend import StubBackend

BODY_BYTES = 50_000
EDIT = json.dumps({"face": {"id": "x"}}).encode()
TRANSFER = json.dumps({"face": {"id": "x"}, "references": {"f": {"id": "y"}}}).encode()
TRANSLATE = json.dumps({"face": {"id": "x"}, "domain": "d"}).encode()
COMPUTING = pytest.mark.parametrize(
    ("path", "question"), [("/v1/edit", EDIT), ("/v1/transfer", TRANSFER), ("/v1/translate", TRANSLATE)]
)

Start = Callable[..., tuple[ApiServer, StubBackend]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Servers with limits of the test's own."""
    started: list[tuple[ApiServer, StubBackend]] = []

    def begin(**limits: float) -> tuple[ApiServer, StubBackend]:
        backend = StubBackend()
        settings = ApiSettings(limits=Limits(**{"body_bytes": BODY_BYTES, **limits}))  # type: ignore[arg-type]
        started.append((ApiServer(make_app(backend, settings)).__enter__(), backend))
        return started[-1]

    yield begin
    for server, backend in started:
        backend.go.set()
        server.__exit__(None, None, None)


def head(path: str, **headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    return "\r\n".join([*lines, *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]).encode()


def counted(server: ApiServer, line: str) -> float:
    found = [each for each in server.client.get("/metrics").text.splitlines() if each.startswith(line)]
    return float(found[0].rsplit(" ", 1)[1]) if found else 0.0


def test_a_body_that_says_it_is_too_long_is_not_read(start: Start) -> None:
    server, backend = start()
    with server.raw(head("/v1/edit", Content_Length=str(10**12)) + b"\r\n\r\n") as connection:
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()
    assert b"urn:raypipe:problem:too-large" in answer
    assert backend.began == 0


def test_a_body_without_end_is_cut_where_the_limit_is(start: Start) -> None:
    server, _ = start()
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    sent = 0
    with server.raw(head("/v1/edit", Transfer_Encoding="chunked") + b"\r\n\r\n") as connection:
        try:
            for _ in range(10_000):
                connection.sendall(chunk)
                sent += len(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < 10_000 * len(chunk)
    until(lambda: counted(server, 'raypipe_serve_errors_total{kind="too-large"}') == 1)


def test_a_body_of_the_longest_length_is_read(start: Start) -> None:
    server, backend = start()
    backend.go.set()
    body = EDIT.ljust(BODY_BYTES)
    as_json = {"Content-Type": "application/json"}
    assert server.client.post("/v1/edit", content=body, headers=as_json).status_code == 200
    assert server.client.post("/v1/edit", content=body + b" ", headers=as_json).status_code == 413


def test_a_form_has_the_same_limit(start: Start) -> None:
    server, _ = start()
    answer = server.client.post("/v1/edit", data={"query": "{}"}, files={"a": b"x" * (BODY_BYTES + 1)})
    assert answer.status_code == 413


def test_a_question_has_a_limit_of_its_own(start: Start) -> None:
    server, backend = start(question_bytes=1000)
    backend.go.set()
    face = {"face": {"upload": "a"}}
    right, long = json.dumps(face), json.dumps(face).ljust(1001)
    for question, status in ((right, 200), (long, 413)):
        answer = server.client.post("/v1/edit", data={"query": question}, files={"a": b"x" * 20_000})
        assert answer.status_code == status
    assert server.client.post("/v1/edit", content=long, headers={"Content-Type": "application/json"}).status_code == 413


def test_a_slow_body_is_given_up(start: Start) -> None:
    server, backend = start(body_s=0.3)
    with server.raw(head("/v1/edit", Content_Length="100") + b"\r\n\r\n", b"{") as connection:
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert backend.began == 0


def test_slow_bodies_take_no_place_of_questions(start: Start) -> None:
    server, backend = start(at_once=1, waiting=1)
    backend.go.set()
    slow = [server.raw(head("/v1/edit", Content_Length="100") + b"\r\n\r\n", b"{") for _ in range(8)]
    assert server.client.post("/v1/edit", content=EDIT, headers={"Content-Type": "application/json"}).status_code == 200
    for connection in slow:
        connection.close()


def test_so_many_bodies_are_received_at_once(start: Start) -> None:
    server, _ = start(bodies_at_once=2)
    slow = [server.raw(head("/v1/edit", Content_Length="100") + b"\r\n\r\n", b"{") for _ in range(2)]
    until(lambda: counted(server, 'raypipe_serve_in_flight{gate="bodies"}') == 2)
    assert server.client.post("/v1/edit", content=EDIT, headers={"Content-Type": "application/json"}).status_code == 429
    for connection in slow:
        connection.close()
    until(lambda: counted(server, 'raypipe_serve_in_flight{gate="bodies"}') == 0)


def test_who_goes_away_is_not_worked_for(start: Start) -> None:
    server, backend = start()
    with server.raw(head("/v1/edit", Content_Length=str(len(EDIT))) + b"\r\n\r\n" + EDIT):
        until(lambda: backend.began == 1)
    until(lambda: backend.cancelled == 1)
    until(lambda: counted(server, 'raypipe_serve_errors_total{kind="client-gone"}') == 1)
    assert counted(server, 'raypipe_serve_in_flight{gate="questions"}') == 0


def test_who_goes_away_while_waiting_is_not_worked_for(start: Start) -> None:
    server, backend = start(at_once=1, waiting=1)
    request = head("/v1/edit", Content_Length=str(len(EDIT))) + b"\r\n\r\n" + EDIT
    with server.raw(request) as first:
        until(lambda: backend.began == 1)
        with server.raw(request):
            until(lambda: counted(server, 'raypipe_serve_waiting{gate="questions"}') == 1)
        until(lambda: counted(server, 'raypipe_serve_waiting{gate="questions"}') == 0)
        backend.go.set()
        first.settimeout(10)
        assert first.recv(100).startswith(b"HTTP/1.1 200")
    assert backend.began == 1


@COMPUTING
def test_overload_is_shed_and_over_at_once(start: Start, path: str, question: bytes) -> None:
    """One is answered, one waits, all others are told to come back; afterwards everybody is answered."""
    server, backend = start(at_once=1, waiting=1)

    def ask(_: int) -> tuple[int, str]:
        answer = server.client.post(path, content=question, headers={"Content-Type": "application/json"})
        return answer.status_code, answer.headers.get("retry-after", "")

    with ThreadPoolExecutor(12) as threads:
        answers = [threads.submit(ask, i) for i in range(12)]
        until(lambda: sum(answer.done() for answer in answers) == 10)
        backend.go.set()
        told = sorted(answer.result() for answer in answers)
    assert told == [(200, "")] * 2 + [(429, "1")] * 10
    assert [ask(i)[0] for i in range(5)] == [200] * 5
    until(lambda: counted(server, 'raypipe_serve_errors_total{kind="overloaded"}') == 10)


@COMPUTING
def test_an_answer_that_takes_too_long_is_given_up(start: Start, path: str, question: bytes) -> None:
    server, backend = start(answer_s=0.2)
    answer = server.client.post(path, content=question, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    until(lambda: backend.cancelled == 1)


def test_pictures_of_the_collection_do_not_wait_for_questions(start: Start) -> None:
    server, backend = start(at_once=1, waiting=1)
    with server.raw(head("/v1/edit", Content_Length=str(len(EDIT))) + b"\r\n\r\n" + EDIT):
        until(lambda: backend.began == 1)
        assert server.client.get("/v1/images/x").status_code == 200
        assert server.client.get("/healthz").status_code == 200


def test_it_is_not_ready_before_it_is(start: Start) -> None:
    server, backend = start()
    backend.is_ready = False
    answer = server.client.get("/readyz")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:raypipe:problem:unavailable")
    assert server.client.get("/healthz").status_code == 200
    backend.is_ready = True
    assert server.client.get("/readyz").status_code == 200


def test_many_short_connections_leave_no_thread_behind(start: Start) -> None:
    server, backend = start()
    backend.go.set()
    before = threading.active_count()
    for _ in range(30):
        with server.raw(head("/v1/edit", Content_Length="100") + b"\r\n\r\n"):
            pass
    until(lambda: counted(server, 'raypipe_serve_in_flight{gate="bodies"}') == 0)
    assert threading.active_count() <= before


def test_a_slow_or_endless_head_is_hung_up_on() -> None:
    backend = StubBackend()
    with ApiServer(make_app(backend, ApiSettings()), head_s=0.3) as server:
        for pieces in (
            (),
            (b"POST /v1/edit HTTP/1.1\r\nHost: loc",),
            (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /",),
        ):
            with server.raw(*pieces) as connection:
                assert b"503" not in received(connection)
                assert connection.recv(1) == b""
        with server.raw(b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000) as connection:
            assert received(connection) == b""
        kept = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with server.raw(kept) as connection:
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            time.sleep(0.6)  # silence between requests is for the keep-alive limit to end
            connection.sendall(kept)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
