"""What runs where: one class for each kind of process, and no logic. ``app`` says how many of each there are.

Whatever computes does so in a thread: in throughput mode an event loop that waits is a replica that neither takes
questions nor says that it is well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import ray
import torch
from fastapi import FastAPI
from prometheus_client import Metric
from ray import serve as ray_serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from raypipe.pipeline.encode.face_model import pick_device
from raypipe.pipeline.loading import methods_of
from raypipe.pipeline.search.model import OpenedModel
from raypipe.pipeline.search.whole import Comparison, compared
from raypipe.retrieval.answer import Answer, Hit, Wish
from raypipe.retrieval.index import Index
from raypipe.retrieval.manifest import Binding
from raypipe.retrieval.space import Aim
from raypipe.weights import open_bundle
from serve import drawing
from serve.backend import Pixels
from serve.calls import raised
from serve.coordinator import Coordinator, append_codes, version_to_serve
from serve.errors import Replaced, Unavailable
from serve.groups import Share, open_group
from serve.held import HeldVersions
from serve.http import make_app, measured_by
from serve.metrics import Metrics, of_replicas
from serve.ray_backend import Handles, RayBackend
from serve.settings import Batching, ServeSettings

T = TypeVar("T")

PRELOAD_S = 600.0
"""Until everybody has opened a version; on an index of many gigabytes that is what it takes to read them."""

PRELOAD_TRIES = 10
"""A replica may go while it is told, and another come, which opens the version by itself."""

AGAIN_AFTER_S = 2.0

SCRAPE_S = 4.0
"""Prometheus waits for 10 s."""

_NOT_TOLD: tuple[type[Exception], ...] = (RayError, RayServeException, TimeoutError)

Columns = Mapping[str, npt.NDArray[Any]]


class ShardGroup:
    """Scan rows of a share of the shards, in several versions. While a configuration replaces another, the replicas of
    both are asked by the ingresses of both: so a question says which share it means."""

    def __init__(self, index: str, number: int, count: int, threads: int) -> None:
        torch.set_num_threads(threads)
        device = pick_device(False)
        self._held = HeldVersions[Share, Index](
            lambda share, latest: open_group(share, like=latest, device=device).load()
        )
        self._held.get(Share(index, version_to_serve(index), number, count))  # whoever it replaces goes after that
        self._threads = ThreadPoolExecutor(threads, "search")

    async def answer(self, share: Share, query: Sequence[Aim], wish: Wish, bindings: Mapping[str, Binding]) -> Answer:
        """The nearest of these shards; a share that is not held is opened first."""

        def search() -> Answer:
            return self._held.get(share).search([query], wish, asked=bindings)[0]

        return await _in(self._threads, search)

    async def preload(self, share: Share) -> None:
        await asyncio.to_thread(self._held.get, share)

    async def is_loaded(self) -> bool:
        return True


class Encoder:
    """Pictures of faces to codes, several at once."""

    def __init__(self, model: str, batching: Batching, threads: int) -> None:
        self._model = _opened(model, threads)
        self._methods = methods_of(self._model.bundle)
        size = self._model.image_size
        self._model.encode_all(np.zeros((1, size, size, 3), np.uint8), self._methods)
        self._together = _batched(self._encode_all, batching)

    async def encode(self, pixels: Pixels, fingerprint: str) -> Columns:
        """The columns of all methods of a face, uint8 [s,s,3].

        Raises:
            Replaced: this is not the model that was meant.
        """
        _require(self._model, fingerprint)
        columns: Columns = await self._together(pixels)
        return columns

    async def _encode_all(self, several: list[Pixels]) -> list[Columns]:
        return await asyncio.to_thread(self.encoded, several)

    def encoded(self, several: Sequence[Pixels]) -> list[Columns]:
        """In this thread."""
        made = self._model.encode_all(np.stack(several), self._methods)
        columns = {name: column.cpu().numpy() for name, column in made.items()}
        return [{name: column[i] for name, column in columns.items()} for i in range(len(several))]

    async def is_loaded(self) -> bool:
        return True


class Editor:
    """Changed codes to pictures, several at once; and whatever else takes the generator."""

    def __init__(self, model: str, batching: Batching, threads: int) -> None:
        self._model = _opened(model, threads)
        for name in methods_of(self._model.bundle):
            self._model.method(name)
        self._together = _batched(self._render_all, batching)
        self._threads = ThreadPoolExecutor(threads, "see")

    async def render(self, one: drawing.Rendering, fingerprint: str) -> Pixels:
        """Raises:
        Replaced: this is not the model that was meant.
        """
        _require(self._model, fingerprint)
        made: Pixels = await self._together(one)
        return made

    async def transfer(self, one: drawing.Transferring, fingerprint: str) -> Pixels:
        """Only drawn together: what is wrong with the references of one face is no other's fault.

        Raises:
            Replaced: this is not the model that was meant.
            WrongUsage: a reference that the method cannot take a feature from.
        """
        _require(self._model, fingerprint)
        made: Pixels = await self._together(await _in(self._threads, lambda: drawing.transferred(self._model, one)))
        return made

    async def compare(self, some: Comparison, fingerprint: str) -> list[Hit]:
        """Hits by whole vectors.

        Raises:
            Replaced: this is not the model that was meant.
        """
        _require(self._model, fingerprint)
        return await _in(self._threads, lambda: compared(self._model, some))

    async def _render_all(self, several: list[drawing.Rendering]) -> list[Pixels]:
        return await asyncio.to_thread(drawing.rendered, self._model, several)

    async def is_loaded(self) -> bool:
        return True


class Decider:
    """The one coordinator. Appending runs elsewhere: leases must be given without delay all the while."""

    def __init__(self, settings: ServeSettings, groups: Sequence[DeploymentHandle]) -> None:
        self._index, self._groups = settings.index, groups
        indexing = ray.remote(num_cpus=0)(append_codes)

        async def append(codes: str) -> None:
            try:
                await indexing.remote(settings.index, codes, settings.model)
            except RayTaskError as error:
                raise raised(error) from None

        self._coordinator = Coordinator(settings.index, preload=self._preload, append=append)

    async def version(self, index: str, holder: str, held: int) -> int:
        """Raises:
        Replaced: versions of that index are for another one to decide.
        """
        if index != self._index:
            raise Replaced("another index is served here by now")
        return self._coordinator.lease(holder, held)

    async def activate(self, version: int | None) -> int:
        return await self._coordinator.activate(version)

    async def append(self, codes: str) -> int:
        return await self._coordinator.append(codes)

    async def delete(self, ids: Collection[str]) -> int:
        return await self._coordinator.delete(ids)

    async def _preload(self, version: int) -> None:
        shares = [Share(self._index, version, number, len(self._groups)) for number in range(len(self._groups))]
        groups = (_have_open(group, share) for group, share in zip(self._groups, shares, strict=True))
        await asyncio.gather(*groups, _have_open(_ingress(), version))


class Ingress:
    """HTTP. Ready when it has opened the version that is served."""

    def __init__(
        self,
        settings: ServeSettings,
        groups: Sequence[DeploymentHandle],
        encoder: DeploymentHandle,
        editor: DeploymentHandle,
        coordinator: DeploymentHandle,
    ) -> None:
        self._settings = settings
        self._backend = RayBackend(settings, Handles(groups, encoder, editor, coordinator))
        self._metrics = Metrics()

    async def __serve_build_asgi_app__(self) -> FastAPI:
        await self._backend.open()
        return make_app(self._backend, self._settings.api, self._metrics, self._measured_by_all)

    async def preload(self, version: int) -> None:
        await self._backend.preload(version)

    async def measured(self) -> tuple[str, list[Metric]]:
        """The name of this replica, and what it counts."""
        replica: str = ray_serve.get_replica_context().replica_id.unique_id
        return replica, await measured_by(self._backend, self._metrics)

    async def _measured_by_all(self) -> list[Metric]:
        """Whoever is asked tells of all: a scrape comes to any of them.

        Raises:
            Unavailable: one does not answer.
        """
        return of_replicas(dict(await _ask_all(_ingress(), "measured", seconds=SCRAPE_S, tries=2)))


def _ingress() -> DeploymentHandle:
    return ray_serve.get_deployment_handle(Ingress.__name__, ray_serve.get_replica_context().app_name)


async def _have_open(deployment: DeploymentHandle, what: int | Share) -> None:
    """Raises:
    Unavailable: a replica cannot open it.
    """
    await _ask_all(deployment, "preload", what, seconds=PRELOAD_S, tries=PRELOAD_TRIES)


async def _ask_all(deployment: DeploymentHandle, method: str, *arguments: Any, seconds: float, tries: int) -> list[Any]:
    """What every replica answers; asked again where one went meanwhile.

    Raises:
        Unavailable: so often.
    """
    while True:
        try:
            told: list[Any] = await deployment.broadcast(method, *arguments).results_async(timeout_s=seconds)
            return told
        except _NOT_TOLD as error:
            tries -= 1
            if not tries:
                raise Unavailable("somebody who has to answer does not") from error
        await asyncio.sleep(AGAIN_AFTER_S)


def _opened(model: str, threads: int) -> OpenedModel:
    torch.set_num_threads(threads)
    return OpenedModel(open_bundle(model), pick_device(False))


def _require(model: OpenedModel, fingerprint: str) -> None:
    """Codes of one model are noise to another."""
    if model.bundle.fingerprint != fingerprint:
        raise Replaced("another model is served here by now")


def _batched(method: Callable[[list[Any]], Awaitable[list[Any]]], batching: Batching) -> Any:
    """The same for one of several: it waits for others."""
    return ray_serve.batch(max_batch_size=batching.most, batch_wait_timeout_s=batching.wait_s)(method)


async def _in(threads: ThreadPoolExecutor, do: Callable[[], T]) -> T:
    return await asyncio.wrap_future(threads.submit(do))
