"""The application on one machine, without Ray."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from raypipe.errors import RaypipeError
from serve.http import make_app
from serve.local_backend import LocalBackend
from serve.settings import ServeSettings

CONNECTIONS = 512
"""At once; more are told 503 by the server itself."""

HEAD_S, HEAD_BYTES = 10.0, 65_536
"""In which a request's line and headers must come, and how long they may be."""

KEEP_ALIVE_S = 15
DRAIN_S = 20


def make_server(app: FastAPI, *, host: str, port: int, head_s: float = HEAD_S) -> uvicorn.Server:
    """Ready to ``run``; on SIGTERM and SIGINT it ends what it is answering, and no more."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=type("Http", (_Impatient,), {"head_s": head_s}),
        access_log=False,  # ours has no ids in it
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
        log_config=None,
    )
    return uvicorn.Server(config)


@contextmanager
def running(settings: ServeSettings, *, port: int) -> Iterator[None]:
    """The application answers from the beginning to the end of this block, in threads of this process.

    Raises:
        RaypipeError: as ``LocalBackend.opened``, or nobody can listen there.
    """
    api = settings.api
    backend = LocalBackend(settings.index, settings.model, limits=api.limits, codes=settings.moved)
    asyncio.run(backend.opened())
    server = make_server(make_app(backend, api), host=api.host, port=port)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RaypipeError(f"cannot listen at {api.host} port {port}")
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join()


class _Impatient(HttpToolsProtocol):
    """uvicorn's own, but a head that comes slowly or without end does not hold its connection for ever."""

    head_s = HEAD_S
    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._timer is None:
            self._begin_head()

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()

    def _begin_head(self) -> None:
        self._head_bytes = 0
        self._timer = self.loop.call_later(self.head_s, self.transport.close)

    def _end_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
