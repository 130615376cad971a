"""Stubble, beard, goatee and moustache. They lie under the lips."""

from __future__ import annotations

import numpy as np

from raypipe.synthfaces.colours import mix, scaled
from raypipe.synthfaces.drawing import (
    HAIR,
    Canvas,
    Plane,
    at_least,
    cover,
    either,
    ellipse,
    gate,
    smooth,
    strands,
    wave,
)
from raypipe.synthfaces.eyes import brow_colour
from raypipe.synthfaces.geometry import Anatomy, Looks
from raypipe.synthfaces.skin import face_distance


def draw_whiskers(canvas: Canvas, f: Looks, a: Anatomy) -> None:
    """Each is a region of the lower face: the beard all but the cheeks, the goatee the chin, the moustache a band."""
    c = canvas.window(-1.0, 0.0, 1.0, 1.2)
    face, mouth = face_distance(c, f, a), (c.v - a.mouth_v) + a.lift * (c.u / a.mouth_w) ** 2 - 0.4 * a.lift
    jaw = -ellipse(c.u, c.v - 0.08, 0.80 * a.face_w, a.mouth_v + 0.02)
    lip = _moustache(c, a, mouth)
    chin = ellipse(c.u, c.v - a.mouth_v - 0.19, 0.17 + 0.05 * f["jaw_width"], 0.16, square=0.3)
    stubble = smooth(either(jaw, lip, chin), 0.10, -0.08) * smooth(face, 0.01, -0.02) * smooth(c.v, 0.02, 0.25)
    dark = mix(brow_colour(f), (0.05, 0.05, 0.06), 0.4)
    c.paint(stubble * 0.42 * gate(f["stubble"]) * f["stubble"], dark, gloss=0.1)
    turns = c.u * (1.0 + 0.25 * c.v) + 0.012 * wave(c.v * 6.0)
    grain = 0.3 * strands(turns, 15.0, c.pixel) + 0.4 * strands(turns, 38.0, c.pixel)
    outline = cover(face - 0.045 * f["beard"] - 0.012 * wave(c.u * 9.0), c.pixel + 0.015)
    full = smooth(either(jaw, chin, lip), 0.03, -0.05) * outline
    _grow(c, f, full * smooth(c.v, 0.05, 0.30) * gate(f["beard"]) * (0.70 + 0.28 * f["beard"]), grain)
    goatee = smooth(chin, 0.03, -0.03) * cover(face - 0.03, c.pixel + 0.015)
    _grow(c, f, goatee * gate(f["goatee"]) * (0.68 + 0.30 * f["goatee"]), grain)
    _grow(c, f, smooth(lip, 0.018, -0.014) * gate(f["moustache"]) * (0.72 + 0.26 * f["moustache"]), grain)


def _moustache(c: Canvas, a: Anatomy, mouth: Plane) -> Plane:
    """Distance to a band between nose and upper lip that droops a little at its ends."""
    across = c.u / (1.12 * a.mouth_w + 0.03)
    middle = -0.5 * (a.mouth_v - a.nose_v - 0.06) + 0.07 * across * across - 0.015
    thick = 0.058 * at_least(1.0 - across * across, -1.0)
    distance: Plane = np.abs(mouth - middle) - thick
    return distance


def _grow(c: Canvas, f: Looks, hair: Plane, grain: Plane) -> None:
    c.paint(hair, scaled(brow_colour(f), 1.1 + 0.5 * grain), part=HAIR, gloss=0.12)
    c.normal_x[...] += hair * 0.15 * grain
