"""Memory of an encode job on Ray over the size of the data set, and bytes spilled: both should not grow.

    python -m benchmarks.memory [--sizes 1000,10000,100000] [--json FILE]

The images are hard links to 1,000 made-up faces of 64 px, the model a tiny one with random weights: what is measured is
everything around the model. Peaks of the unique memory (USS) of the processes, sampled five times a second: the driver
(which lists, follows and finishes), the model worker, the other workers with their decoding processes, and Ray's own
(with the pages of the object store that it ever touched); and what the object store held at most.
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
import ray
import torch

from benchmarks.machine import machine
from raypipe.backbones.psp import Encoder, EncoderConfig, encoder_part
from raypipe.on_ray.cluster import connect
from raypipe.on_ray.encode import RunOnRay, layout_for
from raypipe.on_ray.settings import RaySettings
from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.encode.job import encode
from raypipe.pipeline.synth import SynthConfig, make_faces
from raypipe.weights import save_bundle

DIFFERENT = 1000
MIB = 2**20
KINDS = ("driver", "model worker", "other workers", "ray itself")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--json", help="also write the figures there")
    arguments = parser.parse_args()
    connect("")
    with tempfile.TemporaryDirectory() as scratch:
        model = _tiny_model(Path(scratch) / "model")
        make_faces(SynthConfig(out=f"{scratch}/faces", count=DIFFERENT), lambda *_: None)
        rows = [_measure(Path(scratch), model, int(size)) for size in arguments.sizes.split(",")]
    print(f"{machine()}\npeak of the unique memory in MiB\n{'images':>10}{'images/s':>10}", end="")
    print("".join(f"{name:>14}" for name in KINDS), f"{'object store':>13}{'spilled':>9}")
    for row in rows:
        print(f"{row['images']:>10,}{row['images_per_s']:>10.0f}", end="")
        print("".join(f"{row['peak_mib'][name]:>14}" for name in KINDS), end="")
        print(f"{row['object_store_mib']:>14}{row['spilled_bytes']:>9}")
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
        "images_per_s": summary.run["images_per_s"],
        "peak_mib": {kind: round(size / MIB) for kind, size in sampler.peaks.items()},
        "object_store_mib": round(sampler.store_peak / MIB),
        "spilled_bytes": summary.run["spilled_bytes"],
    }


class _Sampler:
    """Peak unique memory (USS) of the kinds of processes that this one started, while the ``with`` block runs."""

    def __init__(self) -> None:
        self.peaks = dict.fromkeys(KINDS, 0)
        self.store_peak = 0
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
            now = dict.fromkeys(KINDS, 0)
            for process in [driver, *driver.children(recursive=True)]:
                try:
                    now[_kind(process, driver)] += process.memory_full_info().uss
                except psutil.NoSuchProcess:
                    continue
            self.peaks = {kind: max(size, now[kind]) for kind, size in self.peaks.items()}
            resources = ray.cluster_resources(), ray.available_resources()
            used = resources[0]["object_store_memory"] - resources[1].get("object_store_memory", 0.0)
            self.store_peak = max(self.store_peak, int(used))


def _kind(process: psutil.Process, driver: psutil.Process) -> str:
    if process == driver:
        return "driver"
    words = " ".join(process.cmdline())
    if "EncodeActor" in words:
        return "model worker"
    return "other workers" if "ray::" in words or "decode_child" in words else "ray itself"


def _tiny_model(folder: Path) -> str:
    torch.manual_seed(0)
    config = EncoderConfig(
        input_size=64, num_layers=10, style_dim=64, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), shared_heads=True
    )
    save_bundle(str(folder), "tiny", {"encoder": encoder_part(Encoder("psp", config).eval())}, {})
    return str(folder)


if __name__ == "__main__":
    main()
