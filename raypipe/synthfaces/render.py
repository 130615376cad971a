"""From factors to pictures, part maps and landmarks. A pure function: no random number is drawn here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raypipe.errors import WrongUsage
from raypipe.synthfaces.accessories import draw_glasses, draw_hat
from raypipe.synthfaces.eyes import draw_brows, draw_eyes
from raypipe.synthfaces.factors import Factors, FloatArray
from raypipe.synthfaces.geometry import blank_canvas, landmarks, looks, measure
from raypipe.synthfaces.hair import draw_hair, draw_hair_behind, grow
from raypipe.synthfaces.mouth import draw_mouth, draw_nose
from raypipe.synthfaces.scene import develop, draw_background, draw_body
from raypipe.synthfaces.skin import draw_ears, draw_face
from raypipe.synthfaces.whiskers import draw_whiskers

SMALLEST, LARGEST = 32, 1024
_PIXELS_AT_ONCE = 1 << 16  # planes of 256 KiB stay in a core's cache


@dataclass(frozen=True)
class Rendered:
    """``images`` uint8 [n,s,s,3]; ``parts`` uint8 [n,s,s], as ``PARTS``; ``landmarks`` float32 [n,5,2], pixels."""

    images: npt.NDArray[np.uint8]
    parts: npt.NDArray[np.uint8]
    landmarks: FloatArray


def render(factors: Factors, size: int) -> Rendered:
    """Draw every face of the table.

    Raises:
        WrongUsage: ``size`` is not between 32 and 1024.
    """
    if not SMALLEST <= size <= LARGEST:
        raise WrongUsage(f"size must be between {SMALLEST} and {LARGEST} pixels, got {size}")
    images = np.empty((len(factors), size, size, 3), np.uint8)
    parts = np.empty((len(factors), size, size), np.uint8)
    for rows in _chunks(len(factors), max(1, _PIXELS_AT_ONCE // (size * size))):
        images[rows], parts[rows] = _draw(factors.rows(rows), size)
    return Rendered(images, parts, landmarks(factors, size))


def _chunks(count: int, step: int) -> Iterator[slice]:
    for first in range(0, count, step):
        yield slice(first, min(first + step, count))


def _draw(factors: Factors, size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """From the back to the front."""
    f = looks(factors)
    a = measure(f)
    canvas = blank_canvas(f, size)
    draw_background(canvas, f)
    mane = grow(canvas, f, a)
    draw_hair_behind(canvas, f, mane)
    draw_body(canvas, f, a)
    draw_ears(canvas, f, a)
    draw_face(canvas, f, a)
    draw_nose(canvas, f, a)
    draw_eyes(canvas, f, a)
    draw_whiskers(canvas, f, a)
    draw_mouth(canvas, f, a)
    draw_brows(canvas, f, a)
    draw_glasses(canvas, f, a)
    draw_hair(canvas, f, a, mane)
    draw_hat(canvas, f, a)
    return develop(canvas, f), canvas.part
