"""Training batches through Ray Data: read and decoded by tasks on any node, split among the training workers.

``streaming_split`` promises rows to each worker, not which ones. Here they are certain: a task reads one worker's
shares of a few steps, as one block; for the same steps come the tasks of all workers in turn, of equal length; the
order of blocks is preserved; and the splitter gives the next block to the worker with the fewest rows so far, of
several the first. So block ``i`` goes to worker ``i % workers``. Every row tells its step and worker all the same, and
what came to the wrong place stops the run.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
import ray.data
import ray.train.collective
from ray.data import ExecutionResources
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask
from ray.exceptions import RayTaskError

from raypipe.contract import DataFacts
from raypipe.errors import RaypipeError
from raypipe.on_ray.train_layout import TrainLayout
from raypipe.pipeline.train.batches import LocalBatches, row_bytes
from raypipe.pipeline.train.config import TrainJob
from raypipe.pipeline.train.readers import Arrays, open_reader, split_rows

BLOCKS_AHEAD = 2
ROWS_OF_A_TASK = 256
BYTES_OF_A_TASK = 16 * 2**20
LEAST_STORE_BYTES = 64 * 2**20
STEP, RANK, REJECTED = "_step", "_rank", "_rejected"


@dataclass(frozen=True, kw_only=True)
class RayBatches:
    """One worker's batches (``pipeline.train.batches.Batches``); the workers of a group must all ask for theirs.

    ``local`` reads the worker's share where a batch is all rows: once, so there is nothing to stream. A dataset's tasks
    are all listed before the first one runs, so a long run has several, one after the other.
    """

    job: TrainJob
    layout: TrainLayout
    facts: DataFacts
    rank: int
    local: LocalBatches
    tasks_of_a_dataset: int = 4_000
    rejected: dict[int, str] = field(default_factory=dict)

    def from_step(self, step: int) -> Generator[Arrays]:
        """Raises:
        RaypipeError: the data cannot be read.
        """
        if self.job.recipe.batch == 0:
            yield from self.local.from_step(step)
            return
        most = max(1, self.tasks_of_a_dataset // self.layout.workers) * self._steps_of_a_task
        for first in range(step, self.job.recipe.steps, most):
            try:
                yield from self._between(first, min(first + most, self.job.recipe.steps))
            except RayTaskError as error:
                own = _own_error(error)
                if own is None:
                    raise  # a reader or its node was lost
                raise own from error

    @property
    def _share_rows(self) -> int:
        return int(self.job.recipe.batch) // self.layout.workers

    @property
    def _steps_of_a_task(self) -> int:
        return max(1, min(ROWS_OF_A_TASK, BYTES_OF_A_TASK // row_bytes(self.facts)) // self._share_rows)

    def _between(self, first: int, end: int) -> Iterator[Arrays]:
        """From one dataset."""
        split = self._dataset(first, end) if self.rank == 0 else None
        mine = ray.train.collective.broadcast_from_rank_zero(split)[self.rank]
        blocks = mine.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=BLOCKS_AHEAD)
        steps = itertools.count(first)
        for block in blocks:
            self.rejected.update(json.loads(block.column(REJECTED)[0].as_py()))
            for start in range(0, len(block), self._share_rows):
                yield self._arrays(block.slice(start, self._share_rows), next(steps))

    def _dataset(self, first: int, end: int) -> list[ray.data.DataIterator]:
        _configure(self._store_bytes())
        source = _Shares(self.job, self.layout.workers, range(first, end), self._steps_of_a_task)
        dataset = ray.data.read_datasource(
            source,
            override_num_blocks=len(source.tasks),
            num_cpus=self.layout.read_cpus,
        )
        split: list[ray.data.DataIterator] = dataset.streaming_split(self.layout.workers, equal=True)
        return split

    def _store_bytes(self) -> int:
        """What blocks may hold of the object stores: two for every reader, and two for every worker."""
        block = self._steps_of_a_task * self._share_rows * row_bytes(self.facts)
        return max(LEAST_STORE_BYTES, 2 * (self.layout.readers + self.layout.workers) * block)

    def _arrays(self, share: pa.Table, step: int) -> Arrays:
        came = (share.column(STEP)[0].as_py(), share.column(RANK)[0].as_py())
        if came != (step, self.rank):
            raise RaypipeError(f"worker {self.rank} got the batch of step {came[0]}, worker {came[1]} at step {step}")
        return {name: _to_array(share.column(name)) for name in share.column_names if not name.startswith("_")}


def _own_error(error: RayTaskError) -> RaypipeError | None:
    """What a reading task raised, if that is one of ours."""
    cause: Exception = error
    while isinstance(cause, RayTaskError):
        cause = cause.cause
    return cause if isinstance(cause, RaypipeError) else None


class _Shares(Datasource):  # type: ignore[misc]
    """Read tasks of a few consecutive steps: one for every worker, then those of the next steps."""

    def __init__(self, job: TrainJob, workers: int, steps: range, steps_of_a_task: int) -> None:
        super().__init__()
        self._job, self._workers = job, workers
        several = [steps[start : start + steps_of_a_task] for start in range(0, len(steps), steps_of_a_task)]
        self.tasks = [(some, rank) for some in several for rank in range(workers)]

    def get_name(self) -> str:
        return "TrainingBatches"

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        facts = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        job = ray.put(self._job)
        return [ReadTask(partial(_read, job, steps, rank, self._workers), facts) for steps, rank in self.tasks]


def _read(job: ray.ObjectRef, steps: range, rank: int, workers: int) -> Iterator[pa.Table]:
    batches = replace(_opened(ray.get(job)), rank=rank, workers=workers)
    rows = [batches.rows_of_step(step) for step in steps]
    count = len(rows) * len(rows[0])
    arrays = batches.reader.read(np.concatenate(rows), batches.rows)
    rejected = json.dumps([*batches.rejected.items()])  # all that this process knows: an earlier run may have been told
    told = {
        STEP: pa.array(np.repeat(steps, len(rows[0]))),
        RANK: pa.array([rank] * count),
        REJECTED: pa.array([rejected] + [""] * (count - 1)),  # of the block, told once
    }
    yield pa.table({name: _to_column(array) for name, array in arrays.items()} | told)


@lru_cache(maxsize=1)
def _opened(job: TrainJob) -> LocalBatches:
    """Of the whole batch. A reading process keeps its data open from task to task."""
    reader = open_reader(job.config.data, job.columns, job.state_uri)
    split = split_rows(reader, held_out=job.config.data.held_out)
    order = split.order(reader.groups, batch=job.recipe.batch, seed=job.config.seed)
    return LocalBatches(reader, order, split.training)


def _to_column(array: npt.NDArray[Any]) -> pa.Array:
    array = np.ascontiguousarray(array)
    return pa.array(array) if array.ndim == 1 else pa.FixedShapeTensorArray.from_numpy_ndarray(array)


def _to_array(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A copy: what lies in the object store cannot be written to, and torch warns of that."""
    whole = column.combine_chunks()
    is_tensor = isinstance(whole, pa.FixedShapeTensorArray)
    return np.array(whole.to_numpy_ndarray() if is_tensor else whole.to_numpy(zero_copy_only=False))


def _configure(store_bytes: int) -> None:
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.execution_options.resource_limits = ExecutionResources.for_limits(object_store_memory=store_bytes)
    context.target_max_block_size = None  # a worker's share of a step must stay one block
    context.max_errored_blocks = 0
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.issue_detectors_config.detectors = []
    logging.getLogger("ray.data").setLevel(logging.ERROR)
