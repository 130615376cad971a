"""A question on its way to the backend: through the gate, within its time, with the pictures it came with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from fastapi import Request

from raypipe.errors import WrongUsage
from raypipe.pipeline.search.names import check_features
from raypipe.pipeline.search.query import Face, FromCodes, FromIndex, FromPixels, Like, SearchQuery
from raypipe.retrieval.filters import columns_of
from serve.backend import Backend, Description, MethodFacts, Transfer, Translation
from serve.errors import NotOffered
from serve.limits import Gate, answered_within
from serve.metrics import Metrics
from serve.reading import Asked, Q, read
from serve.schemas import FaceOf, SearchQuestion, TransferQuestion, TranslateQuestion, read_codes
from serve.settings import Limits


class Desk:
    """What all routes share: the backend, and the gates before it."""

    def __init__(self, backend: Backend, limits: Limits, metrics: Metrics) -> None:
        self.backend, self.limits, self.metrics = backend, limits, metrics
        self._gate = Gate("questions", limits.at_once, limits.waiting, metrics)
        self._rerank_gate = Gate("reranks", limits.reranks_at_once, limits.reranks_waiting, metrics)
        self._picture_gate = Gate("pictures", limits.pictures_at_once, 8 * limits.pictures_at_once, metrics)
        self._bodies = Gate("bodies", limits.bodies_at_once, 0, metrics)

    async def read(self, request: Request, kind: type[Q]) -> Asked[Q]:
        """Raises:
        Overloaded: too many bodies are being received.
        RaypipeError: as ``reading.read``.
        """
        async with self._bodies.place():
            with self.metrics.stage("receive"):
                return await read(request, kind, seconds=self.limits.body_s, most=self.limits.question_bytes)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """While a question is answered."""
        async with answered_within(self.limits.answer_s), self._gate.place():
            yield

    @asynccontextmanager
    async def rerank_turn(self) -> AsyncIterator[None]:
        """While a search is answered whose hits a network looks at again: other questions do not wait for it."""
        async with answered_within(self.limits.answer_s), self._rerank_gate.place():
            yield

    @asynccontextmanager
    async def picture_turn(self) -> AsyncIterator[None]:
        """While a picture of the collection is read."""
        async with answered_within(self.limits.answer_s), self._picture_gate.place():
            yield

    def faces(self, uploads: Mapping[str, bytes]) -> Uploaded:
        return Uploaded(self, uploads)


def check_search(question: SearchQuestion, limits: Limits) -> None:
    """Raises:
    WrongUsage: more hits, or more of them reranked, than this server allows.
    """
    if question.k > limits.hits:
        raise WrongUsage(f"k={question.k}: at most {limits.hits} hits a page")
    faces = len(question.like) + (question.face is not None)
    if question.rerank * faces > limits.rerank:
        asked = f"rerank={question.rerank}, of a search with {faces} face{'s' if faces > 1 else ''}"
        raise WrongUsage(f"{asked}: at most {limits.rerank // faces} hits are reranked")


def shown_labels(question: SearchQuestion, told: Description) -> Sequence[str]:
    """The label columns that hits are told with.

    Raises:
        WrongUsage: one of them, or of the filter's, is none that is served.
    """
    condition = question.condition
    asked = [*(question.labels or ()), *(sorted(columns_of(condition)) if condition else ())]
    if unknown := [name for name in asked if name not in told.labels]:
        raise WrongUsage(f"no label column {', '.join(unknown)}; there are: {', '.join(told.labels) or 'none'}")
    return told.labels if question.labels is None else question.labels


def method_for(verb: str, asked: str, told: Description) -> MethodFacts:
    """Who is to do it: the method that was asked for, or the only one that can, or of several the one whose space a
    search means that names none.

    Raises:
        NotOffered: no method of the model can.
        WrongUsage: not the one that was asked for; or several can, and the first space is of none of them.
    """
    able = {method.name: method for method in told.methods if verb in method.verbs}
    if not able:
        raise NotOffered(f"no method of this model offers {verb!r}; GET /v1/methods tells what they can")
    name = asked or (told.spaces[0].method if len(able) > 1 else next(iter(able)))
    if name not in able:
        raise WrongUsage(f"method {asked!r}: {verb!r} is offered by {', '.join(able)}; name one of them")
    return able[name]


def drawing_method(asked: str, told: Description) -> str:
    """Who is to edit: as ``method_for``, but any method draws a face as it is.

    Raises:
        NotOffered, WrongUsage: as ``method_for``.
    """
    if asked in [method.name for method in told.methods]:
        return asked
    return method_for("edit", asked, told).name


def check_transfer(question: TransferQuestion, method: MethodFacts) -> None:
    """Raises:
    UnknownAttribute: a feature that the method does not have.
    WrongUsage: a strength of nothing.
    """
    check_features(list(question.references), method.features)
    if unused := sorted(set(question.strengths) - set(question.references)):
        raise WrongUsage(f"a strength of {', '.join(unused)}, but no reference")


class Uploaded:
    """The faces of a question; a picture that several mean is cut out once."""

    def __init__(self, desk: Desk, uploads: Mapping[str, bytes]) -> None:
        self._desk, self._uploads = desk, uploads
        self._cut: dict[str, FromPixels] = {}

    async def query(self, question: SearchQuestion) -> SearchQuery:
        """Raises:
        WrongUsage: a part that is not there or not meant, or a question that cannot be.
        """
        face = None if question.face is None else await self.face(question.face)
        like = [Like(each.space, await self.face(each.face), each.weight) for each in question.like]
        self.require_all_used()
        return question.to_engine(face, tuple(like))

    async def transfer(self, question: TransferQuestion, usual_strength: float) -> tuple[Face, Transfer]:
        """The face, and what it is to have of others.

        Raises:
            WrongUsage: as ``query``.
        """
        face = await self.face(question.face)
        references = {name: await self.face(told) for name, told in question.references.items()}
        self.require_all_used()
        strengths = {name: question.strengths.get(name, usual_strength) for name in references}
        return face, Transfer(references=references, strengths=strengths)

    async def translation(self, question: TranslateQuestion) -> tuple[Face, Translation]:
        """The face, and what it is to become.

        Raises:
            WrongUsage: as ``query``.
        """
        face = await self.face(question.face)
        reference = None if question.reference is None else await self.face(question.reference)
        self.require_all_used()
        return face, Translation(domain=question.domain, reference=reference, seed=question.seed)

    async def face(self, told: FaceOf) -> Face:
        """Raises:
        WrongUsage: a part that is not there, or holds no face; codes that are no numbers.
        """
        if told.id is not None:
            return FromIndex(told.id)
        if told.codes is not None:
            return FromCodes(read_codes(told.codes))
        name = told.upload or ""
        if name not in self._uploads:
            raise WrongUsage(f"there is no file part {name!r}; there are: {', '.join(self._uploads) or 'none'}")
        if name not in self._cut:
            with self._desk.metrics.stage("cut_out"):
                self._cut[name] = await self._desk.backend.cut_out(self._uploads[name], name)
        return self._cut[name]

    def require_all_used(self) -> None:
        """Raises:
        WrongUsage: a picture that no face of the question means, perhaps by a misspelt name.
        """
        if unused := sorted(set(self._uploads) - set(self._cut)):
            raise WrongUsage(f"no face of the question is the picture {', '.join(unused)}")
