"""An index made in this process, shard by shard."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from raypipe.pipeline.index.codes import ahead
from raypipe.pipeline.index.sampling import Pick
from raypipe.pipeline.index.stage import ShardReport, Work, open_worker
from raypipe.retrieval.index import read_forms
from raypipe.retrieval.manifest import SpaceEntry
from raypipe.retrieval.shard_writer import Block


@dataclass(frozen=True)
class RunLocally:
    """A runner (``job.Runner``) that needs nothing but this process."""

    worker_count: int = 1

    @property
    def workers(self) -> str:
        return f"this process, {torch.get_num_threads()} threads"

    def sample(self, work: Work, picks: Sequence[Pick], check: Callable[[], None]) -> Iterator[Block]:
        worker = open_worker(work)
        for block in ahead(worker.sample(pick) for pick in picks):
            check()
            yield block

    def stage(
        self, work: Work, spaces: Mapping[str, SpaceEntry], numbers: Sequence[int], moved: Callable[[int], None]
    ) -> Iterator[ShardReport]:
        worker, forms = open_worker(work), read_forms(work.out, spaces)
        for number in numbers:
            yield worker.stage(number, forms, moved)

    def facts(self) -> Mapping[str, Any]:
        """The most memory this process has held, in bytes."""
        return {"peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
