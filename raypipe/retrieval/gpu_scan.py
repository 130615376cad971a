"""The first scan by Faiss on a GPU: a shard's lists are copied there, and every query looks at all of them.

What Faiss's source says (1.13 to 1.15, ``faiss/gpu``), and what follows from it here:

- A float16 number is decoded as it is, the query stays float32, and each score is one float32 sum over the columns
  (``IVFInterleaved.cuh``, ``IPDistance``). The margin of ``scan_rows`` covers that. A flat index of float16 would round
  the query, which the margin does not cover.
- A search gives 2,048 rows of 2,048 lists at most, and looks past a selector without a word.
- Nothing of ``StandardGpuResources`` is locked.

So what has a filter or wants more is left to the product of ``batch_scan``, and one search is done at a time.
Q queries, K rows of each, C columns.
"""

from __future__ import annotations

import threading
from typing import Any

import faiss
import numpy as np
import torch

from raypipe.retrieval.batch_scan import FirstScan, ScanMatrix
from raypipe.retrieval.faiss_gpu import MOST, TEMPORARY_BYTES, FaissGpu, works
from raypipe.retrieval.scan_lists import search_all
from raypipe.retrieval.space import Array
from raypipe.retrieval.stored_space import StoredSpace

_SCORE_BYTES = 12
"""Faiss keeps the highest scores of every list with their places before it chooses among them."""


def faiss_gpu(device: torch.device) -> FaissGpu | None:
    """A device as Faiss uses it; None where that is no GPU, or Faiss was installed for none or cannot use this one."""
    if device.type != "cuda":
        return None
    number = torch.cuda.current_device() if device.index is None else device.index
    return FaissGpu(number) if number < faiss.get_num_gpus() and works(number) else None


def first_scan(stored: StoredSpace, device: torch.device, gpu: FaissGpu | None) -> FirstScan:
    """What scans a shard's space for many queries at once. ``gpu``: the device as Faiss uses it, where it shall."""
    if gpu is None or len(stored.list_sizes) > MOST:
        return ScanMatrix(stored, device)
    return FaissScan(stored, gpu.copy(stored.scanned), gpu.free, device)


class FaissScan:
    """All lists of a shard's space, searched by Faiss for all queries at once; safe to use from several threads.

    Args:
        lists: an index that holds what ``stored`` does, such as a copy on a GPU.
        free: held during each search of it.
        device: where the product does what ``lists`` cannot; it copies the rows once more when it first has to.
    """

    def __init__(self, stored: StoredSpace, lists: Any, free: threading.Lock, device: torch.device) -> None:
        self._stored, self._lists, self._free, self._device = stored, lists, free, device
        self._matrix: ScanMatrix | None = None

    def propose(self, probes_QC: Array, count: int, allowed: Array | None) -> list[tuple[Array, Array]] | None:
        """As ``FirstScan.propose``."""
        if allowed is not None or count > MOST:
            return self._product().propose(probes_QC, count, allowed)
        wanted = min(count, self._stored.rows)
        at_once = max(1, TEMPORARY_BYTES // (len(self._stored.list_sizes) * self._list_bytes(wanted)))
        with self._free:
            found = [
                search_all(self._lists, probes_QC[i : i + at_once], wanted) for i in range(0, len(probes_QC), at_once)
            ]
        rows_QK, scores_QK = (np.concatenate(parts) for parts in zip(*found, strict=True))
        # Faiss fills up with -1 where a score or a list's distance was too large for a float32. Who finds fewer rows
        # than were asked for takes them for all there are, which these would not be.
        if (rows_QK < 0).any():
            return None
        return list(zip(rows_QK, scores_QK, strict=True))

    def _product(self) -> ScanMatrix:
        with self._free:  # two threads would copy the rows twice
            self._matrix = self._matrix or ScanMatrix(self._stored, self._device)
            return self._matrix

    def _list_bytes(self, wanted: int) -> int:
        """Of one query in one list: scores, and the room for a centroid that Faiss takes though it uses none."""
        return _SCORE_BYTES * wanted + 4 * self._stored.columns
