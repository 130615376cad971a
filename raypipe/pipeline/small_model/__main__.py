"""Train the small model, or go on with it, and write the bundle: ``make weights``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch

from raypipe import storage
from raypipe.errors import RaypipeError
from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.encode.face_model import pick_device
from raypipe.pipeline.encode.job import encode
from raypipe.pipeline.encode.local import RunLocally
from raypipe.pipeline.small_model.card import model_card
from raypipe.pipeline.small_model.measure import measure
from raypipe.pipeline.small_model.stages import (
    FACES,
    SIZE,
    SmallModelConfig,
    directions_job,
    encoder_of,
    job_of,
    model_of,
    stages,
)
from raypipe.pipeline.synth import SynthConfig, make_faces
from raypipe.pipeline.train.config import TrainJob
from raypipe.pipeline.train.job import train_locally
from raypipe.pipeline.train.loop import Progress
from raypipe.pipeline.train.output_state import RUN
from raypipe.weights import Bundle, Part, open_bundle, save_bundle

PARTS = ("generator", "encoder", "identity", "attributes", "sparse_directions")
MEASURED_FACES = 2_000
TOLD = ("recipe", "step", "best", "workers", "device", "versions")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m raypipe.pipeline.small_model", description=__doc__)
    parser.add_argument("--work", required=True, help="folder for checkpoints and data; a later call goes on there")
    parser.add_argument("--out", required=True, help="folder of the bundle")
    parser.add_argument("--further", default="", help="a model whose generator and encoder are trained further")
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of steps and faces")
    parser.add_argument("--bf16", action="store_true", help="for a GPU, or a CPU with AVX512-BF16 or AMX")
    options = parser.parse_args(arguments)
    config = SmallModelConfig(work=options.work, further=options.further, scale=options.scale, bf16=options.bf16)
    device = torch.device(pick_device(False))
    for stage in stages(config):
        _train(job_of(stage, config), device)
    _train(directions_job(config, _codes(config, str(device))), device)
    bundle = _assemble(config, options.out)
    _describe(config, bundle)
    print(f"{options.out}: {bundle.size(tuple(bundle.parts)) / 2**20:.1f} MiB")


def _train(job: TrainJob, device: torch.device) -> None:
    outcome = train_locally(job, device=device, restart=False, say=print, watch=_printer(job.config.recipe))
    if not outcome.is_done:
        raise RaypipeError(f"{job.config.recipe} was stopped at step {outcome.step}; run the same command to go on")


def _printer(recipe: str) -> Callable[[Progress], None]:
    def watch(progress: Progress) -> None:
        if progress.numbers:
            told = ", ".join(f"{name} {value:.4g}" for name, value in progress.numbers.items())
            print(f"{recipe} {progress.step} of {progress.steps}: {told}", flush=True)

    return watch


def _codes(config: SmallModelConfig, device: str) -> str:
    """Labelled made-up faces, encoded by the trained encoder; what is there already is not done again."""
    faces, codes = storage.join(config.work, "faces"), storage.join(config.work, "codes")
    if not storage.exists(storage.join(faces, RUN)):
        make_faces(SynthConfig(out=faces, count=config.scaled(FACES, least=500), size=SIZE), lambda done, total: None)
    encode_config = EncodeConfig(source=faces, out=codes, model=encoder_of(config))
    encode(encode_config, RunLocally(device), restart=False, retry=frozenset(), say=print, watch=lambda record: None)
    return codes


def _assemble(config: SmallModelConfig, out: str) -> Bundle:
    """The parts that inference needs, networks in half precision."""
    trained = open_bundle(model_of("sparse_directions", config))
    parts = {name: trained.read(name) for name in PARTS}
    halved = {name: part if name == "sparse_directions" else half(part) for name, part in parts.items()}
    return save_bundle(out, "small", halved, {"data": "raypipe.synthfaces", "run": RUN})


def half(part: Part) -> Part:
    """The same in float16; counters stay integers."""
    tensors = {name: t.half() if t.is_floating_point() else t for name, t in part.tensors.items()}
    return Part(part.kind, part.config, tensors)


def _describe(config: SmallModelConfig, bundle: Bundle) -> None:
    """``run.json`` and the model card."""
    names = [*(stage.recipe for stage in stages(config)), "sparse_directions"]
    record = {
        "config": {"scale": config.scale, "bf16": config.bf16, "seed": config.seed},
        "measured": measure(bundle, faces=config.scaled(MEASURED_FACES, least=64)),
        "runs": {name: told_of(model_of(name, config)) for name in names},
        "before": _record_of(config.further) if config.further else None,
    }
    storage.write_bytes(storage.join(bundle.uri, RUN), json.dumps(record, indent=2).encode())
    storage.write_bytes(storage.join(bundle.uri, "README.md"), model_card(record).encode())


def _record_of(model: str) -> Any:
    """How a model came to be that went further."""
    return json.loads(storage.read_bytes(storage.join(open_bundle(model).uri, RUN)))


def told_of(run: str) -> dict[str, Any]:
    """What of a run is of interest away from the machine that did it."""
    record = json.loads(storage.read_bytes(storage.join(run, RUN)))
    return {name: record[name] for name in TOLD}


if __name__ == "__main__":
    # Saturated activations and fading weights give denormal numbers, with which a CPU computes very slowly.
    torch.set_flush_denormal(True)
    main()
