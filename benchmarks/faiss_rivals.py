"""Faiss's own indexes over full vectors, in the form in which any preference is one inner product.

A row is [r, u, u^2, |r|^2], a query [2 r_q, 2 p c, -p, -1]: then their product is a constant minus the distance. The
flat index looks at every row, the inverted file at the lists that promise the highest products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from raypipe.retrieval.space import Array, Target

K = 20
TRAINING_ROWS_PER_LIST = 40
BLOCK = 65_536


class Full:
    """``flat`` over the rows that are added; ``inverted`` over the same, once ``invert`` made it."""

    def __init__(self, width: int, attributes: int) -> None:
        self._attributes = attributes
        self.flat = faiss.IndexFlatIP(width + 2 * attributes + 1)
        self.inverted: Any = None

    @property
    def bytes_per_row(self) -> int:
        """Of each index."""
        return int(self.flat.d) * 4

    def add(self, vectors_NW: Array) -> None:
        """``vectors_NW``: [u, r], as a space compares them."""
        along, rest = vectors_NW[:, : self._attributes], vectors_NW[:, self._attributes :]
        parts = [rest, along, along**2, (rest**2).sum(1, keepdims=True)]
        self.flat.add(np.ascontiguousarray(np.concatenate(parts, axis=1)))

    def invert(self) -> None:
        """Four times the square root of the rows in lists, as Faiss's guidelines have it."""
        rows, width = self.flat.ntotal, self.flat.d
        every: npt.NDArray[np.float32] = faiss.rev_swig_ptr(self.flat.get_xb(), rows * width).reshape(rows, width)
        lists = 2 ** round(math.log2(4 * math.sqrt(rows)))
        self.inverted = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
        chosen = np.random.default_rng(0).permutation(rows)[: TRAINING_ROWS_PER_LIST * lists]
        self.inverted.train(every[chosen])
        for start in range(0, rows, BLOCK):
            self.inverted.add(every[start : start + BLOCK])

    def probe_for(self, targets: Sequence[Target], truth: Sequence[set[int]], recall: float) -> float:
        """Look at twice as many lists until this recall is reached; the recall that was."""
        self.inverted.nprobe, reached = 1, 0.0
        while True:
            found = [set(nearest(self.inverted, target).tolist()) for target in targets]
            reached = sum(len(a & b) for a, b in zip(found, truth, strict=True)) / sum(map(len, truth))
            if reached >= recall or self.inverted.nprobe >= self.inverted.nlist:
                return reached
            self.inverted.nprobe *= 2


def nearest(index: Any, target: Target) -> Array:
    """The rows with the highest products."""
    parts = [2 * target.rest, 2 * target.weights * target.wanted, -target.weights, -np.ones(1)]
    found: Array = index.search(np.concatenate(parts)[None].astype(np.float32), K)[1][0]
    return found
