"""What may be wished for, and what comes back: hits, why they are near, and what was done to be sure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from raypipe.errors import WrongUsage
from raypipe.retrieval.filters import Filter

HITS_LIMIT = 10_000

_FIRST_BOUNDS = 1024


@dataclass(frozen=True)
class Diversity:
    """At most ``most`` hits with the same value in a label column; rows without a value are never too many."""

    column: str
    most: int


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Which rows may be hits, and how many.

    Attributes:
        recall: 1: exact and certified. Below: only about this share of the true hits is asked for. None: what the index
            was built for.

    Raises:
        WrongUsage: a number outside its range.
    """

    k: int = 20
    condition: Filter | None = None
    exclude: frozenset[str] = frozenset()
    diversity: Diversity | None = None
    recall: float | None = None

    @property
    def asked_recall(self) -> float:
        return 1.0 if self.recall is None else self.recall

    def __post_init__(self) -> None:
        if not 1 <= self.k <= HITS_LIMIT:
            raise WrongUsage(f"k must be from 1 to {HITS_LIMIT}, got {self.k}")
        if self.recall is not None and not 0.0 < self.recall <= 1.0:
            raise WrongUsage(f"recall must be above 0 and at most 1, got {self.recall!r}")
        if self.diversity is not None and self.diversity.most < 1:
            raise WrongUsage(f"at least 1 hit of each {self.diversity.column}, got {self.diversity.most}")


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one aim says of a hit. ``attributes`` (p (c - u)^2 of each coordinate) and ``rest`` sum to ``distance``."""

    space: str
    weight: float
    distance: float
    attributes: Mapping[str, float]
    rest: float


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A face. ``distance`` is the sum of the parts' weight times distance; one part for each aim, in order.

    ``shard`` and ``row`` say where its labels are; ``group`` is its value in the column of the wish's diversity.
    """

    id: str
    distance: float
    parts: tuple[Part, ...] = ()
    shard: str
    row: int
    group: object = None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What was done on one shard.

    Attributes:
        rows: that the wish allows.
        scanned: whose bound was looked at.
        compared: whose full distance was computed.
        bound: no row that was not compared is nearer than this; inf where all were compared, -inf where nothing is
            known of the others.
        certified: the shard has no better hits than these.
    """

    shard: str
    plan: str
    why: str
    rows: int
    scanned: int
    compared: int
    bound: float
    certified: bool
    ms: float


@dataclass(frozen=True)
class Answer:
    """Hits, nearest first, ties by id."""

    hits: Sequence[Hit]
    explanations: Sequence[Explanation] = field(default=())

    @property
    def certified(self) -> bool:
        return all(explanation.certified for explanation in self.explanations)


def first_count(wish: Wish) -> int:
    """So many rows, nearest bound first, are looked at before anything else is done."""
    return max(_FIRST_BOUNDS, 2 * wish.k)


def nearest_hits(hits: Iterable[Hit], k: int, diversity: Diversity | None) -> list[Hit]:
    """The first k by distance, then id, of which no group has too many.

    Any part of the rows may be cut to its own nearest hits before: for each group, what is among the nearest of all is
    among the nearest of its part.
    """
    chosen: list[Hit] = []
    counts: dict[object, int] = {}
    for hit in sorted(hits, key=lambda hit: (hit.distance, hit.id, hit.shard, hit.row)):
        if diversity is not None and hit.group is not None:
            counts[hit.group] = counts.get(hit.group, 0) + 1
            if counts[hit.group] > diversity.most:
                continue
        chosen.append(hit)
        if len(chosen) == k:
            break
    return chosen


def merge(answers: Sequence[Answer], wish: Wish) -> Answer:
    """The answer of all shards from the answers of each."""
    hits = nearest_hits((hit for answer in answers for hit in answer.hits), wish.k, wish.diversity)
    return Answer(hits, [explanation for answer in answers for explanation in answer.explanations])
