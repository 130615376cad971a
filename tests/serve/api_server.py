"""The application behind a real socket, in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

import httpx
from fastapi import FastAPI

from serve.local_server import HEAD_S, make_server

START_S = 60


class ApiServer:
    """On a free port of loopback, from ``with`` to its end; ``client`` asks it."""

    def __init__(self, app: FastAPI, *, token: str = "", head_s: float = HEAD_S) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = make_server(app, host="127.0.0.1", port=self.port, head_s=head_s)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.client = httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def __enter__(self) -> ApiServer:
        self._thread.start()
        end = time.monotonic() + START_S
        while not self._server.started or self.client.get("/readyz").status_code != 200:
            if time.monotonic() > end:
                raise TimeoutError(f"the server was not ready after {START_S} s")
            time.sleep(0.02)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()

    def raw(self, *pieces: bytes) -> socket.socket:
        """A connection on which these bytes were sent, as they are."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        for piece in pieces:
            connection.sendall(piece)
        return connection


def received(connection: socket.socket) -> bytes:
    """Everything until the server closes, or nothing more comes."""
    content = b""
    try:
        while piece := connection.recv(65536):
            content += piece
    except (TimeoutError, ConnectionResetError):
        pass
    return content


def until(condition: Callable[[], bool]) -> None:
    """Wait for what the server does after its answer was sent: it counts and logs it."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)
