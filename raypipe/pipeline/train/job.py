"""A training run from its config to the model bundle. Where the workers are is the caller's business."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from raypipe import __version__, catalog, storage
from raypipe.config import as_dict
from raypipe.contract import Recipe, Share, Site
from raypipe.errors import ModelMismatch, RaypipeError, WrongUsage
from raypipe.pipeline.encode.lease import Lease
from raypipe.pipeline.train.batches import Batches, LocalBatches, in_pieces
from raypipe.pipeline.train.checkpoints import FOLDER, Checkpoints
from raypipe.pipeline.train.config import TrainConfig
from raypipe.pipeline.train.image_reader import LISTING
from raypipe.pipeline.train.logs import METRICS, SAMPLES, TENSORBOARD
from raypipe.pipeline.train.loop import Loop, Progress, told_to_end
from raypipe.pipeline.train.made_up_reader import MADE_UP
from raypipe.pipeline.train.readers import Reader, Split, as_columns, list_data, open_reader, split_rows
from raypipe.weights import MODEL_FILE, Part, open_bundle, save_bundle, shipped_models

STATE = "_raypipe"
PLAN = "plan.json"
RUN = "run.json"


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """A run's config and its recipe's, as every worker gets them."""

    config: TrainConfig
    recipe: Any

    @property
    def columns(self) -> tuple[str, ...]:
        """What a batch must hold."""
        return tuple(catalog.recipe_module(self.config.recipe).columns(self.recipe))

    @property
    def state_uri(self) -> str:
        return storage.join(self.config.out, STATE)


@dataclass(frozen=True)
class Outcome:
    """The end of a run. ``is_done``: it reached its last step, and the bundle is written."""

    out: str
    step: int
    steps: int
    is_done: bool
    run: Mapping[str, Any]


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
    with lease(job, say), told_to_end() as is_told:
        begin(job, restart=restart, say=say)
        return work(job, device=device, share=Share(), watch=watch, is_told=is_told, batches_for=LocalBatches)


def from_the_root(job: TrainJob) -> TrainJob:
    """The same job with paths that mean the same in every process, whatever its current directory."""
    config = job.config
    uri = config.data.uri if config.data.uri == MADE_UP else storage.absolute(config.data.uri)
    models = tuple(model if model in shipped_models() else storage.absolute(model) for model in config.models)
    data = replace(config.data, uri=uri)
    return replace(job, config=replace(config, out=storage.absolute(config.out), data=data, models=models))


def lease(job: TrainJob, say: Callable[[str], None]) -> Lease:
    """Held by whoever runs the job."""
    return Lease(storage.join(job.state_uri, "lease.json"), say)


def begin(job: TrainJob, *, restart: bool, say: Callable[[str], None], workers: int = 1) -> None:
    """Before the workers start: agree with what an earlier run left, list the data.

    Raises:
        WrongUsage: the data or the models cannot be trained with, or so many workers cannot share a batch.
        ModelMismatch: the output holds a run of other settings.
    """
    out = job.config.out
    if job.recipe.batch % workers:
        raise WrongUsage(
            f"a batch of {job.recipe.batch} cannot be shared by {workers} workers: give a multiple of {workers}"
        )
    if restart and _read_plan(job) is not None:
        _clear(job)
    list_data(job.config.data, job.state_uri)
    reader = open_reader(job.config.data, job.columns, job.state_uri)
    try:
        plan = _plan(job, reader)
        _refuse_other_plan(_read_plan(job), plan, out)
        storage.write_bytes(storage.join(job.state_uri, PLAN), json.dumps(plan, indent=2).encode())
        say(f"{job.config.recipe} on {reader.facts.rows:,} rows of {job.config.data.uri}")
    finally:
        reader.close()
    steps = Checkpoints(out, job.config.keep).steps()
    if steps and steps[-1] > job.recipe.steps:
        raise WrongUsage(
            f"{out} has been trained for {steps[-1]:,} steps, more than the {job.recipe.steps:,} asked for"
        )
    if steps:
        say(f"going on from step {steps[-1]:,}")


def _clear(job: TrainJob) -> None:
    """Delete what a run wrote, and nothing else."""
    for name in (MODEL_FILE, RUN, METRICS):
        storage.remove(storage.join(job.config.out, name))
    for name in (FOLDER, SAMPLES, TENSORBOARD):
        storage.remove(storage.join(job.config.out, name), recursive=True)
    storage.remove(storage.join(job.state_uri, LISTING), recursive=True)
    storage.remove(storage.join(job.state_uri, PLAN))


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
    started = time.time()
    config, recipe_config = job.config, job.recipe
    reader = open_reader(config.data, job.columns, job.state_uri)
    try:
        split = split_rows(reader, held_out=config.data.held_out)
        batch = recipe_config.batch
        recipe = _build(job, reader, device, share)
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
        run = _run_record(job, loop, step, is_done=is_done, seconds=time.time() - started)
        if share.rank == 0:
            _write(job, recipe, run, is_done=is_done)
        return Outcome(config.out, step, recipe_config.steps, is_done, run)
    finally:
        reader.close()


def _build(job: TrainJob, reader: Reader, device: torch.device, share: Share) -> Recipe:
    site = Site(
        data=reader.facts,
        parts=_parts(job.config.models, reader),
        device=device,
        share=share,
        seed=job.config.seed,
    )
    torch.manual_seed(job.config.seed)
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
    loop.recipe.finish(as_columns(arrays, loop.device) for arrays in in_pieces(loop.reader, rows))
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


def _run_record(job: TrainJob, loop: Loop, step: int, *, is_done: bool, seconds: float) -> dict[str, Any]:
    rejected = {**loop.reader.rejected, **loop.batches.rejected}
    return {
        "state": "done" if is_done else "stopped",
        "config": as_dict(job.config),
        "recipe": as_dict(job.recipe),
        "step": step,
        "best": None if loop.best is None else vars(loop.best),
        "workers": loop.share.count,
        "device": str(loop.device),
        "seconds_of_last_run": round(seconds, 1),
        "rejected_rows": len(rejected),
        "rejected_examples": dict(list(rejected.items())[:5]),
        "versions": {"raypipe": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _plan(job: TrainJob, reader: Reader) -> dict[str, Any]:
    """What decides the result of a step. How many there are may change: a run can be made longer."""
    plan = {
        "recipe": job.config.recipe,
        "config": {name: value for name, value in as_dict(job.recipe).items() if name != "steps"},
        "seed": job.config.seed,
        "data": {**reader.made_from(), "size": reader.facts.size, "attributes": list(reader.facts.attributes)},
        "models": {model: open_bundle(model).fingerprint for model in job.config.models},
    }
    return dict(json.loads(json.dumps(plan)))


def _read_plan(job: TrainJob) -> dict[str, Any] | None:
    uri = storage.join(job.state_uri, PLAN)
    try:
        return dict(json.loads(storage.read_bytes(uri)))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise RaypipeError(f"{uri} is damaged ({error}); start again with --restart") from error


def _refuse_other_plan(before: Mapping[str, Any] | None, now: Mapping[str, Any], out: str) -> None:
    if before is None:
        if storage.exists(storage.join(out, MODEL_FILE)):
            raise WrongUsage(f"{out!r} holds a model that no training run made; choose another output")
        return
    changed = [f"  {name}: {before.get(name)} -> {now[name]}" for name in now if before.get(name) != now[name]]
    if changed:
        raise ModelMismatch(
            f"{out} holds a run of other settings:\n"
            + "\n".join(changed)
            + "\nTo go on, give the earlier settings; else choose another output, or --restart to begin again here."
        )
