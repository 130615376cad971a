"""What is at the output before a run begins there: nothing, a run that can go on, or what must not be touched.

The plan of a run lies below its ``state_uri``: what decides the result of a step. How many steps there are may change:
a run can be made longer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raypipe import storage
from raypipe.config import as_dict
from raypipe.errors import ModelMismatch, RaypipeError, WrongUsage
from raypipe.pipeline.encode.lease import held_by
from raypipe.pipeline.train.checkpoints import Checkpoints
from raypipe.pipeline.train.config import TrainJob
from raypipe.pipeline.train.image_reader import LISTING
from raypipe.pipeline.train.logs import clear_logs
from raypipe.pipeline.train.readers import Reader
from raypipe.weights import MODEL_FILE, open_bundle

PLAN = "plan.json"
RUN = "run.json"


@dataclass(frozen=True, kw_only=True)
class OutputState:
    """What a run would find. ``refusal`` is why it would not begin; empty where it would.

    ``step``: of the checkpoint that it would go on from; 0 where it would begin at the beginning.
    """

    step: int = 0
    steps: int
    refusal: str = ""

    def in_words(self) -> str:
        if self.refusal:
            return f"the run would be refused: {self.refusal}"
        if not self.step:
            return "the run would begin there"
        left = f"the run would do the other {self.steps - self.step:,}"
        return f"{self.step:,} steps are done; {left if self.step < self.steps else 'only the model is to be written'}"


def look_at_output(job: TrainJob, reader: Reader, *, restart: bool) -> OutputState:
    """What a run would find at its output. Writes nothing."""
    steps = job.recipe.steps
    if holder := held_by(job.lease_uri):
        return OutputState(steps=steps, refusal=f"it is held by {holder}")
    try:
        refuse_foreign(job)
        if restart:
            return OutputState(steps=steps)
        return OutputState(steps=steps, step=step_to_go_on_from(job, plan_of(job, reader)))
    except RaypipeError as error:
        return OutputState(steps=steps, refusal=str(error))


def has_plan(job: TrainJob) -> bool:
    """Whether a training run wrote there."""
    return storage.exists(storage.join(job.state_uri, PLAN))


def refuse_foreign(job: TrainJob) -> None:
    """Raises:
    WrongUsage: the output is a model that no training run made, or has checkpoints of nobody knows which run.
    """
    if has_plan(job):
        return
    out = job.config.out
    if storage.exists(storage.join(out, MODEL_FILE)):
        raise WrongUsage(f"{out!r} holds a model that no training run made; choose another output")
    if Checkpoints(out, job.config.keep).steps():
        raise WrongUsage(f"{out!r} holds checkpoints of a run whose {PLAN} is lost; choose another output")


def step_to_go_on_from(job: TrainJob, plan: Mapping[str, Any]) -> int:
    """That of the last checkpoint; 0 without one.

    Raises:
        ModelMismatch: the output holds a run with another plan.
        WrongUsage: it has more steps than asked for.
    """
    out = job.config.out
    before = _read_plan(job)
    if before is not None:
        _refuse_other(before, plan, out)
    steps = Checkpoints(out, job.config.keep).steps()
    if steps and steps[-1] > job.recipe.steps:
        raise WrongUsage(
            f"{out} has been trained for {steps[-1]:,} steps, more than the {job.recipe.steps:,} asked for"
        )
    return steps[-1] if steps else 0


def plan_of(job: TrainJob, reader: Reader) -> dict[str, Any]:
    """What decides the result of a step."""
    plan = {
        "recipe": job.config.recipe,
        "config": {name: value for name, value in as_dict(job.recipe).items() if name != "steps"},
        "seed": job.config.seed,
        "data": {**reader.made_from(), "size": reader.facts.size, "attributes": list(reader.facts.attributes)},
        "models": {model: open_bundle(model).fingerprint for model in job.config.models},
    }
    return dict(json.loads(json.dumps(plan)))


def write_plan(job: TrainJob, plan: Mapping[str, Any]) -> None:
    storage.write_bytes(storage.join(job.state_uri, PLAN), json.dumps(plan, indent=2).encode())


def clear(job: TrainJob) -> None:
    """Delete what a run wrote, and nothing else; the plan last, so that it can be told to clear again."""
    for name in (MODEL_FILE, RUN):
        storage.remove(storage.join(job.config.out, name))
    Checkpoints(job.config.out, job.config.keep).clear()
    clear_logs(job.config.out)
    storage.remove(storage.join(job.state_uri, LISTING), recursive=True)
    storage.remove(storage.join(job.state_uri, PLAN))


def _read_plan(job: TrainJob) -> dict[str, Any] | None:
    uri = storage.join(job.state_uri, PLAN)
    try:
        return dict(json.loads(storage.read_bytes(uri)))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise RaypipeError(f"{uri} is damaged ({error}); start again with --restart") from error


def _refuse_other(before: Mapping[str, Any], now: Mapping[str, Any], out: str) -> None:
    changed = [f"  {name}: {before.get(name)} -> {now[name]}" for name in now if before.get(name) != now[name]]
    if changed:
        raise ModelMismatch(
            f"{out} holds a run of other settings:\n"
            + "\n".join(changed)
            + "\nTo go on, give the earlier settings; else choose another output, or --restart to begin again here."
        )
