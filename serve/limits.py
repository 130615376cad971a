"""What keeps one caller from taking everything: a short queue, bodies of bounded size, and no work for who is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import Overloaded, TooLarge, Unavailable
from serve.metrics import Metrics


class Gate:
    """So many at once, and so many more wait, first come, first served; all others are told to come back."""

    def __init__(self, name: str, at_once: int, waiting: int, metrics: Metrics) -> None:
        self._places, self._at_once, self._most_waiting = asyncio.Semaphore(at_once), at_once, waiting
        self._waiting = 0
        self._metrics, self._name = metrics, name

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Raises:
        Overloaded: as many wait as may.
        """
        if self._places.locked() and self._waiting >= self._most_waiting:
            raise Overloaded(f"{self._at_once} are being answered and {self._waiting} wait: ask again")
        in_flight, waiting = self._metrics.in_flight.labels(self._name), self._metrics.waiting.labels(self._name)
        self._waiting += 1
        try:
            with waiting.track_inprogress(), self._metrics.stage("wait"):
                await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            with in_flight.track_inprogress():
                yield
        finally:
            self._places.release()


@asynccontextmanager
async def answered_within(seconds: float) -> AsyncIterator[None]:
    """Raises:
    Unavailable: it takes longer.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Unavailable(f"no answer within {seconds:g} s") from error


class Bounded:
    """ASGI: a body ends with ``TooLarge`` where it is, and what is done for a client that went away is cancelled.

    Nothing is read ahead of the app but one piece: who sends without end is not read faster than wanted.
    """

    def __init__(self, app: ASGIApp, *, body_bytes: int) -> None:
        self._app, self._most = app, body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._most)
        answer = asyncio.ensure_future(self._app(scope, exchange.receive, exchange.send))
        listener = asyncio.create_task(exchange.listen(answer))
        try:
            await asyncio.shield(answer)
        except asyncio.CancelledError:
            answer.cancel()
            with suppress(asyncio.CancelledError):
                await answer
            if not exchange.is_left:  # the server itself ends
                raise
            scope["state"]["problem"] = "client-gone"
        finally:
            listener.cancel()


class _Exchange:
    """A request as the app sees it. ``is_left``: the client went away before it had its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, most: int) -> None:
        declared = dict(scope["headers"]).get(b"content-length", b"")
        self._declared = int(declared) if declared.isdigit() else 0
        self._receive, self._send, self._most = receive, send, most
        self._messages: asyncio.Queue[Message] = asyncio.Queue(1)
        self._received, self._is_answered = 0, False
        self.is_left = False

    async def listen(self, answer: asyncio.Future[None]) -> None:
        """Hand the body on; cancel the answer once nobody is there to read it."""
        while (message := await self._receive())["type"] != "http.disconnect":
            await self._messages.put(message)
        if not self._is_answered:  # the server says so too when all is sent
            self.is_left = True
            answer.cancel()

    async def receive(self) -> Message:
        if self._declared > self._most:
            raise TooLarge(f"the body has {self._declared:,} bytes; at most {self._most:,} are read")
        message = await self._messages.get()
        self._received += len(message.get("body", b""))
        if self._received > self._most:
            raise TooLarge(f"the body has more than {self._most:,} bytes, which are read at most")
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._is_answered = True
        await self._send(message)
