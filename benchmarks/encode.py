"""Encoding against the bare model loop, and against what a careful user would write with a PyTorch DataLoader.

    python -m benchmarks.encode [--images 4000] [--rounds 3] [--source DIR] [--skip-ray] [--json FILE]

- bare: the same networks on pixels that lie in memory, all threads, nothing read and nothing written
- dataloader: DataLoader workers decode (with JPEG draft), crop and resize; the model runs under ``no_grad``; the codes
  go to one Parquet file at the end
- local, ray: ``raypipe encode``; rates once running, as start-up is paid once however large the set is

The ways take turns, ``--rounds`` times; the ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks.machine import machine
from raypipe.on_ray.settings import RaySettings
from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.encode.face_model import FaceModel, image_size_of, load_networks
from raypipe.pipeline.encode.job import Runner, encode
from raypipe.pipeline.encode.local import RunLocally
from raypipe.pipeline.synth import SynthConfig, make_faces
from raypipe.weights import open_bundle

MODEL = "small"
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--source", help="folder of images; default: made-up faces of 178 px")
    parser.add_argument("--skip-ray", action="store_true")
    parser.add_argument("--json", help="also write the figures there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(arguments.source) if arguments.source else _made_up(Path(scratch) / "faces", arguments.images)
        figures = compare(source, arguments.images, arguments.rounds, Path(scratch), with_ray=not arguments.skip_ray)
    print(_table(figures))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=2))


def compare(source: Path, images: int, rounds: int, scratch: Path, *, with_ray: bool) -> dict[str, Any]:
    """Images a second of each way, in each round."""
    ways: dict[str, Callable[[], float]] = {
        "bare": lambda: _bare(images),
        "dataloader": lambda: _dataloader(source, images, scratch / "codes.parquet"),
        "local": lambda: _raypipe(RunLocally("cpu"), source, images, scratch / "local"),
    }
    if with_ray:
        ways["ray"] = lambda: _raypipe(_ray_runner(source, scratch / "ray"), source, images, scratch / "ray")
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            rates[name].append(run())
            print(f"{name:<12}{rates[name][-1]:8.1f} images/s", flush=True)
    return {
        "images": images,
        "machine": machine(),
        "images_per_s": rates,
        "ratio_to_bare": {name: _median_ratio(rates[name], rates["bare"]) for name in ways},
        "ratio_to_dataloader": {name: _median_ratio(rates[name], rates["dataloader"]) for name in ways},
    }


def _bare(images: int) -> float:
    networks, size = load_networks(open_bundle(MODEL), _config("", ""), "cpu")
    model = FaceModel(networks, device="cpu", precision="float32")
    pixels = np.random.default_rng(0).integers(0, 256, (min(images, 512), size, size, 3), dtype=np.uint8)
    model(pixels[:BATCH])
    started, done = time.perf_counter(), 0
    while done < images:
        done += len(model(pixels)["w_plus"])
    return done / (time.perf_counter() - started)


class _Faces(Dataset[tuple[int, torch.Tensor]]):
    def __init__(self, files: list[Path], size: int) -> None:
        self._files = files
        self._size = size

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, i: int) -> tuple[int, torch.Tensor]:
        with Image.open(self._files[i]) as picture:
            picture.draft("RGB", (2 * self._size, 2 * self._size))
            rgb = picture.convert("RGB")
        side = min(rgb.size)
        left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
        box = (left, top, left + side, top + side)
        face = rgb.resize((self._size, self._size), Image.Resampling.LANCZOS, box=box)
        return i, torch.from_numpy(np.array(face))


def _dataloader(source: Path, images: int, out: Path) -> float:
    networks, size = load_networks(open_bundle(MODEL), _config("", ""), "cpu")
    files = sorted(source.rglob("*.jpg"))[:images]
    loader = DataLoader(_Faces(files, size), batch_size=BATCH, num_workers=os.cpu_count() or 1)
    codes, ids = [], []
    started, first = 0.0, 0
    for numbers, pixels in loader:
        with torch.no_grad():
            w_plus = networks(pixels.permute(0, 3, 1, 2).float().div(127.5).sub(1.0))["w_plus"]
        codes.append(w_plus.flatten(1).half().numpy())
        ids += [files[i].name for i in numbers]
        if not started:  # like the others: without the start of its workers
            started, first = time.perf_counter(), len(ids)
    flat = np.concatenate(codes)
    column = pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), flat.shape[1])
    pq.write_table(pa.table({"image_id": ids, "w_plus": column}), out, compression="zstd")
    return (len(ids) - first) / (time.perf_counter() - started)


def _raypipe(runner: Runner, source: Path, images: int, out: Path) -> float:
    shutil.rmtree(out, ignore_errors=True)
    config = _config(str(source), str(out), limit=images)
    summary = encode(config, runner, restart=False, retry=frozenset(), say=lambda _: None, watch=lambda _: None)
    if summary.statuses != {"ok": images}:
        raise SystemExit(f"expected {images} images that are ok, got {summary.statuses}")
    return float(summary.run["images_per_s_once_running"])


def _ray_runner(source: Path, out: Path) -> Runner:
    from raypipe.on_ray.encode import RunOnRay, connect, layout_for

    connect(RaySettings())
    return RunOnRay(layout_for(_config(str(source), str(out)), RaySettings(), require_gpu=False), RaySettings())


def _config(source: str, out: str, limit: int = 0) -> EncodeConfig:
    return EncodeConfig(source=source, out=out, model=MODEL, limit=limit, batch_size=BATCH, commit_rows=256)


def _made_up(folder: Path, images: int) -> Path:
    make_faces(SynthConfig(out=str(folder), count=images, size=178), lambda *_: None)
    return folder / "images"


def _median_ratio(rates: list[float], others: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(rates, others, strict=True)), 3)


def _table(figures: dict[str, Any]) -> str:
    lines = [f"{figures['images']:,} images, {figures['machine']}, input {image_size_of(open_bundle(MODEL))} px"]
    lines.append(f"{'':<12}{'images/s':>10}{'of bare':>10}{'of dataloader':>15}")
    for name, rates in figures["images_per_s"].items():
        bare, loader = figures["ratio_to_bare"][name], figures["ratio_to_dataloader"][name]
        lines.append(f"{name:<12}{statistics.median(rates):>10.1f}{bare:>10.2f}{loader:>15.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
