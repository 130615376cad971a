"""Everything in one process: an opened index and model, and threads that ask them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from raypipe.pipeline.index.changes import delete as delete_from_index
from raypipe.pipeline.index.config import AppendConfig
from raypipe.pipeline.index.job import run_job
from raypipe.pipeline.index.local import RunLocally
from raypipe.pipeline.index.plan import append_job
from raypipe.pipeline.search.model import OpenedModel
from raypipe.pipeline.search.query import Face, FromPixels, SearchQuery
from raypipe.pipeline.search.result import SearchResult
from raypipe.pipeline.search.searcher import Searcher
from raypipe.pipeline.search.whole import compared
from raypipe.weights import open_bundle
from serve import drawing, pictures, work
from serve.backend import Change, Description, Encoded, Pixels, Transfer, Translation, Versioned
from serve.errors import Unavailable
from serve.reranking import reranked
from serve.served import KeptPictures, Served
from serve.settings import Limits
from serve.versions import open_version

K = TypeVar("K")
T = TypeVar("T")

_log = logging.getLogger("raypipe.serve")


class LocalBackend:
    """Opens index and model in a thread of its own; until that is done, questions are told to come back.

    What is served never changes: another version of the index is another ``Served``, put in its place at once, and
    questions in flight end on the one they began with.

    Args:
        codes: where encoded datasets of the index are now, if they were moved.
    """

    def __init__(
        self, index: str, model: str, *, limits: Limits, codes: Sequence[str] = (), device: str = "cpu"
    ) -> None:
        self._uri, self._model_name, self._codes, self._limits = index, model, tuple(codes), limits
        self._threads = ThreadPoolExecutor(limits.at_once, "answer")
        self._rerank_threads = ThreadPoolExecutor(limits.reranks_at_once, "rerank")
        self._picture_threads = ThreadPoolExecutor(limits.pictures_at_once, "picture")
        # One change at a time: whoever opens the newest version last also puts it in place last.
        self._changes = ThreadPoolExecutor(1, "change")
        self._pictures = KeptPictures()
        self._served: Served | None = None
        self._opening = self._changes.submit(self._open, device)
        self._opening.add_done_callback(_tell_failure)

    async def opened(self) -> None:
        """Wait until questions are answered.

        Raises:
            RaypipeError: as ``open_version`` and ``open_bundle``.
        """
        await asyncio.wrap_future(self._opening)

    async def describe(self) -> Description:
        return self._now().description

    async def search(self, query: SearchQuery, *, partial: bool) -> Versioned[SearchResult]:
        """All shards are here: no answer is partial."""
        now = self._now()
        if query.rerank:
            return Versioned(now.version, await self._reranked(now.searcher, query))
        return Versioned(now.version, await _in(self._threads, lambda: now.searcher.search(query)))

    async def cut_out(self, content: bytes, name: str) -> FromPixels:
        searcher = self._now().searcher
        size, most = searcher.model.image_size, self._limits.pixels
        return await _in(
            self._threads,
            lambda: pictures.cut_out(content, name, face=searcher.collection.face_config(), size=size, pixels=most),
        )

    async def encode(self, face: Face) -> Versioned[Encoded]:
        now = self._now()
        return Versioned(now.version, await _in(self._threads, lambda: work.encode(now.searcher, face)))

    async def edit(self, face: Face, change: Change, method: str) -> Versioned[Pixels]:
        return await self._drawn(lambda searcher: drawing.edit(searcher, face, change, method))

    async def transfer(self, face: Face, transfer: Transfer, method: str) -> Versioned[Pixels]:
        return await self._drawn(lambda searcher: drawing.transfer(searcher, face, transfer, method))

    async def translate(self, face: Face, translation: Translation, method: str) -> Versioned[Pixels]:
        return await self._drawn(lambda searcher: drawing.translate(searcher, face, translation, method))

    async def image(self, id: str) -> Versioned[Pixels]:
        now = self._now()
        found = await _in(self._picture_threads, lambda: self._pictures.picture(now, id))
        return Versioned(now.version, found)

    async def activate(self, version: int | None) -> int:
        return await _in(self._changes, lambda: self._serve(version))

    async def append(self, codes: str) -> int:
        return await _in(self._changes, lambda: self._append(codes))

    async def delete(self, ids: Collection[str]) -> int:
        return await _in(self._changes, lambda: self._delete(ids))

    async def ready(self) -> bool:
        return self._served is not None

    async def close(self) -> None:
        """What is being answered is; what waits is not."""
        for threads in (self._threads, self._rerank_threads, self._picture_threads, self._changes):
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)

    async def _reranked(self, searcher: Searcher, query: SearchQuery) -> SearchResult:
        """In threads of its own, which no other question waits for."""
        threads, started = self._rerank_threads, time.perf_counter()
        prepared = await _in(threads, lambda: searcher.prepare(query))
        asked = time.perf_counter()
        (answer,) = await _in(threads, lambda: searcher.answers([prepared]))
        ordered = await reranked(
            answer,
            prepared,
            await _in(threads, lambda: searcher.to_rerank(prepared, answer)),
            read=lambda some: _in(threads, lambda: searcher.codes_of(some)),
            compare=lambda some: _in(threads, lambda: compared(searcher.model, some)),
        )
        ms = (asked - started) * 1e3, (time.perf_counter() - asked) * 1e3
        return await _in(threads, lambda: searcher.result(prepared, ordered, ms))

    async def _drawn(self, draw: Callable[[Searcher], Pixels]) -> Versioned[Pixels]:
        now = self._now()
        return Versioned(now.version, await _in(self._threads, lambda: draw(now.searcher)))

    def _now(self) -> Served:
        if self._served is not None:
            return self._served
        if self._opening.done() and self._opening.exception() is not None:
            raise Unavailable("index and model could not be opened")
        raise Unavailable("index and model are still being opened")

    def _open(self, device: str) -> None:
        self._model = OpenedModel(open_bundle(self._model_name), device)
        self._serve(None)

    def _serve(self, version: int | None) -> int:
        searcher = open_version(self._uri, version, self._model, codes=self._codes, threads=1)
        work.warm(searcher)
        served = Served(searcher, work.described(searcher))
        self._served = served
        _log.info("version %d of the index is served, %d faces", served.version, served.description.rows)
        return served.version

    def _append(self, codes: str) -> int:
        job = append_job(AppendConfig(index=self._uri, codes=(codes,), model=self._model_name))
        run_job(job, RunLocally(), say=_log.info, watch=lambda record: None)
        return self._serve(None)

    def _delete(self, ids: Collection[str]) -> int:
        delete_from_index(self._uri, ids, _log.info)
        return self._serve(None)


def _tell_failure(opening: Future[None]) -> None:
    if not opening.cancelled() and (error := opening.exception()) is not None:
        _log.error("index and model could not be opened", exc_info=error)


async def _in(threads: ThreadPoolExecutor, do: Callable[[], T]) -> T:
    """What a thread makes of it. If nobody waits any more before a thread has begun, none does."""
    return await asyncio.wrap_future(threads.submit(do))
