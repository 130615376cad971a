"""An opened index and model: ask as often as you like, from several threads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from raypipe.contract import Query
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.face_decoder import FaceConfig, FaceDecoder
from raypipe.pipeline.search.collection import PART, ROW, Collection, Place, open_collection
from raypipe.pipeline.search.model import OpenedModel
from raypipe.pipeline.search.names import check_attributes, space_named
from raypipe.pipeline.search.query import IDENTITY, Face, FromCodes, FromIndex, FromPixels, SearchQuery
from raypipe.pipeline.search.result import AskedAim, FoundFace, SearchResult
from raypipe.retrieval.answer import Answer, Diversity, Hit, Wish
from raypipe.retrieval.filters import AllOf, AnyOf, Filter, Not, Null, OneOf
from raypipe.retrieval.index import Index, open_index
from raypipe.retrieval.shard_writer import ID
from raypipe.retrieval.space import Aim, Array, make_target
from raypipe.weights import open_bundle

Columns = dict[str, Tensor]


@dataclass(frozen=True)
class _Question:
    """A query whose names were checked. ``asked``: what the face of each aim is to become."""

    query: SearchQuery
    aims: tuple[AskedAim, ...]
    asked: tuple[Query, ...]


@dataclass(frozen=True)
class _Scale:
    """Where an attribute stands among the coordinates of the first aim's space, and there, the ends of adjustments."""

    place: int
    least: float
    most: float

    def intensity(self, coordinates: Array) -> float:
        length = self.most - self.least
        return (float(coordinates[self.place]) - self.least) / length if length else 0.0


class Searcher:
    """Everything that questions have in common. Another version of the index is another Searcher."""

    def __init__(self, index: Index, collection: Collection, model: OpenedModel, *, threads: int = 1) -> None:
        self.index, self.collection, self.model = index, collection, model
        self._threads = threads
        self._shards = {shard.name: shard for shard in index.shards()}
        self._codes = {entry.name: entry.codes for entry in index.manifest.shards}

    @property
    def label_names(self) -> tuple[str, ...]:
        """The label columns of hits; names that begin with "_" are for programs, and ids are told apart."""
        names = (name for shard in self._shards.values() for name in shard.labels.column_names)
        return tuple(dict.fromkeys(name for name in names if not name.startswith("_") and name != ID))

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
        aims = [self._targets(question, faces) for question in questions]
        asked = time.perf_counter()
        by_wish: dict[Wish, list[int]] = {}
        for i, query in enumerate(queries):
            by_wish.setdefault(self._wish(query), []).append(i)
        answers: dict[int, Answer] = {}
        for wish, places in by_wish.items():
            names = {aim.space for i in places for aim in aims[i]}
            bindings = {name: self.model.binding(name) for name in names}
            found = self.index.search([aims[i] for i in places], wish, asked=bindings, threads=self._threads)
            answers |= dict(zip(places, found, strict=True))
        ms = (asked - started) * 1e3, (time.perf_counter() - asked) * 1e3
        return [
            self._result(question, aims[i], self._scales(question, faces), answers[i], ms)
            for i, question in enumerate(questions)
        ]

    def cut_out(self, content: bytes, face: FaceConfig | None = None, name: str = "a picture") -> FromPixels:
        """The face of a picture file, cut out as the collection's were, or as ``face`` says. ``name``: to call it by.

        Raises:
            WrongUsage: no picture, or no face in it.
        """
        decoded = FaceDecoder(face or self.collection.face_config(), self.model.image_size)(content, None)
        if decoded.pixels is None:
            raise WrongUsage(f"{decoded.status}: {decoded.error}")
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

    def _question(self, query: SearchQuery) -> _Question:
        manifest = self.index.manifest
        main = [] if query.face is None else [AskedAim(space=query.space, face=query.face, weight=query.weight)]
        others = [AskedAim(space=like.space, face=like.face, weight=like.weight) for like in query.like]
        aims = tuple(
            AskedAim(space=space_named(aim.space, manifest), face=aim.face, weight=aim.weight) for aim in main + others
        )
        manifest.require({aim.space: self.model.binding(aim.space) for aim in aims})
        asked = [Query(adjust={}, prefer={}, references={})] * len(aims)
        if main:
            name = aims[0].space
            method = self.model.method(name.split(".", 1)[0])
            check_attributes([*query.adjust, *query.move], method.attributes, "this method has")
            check_attributes(list(query.prefer), manifest.spaces[name].space.coordinates, "this space can prefer")
            asked[0] = Query(adjust=query.adjust, prefer=query.prefer, references={}, move=query.move)
        return _Question(query, aims, tuple(asked))

    def _targets(self, question: _Question, known: dict[str, Columns]) -> list[Aim]:
        aims = []
        for aim, asked in zip(question.aims, question.asked, strict=True):
            method_name, space = aim.space.split(".", 1)
            columns = self._columns(aim.face, aim.space, known)
            with torch.no_grad():
                vector = self.model.method(method_name).query(space, columns, asked)[0].cpu().numpy()
            told = self.index.manifest.spaces[aim.space].space
            aims.append(Aim(aim.space, make_target(told, vector, asked.prefer), aim.weight))
        return aims

    def _scales(self, question: _Question, known: dict[str, Columns]) -> dict[str, _Scale]:
        """Of the attributes that matter: a query adjusted to 0 and one adjusted to 1 tell the ends."""
        if question.query.face is None:
            return {}
        (method_name, space), aim = question.aims[0].space.split(".", 1), question.aims[0]
        method, coordinates = self.model.method(method_name), self.index.manifest.spaces[aim.space].space.coordinates
        names = [
            name for name in question.query.attributes_that_matter if name in coordinates and name in method.attributes
        ]
        if not names:
            return {}
        columns = self._columns(aim.face, aim.space, known)
        ends = []
        with torch.no_grad():
            for amount in (0.0, 1.0):
                asked = Query(adjust=dict.fromkeys(names, amount), prefer={}, references={})
                ends.append(method.query(space, columns, asked)[0].tolist())
        return {
            name: _Scale(place, ends[0][place], ends[1][place]) for name in names for place in [coordinates.index(name)]
        }

    def _columns(self, face: Face, space: str, known: dict[str, Columns]) -> Columns:
        method = space.split(".", 1)[0]
        if isinstance(face, FromPixels):
            return self.model.encode(face.pixels, method)
        stored = self.model.tensors(face.columns) if isinstance(face, FromCodes) else known[face.id]
        return self.model.completed(stored, method)

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

    def _wish(self, query: SearchQuery) -> Wish:
        diversity = Diversity(IDENTITY, query.most_per_identity) if query.most_per_identity else None
        if diversity or query.exclude_identity:
            self._check_identities()
        own = query.own_ids if query.exclude_own else ()
        return Wish(
            # One more than is shown: is there another page? Without groups, the query's own faces are dropped
            # afterwards, so that a batch of ids is one wish.
            k=query.k * query.page + 1 + (0 if diversity else len(own)),
            condition=self._condition(query),
            exclude=frozenset(own) if diversity else frozenset(),
            diversity=diversity,
            recall=query.recall,
        )

    def _condition(self, query: SearchQuery) -> Filter | None:
        if not query.exclude_identity:
            return query.where
        if not query.own_ids:
            raise WrongUsage("whose identity should be excluded? Only faces of the index have one: give an id")
        places = [place for place in self.index.places(query.own_ids) if place is not None]
        persons = {self._shards[shard].values(IDENTITY, np.array([row]))[0] for shard, row in places} - {None}
        others = AnyOf((Null(IDENTITY), Not(OneOf(IDENTITY, tuple(sorted(persons))))))
        return others if query.where is None else AllOf((query.where, others))

    def _check_identities(self) -> None:
        for shard in self._shards.values():
            if IDENTITY not in shard.labels.column_names:
                raise WrongUsage(
                    f"the index has no label column {IDENTITY!r}: its faces cannot be told apart by person"
                )

    def _result(
        self, question: _Question, aims: list[Aim], scales: dict[str, _Scale], answer: Answer, ms: tuple[float, float]
    ) -> SearchResult:
        query = question.query
        own = query.own_ids if query.exclude_own else ()
        hits = [hit for hit in answer.hits if hit.id not in own]
        first = query.k * (query.page - 1)
        if query.page > 1 and len(hits) <= first:
            pages = -(-len(hits) // query.k)
            raise WrongUsage(
                f"page {query.page} is beyond the end: {len(hits):,} hits are {pages:,} pages of {query.k}"
            )
        shown, manifest = hits[first : first + query.k], self.index.manifest
        labels = self._labels(shown)
        alive = {entry.name: entry.alive for entry in manifest.shards}
        return SearchResult(
            query=query,
            aims=question.aims,
            wanted={name: scale.intensity(aims[0].target.wanted) for name, scale in scales.items()},
            hits=tuple(
                FoundFace(
                    rank=first + 1 + i,
                    id=hit.id,
                    distance=hit.distance,
                    parts=hit.parts,
                    intensities=self._intensities(hit, question.aims[0].space, scales),
                    labels=labels[i],
                    place=self._place(hit.shard, hit.row, hit.id),
                )
                for i, hit in enumerate(shown)
            ),
            exact=answer.certified,
            recall=manifest.recall if query.recall is None else query.recall,
            more=len(hits) > first + query.k,
            rows=sum(explanation.rows for explanation in answer.explanations),
            covered=sum(alive[explanation.shard] for explanation in answer.explanations) / max(1, manifest.rows),
            explanations=tuple(answer.explanations),
            ask_ms=ms[0],
            search_ms=ms[1],
        )

    def _intensities(self, hit: Hit, space: str, scales: dict[str, _Scale]) -> dict[str, float]:
        if not scales:
            return {}
        vector = self.index.vector(space, hit.shard, hit.row)
        return {name: scale.intensity(vector) for name, scale in scales.items()}

    def _labels(self, hits: Sequence[Hit]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for hit in hits:
            table = self._shards[hit.shard].labels
            shown = [name for name in self.label_names if name in table.column_names]
            found += table.select(shown).take(pa.array([hit.row])).to_pylist()
        return found


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
