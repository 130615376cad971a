"""Method and Recipe: the two protocols everyone meets at. Tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor

from raypipe.attributes import Edit
from raypipe.weights import Part

Columns = Mapping[str, Tensor]
"""Column name -> tensor whose first axis is the face."""


@dataclass(frozen=True)
class SearchSpace:
    """How a space's vectors compare. ``coordinates`` names the weightable leading axes of ``weighted_l2``."""

    width: int
    metric: Literal["l2", "cosine", "weighted_l2"]
    coordinates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Query:
    """What a person asks beside the face itself. Attributes and features are the method's own names."""

    adjust: Mapping[str, float]
    prefer: Mapping[str, float]
    references: Mapping[str, Columns]


@runtime_checkable
class Method(Protocol):
    """What the product asks of a method. One device; no files, no network, no cluster."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """The names that ``edit`` accepts."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Shared inputs it works on, by name: ``image`` [n,3,h,w] in [-1,1], ``w_plus`` [n,layers,width], ..."""

    @property
    def spaces(self) -> Mapping[str, SearchSpace]:
        """What can be searched with it."""

    def represent(self, inputs: Columns) -> Columns:
        """The Parquet columns that it adds, [n, ...] each."""

    def search_vectors(self, space: str, columns: Columns) -> Tensor:
        """[n, width] float32, comparable as ``spaces[space]`` says."""

    def query(self, space: str, columns: Columns, query: Query) -> Tensor:
        """[n, width] float32: the same for the asking side, with what is to change and what matters."""

    def edit(self, columns: Columns, edits: Sequence[Edit]) -> Columns:
        """The columns after the edits; ``[]`` changes nothing."""

    def render(self, columns: Columns, source: Tensor) -> Tensor:
        """[n,3,h,w] in [-1,1]. ``source`` [n,3,h,w]: the faces themselves, for what the columns do not carry."""


@runtime_checkable
class Recipe(Protocol):
    """How it is trained, one step at a time. The loop, logs and checkpoints belong to ``pipeline``."""

    def step(self, batch: Columns) -> dict[str, float]:
        """One optimiser step; losses and other numbers by name."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there: the same steps follow."""

    def export(self) -> Part:
        """What inference needs."""
