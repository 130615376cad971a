"""Eyes and brows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raypipe.synthfaces.colours import eye_shadow_colour, hair_colour, iris_colour, mix, scaled
from raypipe.synthfaces.drawing import (
    BROWS,
    EYES,
    Canvas,
    Colour,
    Plane,
    at_least,
    at_most,
    both,
    bump,
    cover,
    crease,
    ellipse,
    gate,
    sign,
    smooth,
    strands,
)
from raypipe.synthfaces.geometry import EYE_V, Anatomy, Looks


@dataclass(frozen=True)
class _Eye:
    """Both eyes at once.

    ``side``: -1 or 1. ``out``, ``down``: from an eye's centre. ``across``: -1 and 1 at its corners. ``above``,
    ``below``: distances to its lids, negative in the open eye.
    """

    side: Plane
    out: Plane
    down: Plane
    across: Plane
    above: Plane
    below: Plane


def draw_eyes(canvas: Canvas, f: Looks, a: Anatomy) -> None:
    """Lids, eyeballs and lashes."""
    c = canvas.window(-0.72, EYE_V - 0.26, 0.72, EYE_V + 0.20)
    eye = _eye(c, f, a)
    _lids(c, f, a, eye)
    _eyeball(c, f, a, eye)
    _lashes(c, f, a, eye)


def _eye(c: Canvas, f: Looks, a: Anatomy) -> _Eye:
    out = np.abs(c.u) - a.eye_x
    down = c.v - EYE_V + (0.28 * (f["eye_tilt"] - 0.4)) * out
    across = out / a.eye_w
    bow = at_least(1.0 - across * across, -1.0)
    slope = 2.0 * a.lid_up * across / a.eye_w
    level = 1.0 / np.sqrt(1.0 + slope * slope)
    above, below = (-a.lid_up * bow - down) * level, (down - a.lid_low * bow) * level
    return _Eye(sign(c.u), out, down, across, above, below)


def _lids(c: Canvas, f: Looks, a: Anatomy, eye: _Eye) -> None:
    """The lid's bulge and crease, with eye shadow on it."""
    lid = bump(eye.out - 0.02, eye.down + a.lid_up + 0.035, 1.30 * a.eye_w, 0.115)
    c.paint(at_most(1.6 * lid, 1.0) * 0.62 * gate(f["eye_makeup"]), eye_shadow_colour(f["eye_makeup_hue"]))
    c.emboss_pair(c.u, a.eye_x, eye.down + 0.01, 1.25 * a.eye_w, 0.115, 0.012)
    fold = crease(eye.above - 0.035 - 0.012 * f["eye_open"], 0.018 + c.pixel)
    c.shadow(0.38 * fold * bump(eye.out, eye.down, 1.2 * a.eye_w, 0.2))


def _eyeball(c: Canvas, f: Looks, a: Anatomy, eye: _Eye) -> None:
    """White, iris with a dark rim, pupil, the reflection of the light, and the shadow of the upper lid."""
    opening = cover(both(eye.above, eye.below, (np.abs(eye.across) - 1.0) * a.eye_w), c.pixel)
    c.paint(opening, (0.83, 0.81, 0.80), part=EYES, gloss=0.3)
    c.surface(opening, eye.side * 1.6 * eye.out, 1.6 * eye.down)
    du, dv = eye.out - 0.042 * eye.side * f["gaze_x"], eye.down - 0.02 * f["gaze_y"] + 0.004
    radius = 0.052 + 0.014 * f["eye_size"]
    distance = np.sqrt(du * du + dv * dv)
    inner = smooth(distance, radius, 0.62 * radius) * (0.9 + 0.6 * smooth(dv, -radius, radius))
    colour = scaled(iris_colour(f["eye_colour"]), 0.3 + 0.85 * inner)
    c.paint(opening * cover(distance - radius, c.pixel), colour)
    c.paint(opening * cover(distance - 0.45 * radius, c.pixel), (0.006, 0.005, 0.006))
    spot_u, spot_v = eye.side * (0.024 * f["light_side"] + 0.008), -0.026 - 0.006 * f["light_height"]
    spot = cover(ellipse(du - spot_u, dv - spot_v, 0.017, 0.017), c.pixel)
    c.paint(opening * spot * 0.95, (1.6, 1.6, 1.6))
    c.shadow(opening * 0.55 * smooth(eye.above, -0.05, 0.0))


def _lashes(c: Canvas, f: Looks, a: Anatomy, eye: _Eye) -> None:
    """The dark edge of the upper lid, longer outside and with make-up; a thin one below."""
    across, made_up, woman = eye.across, gate(f["eye_makeup"]), 1.0 - f["masculinity"]
    outer = smooth(across, -0.9, 0.9)
    reach = 1.05 + 0.30 * made_up + 0.10 * woman
    thick = (0.009 + 0.008 * woman + 0.013 * made_up) * (0.45 + 0.9 * outer) * smooth(across, reach, 0.75)
    flick = 0.14 * at_least(across - 0.8, 0.0) * (0.4 + 0.6 * made_up)
    line = -a.lid_up * at_least(1.0 - across * across, 0.0) - flick
    slope = 2.0 * a.lid_up * at_most(np.abs(across), 1.0) / a.eye_w
    within = smooth(across, -1.12, -0.95) * smooth(across, reach + 0.02, reach - 0.08)
    upper = cover(np.abs(eye.down - line) / np.sqrt(1.0 + slope * slope) - thick, c.pixel) * within
    c.paint(upper * (0.72 + 0.2 * woman), (0.012, 0.008, 0.008), part=EYES, gloss=0.0)
    lower = cover(np.abs(eye.below) - 0.004, c.pixel) * within * smooth(np.abs(across), 1.05, 0.95)
    c.paint(lower * (0.22 + 0.5 * made_up), (0.05, 0.025, 0.02))


def brow_colour(f: Looks) -> Colour:
    grey = gate(f["hair_grey"])
    return scaled(hair_colour(0.75 * f["hair_lightness"], f["hair_redness"], 0.75 * grey), 0.6)


def draw_brows(canvas: Canvas, f: Looks, a: Anatomy) -> None:
    """An arched band that tapers outwards."""
    c = canvas.window(-0.78, EYE_V - 0.45, 0.78, EYE_V - 0.02)
    out = (np.abs(c.u) - a.eye_x - 0.01) / (a.eye_w + 0.055)
    arch = 0.02 + 0.07 * f["brow_arch"]
    peak = out - 0.25
    line = a.brow_v - arch * (1.0 - 0.7 * peak * peak) + 0.015 * f["brow_raise"] * out - 0.02 * (f["brow_arch"] - 0.5)
    taper = smooth(out, 1.05, 0.0) * smooth(out, -1.12, -0.8)
    thick = (0.009 + 0.025 * f["brow_thickness"] + 0.010 * f["masculinity"]) * (0.35 + 0.65 * taper)
    down = c.v - line
    hairs = 0.92 + 0.12 * strands(out * 0.5 + down, 22.0, 0.5 * c.pixel / a.eye_w)
    soft = c.pixel + 0.014
    ends = smooth(out, -1.12, -0.9) * smooth(out, 1.12, 0.85)
    brow = cover(np.abs(down) - thick, soft) * ends * hairs
    colour = mix(brow_colour(f), (0.02, 0.015, 0.012), 0.25 * f["brow_thickness"])
    c.paint(brow * (0.70 + 0.25 * f["brow_thickness"]), colour, gloss=0.05)
    c.mark(brow > 0.35, BROWS)
