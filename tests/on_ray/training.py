"""Whole training runs, in this process and on Ray, and the workers that they lose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch

from raypipe.on_ray.settings import TrainOnRay
from raypipe.on_ray.train import train_on_ray
from raypipe.pipeline.train.config import TrainJob
from raypipe.pipeline.train.job import train_locally
from raypipe.pipeline.train.loop import Progress
from raypipe.pipeline.train.summary import Outcome
from raypipe.weights import open_bundle
from tests.on_ray.faults import when
from tests.pipeline.train.test_job import CPU, RECIPE, job_for


def long_job(folder: Path, out: Path | str) -> TrainJob:
    """Fifty steps, with a checkpoint every five."""
    return replace(job_for(folder, out), recipe=replace(RECIPE, steps=50))


def locally(job: TrainJob, watch: Callable[[Progress], None] = lambda _: None) -> dict[str, torch.Tensor]:
    train_locally(job, device=CPU, restart=False, say=print, watch=watch)
    return weights_of(job.config.out)


def on_ray(
    job: TrainJob,
    *,
    say: Callable[[str], None] = print,
    watch: Callable[[Progress], None] = lambda _: None,
    **settings: Any,
) -> Outcome:
    return train_on_ray(job, TrainOnRay(**settings), require_gpu=False, restart=False, say=say, watch=watch)


def weights_of(out: Path | str) -> dict[str, torch.Tensor]:
    bundle = open_bundle(str(out))
    return {f"{part}.{name}": tensor for part in bundle.parts for name, tensor in bundle.read(part).tensors.items()}


def assert_same(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], *, atol: float = 1e-5) -> None:
    """Means over workers round in another order, and rounding grows with the steps; hardly any weight is below 0.01."""
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=atol)


def checkpoints(out: Path) -> list[Path]:
    return sorted((out / "checkpoints").glob("step-*.pt"))


def once_it_has_checkpoints(out: Path, act: Callable[[], object]) -> when:
    return when(lambda: len(checkpoints(out)) >= 2, act)


def workers_alive() -> list[psutil.Process]:
    """Those of the clusters that this process has started."""
    return [child for child in psutil.Process().children(recursive=True) if _is_worker(child)]


def kill_a_worker() -> None:
    workers_alive()[0].kill()


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "RayTrainWorker" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # or a zombie
        return False
