"""The training loop: one for every recipe, for one worker or several.

Every worker steps; the first one also logs, evaluates and writes checkpoints. What is written is the same whether the
run was interrupted or not, and however many workers shared it.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from raypipe.contract import Columns, Recipe, Share
from raypipe.errors import Diverged
from raypipe.pipeline.train.batches import Batches, in_pieces
from raypipe.pipeline.train.checkpoints import Checkpoints
from raypipe.pipeline.train.config import TrainConfig
from raypipe.pipeline.train.logs import Logs
from raypipe.pipeline.train.order import Rows
from raypipe.pipeline.train.readers import Reader, as_columns
from raypipe.pipeline.train.sums import Sums

SAMPLE_ROWS = 8


@dataclass(frozen=True)
class Progress:
    """For whoever watches. ``numbers``: means since the last log, empty between logs."""

    step: int
    steps: int
    batch_rows: int
    numbers: Mapping[str, float]

    @property
    def images(self) -> int:
        """Seen up to this step, by this run and those before it."""
        return self.step * self.batch_rows

    @property
    def images_in_all(self) -> int:
        return self.steps * self.batch_rows


@dataclass(frozen=True)
class Best:
    """The evaluated step with the lowest number, and which number that is."""

    step: int
    name: str
    value: float


@dataclass(kw_only=True)
class Loop:
    """One worker's part of a run.

    Attributes:
        is_told: whether the run is to end before its last step. With several workers it is enough that one is told.
        best: known to the first worker only.
        steps_done: in this run.
        rows_at_the_end: that the pass after the last step went over, of this worker.
        seconds: what this run's time went to: ``start`` (until the first batch), ``data`` (waiting for the others),
            ``steps``, ``evaluation`` (and samples), ``checkpoints``, ``finish`` (after the last step).
        sums: of the steps' numbers since the last log.
    """

    config: TrainConfig
    recipe: Recipe
    steps: int
    batch_rows: int
    batches: Batches
    reader: Reader
    held_out: Rows
    device: torch.device
    share: Share
    watch: Callable[[Progress], None]
    is_told: Callable[[], bool]
    best: Best | None = None
    steps_done: int = 0
    rows_at_the_end: int = 0
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    sums: Sums = field(init=False)

    def __post_init__(self) -> None:
        self.sums = Sums(self.share)

    @property
    def images(self) -> int:
        """Seen in this run, by all workers."""
        return self.steps_done * self.batch_rows

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.config.out, self.config.keep)

    @property
    def is_first(self) -> bool:
        return self.share.rank == 0

    def run(self) -> int:
        """Train to the last step, from the last checkpoint if there is one; the number of the step at the end.

        Less than ``steps`` where a worker was told to end: then a checkpoint was written.

        Raises:
            Diverged: a number is not finite or too large; the checkpoints from before stay.
        """
        with self._timed("start"):
            step = self._resume()
        with (
            closing(Logs(self.config.out, step)) if self.is_first else nullcontext() as logs,
            closing(self.batches.from_step(step)) as batches,
        ):
            while step < self.steps and not self._is_to_end(step):
                with self._timed("data" if self.steps_done else "start"):
                    arrays = next(batches)
                with self._timed("steps"):
                    self.sums.add(self.recipe.step(as_columns(arrays, self.device)))
                step += 1
                self.steps_done += 1
                self._after_step(step, logs, is_last=step == self.steps)
            if step < self.steps:
                self._save(step, logs)
        return step

    def held_out_batches(self) -> Iterator[Columns]:
        """What is evaluated on."""
        for arrays in in_pieces(self.reader, self.held_out):
            yield as_columns(arrays, self.device)

    def finish(self, rows: Rows) -> None:
        """The recipe's pass over this worker's training rows, some at a time."""
        with self._timed("finish"):
            self.recipe.finish(self._counted(rows))

    def _counted(self, rows: Rows) -> Iterator[Columns]:
        for arrays in in_pieces(self.reader, rows):
            self.rows_at_the_end += len(next(iter(arrays.values())))
            yield as_columns(arrays, self.device)

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.seconds[what] += time.monotonic() - begun

    def _resume(self) -> int:
        steps = self.checkpoints.steps()
        if not steps:
            return 0
        state = self.checkpoints.load(steps[-1], self.device)
        self.recipe.load_state_dict(state["recipe"])
        self.best = None if state["best"] is None else Best(**state["best"])
        if "sums" in state:  # checkpoints of earlier versions have none
            self.sums.load_state_dict(state["sums"])
        return steps[-1]

    def _is_to_end(self, step: int) -> bool:
        """The same on every worker. Several agree on it where they meet anyway: at the steps that are logged."""
        if self.share.count == 1:
            return self.is_told()
        if not _is_due(step, self.config.log_every):
            return False
        told = torch.tensor(float(self.is_told()), device=self.device)
        self.share.average([told])
        return bool(told > 0)

    def _after_step(self, step: int, logs: Logs | None, *, is_last: bool) -> None:
        config = self.config
        numbers: Mapping[str, float] = {}
        is_checkpoint = is_last or _is_due(step, config.checkpoint_every) or _is_due(step, config.evaluate_every)
        if is_checkpoint or _is_due(step, config.log_every):
            with self._timed("steps"):  # a GPU's work is waited for here
                numbers = self.sums.take()
            self._check(step, numbers)
            if logs is not None:
                logs.add(step, numbers)
        self.watch(Progress(step, self.steps, self.batch_rows, numbers))
        if logs is None:
            return
        if is_last or _is_due(step, config.evaluate_every):
            self._evaluate(step, logs)
        if is_last or _is_due(step, config.snapshot_every):
            self._draw_samples(step, logs)
        if is_checkpoint:
            self._save(step, logs)  # last: a run that goes on from here need not do the rest again

    def _evaluate(self, step: int, logs: Logs) -> None:
        with self._timed("evaluation"):
            numbers = self.recipe.evaluate(self.held_out_batches())
        name, value = next(iter(numbers.items()))
        if not math.isfinite(value):  # nothing compares with it: no later step could be better
            raise Diverged(f"after step {step:,}: held_out/{name} = {value:g}. {self._last_good()}")
        logs.add(step, {f"held_out/{name}": value for name, value in numbers.items()})
        if self.best is None or value < self.best.value:
            self.best = Best(step, name, value)

    def _draw_samples(self, step: int, logs: Logs) -> None:
        with self._timed("evaluation"):
            some = self.reader.read(self.held_out[:SAMPLE_ROWS], self.held_out)
            logs.add_samples(step, self.recipe.samples(as_columns(some, self.device)))

    def _check(self, step: int, numbers: Mapping[str, float]) -> None:
        bad = {name: value for name, value in numbers.items() if not abs(value) <= self.config.loss_limit}
        if bad:
            told = ", ".join(f"{name} = {value:g}" for name, value in bad.items())
            raise Diverged(
                f"at step {step:,}: {told}; what is finite and at most {self.config.loss_limit:g} is allowed. "
                f"{self._last_good()}"
            )

    def _save(self, step: int, logs: Logs | None) -> None:
        """By the first worker, who has the logs."""
        if logs is None:
            return
        state = self.recipe.state_dict()
        if bad := sorted(_not_finite(state)):
            raise Diverged(
                f"after step {step:,} {len(bad)} of the recipe's tensors are not finite, {bad[0]} the first. "
                f"{self._last_good()}"
            )
        best = None if self.best is None else vars(self.best)
        with self._timed("checkpoints"):
            logs.flush()
            content = {"recipe": state, "best": best, "sums": self.sums.state_dict()}
            self.checkpoints.save(step, content, best=self.best.step if self.best else step)

    def _last_good(self) -> str:
        steps = self.checkpoints.steps()
        return f"The last good checkpoint is that of step {steps[-1]:,}." if steps else "There is no checkpoint yet."


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _not_finite(tree: Any, path: str = "") -> Iterator[str]:
    if isinstance(tree, Tensor):
        if tree.is_floating_point() and not bool(torch.isfinite(tree).all()):
            yield path
    elif isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _not_finite(value, f"{path}.{name}" if path else str(name))
    elif isinstance(tree, (list, tuple)):
        for number, value in enumerate(tree):
            yield from _not_finite(value, f"{path}[{number}]")
