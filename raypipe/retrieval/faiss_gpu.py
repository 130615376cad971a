"""A GPU as Faiss uses it, and whether it can.

Where Faiss has no code for a card it does not raise but ends the process: ``faiss-gpu-cu12``, for one, has none for
Hopper. So each GPU is first tried in a process of its own, where searches are also held against the processor's::

    python -m raypipe.retrieval.faiss_gpu NUMBER
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

from raypipe.errors import RaypipeError
from raypipe.retrieval.scan_lists import add_to_lists, empty_lists, search_all

MOST = 2048
"""Rows that a search on a GPU can give, and lists that it can look at (``GPU_MAX_SELECTION_K``)."""

TEMPORARY_BYTES = 1 << 28
"""What Faiss keeps on a GPU to work in. It would take 1.5 GiB by itself."""

_TRIAL_S = 300.0
"""Code for a card newer than Faiss is made on its first use."""

_TRIED_ROWS, _TRIED_LISTS, _TRIED_COLUMNS = 4096, 16, 40
_TRIED_COUNTS = (1, 1024, MOST)


class FaissGpu:
    """A GPU in Faiss's hands. ``free``: to be held by who searches what was copied there: nothing in it is locked."""

    def __init__(self, number: int) -> None:
        kinds: Any = faiss
        self._number, self._resources, self.free = number, kinds.StandardGpuResources(), threading.Lock()
        self._resources.setTempMemory(TEMPORARY_BYTES)
        self._resources.setPinnedMemory(0)  # serves queries of 256 MiB and more only

    def copy(self, lists: Any) -> Any:
        """The same lists in the GPU's memory.

        Raises:
            RaypipeError: they do not fit, or there is no such GPU.
        """
        kinds: Any = faiss
        options = kinds.GpuClonerOptions()
        options.use_cuvs = False  # other limits, other arithmetic
        try:
            with self.free:
                return kinds.index_cpu_to_gpu(self._resources, self._number, lists, options)
        except RuntimeError as error:
            raise RaypipeError(f"GPU {self._number} cannot hold the scan rows: {error}") from error


@functools.cache
def works(number: int) -> bool:
    """Whether Faiss can search on a GPU, and finds what it should; warns if not. Takes seconds, once a process."""
    paths = os.pathsep.join(filter(None, sys.path))
    try:
        tried = subprocess.run(
            [sys.executable, "-m", "raypipe.retrieval.faiss_gpu", str(number)],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=_TRIAL_S,
        )
    except subprocess.TimeoutExpired:
        why = f"it took more than {_TRIAL_S:g} s"
    else:
        if tried.returncode == 0:
            return True
        why = (tried.stderr.strip().splitlines() or [f"it ended with {tried.returncode}"])[-1]
    warnings.warn(f"Faiss does not search on GPU {number}, torch does instead: {why}", RuntimeWarning, stacklevel=2)
    return False


def agrees(copy: Callable[[Any], Any]) -> bool:
    """Whether searches of copied lists give the highest scores, and these as the margin of ``scan_rows`` allows."""
    random = np.random.default_rng(0)
    rows_NC, probes_QC = (
        random.standard_normal((count, _TRIED_COLUMNS)).astype(kind).astype(np.float32)
        for count, kind in ((_TRIED_ROWS, np.float16), (3, np.float32))
    )
    lists = empty_lists(_TRIED_LISTS, _TRIED_COLUMNS)
    numbers, list_N = np.arange(_TRIED_ROWS), np.arange(_TRIED_ROWS) * 7 % _TRIED_LISTS
    add_to_lists(lists, rows_NC, numbers, list_N)
    copied, exact_QN = copy(lists), probes_QC.astype(np.float64) @ rows_NC.T.astype(np.float64)
    margin = (_TRIED_COLUMNS + 8) * 2.0**-24 * float((np.abs(probes_QC) @ np.abs(rows_NC).max(0)).max())
    for count in _TRIED_COUNTS:
        found_QK, scores_QK = search_all(copied, probes_QC, count)
        highest_QK = -np.sort(-exact_QN, axis=1)[:, :count]
        own_QK = np.take_along_axis(exact_QN, found_QK, axis=1)  # -1 is the last row, whose score it will not be
        if not np.abs(scores_QK - np.stack([highest_QK, own_QK])).max() <= margin:
            return False
    return True


if __name__ == "__main__":
    sys.exit(None if agrees(FaissGpu(int(sys.argv[1])).copy) else "its scores are not those of float32")
