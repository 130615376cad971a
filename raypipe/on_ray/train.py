"""Training on Ray Train: a group of workers that share every batch, started again when one of them is lost.

The state of a run is its own checkpoints (``pipeline.train.checkpoints``), which any storage can hold that all nodes
reach. Ray Train starts the workers, connects them, watches them; it keeps nothing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pyarrow.fs
import ray
import ray.train
import torch
from ray.exceptions import RayError
from ray.train import (
    ControllerError,
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
    TrainingFailedError,
    UserCallback,
    WorkerGroupError,
)
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.util.metrics import Counter, Gauge
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raypipe import storage
from raypipe.contract import Share
from raypipe.errors import RaypipeError, WrongUsage
from raypipe.on_ray.averaging import average_over_workers
from raypipe.on_ray.batches import RayBatches
from raypipe.on_ray.cluster import cause_of, cluster_nodes, connect
from raypipe.on_ray.settings import TrainOnRay
from raypipe.on_ray.train_layout import TrainLayout, lay_out_training
from raypipe.pipeline.interrupts import told_to_end
from raypipe.pipeline.train.batches import Batches, LocalBatches
from raypipe.pipeline.train.config import TrainJob
from raypipe.pipeline.train.job import CHECKPOINT_FIRST, begin, from_the_root, lease, work
from raypipe.pipeline.train.loop import Progress
from raypipe.pipeline.train.order import Order, Rows
from raypipe.pipeline.train.output_state import has_plan
from raypipe.pipeline.train.readers import Reader
from raypipe.pipeline.train.summary import Outcome

LOOK_EVERY_S = 0.5

FOR_GOOD = (
    RaypipeError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    ImportError,
)
"""What would only happen again. A lost worker or node looks like none of these, neither to the driver nor to the other
workers in the middle of an all-reduce; nor does storage that fails for a while."""


def train_on_ray(
    job: TrainJob,
    settings: TrainOnRay,
    *,
    require_gpu: bool,
    restart: bool,
    say: Callable[[str], None],
    watch: Callable[[Progress], None],
) -> Outcome:
    """The whole run, on the cluster that ``settings`` name.

    Raises:
        ImpossibleCluster: it could never run there.
        WrongUsage, ModelMismatch, Diverged: as ``train_locally``, at once and without another try.
        RaypipeError: workers were lost more often than the settings allow.
    """
    connect(settings.address)
    layout = lay_out_training(cluster_nodes(), settings, require_gpu=require_gpu)
    job = from_the_root(job)
    with lease(job, say) as held, told_to_end(say, CHECKPOINT_FIRST) as told:
        begin(job, restart=restart, say=say, workers=layout.workers)
        say(layout.in_words())
        board = _board_here()
        run = _in_background(_trainer(job, settings, layout, board).fit)
        while not run.done():
            time.sleep(LOOK_EVERY_S)
            held.check()
            _look(board, is_told=told.is_told(), say=say, watch=watch)
        _look(board, is_told=False, say=say, watch=watch)
        return replace(_outcome(run, settings), is_told=told.is_told())


def _trainer(job: TrainJob, settings: TrainOnRay, layout: TrainLayout, board: Any) -> TorchTrainer:
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(settings.start_timeout_s)
    # A worker that changes its directory would no longer find what a relative path in a setting means.
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    filesystem, path = storage.filesystem(job.state_uri)

    def train() -> Outcome:
        return _work(job, layout, board)

    return TorchTrainer(
        train,
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if layout.worker_gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=layout.workers, use_gpu=layout.worker_gpus > 0, resources_per_worker=layout.resources
        ),
        run_config=RunConfig(
            name="ray_train",
            storage_path=path,
            storage_filesystem=pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(filesystem)),
            failure_config=FailureConfig(
                max_failures=settings.max_failures, controller_failure_limit=settings.max_failures
            ),
            callbacks=[_Failures(board)],
            logging_config=LoggingConfig(log_level="CRITICAL"),
        ),
    )


def _work(job: TrainJob, layout: TrainLayout, board: Any) -> Outcome:
    """One worker, from the last checkpoint there is."""
    torch.set_num_threads(layout.threads)
    rank = ray.train.get_context().get_world_rank()
    if not has_plan(job):
        raise WrongUsage(
            f"{job.config.out!r} is another folder on the node of worker {rank}: on several nodes the output must be "
            "a folder that all of them share, or an object store's URI"
        )

    def batches_for(reader: Reader, order: Order, rows: Rows, rank: int, workers: int) -> Batches:
        local = LocalBatches(reader, order, rows, rank, workers)
        return RayBatches(job=job, layout=layout, facts=reader.facts, rank=rank, local=local)

    reports = _Reports(board) if rank == 0 else None
    return work(
        job,
        device=get_device(),
        share=Share(rank, layout.workers, average_over_workers) if layout.workers > 1 else Share(),
        watch=reports.watch if reports else lambda _: None,
        is_told=reports.is_told if reports else lambda: False,
        batches_for=batches_for,
    )


class _Failures(UserCallback):  # type: ignore[misc]
    """An error for good ends the run: Ray Train makes no other try after an exception in a callback."""

    def __init__(self, board: Any) -> None:
        self._board = board

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        for error in worker_exceptions.values():
            if isinstance(error, FOR_GOOD):
                raise error
        self._board.say.remote(f"workers were lost: {_causes(worker_exceptions)}")


class _Reports:
    """The first worker's messages to the driver, never more than one on its way, and the answer to them."""

    def __init__(self, board: Any) -> None:
        self._board = board
        self._answer: ray.ObjectRef | None = None
        self._is_told = False
        self._sent, self._images = time.monotonic(), 0
        self._count = Counter("raypipe_train_images", "Images that a training run has seen.")
        self._gauge = Gauge("raypipe_train_number", "What a training run logs.", tag_keys=("name",))

    def is_told(self) -> bool:
        return self._is_told

    def watch(self, progress: Progress) -> None:
        for name, value in progress.numbers.items():
            self._gauge.set(value, {"name": name})
        if time.monotonic() - self._sent < LOOK_EVERY_S:
            return
        if self._answer is not None:
            if not ray.wait([self._answer], timeout=0)[0]:
                return
            self._is_told = ray.get(self._answer)
        self._answer = self._board.hear.remote(progress)
        if self._images:
            self._count.inc(progress.images - self._images)
        self._sent, self._images = time.monotonic(), progress.images


class _Board:
    """Where the driver and the workers leave word for each other."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._said: list[str] = []
        self._is_told = False

    def hear(self, progress: Progress) -> bool:
        """Of the first worker; answers whether the run is to end."""
        self._progress = progress
        return self._is_told

    def say(self, message: str) -> None:
        self._said.append(message)

    def look(self, is_told: bool) -> tuple[Progress | None, list[str]]:
        """Of the driver: what is new since it looked last."""
        self._is_told = is_told
        news = self._progress, self._said
        self._progress, self._said = None, []
        return news


def _board_here() -> Any:
    """On the driver's machine: its loss is the end of the run anyway."""
    node = ray.get_runtime_context().get_node_id()
    here = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(_Board).options(num_cpus=0, scheduling_strategy=here).remote()


def _look(board: Any, *, is_told: bool, say: Callable[[str], None], watch: Callable[[Progress], None]) -> None:
    progress, said = ray.get(board.look.remote(is_told))
    for message in said:
        say(message)
    if progress is not None:
        watch(progress)


def _in_background(fit: Callable[[], ray.train.Result]) -> Future[ray.train.Result]:
    """Ray Train waits for its run without an end, and takes Ctrl-C for itself where it runs in the main thread."""
    future: Future[ray.train.Result] = Future()

    def run() -> None:
        try:
            future.set_result(fit())
        except (TrainingFailedError, RayError) as error:
            future.set_exception(error)
        finally:
            if not future.done():
                future.set_exception(RuntimeError("Ray Train ended without a result"))

    threading.Thread(target=run, name="ray-train", daemon=True).start()
    return future


def _outcome(run: Future[ray.train.Result], settings: TrainOnRay) -> Outcome:
    try:
        outcome: Outcome = run.result().return_value
        return outcome
    except ControllerError as error:
        if isinstance(error.controller_failure, RaypipeError):
            raise error.controller_failure from None
        raise RaypipeError(f"the run failed: {cause_of(error.controller_failure)}") from error
    except WorkerGroupError as error:
        raise RaypipeError(
            f"workers were lost more than {settings.max_failures} times, the last time: "
            f"{_causes(error.worker_failures)}; run the same command again to go on from the last checkpoint"
        ) from error
    except (TrainingFailedError, RayError) as error:
        raise RaypipeError(f"the cluster did not finish the run: {cause_of(error)}") from error


def _causes(errors: dict[int, Exception]) -> str:
    return "; ".join(dict.fromkeys(cause_of(error) for error in errors.values()))
