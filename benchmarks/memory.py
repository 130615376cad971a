"""Memory of an encode job on Ray over the size of the data set, and bytes spilled: both should not grow.

    python -m benchmarks.memory [--sizes 1000,10000,100000] [--json FILE]

The images are hard links to 1,000 made-up faces of 64 px, the model a tiny one with random weights: what is measured is
everything around the model. The peak is over the sum of the unique memory (USS) of all processes of the job and of Ray,
object store included, sampled five times a second; ``driver`` is the process that lists, follows and finishes.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.machine import machine
from raypipe.backbones.psp import Encoder, EncoderConfig, encoder_part
from raypipe.on_ray.encode import RunOnRay, connect, layout_for
from raypipe.on_ray.settings import RaySettings
from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.encode.job import encode
from raypipe.pipeline.synth import SynthConfig, make_faces
from raypipe.weights import save_bundle

DIFFERENT = 1000
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--json", help="also write the figures there")
    arguments = parser.parse_args()
    connect(RaySettings())
    with tempfile.TemporaryDirectory() as scratch:
        model = _tiny_model(Path(scratch) / "model")
        make_faces(SynthConfig(out=f"{scratch}/faces", count=DIFFERENT), lambda *_: None)
        rows = [_measure(Path(scratch), model, int(size)) for size in arguments.sizes.split(",")]
    print(f"{machine()}\n{'images':>10}{'images/s':>10}{'peak MiB':>10}{'driver MiB':>12}{'spilled':>9}")
    for row in rows:
        print(
            f"{row['images']:>10,}{row['images_per_s']:>10.0f}{row['peak_mib']:>10.0f}{row['driver_mib']:>12.0f}"
            f"{row['spilled_bytes']:>9}"
        )
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2))


def _measure(scratch: Path, model: str, images: int) -> dict[str, Any]:
    source = scratch / f"in-{images}"
    originals = sorted((scratch / "faces" / "images").iterdir())
    for i in range(images):
        folder = source / f"{i // DIFFERENT:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        os.link(originals[i % DIFFERENT], folder / f"{i:07d}.jpg")
    config = EncodeConfig(source=str(source), out=str(scratch / f"out-{images}"), model=model)
    runner = RunOnRay(layout_for(config, RaySettings(), require_gpu=False), RaySettings())
    with _Sampler() as sampler:
        summary = encode(config, runner, restart=False, retry=frozenset(), say=lambda _: None, watch=lambda _: None)
    if summary.statuses != {"ok": images}:
        raise SystemExit(f"expected {images} images that are ok, got {summary.statuses}")
    return {
        "images": images,
        "images_per_s": summary.run["images_per_s_once_running"],
        "peak_mib": round(sampler.peak / MIB),
        "driver_mib": round(sampler.driver_peak / MIB),
        "spilled_bytes": summary.run["spilled_bytes"],
    }


class _Sampler:
    """Peak memory of this process and of all that it started, while the ``with`` block runs."""

    def __init__(self) -> None:
        self.peak = self.driver_peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> _Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        driver = psutil.Process()
        while not self._over.wait(0.2):
            total = 0
            for process in [driver, *driver.children(recursive=True)]:
                try:
                    total += process.memory_full_info().uss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)
            self.driver_peak = max(self.driver_peak, driver.memory_full_info().uss)


def _tiny_model(folder: Path) -> str:
    torch.manual_seed(0)
    config = EncoderConfig(
        input_size=64, num_layers=10, style_dim=64, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), shared_heads=True
    )
    save_bundle(str(folder), "tiny", {"encoder": encoder_part(Encoder("psp", config).eval())}, {})
    return str(folder)


if __name__ == "__main__":
    main()
