"""StyleGAN2 with and without adaptive augmentation on real faces: how near the generated ones come, over the steps.

    python -m benchmarks.real_faces --data path/to/celeba --work real-work [--steps 10000] [--size 32] [--json FILE]

Few faces are where augmentation is for (Karras et al. 2020). The distance is Fréchet's, between held-out and generated
pictures, by the features of an attribute network that is trained on the same faces first. Ended at any time, the same
command goes on from its checkpoints. Weights and sample pictures stay in the work folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import machine
from raypipe import catalog
from raypipe.config import read_config
from raypipe.pipeline.encode.face_model import pick_device
from raypipe.pipeline.train.config import DataConfig, TrainConfig, TrainJob
from raypipe.pipeline.train.job import train_locally

DISTANCE = "held_out/fid_attributes"
HELD_OUT = 1_600
GAN = {"batch": 16, "channels": (128, 96, 64, 32), "style_dim": 128, "mapping_layers": 4, "fid_images": HELD_OUT}
ATTRIBUTES = {"batch": 64, "steps": 1_500}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="faces with labels, as raypipe train attributes takes them")
    parser.add_argument("--work", required=True, help="folder for checkpoints; a later call goes on there")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10_000, help="of each generator, of 16 faces")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--json", help="also write the figures there")
    options = parser.parse_args()
    judge = f"{options.work}/attributes"
    _train(_job("attributes", judge, options, {**ATTRIBUTES, "size": options.size}, evaluations=1))
    curves = {}
    for name, augment in (("with ADA", True), ("without", False)):
        out, settings = f"{options.work}/{name.replace(' ', '_')}", {**GAN, "augment": augment, "steps": options.steps}
        _train(_job("stylegan2", out, options, settings, evaluations=10, models=(judge,)))
        curves[name] = _curve(Path(out) / "metrics.jsonl")
    print(
        f"{machine()}\n{options.size} px, batches of {GAN['batch']}, {HELD_OUT:,} held-out faces\n{'step':>8}", end=""
    )
    print("".join(f"{name:>12}" for name in curves))
    for step in curves["with ADA"]:
        print(f"{step:>8,}" + "".join(f"{curve.get(step, float('nan')):>12.1f}" for curve in curves.values()))
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": machine(), **vars(options), "curves": curves}, indent=2))


def _job(
    recipe: str,
    out: str,
    options: argparse.Namespace,
    settings: dict[str, Any],
    *,
    evaluations: int,
    models: tuple[str, ...] = (),
) -> TrainJob:
    steps = settings["steps"]
    train = TrainConfig(
        recipe=recipe,
        out=out,
        data=DataConfig(uri=options.data, size=options.size, held_out=HELD_OUT),
        models=models,
        checkpoint_every=max(1, steps // 20),
        snapshot_every=max(1, steps // 10),
        evaluate_every=max(1, steps // evaluations),
    )
    return TrainJob(
        config=train, recipe=read_config(catalog.recipe_module(recipe).Config, {**settings, "bf16": options.bf16})
    )


def _train(job: TrainJob) -> None:
    device = torch.device(pick_device(False))
    outcome = train_locally(job, device=device, restart=False, say=print, watch=lambda _: None)
    if not outcome.is_done:
        raise SystemExit("stopped: run the same command again to go on")


def _curve(metrics: Path) -> dict[int, float]:
    """The distance by the step; of a step that was repeated after a restart the last."""
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    return {row["step"]: row[DISTANCE] for row in rows if DISTANCE in row}


if __name__ == "__main__":
    main()
