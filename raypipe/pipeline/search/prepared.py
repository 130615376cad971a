"""A question on its way to the engine: its names checked, its faces known, in plain values, which can travel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from raypipe.contract import Query, SearchSpace
from raypipe.pipeline.search.query import SearchQuery
from raypipe.pipeline.search.result import AskedAim
from raypipe.pipeline.search.scales import Scale
from raypipe.retrieval.space import Aim


@dataclass(frozen=True)
class Question:
    """A query whose names were checked. ``asked``: what the face of each aim is to become."""

    query: SearchQuery
    aims: tuple[AskedAim, ...]
    asked: tuple[Query, ...]


@dataclass(frozen=True, eq=False)
class PreparedAim:
    """An aim as the engine takes it, and what it was made of.

    Attributes:
        space: how vectors that are stored are compared.
        face: the columns of the face that is asked with.
        asked: what it is to become.
    """

    aim: Aim
    space: SearchSpace
    face: Mapping[str, Tensor]
    asked: Query


@dataclass(frozen=True)
class Prepared:
    """A question as the engine takes it; ``scales`` of the attributes that matter."""

    question: Question
    aims: tuple[PreparedAim, ...]
    scales: Mapping[str, Scale]

    @property
    def targets(self) -> tuple[Aim, ...]:
        """What the engine is told."""
        return tuple(prepared.aim for prepared in self.aims)
