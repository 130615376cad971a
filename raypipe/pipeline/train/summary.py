"""What a run tells of itself at its end: ``run.json``, and the closing lines."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from raypipe import __version__, storage
from raypipe.config import as_dict
from raypipe.pipeline.train.checkpoints import FOLDER
from raypipe.pipeline.train.config import TrainConfig
from raypipe.pipeline.train.loop import Loop
from raypipe.weights import MODEL_FILE

EXAMPLES = 5

ADVICE = {
    "start": "starting up was the bottleneck: longer runs pay it once",
    "data": "reading the data is the bottleneck: more CPU cores help, a faster device does not",
    "steps": "the steps are the bottleneck: a faster device or more workers help, faster reading does not",
    "evaluation": "evaluations and samples are the bottleneck: make run.evaluate_every and run.snapshot_every larger",
    "checkpoints": "checkpoints are the bottleneck: make run.checkpoint_every larger, or the storage faster",
    "finish": "the pass over all rows at the end is the bottleneck: a faster device or more workers help",
}


@dataclass(frozen=True)
class Outcome:
    """The end of a run. ``is_done``: it reached its last step, and the bundle is written. ``run``: as in run.json.
    ``is_told``: it was told to end, be it too late."""

    out: str
    step: int
    steps: int
    is_done: bool
    run: Mapping[str, Any]
    is_told: bool = False

    def in_words(self) -> str:
        """The closing lines."""
        run = self.run
        total = sum(run["stage_seconds"].values()) or 1.0
        shares = ", ".join(f"{stage} {seconds / total:.0%}" for stage, seconds in run["stage_seconds"].items())
        rate = f"{run['images_per_s']:,.1f} images/s on {run['workers']} x {run['device']}"
        lines = [
            f"this run: {run['images_of_last_run']:,} images in {run['seconds_of_last_run']:,.1f} s, {rate}",
            f"time by stage: {shares}; {run['bottleneck']}",
        ]
        if run["rows_at_the_end"]:
            rows, ms = run["rows_at_the_end"], run["ms_per_row_at_the_end"]
            lines.append(f"at the end {rows:,} training rows a worker once more, {ms:.3g} ms each")
        if run["rejected_rows"]:
            some = "".join(f"\n  {example}" for example in run["rejected_examples"])
            lines.append(f"{run['rejected_rows']:,} images could not be read, and others took their place:{some}")
        return "\n".join([*lines, self._where_the_weights_are()])

    def _where_the_weights_are(self) -> str:
        if not self.is_done:
            return (
                f"stopped after step {self.step:,} of {self.steps:,}; the weights so far are the last checkpoint in "
                f"{storage.join(self.out, FOLDER)}: run the same command again to go on"
            )
        best = self.run["best"]
        judged = f", the best by {best['name']} = {best['value']:.4g}" if best else ""
        return (
            f"the weights of step {self.step:,} of {self.steps:,}{judged}: {storage.join(self.out, MODEL_FILE)} and "
            f"the .safetensors beside it; use them with --model {self.out}"
        )


def run_record(
    config: TrainConfig, recipe: Any, loop: Loop, *, step: int, is_done: bool, seconds: float
) -> dict[str, Any]:
    """``run.json``. Every worker must ask for it; the first one's is the truth, with examples of what it met itself.

    ``step``: of which the weights are.
    """
    rejected = {**loop.reader.rejected, **loop.batches.rejected}
    return {
        "state": "done" if is_done else "stopped",
        "config": as_dict(config),
        "recipe": as_dict(recipe),
        "step": step,
        "best": None if loop.best is None else vars(loop.best),
        "workers": loop.share.count,
        "device": str(loop.device),
        "seconds_of_last_run": round(seconds, 1),
        "images_of_last_run": loop.images,
        "images_per_s": round(loop.images / max(seconds, 1e-9), 2),
        "stage_seconds": {name: round(loop.seconds[name], 1) for name in ADVICE},
        "rows_at_the_end": loop.rows_at_the_end,
        "ms_per_row_at_the_end": round(1e3 * loop.seconds["finish"] / max(loop.rows_at_the_end, 1), 3),
        "bottleneck": bottleneck(loop.seconds) if loop.steps_done or loop.rows_at_the_end else "nothing was left to do",
        "rejected_rows": _count_on_all_workers(rejected, loop),
        "rejected_examples": list(rejected.values())[:EXAMPLES],
        "versions": {"raypipe": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def bottleneck(seconds: Mapping[str, float]) -> str:
    """One sentence: what most of the time went to."""
    busiest = max(ADVICE, key=lambda name: seconds.get(name, 0.0))
    return f"{ADVICE[busiest]} ({seconds[busiest] / sum(seconds.values()):.0%} of the time)"


def _count_on_all_workers(rejected: Mapping[int, str], loop: Loop) -> int:
    """How many rows any worker met; one that several met counts once."""
    is_met = torch.zeros(loop.reader.facts.rows, device=loop.device)
    is_met[list(rejected)] = 1.0
    loop.share.average([is_met])
    return int((is_met > 0).sum())
