"""Several workers of one batch, each a thread of this process: what a recipe's result must not depend on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from raypipe.contract import Columns, Recipe, Share


class Meeting:
    """Workers bring tensors and leave with the means."""

    def __init__(self, count: int) -> None:
        self._barrier = threading.Barrier(count, timeout=60)
        self._brought: list[Sequence[Tensor]] = [()] * count

    def average_for(self, rank: int) -> Callable[[Sequence[Tensor]], None]:
        def average(tensors: Sequence[Tensor]) -> None:
            self._brought[rank] = tensors
            self._barrier.wait()
            means = [torch.stack(list(together)).mean(0) for together in zip(*self._brought, strict=True)]
            self._barrier.wait()
            for tensor, mean in zip(tensors, means, strict=True):
                tensor.copy_(mean)
            self._barrier.wait()

        return average


def run_with_workers(build: Callable[[Share], Recipe], batches: Sequence[Columns], count: int) -> list[Recipe]:
    """Every worker's recipe after a step on its share of each batch. ``build`` makes the recipe of one worker."""
    meeting = Meeting(count)
    # Built one after the other: modules draw their first weights from the process's own random state.
    shares = [Share(rank, count, meeting.average_for(rank)) for rank in range(count)]
    recipes = [build(share) for share in shares]

    def work(rank: int) -> None:
        for batch in batches:
            recipes[rank].step({name: shares[rank].of(column) for name, column in batch.items()})

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(work, rank) for rank in range(count)]:
            done.result()
    return recipes
