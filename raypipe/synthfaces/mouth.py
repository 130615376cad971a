"""Nose and mouth."""

from __future__ import annotations

import numpy as np

from raypipe.synthfaces.colours import lipstick_colour, mix, scaled, skin_colour
from raypipe.synthfaces.drawing import (
    MOUTH,
    NOSE,
    Canvas,
    Plane,
    at_least,
    between,
    both,
    bump,
    cover,
    crease,
    ellipse,
    gate,
    smooth,
)
from raypipe.synthfaces.geometry import EYE_V, Anatomy, Looks, nose_coordinates


def draw_nose(canvas: Canvas, f: Looks, a: Anatomy) -> None:
    """Ridge, tip and wings as relief; nostrils and the shadow below."""
    c = canvas.window(-0.45, EYE_V - 0.15, 0.45, 0.56)
    u, v = nose_coordinates(c, f, a)
    out, ridge = np.abs(u), 0.5 + f["nose_ridge"]
    length = a.nose_v - EYE_V
    along = between((v - EYE_V) / length, 0.0, 1.15)
    half = 0.035 + (a.nose_w - 0.035) * along * along
    c.mark(both(out - half - 0.012, v - a.nose_v - 0.075, EYE_V - v) < 0.0, NOSE)
    middle = EYE_V + 0.45 * length
    c.emboss(u, v - middle, 0.12 + 0.03 * f["nose_width"], 0.80 * length, 0.032 * ridge)
    tip_w = 0.62 * a.nose_w + 0.03
    c.emboss(u, v - a.nose_v + 0.01, tip_w, 0.095, 0.030 * (0.6 + 0.4 * ridge))
    c.emboss_pair(u, 0.74 * a.nose_w, v - a.nose_v - 0.015, 0.5 * a.nose_w, 0.075, 0.016)
    beside_wing = bump(out - a.nose_w - 0.012, v - a.nose_v - 0.01, 0.035, 0.075)
    under = bump(u - 0.06 * f["light_side"], v - a.nose_v - 0.10, a.nose_w + 0.05, 0.065)
    c.shadow(0.30 * beside_wing + 0.34 * under * (0.6 + 0.4 * f["light_height"]))
    beside = out - 0.50 * a.nose_w
    hole = cover(ellipse(beside, v - a.nose_v - 0.048 + 0.25 * beside, 0.25 * a.nose_w, 0.019), c.pixel + 0.014)
    c.paint(0.68 * hole, (0.055, 0.02, 0.016), gloss=0.0)
    shine = bump(u, v - a.nose_v + 0.02, 0.55 * tip_w, 0.06) + 0.25 * bump(u, v - middle, 0.05, 0.6 * length)
    c.gloss[...] += 0.7 * shine


def draw_mouth(canvas: Canvas, f: Looks, a: Anatomy) -> None:
    """Two lips around a line that bends with the smile, and what is seen between them."""
    c = canvas.window(-0.48, 0.22, 0.48, 1.0)
    full = f["lip_fullness"] - 0.25 * f["masculinity"]
    across = c.u / a.mouth_w
    bow = at_least(1.0 - across * across, -1.5)
    line = c.v - a.mouth_v - a.lift * (0.4 - across * across)
    upper = (0.026 + 0.036 * full) * bow * (1.0 - 0.28 * crease(across, 0.5)) + 0.32 * a.gap * bow
    lower = (0.034 + 0.046 * full) * bow * (0.65 + 0.35 * bow) + 0.68 * a.gap * bow
    fit = 1.0 / np.sqrt(1.0 + (0.25 * across / a.mouth_w) * (0.25 * across / a.mouth_w))
    past_corner = (np.abs(across) - 1.0) * a.mouth_w
    lips = both(both(-upper - line, line - lower) * fit, past_corner)
    inside = both(both(-0.32 * a.gap * bow - line, line - 0.68 * a.gap * bow) * fit, past_corner)
    _lips(c, f, a, lips, line)
    _inside(c, a, cover(inside, c.pixel), line, across)
    parted = crease(line, 0.012 + 0.8 * c.pixel) * smooth(np.abs(across), 1.08, 0.9)
    c.paint(0.75 * parted * smooth(a.gap, 0.03, 0.0), (0.07, 0.015, 0.015), gloss=0.0)
    corner = bump(np.abs(c.u) - a.mouth_w - 0.01, line, 0.05, 0.05)
    under = bump(c.u, line - lower - 0.045, 0.75 * a.mouth_w, 0.05)
    c.shadow(0.30 * corner + 0.22 * under)
    c.emboss(c.u, line + upper + 0.06, 0.03, 0.07, -0.006)


def _lips(c: Canvas, f: Looks, a: Anatomy, distance: Plane, line: Plane) -> None:
    painted = gate(f["lipstick"])
    skin = skin_colour(f["skin_tone"], f["skin_warmth"])
    rosy = [plane * tint for plane, tint in zip(skin, (0.86, 0.50, 0.52), strict=True)]
    natural = mix(rosy, skin, 0.35 * f["masculinity"])
    colour = mix(natural, lipstick_colour(f["lipstick_hue"]), painted * (0.45 + 0.5 * f["lipstick"]))
    lips = cover(distance, c.pixel + 0.012 * (1.0 - painted))
    below = smooth(line, -0.01, 0.01)
    c.paint(lips * (0.80 + 0.2 * painted), scaled(colour, 0.80 + 0.25 * below), part=MOUTH)
    c.gloss[...] += lips * below * (0.5 + 0.9 * painted)
    c.emboss(c.u, line + 0.03 + 0.32 * a.gap, a.mouth_w, 0.05, -0.008)
    c.emboss(c.u, line - 0.045 - 0.68 * a.gap, 0.9 * a.mouth_w, 0.06, 0.016)


def _inside(c: Canvas, a: Anatomy, inside: Plane, line: Plane, across: Plane) -> None:
    """Dark, with the upper teeth and the tongue."""
    c.paint(inside, (0.075, 0.012, 0.014), part=MOUTH, gloss=0.0)
    tongue = bump(c.u, line - 0.75 * a.gap, 0.75 * a.mouth_w, 0.42 * a.gap + 0.01)
    c.paint(inside * tongue * 0.8, (0.42, 0.10, 0.10))
    teeth = smooth(line, 0.24 * a.gap + 0.006, 0.24 * a.gap - 0.012) * smooth(np.abs(across), 0.96, 0.7)
    c.paint(inside * teeth * smooth(a.gap, 0.012, 0.035), (0.88, 0.85, 0.80), gloss=0.3)
