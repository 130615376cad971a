"""Made-up faces to disk, with their ground truth: the same faces on every run, in flat memory however many."""

from __future__ import annotations

import io
import json
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
from PIL import Image

from raypipe import __version__, storage
from raypipe.config import as_dict
from raypipe.errors import WrongUsage
from raypipe.pipeline.synth_layouts import LAYOUTS, FaceFiles, Place
from raypipe.synthfaces import LARGEST, SMALLEST, Factors, Rendered, attributes, render, sample_factors

RUN = "run.json"
FORMATS = ("jpg", "png")

_PIXELS_A_BATCH = 1 << 20
_FACES_A_BATCH = 1024
_FACES_TO_PLAN = 16


@dataclass(frozen=True, kw_only=True)
class SynthConfig:
    """What to draw and how to lay it out. ``start`` is the first face's index: parts of a set can be made apart."""

    out: str
    count: int
    size: int = 64
    seed: int = 0
    start: int = 0
    layout: str = "folder"
    format: str = "jpg"
    images_per_identity: int = 4
    correlated: bool = False
    masks: bool = False
    shard_mib: int = 256

    def __post_init__(self) -> None:
        least = {"count": 1, "seed": 0, "start": 0, "images_per_identity": 1, "shard_mib": 1}
        problems = [
            f"{name} must be at least {low}, got {getattr(self, name)}"
            for name, low in least.items()
            if getattr(self, name) < low
        ]
        if not SMALLEST <= self.size <= LARGEST:
            problems.append(f"size must be between {SMALLEST} and {LARGEST} pixels, got {self.size}")
        if self.layout not in LAYOUTS:
            problems.append(f"layout must be one of {', '.join(LAYOUTS)}, got {self.layout!r}")
        if self.format not in FORMATS:
            problems.append(f"format must be one of {', '.join(FORMATS)}, got {self.format!r}")
        if self.layout == "celeba" and self.format != "jpg":
            problems.append(f"format must be jpg in the celeba layout, got {self.format!r}")
        if problems:
            raise WrongUsage("\n".join(problems))

    @property
    def people(self) -> int:
        """How many identities the faces belong to."""
        last = (self.start + self.count - 1) // self.images_per_identity
        return last - self.start // self.images_per_identity + 1


@dataclass(frozen=True)
class SynthPlan:
    """What a run would cost, measured on a few faces."""

    faces: int
    people: int
    bytes: int
    seconds: float

    def in_words(self) -> str:
        return (
            f"{self.faces:,} faces of {self.people:,} people, about {self.bytes / 2**20:,.1f} MiB of pictures, "
            f"about {self.seconds:,.1f} s"
        )


@dataclass
class _Clock:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=lambda: {"draw": 0.0, "compress": 0.0, "write": 0.0})

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - started


def plan_faces(config: SynthConfig) -> SynthPlan:
    """Draw and compress a few faces, and multiply.

    Raises:
        WrongUsage: there is something at ``out`` already.
    """
    _refuse_if_used(config.out)
    started = time.perf_counter()
    factors = _sample(config, config.start, min(_FACES_TO_PLAN, config.count))
    files = _compress(config, factors, render(factors, config.size))
    share = config.count / len(factors)
    size = sum(map(len, files.pictures))
    return SynthPlan(config.count, config.people, round(share * size), share * (time.perf_counter() - started))


def make_faces(config: SynthConfig, watch: Callable[[int, int], None]) -> dict[str, Any]:
    """Draw the faces and write them under ``config.out``; ``run.json``, which is returned, comes last.

    ``watch`` is called with the number of faces done and the number of all.

    Raises:
        WrongUsage: there is something at ``out`` already.
    """
    _refuse_if_used(config.out)
    started, clock = time.time(), _Clock()
    digits = max(6, len(str(config.start + config.count)))
    place = Place(uri=config.out, count=config.count, digits=digits, format=config.format)
    with closing(LAYOUTS[config.layout](place, config.shard_mib << 20)) as layout:
        for factors in _batches(config):
            with clock.time("draw"):
                drawn = render(factors, config.size)
            with clock.time("compress"):
                files = _compress(config, factors, drawn)
            with clock.time("write"):
                layout.add(files)
            watch(int(factors.index[-1]) + 1 - config.start, config.count)
    record = _record(config, started, clock)
    storage.write_bytes(storage.join(config.out, RUN), json.dumps(record, indent=2).encode())
    return record


def in_words(record: dict[str, Any]) -> str:
    """The closing line of a run."""
    busiest, seconds = max(record["stage_seconds"].items(), key=lambda item: item[1])
    share = seconds / max(sum(record["stage_seconds"].values()), 1e-9)
    return (
        f"{record['config']['out']}: {record['faces']:,} faces of {record['people']:,} people in "
        f"{record['seconds']:,.1f} s, {record['faces_per_s']:,.0f} faces/s; {share:.0%} of the time went to {busiest}"
    )


def _refuse_if_used(uri: str) -> None:
    fs, path = storage.filesystem(uri)
    fs.invalidate_cache()
    if fs.exists(path) and (not fs.isdir(path) or fs.ls(path)):
        raise WrongUsage(f"{uri} is not empty: give --out a new or empty folder, or delete what is there")


def _batches(config: SynthConfig) -> Iterator[Factors]:
    step = max(1, min(_FACES_A_BATCH, _PIXELS_A_BATCH // (config.size * config.size)))
    end = config.start + config.count
    for first in range(config.start, end, step):
        yield _sample(config, first, min(step, end - first))


def _sample(config: SynthConfig, first: int, count: int) -> Factors:
    return sample_factors(
        count,
        config.seed,
        start=first,
        images_per_identity=config.images_per_identity,
        correlated=config.correlated,
    )


def _compress(config: SynthConfig, factors: Factors, drawn: Rendered) -> FaceFiles:
    return FaceFiles(
        factors=factors,
        labels=attributes(factors),
        landmarks=drawn.landmarks,
        pictures=[_picture(pixels, config.format) for pixels in drawn.images],
        masks=drawn.parts if config.masks else None,
    )


def _picture(pixels: np.ndarray[Any, np.dtype[np.uint8]], extension: str) -> bytes:
    file, image = io.BytesIO(), Image.fromarray(pixels)
    if extension == "jpg":
        image.save(file, "JPEG", quality=95, subsampling=0)
    else:
        image.save(file, "PNG", compress_level=3)
    return file.getvalue()


def _record(config: SynthConfig, started: float, clock: _Clock) -> dict[str, Any]:
    elapsed = time.time() - started
    return {
        "state": "done",
        "config": as_dict(config),
        "versions": {
            "raypipe": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pillow": PIL.__version__,
            "pyarrow": pa.__version__,
        },
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(elapsed, 3),
        "stage_seconds": {stage: round(seconds, 3) for stage, seconds in clock.seconds.items()},
        "faces": config.count,
        "people": config.people,
        "faces_per_s": round(config.count / max(elapsed, 1e-9), 1),
    }
