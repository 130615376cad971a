"""The same answers through Ray Serve: this process reads labels and codes, others hold scan rows and networks.

Every answer is pinned to one version of the index, for all who take part in it. If another came to be served meanwhile,
the answer is made anew: nothing that was deleted is in an answer that is given after the deletion has returned.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch

from raypipe.pipeline.search.collection import open_collection
from raypipe.pipeline.search.model import OpenedModel
from raypipe.pipeline.search.prepared import Prepared
from raypipe.pipeline.search.query import Face, FromCodes, FromPixels, SearchQuery
from raypipe.pipeline.search.result import SearchResult
from raypipe.pipeline.search.searcher import Searcher
from raypipe.pipeline.search.wishes import wish_of
from raypipe.retrieval.answer import Answer, Wish, merge
from raypipe.retrieval.index import Index
from raypipe.retrieval.manifest import read_version
from raypipe.weights import open_bundle
from serve import drawing, pictures, work
from serve.backend import Change, Description, Encoded, Pixels, Transfer, Translation, Versioned
from serve.calls import ask
from serve.errors import Unavailable
from serve.groups import Share, groups_of, open_shards
from serve.held import HeldVersions
from serve.lease import LEASE_S, Lease
from serve.reranking import reranked
from serve.served import KeptPictures, Served
from serve.settings import ServeSettings

T = TypeVar("T")

CHANGE_S = 3600.0
"""Appending takes as long as indexing does."""

ATTEMPTS = 5
"""So many versions may come to be served while one answer is made."""


@dataclass(frozen=True)
class Handles:
    """Of the deployments that are asked: one of each group, in order, and the others."""

    groups: Sequence[Any]
    encoder: Any
    editor: Any
    coordinator: Any


class RayBackend:
    """In each ingress process. Answers once ``open`` is done."""

    def __init__(self, settings: ServeSettings, handles: Handles, *, lease_s: float = LEASE_S) -> None:
        self._settings, self._handles = settings, handles
        self._model = OpenedModel(open_bundle(settings.model), "cpu")
        self._held = HeldVersions[int, Served](self._open_version)
        limits = settings.api.limits
        self._threads = ThreadPoolExecutor(limits.at_once, "answer")
        self._rerank_threads = ThreadPoolExecutor(limits.reranks_at_once, "rerank")
        self._picture_threads = ThreadPoolExecutor(limits.pictures_at_once, "picture")
        self._pictures = KeptPictures()
        self._lease = Lease(self._ask_version, wait_s=settings.lease_wait_s, lease_s=lease_s)
        self._renewing: asyncio.Task[None] | None = None
        self._is_ready = False

    async def open(self) -> None:
        """Open the version that is served.

        Raises:
            Unavailable, ModelMismatch: there is none that can be.
        """
        self._renewing = asyncio.create_task(self._lease.keep())
        await self.preload(await self._lease.version())

    async def preload(self, version: int) -> None:
        """Open a version before it is served.

        Raises:
            Unavailable: it cannot be.
        """
        await self._in(self._threads, lambda: self._held.get(version))

    async def describe(self) -> Description:
        return (await self._now()).description

    async def search(self, query: SearchQuery, *, partial: bool) -> Versioned[SearchResult]:
        coded = await self._with_codes(query)
        found = await self._pinned(lambda now: self._search(now, coded, partial))
        # Whoever asked knows faces by the names that were given, not as codes.
        aims = [replace(aim, face=face) for aim, face in zip(found.value.aims, query.faces, strict=True)]
        return Versioned(found.index_version, replace(found.value, query=query, aims=tuple(aims)))

    async def cut_out(self, content: bytes, name: str) -> FromPixels:
        searcher = (await self._now()).searcher
        size, most = self._model.image_size, self._settings.api.limits.pixels
        return await self._in(
            self._threads,
            lambda: pictures.cut_out(content, name, face=searcher.collection.face_config(), size=size, pixels=most),
        )

    async def encode(self, face: Face) -> Versioned[Encoded]:
        coded = await self._coded(face)
        return await self._pinned(lambda now: self._in(self._threads, lambda: work.encode(now.searcher, coded)))

    async def edit(self, face: Face, change: Change, method: str) -> Versioned[Pixels]:
        coded = await self._coded(face)
        return await self._pinned(lambda now: self._edit(now, face, coded, change, method))

    async def transfer(self, face: Face, transfer: Transfer, method: str) -> Versioned[Pixels]:
        coded, *others = await asyncio.gather(*map(self._coded, [face, *transfer.references.values()]))
        known = replace(transfer, references=dict(zip(transfer.references, others, strict=True)))
        return await self._pinned(lambda now: self._transfer(now, face, coded, known, method))

    async def translate(self, face: Face, translation: Translation, method: str) -> Versioned[Pixels]:
        given = () if translation.reference is None else (translation.reference,)
        coded, *others = await asyncio.gather(*map(self._coded, [face, *given]))
        known = replace(translation, reference=others[0]) if others else translation
        return await self._pinned(lambda now: self._translate(now, face, coded, known, method))

    async def image(self, id: str) -> Versioned[Pixels]:
        return await self._pinned(lambda now: self._in(self._picture_threads, lambda: self._pictures.picture(now, id)))

    async def activate(self, version: int | None) -> int:
        return int(await self._change("activate", version))

    async def append(self, codes: str) -> int:
        return int(await self._change("append", codes))

    async def delete(self, ids: Collection[str]) -> int:
        return int(await self._change("delete", list(ids)))

    async def ready(self) -> bool:
        """Everybody has answered once."""
        if not self._is_ready:
            all_of_them = [*self._handles.groups, self._handles.encoder, self._handles.editor]
            try:
                await asyncio.gather(*(self._ask(each.is_loaded, what="a deployment") for each in all_of_them))
                await self._now()
            except Unavailable:
                return False
            self._is_ready = True
        return True

    async def close(self) -> None:
        """What is being answered is; what waits is not."""
        if self._renewing is not None:
            self._renewing.cancel()
        for threads in (self._threads, self._rerank_threads, self._picture_threads):
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)

    def _open_version(self, version: int, latest: tuple[int, Served] | None) -> Served:
        """All shards, of which no scan row is loaded: labels, vectors and which rows are deleted are enough here."""
        uri, model = self._settings.index, self._model
        manifest = read_version(uri, version)
        manifest.require({name: model.binding(name) for name in manifest.spaces})
        shards = open_shards(uri, manifest, latest[1].searcher.index if latest else None)
        collection = open_collection(manifest, self._settings.moved)
        searcher = Searcher(Index(manifest, shards, torch.device("cpu")), collection, model)
        return Served(searcher, work.described(searcher))

    async def _now(self) -> Served:
        version = await self._lease.version()
        if (held := self._held.now(version)) is not None:
            return held
        return await self._in(self._threads, lambda: self._held.get(version))

    async def _pinned(self, answer: Callable[[Served], Awaitable[T]]) -> Versioned[T]:
        for _ in range(ATTEMPTS):
            now = await self._now()
            given = await answer(now)
            if await self._lease.version() == now.version:
                return Versioned(now.version, given)
        raise Unavailable("the index is being changed")

    async def _search(self, now: Served, query: SearchQuery, partial: bool) -> SearchResult:
        searcher, started = now.searcher, time.perf_counter()
        threads = self._rerank_threads if query.rerank else self._threads
        prepared, wish = await self._in(threads, lambda: (searcher.prepare(query), wish_of(query, searcher.index)))
        asked = time.perf_counter()
        answers = await self._answers(now, prepared, wish, partial)
        merged = merge([each for each in answers if each is not None], wish)
        ordered = await self._reranked(searcher, prepared, merged) if query.rerank else merged
        ms = (asked - started) * 1e3, (time.perf_counter() - asked) * 1e3
        result = await self._in(threads, lambda: searcher.result(prepared, ordered, ms))
        # Of rows that nobody looked at nothing is certain.
        return replace(result, exact=result.exact and None not in answers)

    async def _answers(self, now: Served, prepared: Prepared, wish: Wish, partial: bool) -> list[Answer | None]:
        """Of every group; None: it is down, and an answer without it is welcome."""
        bindings = {aim.space: self._model.binding(aim.space) for aim in prepared.targets}
        count = groups_of(now.searcher.index.manifest, self._settings.groups)
        seconds = self._settings.partial_s if partial else self._settings.shard_s
        index, groups = self._settings.index, self._handles.groups
        shares = [Share(index, now.version, number, len(groups)) for number in range(count)]
        question = (prepared.targets, wish, bindings)
        questions = [
            ask(groups[share.number].answer, share, *question, what=f"shard group {share.number}", seconds=seconds)
            for share in shares
        ]
        answers: list[Answer | BaseException] = await asyncio.gather(*questions, return_exceptions=True)
        failed = [each for each in answers if isinstance(each, BaseException)]
        is_enough = partial and len(failed) < count and all(isinstance(each, Unavailable) for each in failed)
        if failed and not is_enough:
            raise failed[0]
        return [None if isinstance(each, BaseException) else each for each in answers]

    async def _reranked(self, searcher: Searcher, prepared: Prepared, answer: Answer) -> Answer:
        """Codes are read here, in threads that no other question waits for; the networks are the editor's."""
        threads, fingerprint, editor = self._rerank_threads, self._model.bundle.fingerprint, self._handles.editor
        return await reranked(
            answer,
            prepared,
            await self._in(threads, lambda: searcher.to_rerank(prepared, answer)),
            read=lambda some: self._in(threads, lambda: searcher.codes_of(some)),
            compare=lambda some: self._ask(editor.compare, some, fingerprint, what="the editor"),
        )

    async def _edit(self, now: Served, face: Face, coded: Face, change: Change, method: str) -> Pixels:
        task = await self._in(self._threads, lambda: drawing.rendering(now.searcher, face, coded, change, method))
        return await self._drawn(self._handles.editor.render, task)

    async def _transfer(self, now: Served, face: Face, coded: Face, transfer: Transfer, method: str) -> Pixels:
        task = await self._in(self._threads, lambda: drawing.transferring(now.searcher, face, coded, transfer, method))
        return await self._drawn(self._handles.editor.transfer, task)

    async def _translate(self, now: Served, face: Face, coded: Face, translation: Translation, method: str) -> Pixels:
        task = await self._in(
            self._threads, lambda: drawing.translating(now.searcher, face, coded, translation, method)
        )
        return await self._drawn(self._handles.editor.render, task)

    async def _drawn(self, method: Any, task: drawing.Rendering | drawing.Transferring) -> Pixels:
        made: Pixels = await self._ask(method, task, self._model.bundle.fingerprint, what="the editor")
        return made

    async def _with_codes(self, query: SearchQuery) -> SearchQuery:
        """The same question with codes for pictures."""
        coded = await asyncio.gather(*map(self._coded, query.faces))
        others = coded[len(coded) - len(query.like) :]
        like = tuple(replace(each, face=face) for each, face in zip(query.like, others, strict=True))
        return replace(query, face=None if query.face is None else coded[0], like=like)

    async def _coded(self, face: Face) -> Face:
        if not isinstance(face, FromPixels):
            return face
        pixels = np.ascontiguousarray(face.pixels)
        fingerprint = self._model.bundle.fingerprint
        return FromCodes(await self._ask(self._handles.encoder.encode, pixels, fingerprint, what="the encoder"))

    async def _ask(self, method: Any, *arguments: Any, what: str) -> Any:
        return await ask(method, *arguments, what=what, seconds=self._settings.shard_s)

    async def _ask_version(self, holder: str, held: int) -> int:
        decides = self._handles.coordinator.version
        return int(await self._ask(decides, self._settings.index, holder, held, what="the coordinator"))

    async def _change(self, verb: str, argument: Any) -> Any:
        method = getattr(self._handles.coordinator, verb)
        return await ask(method, argument, what="the coordinator", seconds=CHANGE_S)

    async def _in(self, threads: ThreadPoolExecutor, do: Callable[[], T]) -> T:
        return await asyncio.wrap_future(threads.submit(do))
