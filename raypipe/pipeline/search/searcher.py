"""An opened index and model: ask as often as you like, from several threads."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from raypipe.contract import Query, WholeVectors
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.face_decoder import FaceConfig, FaceDecoder
from raypipe.pipeline.index.codes import PART, ROW
from raypipe.pipeline.search.collection import Collection, Place, open_collection
from raypipe.pipeline.search.collection import Columns as StoredColumns
from raypipe.pipeline.search.model import OpenedModel
from raypipe.pipeline.search.names import check_attributes, check_columns, space_named
from raypipe.pipeline.search.prepared import Prepared, PreparedAim, Question
from raypipe.pipeline.search.query import Face, FromCodes, FromIndex, FromPixels, SearchQuery
from raypipe.pipeline.search.result import AskedAim, FoundFace, SearchResult
from raypipe.pipeline.search.scales import Scale, in_first_unit, scales_of
from raypipe.pipeline.search.whole import Comparison, compared, reordered
from raypipe.pipeline.search.wishes import not_own, page_of, wish_of
from raypipe.retrieval.answer import Answer, Hit, Wish
from raypipe.retrieval.filters import columns_of
from raypipe.retrieval.index import Index, open_index
from raypipe.retrieval.shard_writer import ID
from raypipe.retrieval.space import Aim, make_target
from raypipe.weights import open_bundle

Columns = dict[str, Tensor]


class Searcher:
    """Everything that questions have in common. Another version of the index is another Searcher."""

    def __init__(self, index: Index, collection: Collection, model: OpenedModel, *, threads: int = 1) -> None:
        self.index, self.collection, self.model = index, collection, model
        self._threads = threads
        self._shards = {shard.name: shard for shard in index.shards()}
        self._codes = {entry.name: entry.codes for entry in index.manifest.shards}
        names = (name for shard in index.shards() for name in shard.labels.column_names)
        # Names that begin with "_" are for programs.
        self.label_names = tuple(dict.fromkeys(name for name in names if not name.startswith("_") and name != ID))

    def search(self, query: SearchQuery) -> SearchResult:
        """The nearest faces; see ``search_all``."""
        return self.search_all([query])[0]

    def search_all(self, queries: Sequence[SearchQuery]) -> list[SearchResult]:
        """The answers to several queries. Those that wish for the same rows are one call of the engine.

        Raises:
            UnknownAttribute, WrongUsage: what an index or a method does not have, an id that is not there, a page
                beyond the last.
            ModelMismatch: the index was made with another model.
        """
        started = time.perf_counter()
        questions = [self._question(query) for query in queries]
        faces = self._faces_of_index([id for query in queries for id in query.own_ids])
        prepared = [self._prepared(question, faces) for question in questions]
        asked = time.perf_counter()
        answers = [self._reranked(*each) for each in zip(prepared, self.answers(prepared), strict=True)]
        ms = (asked - started) * 1e3, (time.perf_counter() - asked) * 1e3
        return [self.result(each, answer, ms) for each, answer in zip(prepared, answers, strict=True)]

    def prepare(self, query: SearchQuery) -> Prepared:
        """What the engine is asked, for whoever has the shards elsewhere; ``result`` makes a page of the answer.

        Raises:
            WrongUsage, ModelMismatch: as ``search_all``.
        """
        return self._prepared(self._question(query), self._faces_of_index(query.own_ids))

    def answers(self, prepared: Sequence[Prepared]) -> list[Answer]:
        """The nearest by what is stored, from the shards that are here."""
        by_wish: dict[Wish, list[int]] = {}
        for i, each in enumerate(prepared):
            by_wish.setdefault(wish_of(each.question.query, self.index), []).append(i)
        answers: dict[int, Answer] = {}
        for wish, places in by_wish.items():
            queries = [prepared[i].targets for i in places]
            bindings = {aim.space: self.model.binding(aim.space) for query in queries for aim in query}
            found = self.index.search(queries, wish, asked=bindings, threads=self._threads)
            answers |= dict(zip(places, found, strict=True))
        return [answers[i] for i in range(len(prepared))]

    def to_rerank(self, prepared: Prepared, answer: Answer) -> list[list[Hit]]:
        """The hits that are to be compared by whole vectors, those together whose codes are in one file; none where the
        page shows none of them."""
        query = prepared.question.query
        is_shown = query.k * (query.page - 1) < query.rerank
        files: dict[tuple[str, int], list[Hit]] = {}
        for hit in not_own(query, answer.hits)[: query.rerank] if is_shown else ():
            place = self._place(hit.shard, hit.row, hit.id)
            files.setdefault((place.codes, place.part), []).append(hit)
        return list(files.values())

    def codes_of(self, hits: Sequence[Hit]) -> list[StoredColumns]:
        """Their codes, as they are stored."""
        return self.collection.columns([self._place(hit.shard, hit.row, hit.id) for hit in hits])

    def result(self, prepared: Prepared, answer: Answer, ms: tuple[float, float]) -> SearchResult:
        """The page that was asked for. ``ms``: to prepare the question, and to find the answer.

        Raises:
            WrongUsage: it is beyond the last.
        """
        question, manifest, scales = prepared.question, self.index.manifest, prepared.scales
        query = question.query
        shown, more = page_of(query, not_own(query, answer.hits))
        alive = {entry.name: entry.alive for entry in manifest.shards}
        return SearchResult(
            query=query,
            aims=question.aims,
            wanted={name: scale.intensity(prepared.targets[0].target.wanted) for name, scale in scales.items()},
            hits=self._found(shown, question.aims[0].space, scales, query.k * (query.page - 1) + 1),
            exact=answer.certified and not query.rerank,
            recall=manifest.recall if query.recall is None else query.recall,
            more=more,
            rows=sum(explanation.rows for explanation in answer.explanations),
            covered=sum(alive[explanation.shard] for explanation in answer.explanations) / max(1, manifest.rows),
            explanations=tuple(answer.explanations),
            ask_ms=ms[0],
            search_ms=ms[1],
        )

    def cut_out(self, content: bytes, face: FaceConfig | None = None, name: str = "a picture") -> FromPixels:
        """The face of a picture file, cut out as the collection's were, or as ``face`` says. ``name``: to call it by.

        Raises:
            WrongUsage: no picture, or no face in it.
        """
        config = face or self.collection.face_config()
        decoded = FaceDecoder(config, self.model.image_size)(content, None)
        if decoded.pixels is None:
            raise WrongUsage(f"{decoded.status}: {decoded.error} (cut out with align={config.align})")
        return FromPixels(decoded.pixels, name)

    def columns_of(self, face: Face, space: str) -> Columns:
        """The codes of one face, [1, ...] by column, as the method of ``space`` asks with them.

        Raises:
            WrongUsage: an id that is not in the index, or codes that are not what the method needs.
        """
        known = self._faces_of_index([face.id]) if isinstance(face, FromIndex) else {}
        return self._columns(face, space, known)

    def place(self, id: str) -> Place:
        """Where a face of the index is in its dataset.

        Raises:
            WrongUsage: it is not there.
        """
        return self._places([id])[0]

    def _question(self, query: SearchQuery) -> Question:
        manifest = self.index.manifest
        if query.where is not None:
            check_columns(sorted(columns_of(query.where)), (ID, *self.label_names))
        main = [] if query.face is None else [AskedAim(space=query.space, face=query.face, weight=query.weight)]
        others = [AskedAim(space=like.space, face=like.face, weight=like.weight) for like in query.like]
        aims = tuple(
            AskedAim(space=space_named(aim.space, manifest), face=aim.face, weight=aim.weight) for aim in main + others
        )
        manifest.require({aim.space: self.model.binding(aim.space) for aim in aims})
        methods = (self.model.method(aim.space.split(".", 1)[0]) for aim in aims)
        if query.rerank and not any(isinstance(method, WholeVectors) for method in methods):
            raise WrongUsage(f"nothing to rerank by: of {', '.join(aim.space for aim in aims)} all is stored")
        asked = [Query(adjust={}, prefer={}, references={})] * len(aims)
        if main:
            name = aims[0].space
            method = self.model.method(name.split(".", 1)[0])
            check_attributes([*query.adjust, *query.move], method.attributes, "this method has")
            check_attributes(list(query.prefer), manifest.spaces[name].space.coordinates, "this space can prefer")
            asked[0] = Query(adjust=query.adjust, prefer=query.prefer, references={}, move=query.move)
        return Question(query, aims, tuple(asked))

    def _prepared(self, question: Question, known: Mapping[str, Columns]) -> Prepared:
        factors = in_first_unit(self.index, [aim.space for aim in question.aims])
        aims, scales = [], {}
        for i, (aim, asked) in enumerate(zip(question.aims, question.asked, strict=True)):
            name, space = aim.space.split(".", 1)
            method, columns = self.model.method(name), self._columns(aim.face, aim.space, known)
            with torch.no_grad():
                vector = method.query(space, columns, asked)[0].cpu().numpy()
            told = self.index.manifest.spaces[aim.space].space
            target = Aim(aim.space, make_target(told, vector, asked.prefer), aim.weight * factors[i])
            aims.append(PreparedAim(target, told, columns, asked))
            if i == 0:
                scales = scales_of(method, space, columns, question.query.attributes_that_matter)
        return Prepared(question, tuple(aims), scales)

    def _reranked(self, prepared: Prepared, answer: Answer) -> Answer:
        first = [hit for some in self.to_rerank(prepared, answer) for hit in some]
        if not first:
            return answer
        comparison = Comparison(prepared.aims, tuple(first), tuple(self.codes_of(first)))
        return reordered(answer, compared(self.model, comparison))

    def _columns(self, face: Face, space: str, known: Mapping[str, Columns]) -> Columns:
        method = space.split(".", 1)[0]
        if isinstance(face, FromPixels):
            return self.model.encode(face.pixels, method)
        stored = self.model.tensors(face.columns) if isinstance(face, FromCodes) else known[face.id]
        if isinstance(face, FromIndex) and self.model.needs_picture(stored, method):
            return stored | self.model.encode(self._picture(face.id), method)
        return self.model.completed(stored, method)

    def _picture(self, id: str) -> npt.NDArray[np.uint8]:
        found = self.collection.pictures([self.place(id)])[0]
        if isinstance(found, str):
            raise WrongUsage(f"the picture of {id!r} cannot be read any more, and its codes are of other methods")
        return found

    def _faces_of_index(self, asked: Sequence[str]) -> dict[str, Columns]:
        ids = list(dict.fromkeys(asked))
        found = self.collection.columns(self._places(ids))
        return {id: self.model.tensors(columns) for id, columns in zip(ids, found, strict=True)}

    def _places(self, ids: Sequence[str]) -> list[Place]:
        found = dict(zip(ids, self.index.places(ids), strict=True))
        if missing := [id for id, place in found.items() if place is None]:
            raise WrongUsage(f"{len(missing)} of {len(ids)} ids are not in the index: {', '.join(missing[:5])}")
        return [self._place(*place, id) for id, place in found.items() if place is not None]

    def _place(self, shard: str, row: int, id: str) -> Place:
        labels = self._shards[shard].labels
        if PART not in labels.column_names or ROW not in labels.column_names:
            raise WrongUsage(
                f"the index does not say which row of its codes {id!r} is: it was not built from a dataset"
            )
        return Place(self._codes[shard], labels.column(PART)[row].as_py(), labels.column(ROW)[row].as_py(), id)

    def _found(
        self, hits: Sequence[Hit], space: str, scales: Mapping[str, Scale], first_rank: int
    ) -> tuple[FoundFace, ...]:
        labels = self._labels(hits)
        return tuple(
            FoundFace(
                rank=first_rank + i,
                id=hit.id,
                distance=hit.distance,
                parts=hit.parts,
                intensities=self._intensities(hit, space, scales),
                labels=labels[i],
                place=self._place(hit.shard, hit.row, hit.id),
            )
            for i, hit in enumerate(hits)
        )

    def _intensities(self, hit: Hit, space: str, scales: Mapping[str, Scale]) -> dict[str, float]:
        if not scales:
            return {}
        vector = self.index.vector(space, hit.shard, hit.row)
        return {name: scale.intensity(vector) for name, scale in scales.items()}

    def _labels(self, hits: Sequence[Hit]) -> list[dict[str, Any]]:
        """Each hit's labels; every shard is looked at once."""
        rows: dict[str, list[int]] = {}
        for hit in hits:
            rows.setdefault(hit.shard, []).append(hit.row)
        told: dict[tuple[str, int], dict[str, Any]] = {}
        for shard, some in rows.items():
            table = self._shards[shard].labels
            shown = table.select([name for name in self.label_names if name in table.column_names])
            for row, labels in zip(some, shown.take(pa.array(some)).to_pylist(), strict=True):
                told[shard, row] = labels
        return [told[hit.shard, hit.row] for hit in hits]


def open_searcher(
    uri: str, model: str, *, codes: Sequence[str] = (), device: str = "cpu", threads: int = 1
) -> Searcher:
    """Open the newest version of an index, and a model to ask it with.

    Raises:
        WrongUsage: no index or model there, or as ``open_collection``.
    """
    index = open_index(uri)
    collection = open_collection(index.manifest, codes)
    return Searcher(index, collection, OpenedModel(open_bundle(model), device), threads=threads)
