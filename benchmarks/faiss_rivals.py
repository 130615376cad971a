"""Faiss's own indexes over full vectors, in the form in which any preference is one inner product.

A row is [r, u, u^2, |r|^2], a query [2 r_q, 2 p c, -p, -1]: then their product is a constant minus the distance. The
flat index looks at every row, the inverted file at the lists that promise the highest products. R rows, V numbers each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import faiss
import numpy as np

from raypipe.retrieval.space import Array, Target

K = 20
TRAINING_ROWS_PER_LIST = 40


class Rows(Protocol):
    """All rows [R,V] float32, in blocks."""

    @property
    def shape(self) -> tuple[int, int]:
        """R and V."""

    def __iter__(self) -> Iterator[Array]:
        """From the first, every time."""


def full_vectors(vectors_NW: Array, attributes: int) -> Array:
    """[u, r], as a space compares them, -> [n,V]."""
    along, rest = vectors_NW[:, :attributes], vectors_NW[:, attributes:]
    return np.ascontiguousarray(np.concatenate([rest, along, along**2, (rest**2).sum(1, keepdims=True)], axis=1))


def full_width(width: int, attributes: int) -> int:
    """V."""
    return width + 2 * attributes + 1


def flat_over(rows: Rows) -> Any:
    """Looks at every row."""
    flat = faiss.IndexFlatIP(rows.shape[1])
    for block in rows:
        flat.add(block)
    return flat


def inverted_over(rows: Rows) -> Any:
    """Four times the square root of the rows in lists, as Faiss's guidelines have it."""
    count, width = rows.shape
    lists = 2 ** round(math.log2(4 * math.sqrt(count)))
    share = min(1.0, TRAINING_ROWS_PER_LIST * lists / count)
    random = np.random.default_rng(0)
    inverted = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
    inverted.train(np.concatenate([block[random.random(len(block)) < share] for block in rows]))
    for block in rows:
        inverted.add(block)
    return inverted


def probe_for(inverted: Any, targets: Sequence[Target], truth: Sequence[set[int]], recall: float) -> float:
    """Let it look at twice as many lists until this recall is reached; the recall that was."""
    inverted.nprobe = 1
    while True:
        found = [set(nearest(inverted, target).tolist()) for target in targets]
        reached = sum(len(a & b) for a, b in zip(found, truth, strict=True)) / sum(map(len, truth))
        if reached >= recall or inverted.nprobe >= inverted.nlist:
            return reached
        inverted.nprobe *= 2


def nearest(index: Any, target: Target) -> Array:
    """The rows with the highest products."""
    parts = [2 * target.rest, 2 * target.weights * target.wanted, -target.weights, -np.ones(1)]
    found: Array = index.search(np.concatenate(parts)[None].astype(np.float32), K)[1][0]
    return found
