"""The seam between HTTP and whoever does the work: everything that the API can ask, without a word about HTTP.

``local_backend`` is one process; ``ray_backend`` asks Ray Serve deployments. Both give the same answers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from raypipe.attributes import Edit
from raypipe.pipeline.search.query import Face, FromPixels, SearchQuery
from raypipe.pipeline.search.result import SearchResult

T_co = TypeVar("T_co", covariant=True)

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Versioned(Generic[T_co]):
    """An answer, and the one version of the index that all of it came from."""

    index_version: int
    value: T_co


@dataclass(frozen=True, kw_only=True)
class MethodFacts:
    """An installed method that the model has the parts of.

    Attributes:
        verbs: what it can be asked for, of ``search``, ``edit``, ``transfer``, ``translate`` and ``encode``.
        attributes: what can be edited, adjusted and moved.
        features: what can be taken from other faces, with ``usual_strength`` where none is named.
        domains: what faces can be translated to; in styles drawn by a seed, too, where it ``samples_styles``.
        spaces: what can be searched, METHOD.SPACE; only those that the index has.
    """

    name: str
    verbs: tuple[str, ...]
    attributes: tuple[str, ...]
    spaces: tuple[str, ...]
    needs: tuple[str, ...]
    features: tuple[str, ...] = ()
    usual_strength: float = 1.0
    domains: tuple[str, ...] = ()
    samples_styles: bool = False


@dataclass(frozen=True, kw_only=True)
class SpaceFacts:
    """A space of the index.

    Attributes:
        coordinates: the attributes that can be preferred there.
        reranks: its method stores less of a face than it could compare: hits can be put in the order of all of it.
    """

    name: str
    method: str
    metric: str
    width: int
    coordinates: tuple[str, ...]
    reranks: bool = False


@dataclass(frozen=True, kw_only=True)
class Description:
    """What is served.

    Attributes:
        model, fingerprint: its name and the sha256 over its parts.
        image_size: side of the faces in pixels.
        rows: faces that can be found.
        recall: what a query gets that asks for none; 1: exact and certified.
        labels: columns that filters may use and hits are told with.
        examples: ids of some faces, spread over the collection, for whoever has none to begin with.
    """

    model: str
    fingerprint: str
    image_size: int
    index_version: int
    rows: int
    recall: float
    methods: tuple[MethodFacts, ...]
    spaces: tuple[SpaceFacts, ...]
    labels: tuple[str, ...]
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to be different about a face: first the adjustments and moves of a query, then the edits."""

    edits: tuple[Edit, ...] = ()
    adjust: Mapping[str, float] = field(default_factory=dict)
    move: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What a face is to have of others. ``references`` and ``strengths`` by feature; both name the same.

    A strength of 1 is the reference's feature, 0 the face's own; more or less goes on beyond either.
    """

    references: Mapping[str, Face]
    strengths: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Translation:
    """What a face is to become: a member of a domain, in the style of ``reference`` or in one that ``seed`` draws; with
    neither, in the one that the label alone gives."""

    domain: str
    reference: Face | None = None
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What is known of a face.

    Attributes:
        codes: float32 [...] by column, of every method that the model has, rounded as they are stored.
        intensities: by method, where each attribute stands on the scale of adjustments; below 0 and above 1 where it
            is beyond the faces that the scale was made of.
    """

    codes: Mapping[str, npt.NDArray[Any]]
    intensities: Mapping[str, Mapping[str, float]]


class Backend(Protocol):
    """Who answers. Safe to be asked many things at once from one event loop.

    Raises, all of them:
        WrongUsage: the question cannot be meant; ``NotFound``, ``TooLarge`` and ``UnsupportedMedia`` are kinds of it.
        Overloaded, Unavailable: now; another time perhaps.
        RaypipeError: anything else that is nobody's fault who asks.
    """

    async def describe(self) -> Description: ...

    async def search(self, query: SearchQuery, *, partial: bool) -> Versioned[SearchResult]:
        """``partial``: where shards are down, an answer of the others is welcome (its ``covered`` is below 1)."""

    async def cut_out(self, content: bytes, name: str) -> FromPixels:
        """The face of a picture file. Pixels are counted before they are decoded."""

    async def encode(self, face: Face) -> Versioned[Encoded]: ...

    async def edit(self, face: Face, change: Change, method: str) -> Versioned[Pixels]:
        """The changed face, uint8 [s,s,3]."""

    async def transfer(self, face: Face, transfer: Transfer, method: str) -> Versioned[Pixels]:
        """The face with features of others, uint8 [s,s,3], by a method that has them."""

    async def translate(self, face: Face, translation: Translation, method: str) -> Versioned[Pixels]:
        """The face as a member of a domain, uint8 [s,s,3], by a method that has it."""

    async def image(self, id: str) -> Versioned[Pixels]:
        """A face of the collection as the encoder saw it, uint8 [s,s,3]."""

    async def activate(self, version: int | None) -> int:
        """Answer from another version of the index, None: the newest; the version. Questions in flight end on theirs.

        Nothing that was deleted comes back: a version older than a deletion is refused.
        """

    async def append(self, codes: str) -> int:
        """The faces of an encoded dataset become searchable; the version that has them, which is active then."""

    async def delete(self, ids: Collection[str]) -> int:
        """No answer has these ids once this returns; the version without them, which is active then."""

    async def ready(self) -> bool:
        """Weights and shards are loaded: a question would be answered."""

    async def close(self) -> None: ...
