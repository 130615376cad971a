"""What an index is made of and how. Everything here decides what is in it; where the work is done does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from raypipe.errors import WrongUsage
from raypipe.retrieval.build import IndexSettings

PRECISIONS = ("float32", "float16")
ROWS_PER_SHARD = 1_000_000


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """One index.

    Attributes:
        codes: outputs of ``raypipe encode`` whose faces go into it, all by the same model.
        spaces: by name, METHOD.SPACE or SPACE; none given: all of the model's methods.
        shards: how many; 0: one for each million rows.
        recall: what a query gets that asks for none; 1: exact and certified.
        memory_per_row: bytes that a row may take in memory in each space; 0: a tenth of its vector in float16.
        axes: principal axes at most; 0: as many as the memory allows.
        lists: groups of rows in a shard at most.
        factory: for experts: what Faiss makes of this string takes the place of the scanned rows; never certified.
        precision: of the full vectors on disk.
        seed: of the sample that axes and lists are fitted to.

    Raises:
        WrongUsage: a value outside its range.
    """

    codes: tuple[str, ...]
    out: str
    model: str = "small"
    spaces: tuple[str, ...] = ()
    shards: int = 0
    recall: float = 1.0
    memory_per_row: int = 0
    axes: int = 0
    lists: int = 256
    factory: str = ""
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.codes or not all(self.codes) or not self.out:
            raise WrongUsage(f"codes and out must not be empty, got {list(self.codes)} and {self.out!r}")
        if min(self.shards, self.memory_per_row, self.axes) < 0 or self.lists < 1:
            raise WrongUsage(
                f"shards, memory_per_row and axes are at least 0 and lists at least 1, "
                f"got {self.shards}, {self.memory_per_row}, {self.axes} and {self.lists}"
            )
        if self.precision not in PRECISIONS:
            raise WrongUsage(f"precision {self.precision!r} is not one of {', '.join(PRECISIONS)}")
        self.settings()

    def settings(self) -> IndexSettings:
        """As the engine takes them."""
        return IndexSettings(
            recall=self.recall,
            memory_per_row=self.memory_per_row,
            axes=self.axes,
            lists=self.lists,
            factory=self.factory,
            precision=cast(Literal["float32", "float16"], self.precision),
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True)
class AppendConfig:
    """New codes for an index that is there.

    Attributes:
        shards: how many to write; 0: one for each million rows.
    """

    index: str
    codes: tuple[str, ...]
    model: str = "small"
    shards: int = 0

    def __post_init__(self) -> None:
        if not self.codes or not all(self.codes) or not self.index or self.shards < 0:
            raise WrongUsage(f"an index, codes, and at least 0 shards are needed, got {self}")
