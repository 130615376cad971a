from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from raypipe.pipeline.encode.config import FetchConfig
from raypipe.pipeline.encode.fetch import Fetched, Fetcher
from raypipe.pipeline.encode.listing import ENTRY_FIELDS, Entry
from tests.pictures import fill_folder


def test_a_refusal_is_a_status_and_is_not_tried_again() -> None:
    with web_server([403]) as (address, asked):
        assert fetch(address, retries=3).status == "fetch_denied"
        assert len(asked) == 1


def test_what_may_pass_is_tried_again() -> None:
    with web_server([503, 503, 200]) as (address, asked):
        fetched = fetch(address, retries=3)
        assert (fetched.status, fetched.content) == ("ok", b"content")
        assert len(asked) == 3


def test_a_server_that_asks_to_wait_is_asked_again_and_one_that_has_no_such_thing_is_not() -> None:
    with web_server([429, 200]) as (address, asked):
        assert fetch(address, retries=3).status == "ok"
    with web_server([410]) as (address, asked):
        assert fetch(address, retries=3).status == "fetch_error"
        assert len(asked) == 1


def test_reading_goes_only_a_little_ahead_of_who_takes(tmp_path: Path) -> None:
    folder = fill_folder(tmp_path, 50)
    addresses = [str(path) for path in sorted(folder.iterdir())]
    fetcher = Fetcher(FetchConfig(threads=2))
    fetched = fetcher.fetch(listed(*(Entry(image_id=a, uri=a, file=a) for a in addresses)))
    next(fetched)
    for address in addresses[10:]:
        Path(address).unlink()
    assert [one.status for one in fetched] == ["ok"] * 9 + ["fetch_404"] * 40
    fetcher.close()


def test_what_does_not_pass_is_an_error_with_its_cause() -> None:
    with web_server([500]) as (address, asked):
        fetched = fetch(address, retries=1)
        assert fetched.status == "fetch_error"
        assert "500" in fetched.error
        assert len(asked) == 2


def test_a_server_that_never_answers_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        fetched = fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/x.jpg", retries=0, timeout_s=0.5)
        assert fetched.status == "fetch_timeout"
        assert time.monotonic() - started < 30


def test_what_is_too_large_by_the_listing_is_not_fetched(tmp_path: Path) -> None:
    picture = tmp_path / "x.jpg"
    picture.write_bytes(b"12345")
    entries = listed(Entry(image_id="x", uri=str(picture), file=str(picture), bytes=5, file_bytes=5))
    assert [f.content for f in Fetcher(FetchConfig(max_bytes=5)).fetch(entries)] == [b"12345"]
    (refused,) = Fetcher(FetchConfig(max_bytes=4)).fetch(entries)
    assert (refused.status, refused.error) == ("too_large", "5 bytes, the limit is 4")


def test_what_turns_out_too_large_is_not_read(tmp_path: Path) -> None:
    """As of a column of addresses, where no listing says how large it is."""
    picture = tmp_path / "x.jpg"
    picture.write_bytes(b"12345")
    (refused,) = Fetcher(FetchConfig(max_bytes=4)).fetch(
        listed(Entry(image_id="x", uri=str(picture), file=str(picture)))
    )
    assert (refused.status, refused.error) == ("too_large", "5 bytes, the limit is 4")


def listed(*entries: Entry) -> pa.Table:
    """A chunk of the listing."""
    return pa.Table.from_pylist([vars(entry) for entry in entries], schema=pa.schema(ENTRY_FIELDS))


def fetch(address: str, *, retries: int, timeout_s: float = 10.0) -> Fetched:
    entries = listed(Entry(image_id="x", uri=address, file=address))
    fetcher = Fetcher(FetchConfig(retries=retries, timeout_s=timeout_s, retry_delay_s=0.01))
    (fetched,) = fetcher.fetch(entries)
    fetcher.close()
    return fetched


@contextmanager
def web_server(statuses: list[int]) -> Iterator[tuple[str, list[int]]]:
    """Answers with one status after the other, the last one for ever; tells what it answered."""
    asked: list[int] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(statuses[min(len(asked), len(statuses) - 1)])
            self.send_response(asked[-1])
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"content")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/x.jpg", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
