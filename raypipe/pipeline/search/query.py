"""What can be asked: a face, what is to be different, what matters, single spaces of other faces, and which rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from raypipe.errors import WrongUsage
from raypipe.retrieval.answer import HITS_LIMIT
from raypipe.retrieval.filters import Filter
from raypipe.retrieval.space import WEIGHT_LIMIT

IDENTITY = "identity"
"""The label column that says who a face is."""

LIKE_LIMIT = 16
RANK_LIMIT = HITS_LIMIT - 2 * LIKE_LIMIT
"""Pages end here; room is left for the query's own faces, which are found and then left out."""

RERANK_LIMIT = 1000
"""A network may have to look at as many faces again."""

MOVE_LIMIT = 1e6


@dataclass(frozen=True)
class FromIndex:
    """A face of the collection."""

    id: str


@dataclass(frozen=True, eq=False)
class FromPixels:
    """A face cut out as the encoder takes it, uint8 [s,s,3] RGB; ``Searcher.cut_out`` makes one of a picture.

    ``name``: what to call it in answers.
    """

    pixels: npt.NDArray[np.uint8]
    name: str = "a picture"


@dataclass(frozen=True, eq=False)
class FromCodes:
    """Codes of one face by column, float [...] each, as ``raypipe encode`` stores them."""

    columns: Mapping[str, npt.NDArray[Any]]


Face = FromIndex | FromPixels | FromCodes


@dataclass(frozen=True)
class Like:
    """Another face that hits are to be like, in one space."""

    space: str
    face: Face
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check("weight", {self.space: self.weight}, 0.0, WEIGHT_LIMIT, is_open=True)


@dataclass(frozen=True, kw_only=True)
class SearchQuery:
    """One question.

    Distances of several spaces are added in the unit of the first: weights of 1 mean that all spaces matter alike.

    Attributes:
        face: what is looked for; None: only what ``like`` says.
        space: METHOD.SPACE, or SPACE where that is clear; "": the index's first.
        weight: of the distance to ``face`` beside those of ``like``.
        adjust: attributes and what they are to be, from 0 (the least of all faces) to 1 (the most).
        move: attributes and how far they are to go, in units of their coordinate.
        prefer: attributes and what they matter, from 0 (not at all, even if adjusted) to 1000; 1 where not named.
        where: which rows may be hits.
        k, page: hits a page, and which page, from 1.
        recall: 1: exact and certified; below: a share of the true hits is enough; None: what the index was built for.
        exclude_own: faces of the index that are asked with are no hits.
        exclude_identity: nor are other pictures of the same persons.
        most_per_identity: hits of one person at most; 0: any number.
        rerank: so many of the nearest by what is stored are put in the order of whole vectors, where a method stores
            less; 0: none.

    Raises:
        WrongUsage: a number outside its range, or nothing to look for.
    """

    face: Face | None = None
    space: str = ""
    weight: float = 1.0
    adjust: Mapping[str, float] = field(default_factory=dict)
    move: Mapping[str, float] = field(default_factory=dict)
    prefer: Mapping[str, float] = field(default_factory=dict)
    like: tuple[Like, ...] = ()
    where: Filter | None = None
    k: int = 20
    page: int = 1
    recall: float | None = None
    exclude_own: bool = True
    exclude_identity: bool = False
    most_per_identity: int = 0
    rerank: int = 0

    def __post_init__(self) -> None:
        if self.face is None and not self.like:
            raise WrongUsage("a search needs a face: an image, an id of the index, or others to be like")
        if self.face is None and (self.adjust or self.move or self.prefer):
            raise WrongUsage("adjustments and preferences belong to a face: give an image or an id")
        _check("weight", {"the face": self.weight}, 0.0, WEIGHT_LIMIT, is_open=True)
        _check("adjustment", self.adjust, 0.0, 1.0)
        _check("displacement", self.move, -MOVE_LIMIT, MOVE_LIMIT)
        _check("preference", self.prefer, 0.0, WEIGHT_LIMIT)
        if twice := sorted(set(self.adjust) & set(self.move)):
            raise WrongUsage(f"{', '.join(twice)}: adjusted and moved; only one can be meant")
        if len(self.like) > LIKE_LIMIT:
            raise WrongUsage(f"at most {LIKE_LIMIT} other faces, got {len(self.like)}")
        if self.k < 1 or self.page < 1 or self.k * self.page > RANK_LIMIT:
            raise WrongUsage(
                f"page {self.page} of {self.k} hits: both are at least 1, and the last rank at most {RANK_LIMIT:,}"
            )
        if self.recall is not None and not 0.0 < self.recall <= 1.0:
            raise WrongUsage(f"recall must be above 0 and at most 1, got {self.recall!r}")
        if self.most_per_identity < 0:
            raise WrongUsage(f"hits of one person: at least 1, or 0 for any number, got {self.most_per_identity}")
        if not 0 <= self.rerank <= RERANK_LIMIT:
            raise WrongUsage(f"from 0 to {RERANK_LIMIT:,} hits can be reranked, got {self.rerank}")

    @property
    def faces(self) -> tuple[Face, ...]:
        """Every face that is asked with: the main one, if there is one, then those of ``like``."""
        main = () if self.face is None else (self.face,)
        return (*main, *(like.face for like in self.like))

    @property
    def own_ids(self) -> tuple[str, ...]:
        """Ids of the index that are asked with."""
        return tuple(dict.fromkeys(face.id for face in self.faces if isinstance(face, FromIndex)))

    @property
    def attributes_that_matter(self) -> tuple[str, ...]:
        """What is adjusted, moved or preferred, in the order in which it was said."""
        return tuple(dict.fromkeys([*self.adjust, *self.move, *self.prefer]))


def _check(what: str, numbers: Mapping[str, float], least: float, most: float, *, is_open: bool = False) -> None:
    for name, number in numbers.items():
        if not (math.isfinite(number) and least <= number <= most and (number > least or not is_open)):
            lowest = f"above {least:g} and at most" if is_open else f"from {least:g} to"
            raise WrongUsage(f"{what} {number!r} of {name!r} must be a number {lowest} {most:g}")
