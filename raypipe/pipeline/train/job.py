"""A training run from its config to the model bundle. Where the workers are is the caller's business."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from raypipe import catalog, storage
from raypipe.contract import Recipe, Share, Site
from raypipe.errors import ModelMismatch, WrongUsage
from raypipe.pipeline.encode.lease import Lease
from raypipe.pipeline.interrupts import told_to_end
from raypipe.pipeline.train.batches import Batches, LocalBatches
from raypipe.pipeline.train.checkpoints import Checkpoints
from raypipe.pipeline.train.config import TrainJob
from raypipe.pipeline.train.loop import Loop, Progress
from raypipe.pipeline.train.made_up_reader import MADE_UP
from raypipe.pipeline.train.output_state import (
    RUN,
    clear,
    has_plan,
    plan_of,
    refuse_foreign,
    step_to_go_on_from,
    write_plan,
)
from raypipe.pipeline.train.readers import Reader, Split, list_data, open_reader, split_rows
from raypipe.pipeline.train.summary import Outcome, run_record
from raypipe.weights import Part, open_bundle, save_bundle, shipped_models

CHECKPOINT_FIRST = "a checkpoint is written first"


def train_locally(
    job: TrainJob, *, device: torch.device, restart: bool, say: Callable[[str], None], watch: Callable[[Progress], None]
) -> Outcome:
    """The whole run in this process.

    Raises:
        WrongUsage: the data or the models cannot be trained with.
        ModelMismatch: the output holds a run of other settings.
        Diverged: as ``Loop.run``.
    """
    job = from_the_root(job)
    with lease(job, say), told_to_end(say, CHECKPOINT_FIRST) as told:
        begin(job, restart=restart, say=say)
        outcome = work(job, device=device, share=Share(), watch=watch, is_told=told.is_told, batches_for=LocalBatches)
        return replace(outcome, is_told=told.is_told())


def from_the_root(job: TrainJob) -> TrainJob:
    """The same job with paths that mean the same in every process, whatever its current directory."""
    config = job.config
    uri = config.data.uri if config.data.uri == MADE_UP else storage.absolute(config.data.uri)
    models = tuple(model if model in shipped_models() else storage.absolute(model) for model in config.models)
    labels = storage.absolute(config.data.labels) if config.data.labels else ""
    data = replace(config.data, uri=uri, labels=labels)
    return replace(job, config=replace(config, out=storage.absolute(config.out), data=data, models=models))


def lease(job: TrainJob, say: Callable[[str], None]) -> Lease:
    """Held by whoever runs the job."""
    return Lease(job.lease_uri, say)


def begin(job: TrainJob, *, restart: bool, say: Callable[[str], None], workers: int = 1) -> None:
    """Before the workers start, by the holder of the lease: agree with what an earlier run left, list the data.

    Raises:
        WrongUsage: the data or the models cannot be trained with, or so many workers cannot share a batch.
        ModelMismatch: the output holds a run of other settings.
    """
    refuse_unequal_shares(job, workers)
    refuse_foreign(job)
    if restart and has_plan(job):
        clear(job)
    Checkpoints(job.config.out, job.config.keep).remove_scratch()
    list_data(job.config.data, job.state_uri)
    reader = open_reader(job.config.data, job.columns, job.state_uri)
    try:
        split_rows(reader, held_out=job.config.data.held_out)
        plan = plan_of(job, reader)
        step = step_to_go_on_from(job, plan)
        write_plan(job, plan)
        say(f"{job.config.recipe} on {reader.facts.rows:,} rows of {job.config.data.uri}")
    finally:
        reader.close()
    if step:
        say(f"going on from step {step:,}")


def refuse_unequal_shares(job: TrainJob, workers: int) -> None:
    """Raises:
    WrongUsage: so many workers cannot share a batch.
    """
    if job.recipe.batch % workers:
        raise WrongUsage(
            f"a batch of {job.recipe.batch} cannot be shared by {workers} workers: give a multiple of {workers}"
        )


BatchesFor = Callable[[Reader, Any, Any, int, int], Batches]
"""(reader, order, training rows, rank, workers) -> this worker's batches."""


def work(
    job: TrainJob,
    *,
    device: torch.device,
    share: Share,
    watch: Callable[[Progress], None],
    is_told: Callable[[], bool],
    batches_for: BatchesFor,
) -> Outcome:
    """One worker's part of the run; the first worker writes the bundle. ``begin`` must have been called."""
    started = time.monotonic()
    config, recipe_config = job.config, job.recipe
    reader = open_reader(config.data, job.columns, job.state_uri)
    try:
        split = split_rows(reader, held_out=config.data.held_out)
        batch = recipe_config.batch
        recipe = built(job, reader, device, share)
        order = split.order(reader.groups, batch=batch, seed=config.seed)
        loop = Loop(
            config=config,
            recipe=recipe,
            steps=recipe_config.steps,
            batch_rows=batch or order.rows,
            batches=batches_for(reader, order, split.training, share.rank, share.count),
            reader=reader,
            held_out=split.held_out,
            device=device,
            share=share,
            watch=watch,
            is_told=is_told,
        )
        step = loop.run()
        is_done = step == recipe_config.steps
        if is_done:
            step = _finish(loop, split)
        run = run_record(config, recipe_config, loop, step=step, is_done=is_done, seconds=time.monotonic() - started)
        if share.rank == 0:
            _write(job, recipe, run, is_done=is_done)
        return Outcome(config.out, step, recipe_config.steps, is_done, run)
    finally:
        reader.close()


def built(job: TrainJob, reader: Reader, device: torch.device, share: Share) -> Recipe:
    """The recipe, before its first step.

    Raises:
        WrongUsage, ModelMismatch: it cannot be trained with these data or models.
    """
    site = Site(
        data=reader.facts,
        parts=_parts(job.config.models, reader),
        device=device,
        share=share,
        seed=job.config.seed,
    )
    recipe: Recipe = catalog.recipe_module(job.config.recipe).build_recipe(job.recipe, site)
    return recipe


def _parts(models: tuple[str, ...], reader: Reader) -> dict[str, Part]:
    """The parts of all models, by name.

    Raises:
        ModelMismatch: the data are codes of another encoder than the models'.
    """
    parts: dict[str, Part] = {}
    for model in models:
        bundle = open_bundle(model)
        parts |= {name: bundle.read(name) for name in bundle.parts}
        encoder = bundle.parts.get("encoder")
        if encoder is not None and reader.encoder_sha256 not in (None, encoder.sha256):
            raise ModelMismatch(
                f"the data were encoded with another encoder than that of {model!r}: "
                "codes of two models must not be mixed"
            )
    return parts


def _finish(loop: Loop, split: Split) -> int:
    """Go back to the best checkpoint, if there is a better one than the last; the step it is of."""
    best = _agree(loop)
    if best != loop.steps:
        loop.recipe.load_state_dict(loop.checkpoints.load(best, loop.device)["recipe"])
    rows = split.training[loop.share.rank :: loop.share.count]
    loop.finish(rows)
    return best


def _agree(loop: Loop) -> int:
    """The best step, as the first worker knows it; the others wait for it here."""
    told = torch.zeros((), dtype=torch.float64, device=loop.device)
    if loop.is_first:
        told += loop.share.count * (loop.best.step if loop.best is not None else loop.steps)
    loop.share.average([told])
    return round(float(told))


def _write(job: TrainJob, recipe: Recipe, run: Mapping[str, Any], *, is_done: bool) -> None:
    out = job.config.out
    storage.write_bytes(storage.join(out, RUN), json.dumps(run, indent=2).encode())
    if not is_done:
        return
    parts: dict[str, Part] = {}
    for model in job.config.models:
        bundle = open_bundle(model)
        parts |= {name: bundle.read(name) for name in bundle.parts}
    name = storage.absolute(out).rstrip("/").rpartition("/")[2]
    save_bundle(out, name, parts | recipe.export(), {"run": RUN, "recipe": job.config.recipe, "step": run["step"]})
