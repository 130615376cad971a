"""The canvas and the few primitives that every part of a face is drawn with.

Only ``+ - * /``, ``sqrt``, ``floor``, ``minimum`` and ``maximum`` touch pixels: these are rounded exactly, so a pixel
does not depend on the batch or the window it is computed in.

Shapes: [n,h,w] for planes, [n,1,1] for what is one number a face; both are ``Plane`` below. Distances are in head units
(about half the height of a head), negative inside. The numbers in the drawing modules are found by eye.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.floating[Any]]
Colour = Sequence[Plane | float]
"""Red, green, blue reflectance, linear, 0 to 1."""

PARTS: tuple[str, ...] = (
    "background", "skin", "eyes", "brows", "nose", "mouth", "hair", "glasses", "hat", "clothes",
)  # fmt: skip
"""What the numbers of the part map mean."""

BACKGROUND, SKIN, EYES, BROWS, NOSE, MOUTH, HAIR, GLASSES, HAT, CLOTHES = range(len(PARTS))


@dataclass(frozen=True)
class Canvas:
    """Where every pixel lies and what has been drawn there; light falls on it at the end.

    Coordinates, all in head units: ``x, y`` upright in the frame (neck, clothes); ``hx, hy`` on the skull (hair, hat,
    ears); ``u, v`` on the face as seen from the front, however the head is turned. ``pixel`` [n,1,1] is a pixel's size.
    Drawn: ``colour`` [3,n,h,w]; ``normal_x, normal_y`` of the surface; ``lit`` how much light matters; ``open`` the
    share of light that is not blocked; ``gloss``; ``part`` uint8.
    """

    x: Plane
    y: Plane
    hx: Plane
    hy: Plane
    u: Plane
    v: Plane
    pixel: Plane
    colour: Plane
    normal_x: Plane
    normal_y: Plane
    lit: Plane
    open: Plane
    gloss: Plane
    part: npt.NDArray[np.uint8]

    def window(self, left: float, top: float, right: float, bottom: float) -> Canvas:
        """The smallest part of the frame that holds this rectangle of the face (u, v) in every picture of the batch."""
        return self._cut(self.u, self.v, left, top, right, bottom)

    def skull_window(self, top: float, bottom: float) -> Canvas:
        """The rows that hold ``top`` to ``bottom`` of the skull (hy)."""
        return self._cut(self.hx, self.hy, -9.0, top, 9.0, bottom)

    def body_window(self, top: float) -> Canvas:
        """The rows below ``top`` of the body (y)."""
        return self._cut(self.x, self.y, -9.0, top, 9.0, 9.0)

    def _cut(self, across: Plane, down: Plane, left: float, top: float, right: float, bottom: float) -> Canvas:
        inside = (across > left) & (across < right) & (down > top) & (down < bottom)
        rows, columns = _extent(np.any(inside, axis=(0, 2))), _extent(np.any(inside, axis=(0, 1)))
        cut = (slice(None), rows, columns)
        return Canvas(
            self.x[cut], self.y[cut], self.hx[cut], self.hy[cut], self.u[cut], self.v[cut], self.pixel,
            self.colour[:, :, rows, columns], self.normal_x[cut], self.normal_y[cut], self.lit[cut], self.open[cut],
            self.gloss[cut], self.part[cut],
        )  # fmt: skip

    def paint(self, cover: Plane, colour: Colour, *, part: int | None = None, gloss: float | None = None) -> None:
        """Lay ``colour`` over what is there, as opaque as ``cover`` says."""
        for plane, tint in zip(self.colour, colour, strict=True):
            plane += cover * (tint - plane)
        if gloss is not None:
            blend(self.gloss, cover, gloss)
        if part is not None:
            self.mark(cover > 0.5, part)

    def mark(self, inside: npt.NDArray[np.bool_], part: int) -> None:
        """Say what these pixels are."""
        np.copyto(self.part, np.uint8(part), where=inside)

    def surface(self, cover: Plane, normal_x: Plane | float, normal_y: Plane | float) -> None:
        """Begin a new lit surface: its own normals, nothing blocking its light."""
        blend(self.normal_x, cover, normal_x)
        blend(self.normal_y, cover, normal_y)
        blend(self.lit, cover, 1.0)
        blend(self.open, cover, 1.0)

    def shadow(self, amount: Plane) -> None:
        """Block ``amount`` (0 to 1) of the light that still arrives."""
        self.open[...] *= 1.0 - amount

    def emboss(self, du: Plane, dv: Plane, ru: Plane | float, rv: Plane | float, height: Plane | float) -> None:
        """Raise the surface by height (1 - q)^2, q = (du/ru)^2 + (dv/rv)^2, where q < 1; negative heights sink it."""
        fall = 4.0 * height * at_least(1.0 - quadric(du, dv, ru, rv), 0.0)
        self.normal_x[...] += fall * du / (ru * ru)
        self.normal_y[...] += fall * dv / (rv * rv)

    def emboss_pair(
        self, u: Plane, centre: Plane, dv: Plane, ru: Plane | float, rv: Plane | float, height: Plane | float
    ) -> None:
        """``emboss`` on both sides, at ``u`` = -centre and centre."""
        du = np.abs(u) - centre
        fall = 4.0 * height * at_least(1.0 - quadric(du, dv, ru, rv), 0.0)
        self.normal_x[...] += fall * sign(u) * du / (ru * ru)
        self.normal_y[...] += fall * dv / (rv * rv)


def _extent(is_used: npt.NDArray[np.bool_]) -> slice:
    used = np.flatnonzero(is_used)
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)


def both(*distances: Plane) -> Plane:
    """Distance to where all shapes overlap."""
    nearest: Plane = functools.reduce(np.maximum, distances)
    return nearest


def either(*distances: Plane) -> Plane:
    """Distance to all shapes taken together."""
    nearest: Plane = functools.reduce(np.minimum, distances)
    return nearest


def sign(u: Plane) -> Plane:
    """-1 left of the middle, 1 right of it."""
    return np.where(u < 0.0, np.float32(-1.0), np.float32(1.0))


def at_least(value: Plane, low: Plane | float) -> Plane:
    clipped: Plane = np.maximum(value, low)
    return clipped


def at_most(value: Plane, high: Plane | float) -> Plane:
    clipped: Plane = np.minimum(value, high)
    return clipped


def between(value: Plane, low: float, high: float) -> Plane:
    return at_most(at_least(value, low), high)


def blend(below: Plane, cover: Plane, above: Plane | float) -> None:
    """below <- below + cover (above - below), in place."""
    below += cover * (above - below)


def cover(distance: Plane, pixel: Plane | float) -> Plane:
    """Share of a pixel that lies inside an edge at signed ``distance``: 1 inside, 0 outside, a ramp one pixel wide."""
    return between(0.5 - distance / pixel, 0.0, 1.0)


def smooth(value: Plane, low: Plane | float, high: Plane | float) -> Plane:
    """0 at ``low``, 1 at ``high`` (which may be the smaller), smooth between."""
    t = between((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def gate(factor: Plane) -> Plane:
    """How visible a thing is whose factor says there (1) or not (0)."""
    return smooth(factor, 0.35, 0.65)


def quadric(du: Plane, dv: Plane, ru: Plane | float, rv: Plane | float) -> Plane:
    a, b = du / ru, dv / rv
    return a * a + b * b


def bump(du: Plane, dv: Plane, ru: Plane | float, rv: Plane | float) -> Plane:
    """A soft blob: 1 in the middle, 0 from the ellipse's edge on."""
    inside = at_least(1.0 - quadric(du, dv, ru, rv), 0.0)
    return inside * inside


def crease(distance: Plane, width: Plane | float) -> Plane:
    """A soft line: 1 on it, 0 from ``width`` to either side on."""
    inside = at_least(1.0 - np.abs(distance) / width, 0.0)
    return inside * inside


def ellipse(du: Plane, dv: Plane, ru: Plane | float, rv: Plane | float, *, square: Plane | float = 0.0) -> Plane:
    """Signed distance to an ellipse, to first order; ``square`` 1 makes it a superellipse of power four."""
    a, b = du / ru, dv / rv
    aa, bb = a * a, b * b
    round_form = aa + bb
    steepness: Plane = 2.0 * np.sqrt(aa / (ru * ru) + bb / (rv * rv)) + 1e-4
    if isinstance(square, float) and square == 0.0:
        return (round_form - 1.0) / steepness
    form: Plane = round_form + square * (np.sqrt(aa * aa + bb * bb) - round_form)
    return (form - 1.0) / steepness


def wave(turns: Plane) -> Plane:
    """A smooth wave of period 1 between -1 and 1, without a transcendental function."""
    t: Plane = np.abs(turns - np.floor(turns) - 0.5) * 4.0 - 1.0
    return t * (1.5 - 0.5 * t * t)


def strands(turns: Plane, frequency: float, detail: Plane) -> Plane:
    """``wave`` that fades where it is finer than the pixels; ``detail`` is turns' change over a pixel."""
    shown = resolved(frequency * detail)
    return wave(turns * frequency) * shown if shown.any() else shown


def resolved(detail: Plane) -> Plane:
    """How much of a pattern to show that has ``detail`` periods in a pixel: 1 up to a sixth, none from a half on."""
    return between(1.5 - 3.0 * detail, 0.0, 1.0)
