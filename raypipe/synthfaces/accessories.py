"""Eyeglasses and hat."""

from __future__ import annotations

import numpy as np

from raypipe.synthfaces.colours import hue_colour, mix, scaled
from raypipe.synthfaces.drawing import (
    GLASSES,
    HAT,
    Canvas,
    at_least,
    at_most,
    both,
    bump,
    cover,
    crease,
    either,
    ellipse,
    gate,
    resolved,
    smooth,
    wave,
)
from raypipe.synthfaces.geometry import EYE_V, Anatomy, Looks
from raypipe.synthfaces.hair import SKULL_V


def draw_glasses(canvas: Canvas, f: Looks, a: Anatomy) -> None:
    """Two lenses, bridge and temples; the lenses' tint makes them sunglasses."""
    worn = gate(f["eyeglasses"])
    c = canvas.window(-1.0, EYE_V - 0.32, 1.0, EYE_V + 0.40)
    out, down = np.abs(c.u), c.v - EYE_V - 0.035
    lens_w, lens_h = 0.16 + 0.055 * f["glasses_size"], 0.11 + 0.075 * f["glasses_size"]
    lens_h = lens_h + 0.025 * f["glasses_roundness"]
    centre = at_least(a.eye_x, lens_w + 0.045)
    lens = ellipse(out - centre, down, lens_w, lens_h, square=1.0 - f["glasses_roundness"])
    thick = 0.008 + 0.020 * f["glasses_weight"]
    bridge = both(np.abs(down + 0.035 + 0.8 * c.u * c.u) - thick, out - centre + 0.75 * lens_w)
    temple = both(np.abs(down + 0.03) - thick, centre + lens_w - 0.01 - out, out - 0.98 * a.face_w)
    frame = either(np.abs(lens) - thick, bridge, temple)
    glass = worn * cover(lens, c.pixel)
    c.shadow(worn * 0.25 * smooth(np.abs(lens) - thick - 0.01, 0.05, 0.0) * smooth(down, -0.02, 0.12))
    tint = gate(f["lens_tint"])
    fade = 1.0 - 0.12 * smooth(down, -0.1, 0.2)
    c.paint(glass * tint * (0.72 + 0.24 * f["lens_tint"]) * fade, (0.015, 0.014, 0.018), gloss=0.4)
    c.mark(glass * tint > 0.5, GLASSES)
    glare = bump(out - centre + 0.4 * lens_w + 0.5 * down, down + 0.35 * lens_h, 0.075, 0.8 * lens_h)
    c.paint(glass * (0.03 + 0.12 * glare) * (1.0 - 0.5 * tint), (0.8, 0.85, 0.9))
    wire = hue_colour(f["glasses_hue"], 0.45, 0.75 - 0.6 * f["glasses_weight"])
    material = mix(wire, (0.015, 0.013, 0.013), 0.9 * smooth(f["glasses_weight"], 0.3, 0.7))
    c.paint(worn * cover(frame, c.pixel), material, part=GLASSES, gloss=0.5)


def draw_hat(canvas: Canvas, f: Looks, a: Anatomy) -> None:
    """A knitted cap over the hair."""
    worn = gate(f["hat"])
    c = canvas.skull_window(-1.35, 0.0)
    rise = at_most(c.hy - SKULL_V + 0.05, 0.0)
    width, height = a.face_w + 0.10 + 0.08 * f["hair_volume"], 0.96 + 0.10 * f["hair_volume"]
    brim = c.hy + 0.42 - 0.16 * c.hx * c.hx
    cap = worn * cover(both(ellipse(c.hx, rise, width, height), brim), c.pixel)
    c.shadow(worn * 0.45 * smooth(brim, 0.14, 0.0))
    ribs = wave(c.hx / width * 7.0) * resolved(7.0 * c.pixel / width)
    band = smooth(brim, -0.205, -0.19)
    cloth = hue_colour(f["hat_hue"], 0.6, 0.48)
    c.paint(cap, scaled(cloth, (1.0 - 0.28 * band) * (1.0 + 0.10 * ribs)), part=HAT, gloss=0.05)
    c.surface(cap, 0.85 * c.hx / width, 0.8 * rise - 0.1 * band)
    c.shadow(cap * 0.35 * crease(brim + 0.205, 0.035))
