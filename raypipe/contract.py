"""Method and Recipe: the two protocols everyone meets at. Tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
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
    """What a person asks beside the face itself. Attributes and features are the method's own names.

    Attributes:
        adjust: what an attribute is to be, from 0 (the least of all faces) to 1 (the most).
        prefer: what an attribute matters, from 0 (not at all, even if it is adjusted) to 1000; 1 where not named.
        references: other faces, by the feature that is to be theirs.
        move: how far an attribute is to go from where it is, in units of its coordinate in the space's vectors; not
            for attributes that are adjusted.
    """

    adjust: Mapping[str, float]
    prefer: Mapping[str, float]
    references: Mapping[str, Columns]
    move: Mapping[str, float] = field(default_factory=dict)


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

    def adjusted(self, columns: Columns, query: Query) -> Columns:
        """The columns of the face that a query looks for, to be rendered; what is preferred changes nothing."""

    def edit(self, columns: Columns, edits: Sequence[Edit]) -> Columns:
        """The columns after the edits; ``[]`` changes nothing."""

    def render(self, columns: Columns, source: Tensor) -> Tensor:
        """[n,3,h,w] in [-1,1]. ``source`` [n,3,h,w]: the faces themselves, for what the columns do not carry."""


@runtime_checkable
class WholeVectors(Protocol):
    """What a method offers beside the rest, if it stores less of a face than it could compare."""

    def whole_vectors(self, space: str, columns: Columns) -> Tensor:
        """[n, any width] float32: what ``search_vectors`` leaves something out of, compared in the same way."""


@runtime_checkable
class FeatureTransfer(Protocol):
    """What a method offers beside the rest, if faces can take single features from other faces with it."""

    @property
    def features(self) -> tuple[str, ...]:
        """What can be taken."""

    @property
    def usual_strength(self) -> float:
        """What strength is meant where none is named."""

    def transfer(self, columns: Columns, references: Mapping[str, Columns], strengths: Mapping[str, float]) -> Columns:
        """The columns of the faces with features of ``references``, columns of one face or of as many, by feature.

        ``strengths``: by feature, 1 is the reference's and 0 their own, bit for bit.
        """


@runtime_checkable
class Translator(Protocol):
    """What a method offers beside the rest, if it draws faces anew as members of a domain."""

    @property
    def domains(self) -> tuple[str, ...]:
        """What a face can become: a value of each attribute that the method was trained with."""

    @property
    def samples_styles(self) -> bool:
        """Whether a domain has many styles to draw from, rather than one for each face."""

    def translate(
        self, columns: Columns, domain: str, *, reference: Columns | None = None, seed: int | None = None
    ) -> Columns:
        """The columns of the faces as members of ``domain``, to be rendered.

        Their style is that of ``reference``, columns of one face or of as many; or drawn by ``seed``, if the method
        samples styles; or else the one that the label alone gives.

        Raises:
            WrongUsage: an unknown domain, both a reference and a seed, or a seed where no style can be drawn.
        """


def _keep(tensors: Sequence[Tensor]) -> None:
    """One worker's mean is what it has."""


@dataclass(frozen=True)
class Share:
    """This worker's part of the global batch: rows ``rank``, ``rank + count``, ``rank + 2 count``, ...

    Attributes:
        average: replaces each tensor by its mean over all workers, in place. Every worker must call it with the same
            shapes in the same order.
    """

    rank: int = 0
    count: int = 1
    average: Callable[[Sequence[Tensor]], None] = _keep

    def of(self, whole: Tensor) -> Tensor:
        """This worker's rows of a tensor of the whole batch."""
        return whole[self.rank :: self.count]


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What is known of training data before the first batch.

    Attributes:
        rows: how many examples there are; 0 where they are made as needed and never end.
        size: width and height of ``image``; 0 without images.
        attributes: the columns of ``labels``.
        identities: ``identity`` is in [0, identities).
        code_shape: layers and width of ``w_plus``; (0, 0) without codes.
    """

    rows: int
    size: int = 0
    attributes: tuple[str, ...] = ()
    identities: int = 0
    code_shape: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where and with what a recipe works. ``parts``: trained networks that it may build on, by name."""

    data: DataFacts
    parts: Mapping[str, Part] = field(default_factory=dict)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    share: Share = Share()
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Faces:
    """What a method is evaluated on, three sets of faces without a person in common where persons are known.

    A set's columns are those that the method asks for: ``w_plus`` [n,L,D] float32, ``labels`` [n,A] float32 of 0 and 1,
    ``identity`` [n] int64 (the person), ``embedding`` [n,d] float32 (unit vectors of an identity network), ``image``
    [n,s,s,3] uint8.

    Attributes:
        attributes: the columns of ``labels``.
        train: to fit with.
        validation: to choose settings with.
        test: to be measured on.
    """

    attributes: tuple[str, ...]
    train: Columns
    validation: Columns
    test: Columns


@dataclass(frozen=True)
class Rival:
    """Another model or method that edits pictures, to compare with.

    Attributes:
        attributes: what it edits.
        edited: pictures [n,3,s,s] in [-1,1], an attribute of these and a sign, +1.0 to have it or -1.0 not to -> the
            same pictures edited, of the rival's own size.
    """

    attributes: tuple[str, ...]
    edited: Callable[[Tensor, str, float], Tensor]


@runtime_checkable
class Recipe(Protocol):
    """How something is trained, one step at a time. Loop, data, logs and checkpoints belong to ``pipeline.train``.

    A batch is this worker's share of the global batch: ``image`` [n,3,s,s] float32 in [-1,1], ``labels`` [n,A] float32
    of 0 and 1, ``identity`` [n] int64, ``w_plus`` [n,L,D] float32; just those that the recipe's ``columns`` ask for.
    The result does not depend on how many workers share the batch: gradients go through ``site.share.average``, random
    numbers through ``blocks.randomness``.
    """

    def step(self, batch: Columns) -> dict[str, Tensor]:
        """One step of every optimiser; losses and other numbers by name, 0-d and detached, of this worker's share."""

    def finish(self, batches: Iterable[Columns]) -> None:
        """Called once after the last step with every training row once (this worker's share), before ``export``.

        For what must be measured over all rows with the final weights. It may use ``site.share``, so every worker
        calls it; most recipes have nothing to do.
        """

    def evaluate(self, batches: Iterable[Columns]) -> dict[str, float]:
        """Numbers on held-out data. The first is the one that decides which checkpoint is best: lower is better.

        Called on one worker only: it must not use ``site.share``, and changes nothing that a later step depends on.
        """

    def samples(self, batch: Columns) -> Tensor:
        """Pictures to look at, [rows, columns, 3, h, w] in [-1,1]; no rows where there is nothing to see.

        ``batch`` is the same held-out data each time. Called on one worker only, as ``evaluate``.
        """

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, in tensors and plain values; the same on every worker."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there: the same steps follow."""

    def export(self) -> dict[str, Part]:
        """What inference needs, by the part's name in a model bundle."""
