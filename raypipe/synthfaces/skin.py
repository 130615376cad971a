"""Ears, the skin of the face and what age, blush and freckles do to it."""

from __future__ import annotations

import numpy as np

from raypipe.synthfaces.colours import scaled, skin_colour
from raypipe.synthfaces.drawing import (
    SKIN,
    Canvas,
    Plane,
    at_least,
    at_most,
    both,
    bump,
    cover,
    crease,
    ellipse,
    gate,
    resolved,
    smooth,
    wave,
)
from raypipe.synthfaces.geometry import EYE_V, HEAD_X, HEAD_Y, Anatomy, Looks

_MIDDLE_V = -0.12
_SKULL_H = 0.86
_CHEEK_V = 0.24


def draw_ears(canvas: Canvas, f: Looks, a: Anatomy) -> None:
    """The sides of the head, ears and earrings."""
    ears = canvas.skull_window(-1.1, 0.6)
    size = 0.85 + 0.35 * f["ear_size"]
    rise = ears.hy - _MIDDLE_V
    skull = ellipse(ears.hx, rise, a.face_w + 0.02, np.where(rise < 0.0, np.float32(_SKULL_H), np.float32(0.72)))
    side = cover(skull, ears.pixel)
    ears.paint(side, skin_colour(f["skin_tone"], f["skin_warmth"]), part=SKIN, gloss=0.35)
    ears.surface(side, 0.80 * ears.u / HEAD_X, 0.62 * ears.v / HEAD_Y)
    out = np.abs(ears.hx) - a.face_w - 0.005
    down = ears.hy - 0.06
    ear = cover(ellipse(out - 0.12 * down, down, 0.10 * size, 0.19 * size), ears.pixel)
    ears.paint(ear, scaled(skin_colour(f["skin_tone"], f["skin_warmth"]), 0.93), part=SKIN, gloss=0.2)
    ears.surface(ear, 0.55 * ears.hx, 0.0)
    ears.shadow(ear * 0.45 * bump(out + 0.01, down + 0.02, 0.07 * size, 0.14 * size))
    pin = gate(f["earrings"]) * cover(ellipse(out + 0.03, down - 0.24 * size, 0.035, 0.045), ears.pixel)
    ears.paint(pin, (0.80, 0.62, 0.25), gloss=2.5)
    ears.surface(pin, 6.0 * (out + 0.03), 6.0 * (down - 0.24 * size))


def face_distance(canvas: Canvas, f: Looks, a: Anatomy) -> Plane:
    """Signed distance to the outline of face and skull: an ellipse that tapers to the chin."""
    v, height = canvas.v - _MIDDLE_V, a.chin_v - _MIDDLE_V
    down = at_least(v, 0.0)
    below = down / height
    square = 0.10 + 0.55 * f["jaw_width"] + 0.22 * f["masculinity"]
    taper = 0.19 - 0.10 * f["jaw_width"] - 0.06 * f["masculinity"] - 0.05 * f["chubbiness"]
    width = a.face_w * (1.0 - taper * below)
    tall = np.where(v < 0.0, np.float32(_SKULL_H), height)
    face = ellipse(canvas.u, v, width, tall, square=square * at_most(below * 2.0, 1.0))
    return both(face, skull_distance(canvas, a))


def skull_distance(canvas: Canvas, a: Anatomy) -> Plane:
    """Signed distance to the upper half of the skull, which turns less than the face; open downwards."""
    skull = ellipse(canvas.hx, at_most(canvas.hy - _MIDDLE_V, 0.0), a.face_w + 0.02, _SKULL_H)
    return skull - 0.5 * at_least(canvas.v - _MIDDLE_V + 0.3, 0.0)


def draw_face(canvas: Canvas, f: Looks, a: Anatomy) -> None:
    """The skin with its large forms, tints and wrinkles."""
    face = cover(face_distance(canvas, f, a), canvas.pixel)
    canvas.paint(face, skin_colour(f["skin_tone"], f["skin_warmth"]), part=SKIN, gloss=0.35)
    canvas.surface(face, 0.80 * canvas.u / HEAD_X, 0.62 * canvas.v / HEAD_Y)
    _model(canvas, f, a)
    _tint(canvas, f, a)
    _age(canvas, f, a)


def _model(canvas: Canvas, f: Looks, a: Anatomy) -> None:
    """Cheeks, eye sockets, brow ridge, temples, chin."""
    c = canvas.window(-1.1, -0.85, 1.1, 1.15)
    smile = at_least(f["smile"], 0.0)
    cheek = 0.030 + 0.028 * f["cheekbones"] + 0.022 * smile + 0.01 * f["chubbiness"]
    c.emboss_pair(c.u, 0.62 * a.face_w, c.v - _CHEEK_V + 0.05 * smile, 0.34, 0.30, cheek)
    hollow = 0.020 * (1.0 - f["chubbiness"]) * (0.4 + 0.6 * f["cheekbones"])
    c.emboss_pair(c.u, 0.80 * a.face_w, c.v - 0.48, 0.30, 0.30, -hollow)
    c.emboss_pair(c.u, 0.95 * a.eye_x, c.v - EYE_V + 0.02, 0.26, 0.17, -0.024)
    c.emboss_pair(c.u, 0.9 * a.eye_x, c.v - a.brow_v, 0.28, 0.10, 0.010 + 0.012 * f["masculinity"])
    c.emboss(c.u, c.v - a.chin_v + 0.13, 0.22, 0.15, 0.025 + 0.01 * f["masculinity"])
    c.emboss(c.u, c.v + 0.48, 0.55, 0.33, 0.02)


def _tint(canvas: Canvas, f: Looks, a: Anatomy) -> None:
    """Warmer cheeks, blush and freckles."""
    c = canvas.window(-0.8, -0.1, 0.8, 0.55)
    out = np.abs(c.u)
    cheek = bump(out - 0.60 * a.face_w, c.v - _CHEEK_V, 0.30, 0.24)
    red = cheek * (0.10 + 0.42 * gate(f["blush"]) * f["blush"])
    _multiply(c, red, (1.0, 0.55, 0.58))
    fine = resolved(11.0 * c.pixel)
    dots = wave(c.u * 13.0 + 0.15 * wave(c.v * 9.1)) + wave(c.v * 15.0 + 0.15 * wave(c.u * 11.3 + 0.3))
    band = bump(out - 0.5 * a.face_w, c.v - 0.17, 0.40, 0.26)
    spread = at_least(f["freckles"] - 0.45, 0.0) * band
    _multiply(c, spread * (0.25 + 1.2 * fine * smooth(dots, 1.1, 1.7)), (0.70, 0.50, 0.38))


def _age(canvas: Canvas, f: Looks, a: Anatomy) -> None:
    """Folds beside the mouth, bags under the eyes, crow's feet and lines on the forehead."""
    c = canvas.window(-0.8, -0.75, 0.8, 0.85)
    out, old = np.abs(c.u), smooth(f["age"], 0.3, 1.0)
    smile = at_least(f["smile"], 0.0)
    along = (c.v - a.nose_v + 0.05) / (a.mouth_v - a.nose_v + 0.12)
    fold_u = a.nose_w + 0.03 + (a.mouth_w + 0.03 - a.nose_w) * along + 0.05 * smile * along
    fold = crease(out - fold_u - 0.02, 0.085 + c.pixel) * smooth(along, -0.1, 0.3) * smooth(along, 1.15, 0.75)
    c.shadow(fold * (0.07 + 0.34 * old + 0.15 * smile))
    bag = bump(out - a.eye_x, c.v - EYE_V - a.lid_low - 0.055, 1.1 * a.eye_w, 0.055)
    bag_edge = bump(out - a.eye_x, c.v - EYE_V - a.lid_low - 0.095, 1.1 * a.eye_w, 0.04)
    c.shadow(0.36 * old * bag_edge + 0.06 * bag)
    c.emboss_pair(c.u, a.eye_x, c.v - EYE_V - a.lid_low - 0.05, a.eye_w, 0.06, 0.012 * old)
    feet_u = out - a.eye_x - a.eye_w - 0.09
    feet = wave((c.v - EYE_V) * 14.0 * (1.0 - 1.2 * feet_u)) * bump(feet_u, c.v - EYE_V, 0.10, 0.11)
    lines = smooth(wave((c.v + 0.12 * c.u * c.u) * 9.5), 0.1, 0.9) * bump(c.u, c.v + 0.45, 0.46, 0.20)
    wrinkles = at_least(feet, 0.0) * (0.3 * old + 0.1 * smile) + lines * 0.36 * old * old
    c.shadow(wrinkles)


def _multiply(canvas: Canvas, amount: Plane, tint: tuple[float, float, float]) -> None:
    for plane, factor in zip(canvas.colour, tint, strict=True):
        plane *= 1.0 - amount * (1.0 - factor)
