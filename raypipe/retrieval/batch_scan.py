"""The first scan of many queries as one product: a block of rows times all their probes, on a CPU or a GPU.

Faiss on a CPU reads and decodes every float16 row once a query, a product once for all. Its sums are float32 in another
order, which the margin of ``scan_rows`` covers; so only the candidates' order can differ, never an answer.
Torch may be told to multiply with fewer bits than float32 has; then nothing is done here.
N rows of a block, C columns, Q queries, F scores found so far.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from raypipe.retrieval.plan import CALL_S, scan_seconds
from raypipe.retrieval.space import Array
from raypipe.retrieval.stored_space import StoredSpace

PRODUCT_S = (2.5e-10, 5e-11)
"""Per row and column: decoding. Per row, column and query: the product, and choosing the highest scores."""

_BLOCK_ROWS, _GPU_BLOCK_ROWS = 4096, 1 << 17
"""On a CPU so few that they stay in its cache; on a GPU each block costs some 15 launches and a wait, however small."""

_TRIM_AT = 8
"""So many times the scores that are wanted are held before the lowest are dropped."""


class FirstScan(Protocol):
    """Finds for many queries at once what each would look at first."""

    def propose(self, probes_QC: Array, count: int, allowed: Array | None) -> list[tuple[Array, Array]] | None:
        """For each probe the rows and scores of the ``count`` highest scores, highest first; fewer if there are fewer.

        Scores are sums of float32 products in any order. None: each query had better scan by itself.

        Args:
            probes_QC: float32.
            allowed: bool, the rows that count; None: all.
        """
        ...


class ScanMatrix:
    """The scan rows of a shard's space, in blocks; on a CPU these are Faiss's own memory, on a GPU a copy."""

    def __init__(self, stored: StoredSpace, device: torch.device) -> None:
        self._stored, self._device = stored, device
        self._blocks: list[list[tuple[Tensor, Tensor]]] = []
        free, block = 0, _BLOCK_ROWS if device.type == "cpu" else _GPU_BLOCK_ROWS
        for numbers, rows in stored.scan_rows():
            for start in range(0, len(rows), block):
                piece = slice(start, start + block)
                if free < len(rows[piece]):
                    self._blocks.append([])
                    free = block
                free -= len(rows[piece])
                self._blocks[-1].append((_on(device, numbers[piece]), _on(device, rows[piece])))

    def propose(self, probes_QC: Array, count: int, allowed: Array | None) -> list[tuple[Array, Array]] | None:
        """As ``FirstScan.propose``."""
        kept = self._stored.rows if allowed is None else int(np.count_nonzero(allowed))
        return self.best(probes_QC, count, allowed) if self.pays(len(probes_QC), allowed, kept) else None

    def pays(self, queries: int, allowed: Array | None, count: int) -> bool:
        """Whether one product is cheaper than as many scans by Faiss as there are queries."""
        if not _multiplies_as_float32():
            return False
        if self._device.type != "cpu":
            return True
        decoding, product = (seconds * self._stored.columns for seconds in PRODUCT_S)
        once_s = CALL_S + self._stored.rows * decoding + queries * count * product
        return once_s < queries * scan_seconds(self._stored, self._stored.rows, count, allowed)

    def best(self, probes_QC: Array, count: int, allowed: Array | None) -> list[tuple[Array, Array]]:
        """What ``propose`` promises, whether it pays or not."""
        probes = _on(self._device, probes_QC)
        mask = None if allowed is None else _on(self._device, allowed)
        found = _Highest(len(probes), count, self._device)
        for block in self._blocks:
            numbers_N = torch.cat([numbers for numbers, _ in block])
            rows_NC = torch.cat([rows for _, rows in block])
            if mask is not None:
                kept_N = mask[numbers_N]
                numbers_N, rows_NC = numbers_N[kept_N], rows_NC[kept_N]
            found.add(numbers_N, probes @ rows_NC.float().T)
        return found.by_query()


class _Highest:
    """The highest scores so far: ``query``, ``row`` and ``score`` [F]; those below ``least`` [Q] are not among them."""

    def __init__(self, queries: int, count: int, device: torch.device) -> None:
        self._count = count
        self._least = torch.full((queries,), -torch.inf, device=device)
        self._query = torch.empty(0, dtype=torch.int64, device=device)
        self._row, self._score = self._query, torch.empty(0, device=device)

    def add(self, numbers_N: Tensor, scores_QN: Tensor) -> None:
        if not len(self._score) and len(numbers_N) >= self._count:  # a first guess, so that few have to be sorted
            self._least = scores_QN.topk(self._count, dim=1).values[:, -1]
        places_F = (scores_QN >= self._least[:, None]).flatten().nonzero()[:, 0]
        self._query = torch.cat([self._query, places_F // max(1, len(numbers_N))])
        self._row = torch.cat([self._row, numbers_N[places_F % max(1, len(numbers_N))]])
        self._score = torch.cat([self._score, scores_QN.flatten()[places_F]])
        if len(self._score) > _TRIM_AT * self._count * len(self._least):
            self._trim()

    def by_query(self) -> list[tuple[Array, Array]]:
        self._trim()
        ends = torch.bincount(self._query, minlength=len(self._least)).cumsum(0).cpu().numpy()[:-1]
        rows, scores = self._row.cpu().numpy(), self._score.cpu().numpy()
        return list(zip(np.split(rows, ends), np.split(scores, ends), strict=True))

    def _trim(self) -> None:
        """Sort by query, then score, and drop what is not among a query's highest."""
        order = self._score.argsort(descending=True)
        order = order[self._query[order].argsort(stable=True)]
        query, score = self._query[order], self._score[order]
        sizes = torch.bincount(query, minlength=len(self._least))
        rank = torch.arange(len(query), device=query.device) - (sizes.cumsum(0) - sizes)[query]
        last = rank == self._count - 1
        self._least[query[last]] = score[last]
        kept = rank < self._count
        self._query, self._row, self._score = query[kept], self._row[order][kept], score[kept]


def _multiplies_as_float32() -> bool:
    """Whether torch does. Its older ``get_float32_matmul_precision`` raises where a program uses the newer settings."""
    backends: Any = torch.backends
    told = {backends.cuda.matmul.fp32_precision, backends.mkldnn.matmul.fp32_precision}
    return told <= {"none", "ieee"}


def _on(device: torch.device, array: Array) -> Tensor:
    return torch.from_numpy(array).to(device)
