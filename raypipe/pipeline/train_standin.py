"""Trains what the small model begins with where there is no GPU, on made-up faces only.

A StyleGAN2 generator and an inversion encoder learn together as an autoencoder; afterwards the mapping network is
fitted to the codes. No adversary ever sees its pictures, so they are soft; ``make weights FURTHER=`` goes on from here.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from raypipe import storage
from raypipe.config import read_config
from raypipe.pipeline.standin.config import StandinConfig
from raypipe.pipeline.standin.export import export
from raypipe.pipeline.standin.training import Training

REPORT_EVERY = 500


def main(arguments: Sequence[str] | None = None) -> None:
    """Train for so many minutes, or go on from the checkpoint in the folder, then write the bundle."""
    parser = argparse.ArgumentParser(prog="python -m raypipe.pipeline.train_standin", description=__doc__)
    parser.add_argument("--out", required=True, help="folder of the bundle; the checkpoint is kept beside it")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so long; the next call goes on")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    config = read_config(StandinConfig, {}, options.overrides)
    checkpoint = options.out.rstrip("/") + ".checkpoint.pt"
    training = Training(config)
    progress = resume(training, checkpoint)
    train(training, progress, checkpoint, minutes=options.minutes)
    export(training, options.out, progress)


def resume(training: Training, checkpoint: str) -> dict[str, Any]:
    """Load the checkpoint if there is one. Gives the minutes spent so far and the mean losses as they were reported."""
    if not storage.exists(checkpoint):
        return {"minutes": 0.0, "losses": []}
    state = torch.load(io.BytesIO(storage.read_bytes(checkpoint)), weights_only=True)
    training.load_state_dict(state["training"])
    return dict(state["progress"])


def train(training: Training, progress: dict[str, Any], checkpoint: str, *, minutes: float) -> None:
    """Train until the minutes are over or the last step is done; save a checkpoint with every report.

    The pictures of the next step are drawn while this one computes.
    """
    begun, spent_before = time.monotonic(), progress["minutes"]
    recent: list[dict[str, float]] = []
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(training.config.pictures, training.step_index)
        while training.step_index < training.config.steps:
            images = upcoming.result()
            upcoming = pool.submit(training.config.pictures, training.step_index + 1)
            recent.append(training.step(images))
            spent = (time.monotonic() - begun) / 60
            is_over = spent >= minutes or training.step_index == training.config.steps
            if is_over or training.step_index % REPORT_EVERY == 0:
                progress["minutes"] = round(spent_before + spent, 2)
                report(training, progress, recent, checkpoint)
                recent = []
            if is_over:
                break


def report(
    training: Training, progress: dict[str, Any], recent: Sequence[Mapping[str, float]], checkpoint: str
) -> None:
    """Record the mean losses since the last report, print them, save the checkpoint."""
    means = {name: round(sum(losses[name] for losses in recent) / len(recent), 5) for name in recent[0]}
    progress["losses"] = [*progress["losses"], {"step": training.step_index, **means}]
    print(f"step {training.step_index} of {training.config.steps}, {progress['minutes']} min: {means}", flush=True)
    content = io.BytesIO()
    torch.save({"training": training.state_dict(), "progress": progress}, content)
    storage.write_bytes(checkpoint, content.getvalue())


if __name__ == "__main__":
    # Saturated sigmoids and fading weights give denormal numbers, with which a CPU computes very slowly.
    torch.set_flush_denormal(True)
    main()
