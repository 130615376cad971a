"""Encoding against the bare model loop, and against what a careful user would write with a PyTorch DataLoader.

    python -m benchmarks.encode [--images 3000] [--rounds 3] [--heavy] [--source DIR] [--skip-ray] [--json FILE]

- bare: the same networks on pixels that lie in memory, all threads, nothing read and nothing written
- dataloader: DataLoader workers decode (with JPEG draft), crop and resize; the model runs under ``no_grad``; the codes
  go to one Parquet file at the end
- local, ray: ``raypipe encode``; rates of the second half, as start-up is paid once

On a CPU, decoding and the model share the cores: behind the small model (half a millisecond an image) little can be
hidden. ``--heavy`` takes an encoder of random weights at 128 px, some 50 times as expensive, nearer to real ones.

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks.machine import machine
from raypipe.backbones.psp import Encoder, EncoderConfig, encoder_part
from raypipe.on_ray.settings import RaySettings
from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.encode.face_model import FaceModel, load_networks
from raypipe.pipeline.encode.job import Runner, encode
from raypipe.pipeline.encode.local import RunLocally
from raypipe.pipeline.loading import picture_size
from raypipe.pipeline.synth import SynthConfig, make_faces
from raypipe.weights import open_bundle, save_bundle

BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--source", help="folder of images; default: made-up faces of 178 px")
    parser.add_argument("--heavy", action="store_true", help="a more expensive encoder, with random weights")
    parser.add_argument("--skip-ray", action="store_true")
    parser.add_argument("--json", help="also write the figures there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(arguments.source) if arguments.source else _made_up(Path(scratch) / "faces", arguments.images)
        model = _heavy_model(Path(scratch) / "model") if arguments.heavy else "small"
        bench = Bench(source, arguments.images, Path(scratch), model)
        figures = bench.compare(arguments.rounds, with_ray=not arguments.skip_ray)
    print(_table(figures))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=2))


@dataclass(frozen=True)
class Bench:
    """The ways to encode the same images by the same model."""

    source: Path
    images: int
    scratch: Path
    model: str

    def compare(self, rounds: int, *, with_ray: bool) -> dict[str, Any]:
        """Images a second of each way, in each round."""
        ways: dict[str, Callable[[], float]] = {
            "bare": self._bare,
            "dataloader": self._dataloader,
            "local": lambda: self._raypipe(RunLocally("cpu"), "local"),
        }
        if with_ray:
            ways["ray"] = lambda: self._raypipe(self._ray_runner(), "ray")
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, run in ways.items():
                rates[name].append(run())
                print(f"{name:<12}{rates[name][-1]:8.1f} images/s", flush=True)
        return {
            "images": self.images,
            "input_px": picture_size(open_bundle(self.model)),
            "machine": machine(),
            "images_per_s": rates,
            "ratio_to_bare": {name: _median_ratio(rates[name], rates["bare"]) for name in ways},
            "ratio_to_dataloader": {name: _median_ratio(rates[name], rates["dataloader"]) for name in ways},
        }

    def _bare(self) -> float:
        networks, size = load_networks(open_bundle(self.model), self._config("unused"), "cpu")
        model = FaceModel(networks, device="cpu", precision="float32", batch_size=BATCH)
        pixels = np.random.default_rng(0).integers(0, 256, (min(self.images, 512), size, size, 3), dtype=np.uint8)
        model(pixels[:BATCH])
        started, done = time.perf_counter(), 0
        while done < self.images:
            done += len(model(pixels)["w_plus"])
        return done / (time.perf_counter() - started)

    def _dataloader(self) -> float:
        networks, size = load_networks(open_bundle(self.model), self._config("unused"), "cpu")
        files = sorted(self.source.rglob("*.jpg"))[: self.images]
        loader = DataLoader(_Faces(files, size), batch_size=BATCH, num_workers=os.cpu_count() or 1)
        codes, ids = [], []
        started, half = 0.0, 0
        for numbers, pixels in loader:
            with torch.no_grad():
                images = pixels.permute(0, 3, 1, 2).float().div(127.5).sub(1.0)
                w_plus = networks["encoder"]({"image": images})["w_plus"]
            codes.append(w_plus.flatten(1).half().numpy())
            ids += [files[i].name for i in numbers]
            if not half and 2 * len(ids) >= len(files):  # like the others: the second half
                started, half = time.perf_counter(), len(ids)
        flat = np.concatenate(codes)
        column = pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), flat.shape[1])
        pq.write_table(pa.table({"image_id": ids, "w_plus": column}), self.scratch / "x.parquet", compression="zstd")
        return (len(ids) - half) / (time.perf_counter() - started)

    def _raypipe(self, runner: Runner, name: str) -> float:
        out = self.scratch / name
        shutil.rmtree(out, ignore_errors=True)
        config = self._config(str(out))
        summary = encode(config, runner, restart=False, retry=frozenset(), say=lambda _: None, watch=lambda _: None)
        if summary.statuses != {"ok": self.images}:
            raise SystemExit(f"expected {self.images} images that are ok, got {summary.statuses}")
        return float(summary.run["images_per_s_once_running"])

    def _ray_runner(self) -> Runner:
        from raypipe.on_ray.cluster import connect
        from raypipe.on_ray.encode import RunOnRay, layout_for

        connect("")
        return RunOnRay(layout_for(self._config("unused"), RaySettings(), require_gpu=False), RaySettings())

    def _config(self, out: str) -> EncodeConfig:
        return EncodeConfig(
            source=str(self.source),
            out=out,
            model=self.model,
            limit=self.images,
            batch_size=BATCH,
            commit_rows=max(32, min(256, self.images // 12)),
        )


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


def _made_up(folder: Path, images: int) -> Path:
    make_faces(SynthConfig(out=str(folder), count=images, size=178), lambda *_: None)
    return folder / "images"


def _median_ratio(rates: list[float], others: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(rates, others, strict=True)), 3)


def _heavy_model(folder: Path) -> str:
    torch.manual_seed(0)
    config = EncoderConfig(input_size=128, num_layers=12, style_dim=512, widths=(32, 64, 128, 256), depths=(3, 4, 6, 3))
    save_bundle(str(folder), "heavy", {"encoder": encoder_part(Encoder("psp", config).eval())}, {})
    return str(folder)


def _table(figures: dict[str, Any]) -> str:
    lines = [f"{figures['images']:,} images, {figures['machine']}, input {figures['input_px']} px"]
    lines.append(f"{'':<12}{'images/s':>10}{'of bare':>10}{'of dataloader':>15}")
    for name, rates in figures["images_per_s"].items():
        bare, loader = figures["ratio_to_bare"][name], figures["ratio_to_dataloader"][name]
        lines.append(f"{name:<12}{statistics.median(rates):>10.1f}{bare:>10.2f}{loader:>15.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
