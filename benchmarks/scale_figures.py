"""Figures a row, a shard and a query, measured on small indexes; the made-up faces that they are measured on.

Three indexes of the same rows, in 1, 4 and 8 shards: what grows with the rows is told apart from what every shard costs
by a line through 1 and 8, and 4 is left to check what is made of it.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.faiss_rivals import K
from benchmarks.made_up_codes import Faces
from benchmarks.queues import Array, ServiceTimes
from benchmarks.search import BINDINGS, BLOCK, SPACE
from raypipe.contract import SearchSpace
from raypipe.retrieval.answer import Answer, Wish, merge
from raypipe.retrieval.build import (
    IndexSettings,
    fit_spaces,
    publish_new,
    sample_rows,
    stage_reductions,
    stage_shards,
)
from raypipe.retrieval.index import Index, open_index
from raypipe.retrieval.shard_search import search_shard
from raypipe.retrieval.shard_writer import Block
from raypipe.retrieval.space import Aim, make_target

WHOLE, CHECKED, SPLIT = 1, 4, 8
"""Shards of the three indexes."""

PREFERENCES = (1.0, 10.0, 100.0)
_ROUNDS, _READS, _MERGED = 3, 64, 256


@dataclass(frozen=True)
class Line:
    """``fixed`` + ``each`` * rows."""

    fixed: float
    each: float

    @staticmethod
    def through(few: tuple[float, float], many: tuple[float, float]) -> Line:
        """Two points of rows and value. A slope or a constant below 0 is noise, and then 0."""
        each = max(0.0, (many[1] - few[1]) / (many[0] - few[0]))
        return Line(max(0.0, few[1] - each * few[0]), each)

    def at(self, rows: float) -> float:
        return self.fixed + self.each * rows


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured; ``Line``: of a shard, by its rows.

    Attributes:
        fit_s: the pass that finds axes and lists, from a sample, once an index.
        disk_bytes, memory_bytes, build_s: of a shard. Memory is what is read whole for every exact query.
        search_s: mean of the query mix on a shard whose pages are in memory.
        compared: full vectors a query reads on a shard of ``split_rows`` rows, mean, and ``growth``: by what power of
            its rows that grows.
        cold_read_s: of one full vector that is not in memory.
        merge_s: a shard's answer into the whole.
        slowdown: of a shard's part where ``threads`` run at once.
    """

    width: int
    attributes: int
    columns: int
    code_bytes: int
    fit_s: float
    disk_bytes: Line
    memory_bytes: Line
    build_s: Line
    search_s: Line
    split_rows: int
    compared: float
    growth: float
    cold_read_s: float
    merge_s: float
    threads: int
    slowdown: float


@dataclass(frozen=True, kw_only=True)
class Built:
    """An index and what building took, without drawing the codes. ``shard_s``: of one shard, mean."""

    folder: str
    index: Index
    fit_s: float
    shard_s: float

    @property
    def rows_per_shard(self) -> float:
        return self.index.manifest.rows / len(self.index.shards())

    @property
    def disk_bytes(self) -> float:
        """Of a shard, mean."""
        shards = self.index.manifest.shards
        return sum(file.bytes for shard in shards for file in shard.files) / len(shards)

    @property
    def memory_bytes(self) -> float:
        """Of a shard, mean."""
        return self.index.memory_bytes / len(self.index.shards())


def wide_faces(small: Faces, width: int, attributes: int) -> Faces:
    """Codes of another width whose principal components fall off as those of ``small``, in directions drawn at random.

    The attributes' directions lie in the first 128 components, as where they are fitted to codes.
    """
    random = np.random.default_rng(0)
    sizes = np.linalg.norm(small.components, axis=1)
    axes = np.linalg.qr(random.standard_normal((width, len(sizes))))[0].T
    turn = np.linalg.qr(random.standard_normal((min(128, len(sizes)), attributes)))[0].T
    directions = turn @ axes[: turn.shape[1]]
    parts = np.zeros(width), sizes[:, None] * axes, directions
    mean, components, directions = (part.astype(np.float32) for part in parts)
    return Faces(mean, components, directions)


def built(folder: str, faces: Faces, rows: int, shards: int) -> Built:
    """Build as ``raypipe index build`` does: axes from a sample, then a shard at a time."""
    drawing_s = 0.0

    def blocks(count: int) -> Iterator[Block]:
        nonlocal drawing_s
        for number, start in enumerate(range(0, count, BLOCK)):
            began = time.perf_counter()
            vectors = faces.vectors(faces.codes(min(BLOCK, count - start), number))
            ids = pa.array([f"face-{i:09d}" for i in range(start, start + len(vectors))])
            drawing_s += time.perf_counter() - began
            yield Block(pa.table({"image_id": ids}), {SPACE: vectors})

    space, settings = search_space(faces), IndexSettings()
    started = time.perf_counter()
    forms = fit_spaces(settings, {SPACE: space}, blocks(min(rows, sample_rows(settings, space))))
    entries = stage_reductions(folder, forms, BINDINGS)
    fit_s, drawing_s, started = time.perf_counter() - started - drawing_s, 0.0, time.perf_counter()
    entry = stage_shards(folder, blocks(rows), forms, rows_per_shard=-(-rows // shards))
    shard_s = (time.perf_counter() - started - drawing_s) / shards
    publish_new(folder, entries, entry)
    return Built(folder=folder, index=open_index(folder), fit_s=fit_s, shard_s=shard_s)


def search_space(faces: Faces) -> SearchSpace:
    """Attributes first, then what they leave."""
    attributes, width = faces.directions.shape
    return SearchSpace(attributes + width, "weighted_l2", tuple(f"a{i}" for i in range(attributes)))


def queries(faces: Faces, count: int) -> list[list[Aim]]:
    """New faces with one attribute at the least or the most that 2,000 others have, each preference in turn."""
    space, random = search_space(faces), np.random.default_rng(0)
    along = faces.codes(2000, 10**6 + 1).astype(np.float32) @ faces.directions.T
    ends, asked = (along.min(0), along.max(0)), []
    for number, vector in enumerate(faces.vectors(faces.codes(count, 10**6))):
        attribute = int(random.integers(len(space.coordinates)))
        vector[attribute] = ends[int(random.integers(2))][attribute]
        preference = PREFERENCES[number % len(PREFERENCES)]
        asked.append([Aim(SPACE, make_target(space, vector, {space.coordinates[attribute]: preference}))])
    return asked


def part_seconds(index: Index, asked: Sequence[Sequence[Aim]]) -> tuple[Array, Array]:
    """Seconds [Q,S] of each query on each shard, one after the other with pages in memory, and rows compared [Q,S]."""
    seconds, compared = np.empty((2, len(asked), len(index.shards())))
    for row, aims in enumerate(asked):
        for column, shard in enumerate(index.shards()):
            search_shard(shard, aims, Wish(k=K), None)  # reads the pages
            began = time.perf_counter()
            (told,) = search_shard(shard, aims, Wish(k=K), None).explanations
            seconds[row, column], compared[row, column] = time.perf_counter() - began, told.compared
    return seconds, compared


def figures(
    whole: Built, split: Built, faces: Faces, asked: Sequence[Sequence[Aim]], threads: int
) -> tuple[Figures, ServiceTimes]:
    """From two indexes of the same rows in ``WHOLE`` and ``SPLIT`` shards.

    The typical seconds of a part are medians over rounds in which the two take turns: what else the machine does then
    moves them little. How parts vary is from all rounds.
    """
    both = split, whole
    cold_read_s = cold_read_seconds(whole)
    taken: list[list[Array]] = [[], []]
    for _ in range(_ROUNDS):
        searched = [part_seconds(each.index, asked) for each in both]
        for rounds, (seconds, _) in zip(taken, searched, strict=True):
            rounds.append(seconds)
    typical = [float(np.median(rounds, axis=0).mean()) for rounds in taken]
    compared, more = (float(compared.mean()) for _, compared in searched)
    few, many = (each.rows_per_shard for each in both)
    space = whole.index.shards()[0].spaces[SPACE]
    measured = Figures(
        width=faces.directions.shape[1],
        attributes=len(faces.directions),
        columns=space.columns,
        code_bytes=2 * faces.directions.shape[1],
        fit_s=statistics.mean(each.fit_s for each in both),
        disk_bytes=_line(both, [each.disk_bytes for each in both]),
        memory_bytes=_line(both, [each.memory_bytes for each in both]),
        build_s=_line(both, [each.shard_s for each in both]),
        search_s=_line(both, typical),
        split_rows=round(few),
        compared=compared,
        growth=max(0.0, math.log(more / compared) / math.log(many / few)),
        cold_read_s=cold_read_s,
        merge_s=merge_seconds(split.index, asked[0]),
        threads=threads,
        slowdown=slowdown(split.index, asked, threads),
    )
    return measured, ServiceTimes.of(np.concatenate(taken[0]))


def _line(both: tuple[Built, Built], values: Sequence[float]) -> Line:
    few, many = zip([each.rows_per_shard for each in both], values, strict=True)
    return Line.through(few, many)


def slowdown(index: Index, asked: Sequence[Sequence[Aim]], threads: int) -> float:
    """How much longer a part takes where ``threads`` run at once, but never less than 1."""
    parts = [(aims, shard) for aims in asked for shard in index.shards()]

    def seconds(count: int) -> float:
        with ThreadPoolExecutor(count) as pool:
            began = time.perf_counter()
            list(pool.map(lambda part: search_shard(part[1], part[0], Wish(k=K), None), parts))
            return (time.perf_counter() - began) * count / len(parts)

    return max(1.0, statistics.median(seconds(threads) / seconds(1) for _ in range(3)))


def cold_read_seconds(built: Built) -> float:
    """Of a full vector from the disk: pages are dropped from memory before. No search may have read them yet."""
    space = built.index.shards()[0].spaces[SPACE]
    row_bytes = 4 * (space.space.width - space.reduction.attribute_count)
    places = np.random.default_rng(0).integers(0, space.rows, _READS) * row_bytes
    (path, *_) = Path(built.folder).glob(f"shards/*/{SPACE}/rest.bin")
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
        return _mean_seconds(lambda place: os.pread(file, row_bytes, place), places.tolist())
    finally:
        os.close(file)


def merge_seconds(index: Index, aims: Sequence[Aim]) -> float:
    """A shard's share of merging the answers of many."""
    answer = search_shard(index.shards()[0], aims, Wish(k=K), None)
    many = [Answer(answer.hits, answer.explanations)] * _MERGED
    merge(many, Wish(k=K))
    return _mean_seconds(lambda answers: merge(answers, Wish(k=K)), [many] * 5) / _MERGED


def _mean_seconds(act: Callable[[Any], Any], arguments: Sequence[Any]) -> float:
    began = time.perf_counter()
    for argument in arguments:
        act(argument)
    return (time.perf_counter() - began) / len(arguments)
