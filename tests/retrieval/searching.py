"""Small indexes, and the plain computation that every answer is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe.contract import SearchSpace
from raypipe.retrieval.build import IndexSettings, build
from raypipe.retrieval.index import Index, open_index
from raypipe.retrieval.manifest import Binding
from raypipe.retrieval.shard_writer import Block
from raypipe.retrieval.space import Aim, make_target

Array = npt.NDArray[Any]

NAME = "method.space"
BINDINGS = {NAME: Binding("method", "space", "model-1", "directions-1")}


def weighted_space(attributes: int, rest: int) -> SearchSpace:
    names = tuple(f"a{i}" for i in range(attributes))
    return SearchSpace(attributes + rest, "weighted_l2" if attributes else "l2", names)


def names(count: int, first: int = 0) -> list[str]:
    return [f"face-{i:04d}" for i in range(first, first + count)]


def aims(
    space: SearchSpace,
    vector: Array,
    prefer: Mapping[str, float] | None = None,
    *,
    weight: float = 1.0,
    name: str = NAME,
) -> list[Aim]:
    """A query with one aim."""
    return [Aim(name, make_target(space, vector, prefer), weight)]


def blocks(
    ids: Sequence[str], vectors: Array | Mapping[str, Array], labels: Mapping[str, Sequence[Any]] | None = None
) -> Iterable[Block]:
    """Blocks of uneven sizes."""
    table = pa.table({"image_id": pa.array(ids, pa.string()), **(labels or {})})
    whole = Block(table, vectors if isinstance(vectors, Mapping) else {NAME: vectors})
    start, size = 0, 1
    while start < len(ids):
        yield whole.cut(start, start + size)
        start, size = start + size, size * 2 + 1


def tiny_settings(space: SearchSpace, *, axes: int = 2, rows_per_shard: int = 1000, lists: int = 4) -> IndexSettings:
    """So few axes that the bounds are loose."""
    return IndexSettings(axes=axes, rows_per_shard=rows_per_shard, lists=lists)


def built(
    folder: Path | str,
    space: SearchSpace,
    vectors: Array,
    *,
    ids: Sequence[str] | None = None,
    labels: Mapping[str, Sequence[Any]] | None = None,
    settings: IndexSettings | None = None,
) -> Index:
    chosen = names(len(vectors)) if ids is None else ids
    read: Callable[[], Iterable[Block]] = lambda: blocks(chosen, vectors, labels)  # noqa: E731
    build(str(folder), {NAME: space}, BINDINGS, read, settings or tiny_settings(space))
    return open_index(str(folder))


def bindings(names: Iterable[str]) -> dict[str, Binding]:
    return {name: Binding("method", name, "model-1") for name in names}


def plain_distances(space: SearchSpace, vectors: Array, asked: Array, prefer: Mapping[str, float]) -> Array:
    """Equation 3 as it is printed, in float64; half of it between vectors of length 1 for the cosine."""
    rows, target = vectors.astype(np.float64), asked.astype(np.float64)
    if space.metric == "cosine":
        return 1 - rows @ target / np.linalg.norm(rows, axis=1) / np.linalg.norm(target)
    weights = np.ones(space.width)
    weights[: len(space.coordinates)] = [prefer.get(name, 1.0) for name in space.coordinates]
    return np.asarray(((rows - target) ** 2 * weights).sum(1))


def plain_nearest(distances: Array, ids: Sequence[str], k: int, allowed: Array | None = None) -> list[str]:
    """By distance, then id."""
    rows = range(len(ids)) if allowed is None else np.flatnonzero(allowed).tolist()
    return [ids[row] for row in sorted(rows, key=lambda row: (distances[row], ids[row]))[:k]]
