"""Small pictures for tests: smooth random colours, each different from the others."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """RGB of ``size`` (width, height)."""
    corners = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return Image.fromarray(corners).resize(size, Image.Resampling.BICUBIC)


def picture_bytes(seed: int, kind: str = "JPEG", size: tuple[int, int] = (48, 40)) -> bytes:
    sink = io.BytesIO()
    picture(seed, size).save(sink, kind)
    return sink.getvalue()


def fill_folder(folder: Path, count: int) -> Path:
    """``count`` JPEGs, ``00000.jpg`` and on."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"{i:05d}.jpg").write_bytes(picture_bytes(i))
    return folder
