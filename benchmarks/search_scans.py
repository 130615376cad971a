"""What the first scan of a shard takes by each way that there is on a device: for one query, and for many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.search_results import seconds_each
from raypipe.retrieval.answer import Wish, first_count
from raypipe.retrieval.batch_scan import ScanMatrix
from raypipe.retrieval.gpu_scan import faiss_gpu, first_scan
from raypipe.retrieval.scan_rows import Probe
from raypipe.retrieval.space import Array, Target
from raypipe.retrieval.stored_space import StoredSpace

_REPEATS = 5


def scan_ms(stored: StoredSpace, targets: Sequence[Target], k: int, device: torch.device) -> dict[str, list[float]]:
    """Milliseconds of all bounds of a shard, for the first target and for all, medians.

    ``faiss loop``: Faiss on the processor, query by query. ``product``: torch on the device. ``faiss``: Faiss on the
    device, where it can.
    """
    count, every = first_count(Wish(k=k)), np.arange(len(stored.list_sizes))
    probes_QC = np.stack([_probe_row(stored, target) for target in targets])
    ways: dict[str, Callable[[Array], Any]] = {
        "faiss loop": lambda probes: [stored.best(probe, every, count, None) for probe in probes],
        "product": partial(ScanMatrix(stored, device).best, count=count, allowed=None),
    }
    if gpu := faiss_gpu(device):
        ways["faiss"] = partial(first_scan(stored, device, gpu).propose, count=count, allowed=None)
    return {name: [_ms(way, probes_QC[:1]), _ms(way, probes_QC)] for name, way in ways.items()}


def _ms(way: Callable[[Array], Any], probes_QC: Array) -> float:
    way(probes_QC)
    return round(seconds_each(way, [probes_QC] * _REPEATS) * 1e3, 3)


def _probe_row(stored: StoredSpace, target: Target) -> Array:
    reduction = stored.reduction
    row: Array = Probe(reduction.reduce_target(target), target.weights, stored.slack, reduction.scale).row
    return row
