"""An index made on Ray: a task for each picked part of the sample, and one for each shard.

A shard's files and record are written under names that its content decides, so tasks may die and be tried again at any
moment: the worst is a shard made twice, with the same bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from raypipe.errors import ImpossibleCluster, RaypipeError
from raypipe.on_ray.cluster import cause_of, cluster_nodes
from raypipe.on_ray.layout import nodes_in_words, room_for
from raypipe.on_ray.settings import IndexOnRay
from raypipe.pipeline.encode.beside import LOOK_EVERY_S
from raypipe.pipeline.index.sampling import Pick
from raypipe.pipeline.index.stage import ShardReport, ShardWorker, Work, open_worker
from raypipe.retrieval.index import read_forms
from raypipe.retrieval.manifest import SpaceEntry
from raypipe.retrieval.shard_writer import Block

WORKER_BYTES = 2**30
"""Of memory that a worker needs beside the scan rows of its shard, which stay in it until they are written."""


def workers_on_cluster(settings: IndexOnRay) -> int:
    """How many shards can be made at once on the cluster that is connected.

    Raises:
        ImpossibleCluster: not one.
    """
    nodes = cluster_nodes()
    fitting = room_for(nodes, settings.worker_cpus, 0.0, WORKER_BYTES)
    if not fitting:
        raise ImpossibleCluster(
            f"this cluster can never make a shard: a worker needs {settings.worker_cpus:g} CPU and "
            f"{WORKER_BYTES / 2**30:g} GiB of memory on one node ({nodes_in_words(nodes)})"
        )
    return min(fitting, settings.workers or fitting)


@dataclass(frozen=True)
class RunOnRay:
    """A runner (``pipeline.index.job.Runner``) for the cluster that is connected."""

    worker_count: int
    settings: IndexOnRay

    @property
    def workers(self) -> str:
        count = f"{self.worker_count} worker{'s' if self.worker_count > 1 else ''}"
        return f"Ray, up to {count} ({self.settings.worker_cpus:g} CPU each), a shard each"

    def facts(self) -> Mapping[str, Any]:
        return {}

    def sample(self, work: Work, picks: Sequence[Pick], check: Callable[[], None]) -> Iterator[Block]:
        """Vectors of the picked rows, in their order; a bounded number of parts is in flight.

        ``check`` is called several times a second; what it raises ends it.

        Raises:
            RaypipeError: a part cannot be read, or workers died more often than the settings allow.
        """
        known, task = ray.put(work), self._task(_sample)
        waiting: deque[ray.ObjectRef] = deque()
        left = iter(picks)
        while True:
            waiting += [task.remote(known, pick) for pick in islice(left, 2 * self.worker_count - len(waiting))]
            if not waiting:
                return
            yield _got(_first_of([waiting.popleft()], check))

    def stage(
        self, work: Work, spaces: Mapping[str, SpaceEntry], numbers: Sequence[int], moved: Callable[[int], None]
    ) -> Iterator[ShardReport]:
        """A task a shard; told of as they end. ``moved`` is called several times a second.

        Raises:
            RaypipeError: a shard cannot be made, or workers died more often than the settings allow. Finished shards
                stay.
        """
        known, held, task = ray.put(work), ray.put(dict(spaces)), self._task(_stage)
        left = iter(numbers)
        running = [task.remote(known, held, number) for number in islice(left, self.worker_count)]
        try:
            while running:
                ready = _first_of(running, lambda: moved(0))
                running.remove(ready)
                report: ShardReport = _got(ready)
                running += [task.remote(known, held, number) for number in islice(left, 1)]
                moved(report.rows + sum(count for count, _ in report.skipped.values()))
                yield report
        finally:
            for still in running:
                ray.cancel(still)

    def _task(self, function: Callable[..., Any]) -> Any:
        settings = self.settings
        return ray.remote(function).options(num_cpus=settings.worker_cpus, max_retries=settings.retries)


def _sample(work: Work, pick: Pick) -> Block:
    return _worker(_AsKey(work)).sample(pick)


def _stage(work: Work, spaces: Mapping[str, SpaceEntry], number: int) -> ShardReport:
    worker = _worker(_AsKey(work))
    return worker.stage(number, read_forms(work.out, spaces), lambda _: None)


class _AsKey:
    """A job's work as a key: the model is opened once for all tasks of a job in a worker process."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def __hash__(self) -> int:
        return hash(self.work.plan)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _AsKey) and (self.work.plan, self.work.out) == (other.work.plan, other.work.out)


@lru_cache(maxsize=1)
def _worker(key: _AsKey) -> ShardWorker:
    torch.set_num_threads(max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1))))
    return open_worker(key.work)


def _first_of(references: list[ray.ObjectRef], check: Callable[[], None]) -> ray.ObjectRef:
    """The first that is ready; ``check`` is called while there is none."""
    while True:
        ready, _ = ray.wait(references, num_returns=1, timeout=LOOK_EVERY_S)
        check()
        if ready:
            return ready[0]


def _got(reference: ray.ObjectRef) -> Any:
    try:
        return ray.get(reference)
    except RayError as error:
        raise RaypipeError(f"the cluster did not finish the job: {cause_of(error)}") from error
