"""What a run would do and cost, found without writing anything at its output: ``--dry-run``."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from raypipe.config import as_dict
from raypipe.contract import Share
from raypipe.pipeline.train.batches import LocalBatches
from raypipe.pipeline.train.checkpoints import in_bytes
from raypipe.pipeline.train.config import TrainJob
from raypipe.pipeline.train.job import built, from_the_root, refuse_unequal_shares
from raypipe.pipeline.train.output_state import OutputState, has_plan, look_at_output
from raypipe.pipeline.train.readers import Reader, as_columns, list_data, open_reader, split_rows

TIMED_S = 2.0
TIMED_STEPS = 16
LABELS_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Estimates of a run.

    Attributes:
        labels: attribute -> how many rows have it.
        batch: rows of all workers together.
        step_seconds: of a worker's step, timed on ``device`` of this machine; without reading the data.
        seconds: of the steps that are left.
        where: what the run would use.
    """

    config: Mapping[str, Any]
    recipe: Mapping[str, Any]
    rows: int
    rows_held_out: int
    labels: Mapping[str, int]
    persons: int
    batch: int
    steps: int
    checkpoint_bytes: int
    step_seconds: float
    seconds: float
    device: str
    where: str
    found: OutputState

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def in_words(self) -> str:
        run = self.config
        images, epochs = self.steps * self.batch, self.steps * self.batch / (self.rows - self.rows_held_out)
        size = f"about {self.checkpoint_bytes / 2**20:,.1f} MiB each"
        rate = f"{self.batch / max(self.step_seconds, 1e-9):,.0f} images/s"
        every = f"every {run['checkpoint_every']:,} steps" if run["checkpoint_every"] else "at the end"
        return "\n".join(
            [
                f"recipe       {run['recipe']}, models {', '.join(run['models']) or 'none'}",
                f"data         {run['data']['uri']}: {self.rows:,} rows, {self.rows_held_out:,} of them held out",
                f"labels       {self._labels_in_words()}",
                f"steps        {self.steps:,} of {self.batch:,} rows: {images:,} images, {epochs:,.1f} epochs",
                f"output       {run['out']}",
                f"there now    {self.found.in_words()}",
                f"checkpoints  {every}, {size}; the last {run['keep']} stay, and the best",
                f"workers      {self.where}",
                f"time         about {self.seconds:,.0f} s at {rate} (timed on {self.device} here, not the reading)",
            ]
        )

    def _labels_in_words(self) -> str:
        told = [f"{name} {count / self.rows:.0%}" for name, count in self.labels.items()]
        more = [f"{len(told) - LABELS_SHOWN:,} more"] if len(told) > LABELS_SHOWN else []
        persons = [f"{self.persons:,} persons"] if self.persons else []
        return ", ".join(told[:LABELS_SHOWN] + more + persons) or "none"


def plan_run(job: TrainJob, *, device: torch.device, workers: int, where: str, restart: bool) -> Plan:
    """Look at the output, list the data, build the recipe, time some of its steps.

    Raises:
        WrongUsage, ModelMismatch: as the run itself, except for what ``found`` tells.
    """
    refuse_unequal_shares(job, workers)
    job = from_the_root(job)
    with tempfile.TemporaryDirectory() as scratch:
        goes_on = has_plan(job) and not restart
        if not goes_on:
            list_data(job.config.data, scratch)
        reader = open_reader(job.config.data, job.columns, job.state_uri if goes_on else scratch)
        try:
            return _plan(job, reader, device, workers, where, look_at_output(job, reader, restart=restart))
        finally:
            reader.close()


def _plan(job: TrainJob, reader: Reader, device: torch.device, workers: int, where: str, found: OutputState) -> Plan:
    split = split_rows(reader, held_out=job.config.data.held_out)
    order = split.order(reader.groups, batch=job.recipe.batch, seed=job.config.seed)
    checkpoint_bytes, step_seconds = _try(job, LocalBatches(reader, order, split.training, 0, workers), device)
    counts = [] if reader.labels is None else reader.labels.sum(0).tolist()
    return Plan(
        config=as_dict(job.config),
        recipe=as_dict(job.recipe),
        rows=reader.facts.rows,
        rows_held_out=len(split.held_out),
        labels=dict(zip(reader.facts.attributes, counts, strict=True)),
        persons=reader.facts.identities,
        batch=job.recipe.batch or order.rows,
        steps=job.recipe.steps,
        checkpoint_bytes=checkpoint_bytes,
        step_seconds=round(step_seconds, 4),
        seconds=round((job.recipe.steps - found.step) * step_seconds, 1),
        device=str(device),
        where=where,
        found=found,
    )


def _try(job: TrainJob, batches: LocalBatches, device: torch.device) -> tuple[int, float]:
    """Bytes of a checkpoint and seconds of a step: the mean of a few after the first, which also warms up."""
    recipe = built(job, batches.reader, device, Share(0, batches.workers))
    seconds: list[float] = []
    while len(seconds) < 2 or (sum(seconds[1:]) < TIMED_S and len(seconds) < TIMED_STEPS):
        batch = as_columns(batches.of_step(len(seconds)), device)
        started = time.perf_counter()
        numbers = recipe.step(batch)
        [float(number) for number in numbers.values()]  # a GPU's work is waited for here
        seconds.append(time.perf_counter() - started)
    return len(in_bytes(recipe.state_dict())), sum(seconds[1:]) / len(seconds[1:])
