"""One line of log, one measurement and the same headers for every answer.

A line says who asked for which route and how it went. It never says with what: no ids, no names, no tokens, no content.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.metrics import Metrics

HEADERS: Mapping[str, str] = {
    # Where nothing else is said: the page's modules must not be mixed with those of another version.
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
}

CLIENT_GONE = 499
"""What the log and the metrics say where nobody was there to be answered."""

_log = logging.getLogger("raypipe.serve.access")


class Observed:
    """ASGI, around everything else of the app."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        state = scope.setdefault("state", {})
        state["request_id"] = secrets.token_hex(8)

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in {**HEADERS, "X-Request-Id": state["request_id"]}.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            if state.get("problem") == "client-gone":
                status = CLIENT_GONE
            self._count(scope, status, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.request_seconds.labels(route, str(status)).observe(seconds)
        if status >= 400:
            self._metrics.errors.labels(scope["state"].get("problem", "failed")).inc()
        client = (scope.get("client") or ("-",))[0]
        method = scope["method"] if scope["method"].isascii() and len(scope["method"]) < 8 else "-"
        _log.info("%s %s %s %d %.1f ms %s", client, method, route, status, 1e3 * seconds, scope["state"]["request_id"])
