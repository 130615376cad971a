"""A question on its way to the backend: through the gate, within its time, with the pictures it came with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from fastapi import Request

from raypipe.errors import WrongUsage
from raypipe.pipeline.search.query import Face, FromCodes, FromIndex, FromPixels, Like, SearchQuery
from raypipe.retrieval.filters import columns_of
from serve.backend import Backend, Description
from serve.limits import Gate, answered_within
from serve.metrics import Metrics
from serve.reading import Asked, Q, read
from serve.schemas import FaceOf, SearchQuestion, read_codes
from serve.settings import Limits


class Desk:
    """What all routes share. ``gate``: for questions that compute; ``picture_gate``: for reading pictures."""

    def __init__(self, backend: Backend, limits: Limits, metrics: Metrics) -> None:
        self.backend, self.limits, self.metrics = backend, limits, metrics
        self._gate = Gate("questions", limits.at_once, limits.waiting, metrics)
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
    async def picture_turn(self) -> AsyncIterator[None]:
        """While a picture of the collection is read."""
        async with answered_within(self.limits.answer_s), self._picture_gate.place():
            yield

    def faces(self, uploads: Mapping[str, bytes]) -> Uploaded:
        return Uploaded(self, uploads)


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
