"""A backend whose answers wait for the test."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from raypipe.errors import RaypipeError
from raypipe.pipeline.search.query import Face, FromPixels, SearchQuery
from raypipe.pipeline.search.result import SearchResult
from serve.backend import Change, Description, Encoded, MethodFacts, Pixels, Transfer, Translation, Versioned
from serve.errors import Unavailable

SIDE = 4


@dataclass
class StubBackend:
    """Pictures take until ``go`` is set; ``began`` and ``cancelled`` count them.

    ``error``: what encoding raises.
    ``asked``: the ids of the pictures that were asked for, all of which it has, after so many ``refusals``.
    ``changes``: what was to be activated, appended and deleted; each makes a version.
    """

    go: asyncio.Event = field(default_factory=asyncio.Event)
    began: int = 0
    cancelled: int = 0
    error: BaseException = field(default_factory=lambda: RaypipeError("no error was set"))
    is_ready: bool = True
    asked: list[str] = field(default_factory=list)
    refusals: int = 0
    changes: list[Any] = field(default_factory=list)

    async def describe(self) -> Description:
        method = MethodFacts(
            name="stub",
            verbs=("edit", "transfer", "translate"),
            attributes=("a",),
            spaces=(),
            needs=(),
            features=("f",),
            domains=("d",),
        )
        return Description(
            model="stub",
            fingerprint="0" * 64,
            image_size=SIDE,
            index_version=1,
            rows=0,
            recall=1.0,
            methods=(method,),
            spaces=(),
            labels=(),
        )

    async def search(self, query: SearchQuery, *, partial: bool) -> Versioned[SearchResult]:
        raise NotImplementedError

    async def cut_out(self, content: bytes, name: str) -> FromPixels:
        return FromPixels(np.zeros((SIDE, SIDE, 3), np.uint8), name)

    async def encode(self, face: Face) -> Versioned[Encoded]:
        raise self.error

    async def edit(self, face: Face, change: Change, method: str) -> Versioned[Pixels]:
        return await self._drawn()

    async def transfer(self, face: Face, transfer: Transfer, method: str) -> Versioned[Pixels]:
        return await self._drawn()

    async def translate(self, face: Face, translation: Translation, method: str) -> Versioned[Pixels]:
        return await self._drawn()

    async def _drawn(self) -> Versioned[Pixels]:
        self.began += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Versioned(1, np.zeros((SIDE, SIDE, 3), np.uint8))

    async def image(self, id: str) -> Versioned[Pixels]:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("not now")
        self.asked.append(id)
        return Versioned(1, np.zeros((SIDE, SIDE, 3), np.uint8))

    async def activate(self, version: int | None) -> int:
        return self._change(version)

    async def append(self, codes: str) -> int:
        return self._change(codes)

    async def delete(self, ids: Collection[str]) -> int:
        return self._change(list(ids))

    async def ready(self) -> bool:
        return self.is_ready

    async def close(self) -> None:
        return None

    def _change(self, what: Any) -> int:
        self.changes.append(what)
        return 1 + len(self.changes)
