"""The deployments' classes without Ray, asked through handles that call them, and that can be told to fail."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from raypipe.pipeline.search.model import OpenedModel
from raypipe.pipeline.search.whole import Comparison, compared
from raypipe.weights import open_bundle
from serve import drawing
from serve.coordinator import Coordinator, append_codes
from serve.deployments import Encoder, ShardGroup
from serve.groups import Share
from serve.ray_backend import Handles, RayBackend
from serve.settings import Batching, ServeSettings

T = TypeVar("T")


class Method:
    """As a handle's. ``failures`` are raised by the next calls, one each; ``hangs``: none comes back."""

    def __init__(self, call: Callable[..., Awaitable[Any]]) -> None:
        self._call = call
        self.failures: list[Exception] = []
        self.hangs = False

    async def remote(self, *arguments: Any) -> Any:
        if self.hangs:
            await asyncio.sleep(3600)
        if self.failures:
            raise self.failures.pop(0)
        return await self._call(*arguments)


class Handle:
    """``methods`` by name; all say that they are loaded."""

    def __init__(self, **methods: Callable[..., Awaitable[Any]]) -> None:
        self.is_loaded = Method(_is_loaded)
        for name, call in methods.items():
            setattr(self, name, Method(call))


class Cluster:
    """Two shard groups and all the others in this process."""

    def __init__(self, index: Path, model: Path, **changes: Any) -> None:
        self.settings = ServeSettings(
            index=str(index), model=str(model), groups=2, **{"shard_s": 60.0, "partial_s": 60.0, **changes}
        )
        self._groups = [ShardGroup(str(index), number, 2, 1) for number in range(2)]
        encoder = Encoder(str(model), Batching(), 1)
        opened = OpenedModel(open_bundle(str(model)), "cpu")

        async def append(codes: str) -> None:
            await asyncio.to_thread(append_codes, str(index), codes, str(model))

        async def encode(pixels: Any, fingerprint: str) -> Any:
            assert fingerprint == opened.bundle.fingerprint
            return encoder.encoded([pixels])[0]

        async def render(one: drawing.Rendering, fingerprint: str) -> Any:
            assert fingerprint == opened.bundle.fingerprint
            return drawing.rendered(opened, [one])[0]

        async def transfer(one: drawing.Transferring, fingerprint: str) -> Any:
            assert fingerprint == opened.bundle.fingerprint
            return drawing.rendered(opened, [drawing.transferred(opened, one)])[0]

        async def compare(some: Comparison, fingerprint: str) -> Any:
            assert fingerprint == opened.bundle.fingerprint
            return compared(opened, pickle.loads(pickle.dumps(some)))

        self.coordinator = Coordinator(str(index), preload=self._preload, append=append, lease_s=LEASE_S)
        self.groups = [Handle(answer=group.answer) for group in self._groups]
        self.decider = Handle(version=self._version, **{v: getattr(self.coordinator, v) for v in VERBS})
        self.encoder = Handle(encode=encode)
        editor = Handle(render=render, transfer=transfer, compare=compare)
        self.backend = RayBackend(
            self.settings,
            Handles(self.groups, self.encoder, editor, self.decider),
            lease_s=LEASE_S,
        )

    async def _version(self, index: str, holder: str, held: int) -> int:
        assert index == self.settings.index
        return self.coordinator.lease(holder, held)

    async def _preload(self, version: int) -> None:
        for number, group in enumerate(self._groups):
            await group.preload(Share(self.settings.index, version, number, 2))
        await self.backend.preload(version)

    def run(self, ask: Callable[[RayBackend], Awaitable[T]]) -> T:
        async def opened() -> T:
            await self.backend.open()
            try:
                return await ask(self.backend)
            finally:
                await self.backend.close()

        return asyncio.run(opened())


LEASE_S = 0.4
VERBS = ("activate", "append", "delete")


async def _is_loaded() -> bool:
    return True
