"""Hair: behind the head, around the face, on the upper lip and the chin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raypipe.synthfaces.colours import Colour, hair_colour, scaled
from raypipe.synthfaces.drawing import HAIR, Canvas, Plane, bump, cover, ellipse, gate, smooth, strands, wave
from raypipe.synthfaces.geometry import Anatomy, Looks

SKULL_V = -0.14


@dataclass(frozen=True)
class _Mane:
    """The outer form of the hair and its texture, on one canvas."""

    outer: Plane
    around: Plane
    texture: Plane
    end_v: Plane
    width: Plane


def _mane(c: Canvas, f: Looks, a: Anatomy) -> _Mane:
    volume, wavy = f["hair_volume"] * (1.0 - gate(f["baldness"])), smooth(f["hair_wave"], 0.3, 0.9)
    length = f["hair_length"] * (1.0 - gate(f["baldness"]))
    drop = np.maximum(c.hy - SKULL_V, 0.0)
    rise = np.minimum(c.hy - SKULL_V, 0.0)
    width = a.face_w + 0.055 + 0.08 * smooth(length, 0.25, 0.5) + 0.10 * volume + 0.03 * wavy
    width = width + drop * (0.03 + 0.10 * volume) * length + 0.03 * wavy * wave(c.hy * 2.3) * smooth(drop, 0.0, 0.3)
    height = 0.88 + 0.13 * volume
    ratio = rise / height
    local = width * np.sqrt(np.maximum(1.0 - ratio * ratio, 0.02))
    around = (c.hx + 0.10 * f["hair_part"] * ratio) / local
    curl = wavy * (0.10 * wave(c.hy * 2.3 + 0.7 * np.abs(around)) + 0.05 * wave(c.hy * 4.1 - around))
    turns = around + curl
    detail = c.pixel / local
    texture = 0.22 * strands(turns + 0.13, 4.0, detail) + 0.30 * strands(turns, 9.0, detail)
    texture = texture + 0.35 * strands(turns + 0.02 * ratio, 21.0, detail) + 0.35 * strands(turns + 0.03 * ratio, 47.0, detail)
    texture = texture + 0.25 * strands(turns - 0.02 * ratio, 103.0, detail)
    return _Mane(ellipse(c.hx, rise, width, height), around, texture, _end(f, length), width)


def _end(f: Looks, length: Plane) -> Plane:
    """How far down the hair reaches, in skull coordinates."""
    return -0.10 + 1.5 * length * (0.45 + 0.55 * length)


def _tips(c: Canvas, mane: _Mane) -> Plane:
    """Distance past the uneven tips."""
    return c.hy - mane.end_v - 0.025 * wave(mane.around * 2.3) - 0.02 * wave(mane.around * 7.3) - 0.012 * wave(mane.around * 17.9)


def draw_hair_behind(canvas: Canvas, f: Looks, a: Anatomy) -> None:
    """What is seen of the hair beside and below the jaw, in the head's own shadow."""
    mane = _mane(canvas, f, a)
    hair = cover(np.maximum(mane.outer, _tips(canvas, mane)), canvas.pixel + 0.02)
    hair *= smooth(f["hair_length"] * (1.0 - gate(f["baldness"])), 0.15, 0.35)
    _paint(canvas, f, mane, hair)
    canvas.shadow(hair * 0.55)


def draw_hair(canvas: Canvas, f: Looks, a: Anatomy) -> None:
    """The hair on and around the face, with its shadow on the skin."""
    bald = gate(f["baldness"])
    mane = _mane(canvas, f, a)
    opening = _opening(canvas, f, a, mane)
    edge = canvas.pixel + 0.018
    outside = np.maximum(mane.outer, _tips(canvas, mane))
    reach = smooth(-opening, 0.14, 0.0) * cover(outside - 0.05, 0.08) * (1.0 - bald)
    canvas.shadow(0.42 * reach * smooth(canvas.v, 0.75, 0.25))
    hair = cover(np.maximum(outside, -opening), edge)
    hair *= 1.0 - bald * (1.0 - 0.8 * smooth(canvas.hy, -0.42, -0.16) * smooth(f["baldness"], 0.95, 0.80))
    _paint(canvas, f, mane, hair)
    canvas.shadow(hair * 0.5 * smooth(-opening, -0.10, 0.0) * smooth(canvas.hy, -0.15, 0.15))


def _opening(c: Canvas, f: Looks, a: Anatomy, mane: _Mane) -> Plane:
    """Signed distance to the opening that the face looks out of: negative where there is no hair."""
    bald, bangs = gate(f["baldness"]), gate(f["bangs"])
    middle = -0.02
    curtain = smooth(f["hair_length"], 0.3, 0.65) * (1.0 - bangs)
    top = -0.57 - 0.13 * f["hairline"] - 0.13 * curtain - 0.03 * f["masculinity"]
    fringe = -0.29 + 0.12 * (1.0 - f["bangs"]) + 0.10 * f["hair_part"] * c.u
    top = top + bangs * (fringe - top) + bald * (-1.35 - top)
    jagged = 0.035 * bangs * (wave(mane.around * 5.3) + 0.7 * wave(mane.around * 11.7 + 0.2)) + 0.009 * (1.0 - curtain) * wave(mane.around * 9.0)
    up = np.minimum(c.v - middle + jagged, 0.0)
    sweep = (1.0 - bangs) * (0.16 + 0.3 * curtain) * f["hair_part"] * np.minimum(np.maximum(-c.v - 0.2, 0.0), 0.5)
    temple = f["hairline"] * 0.10 * bump(np.abs(c.u) - 0.42, c.v + 0.62, 0.25, 0.25)
    side = a.face_w * (0.955 - 0.03 * bangs)
    return ellipse(c.u + sweep, up, side, middle - top, square=0.25 + 0.6 * bangs - 0.25 * curtain) - temple


def mane_colour(f: Looks) -> Colour:
    return hair_colour(f["hair_lightness"], f["hair_redness"], gate(f["hair_grey"]))


def _paint(c: Canvas, f: Looks, mane: _Mane, hair: Plane) -> None:
    c.paint(hair, scaled(mane_colour(f), 1.0 + 0.40 * mane.texture), part=HAIR, gloss=0.25)
    rise = np.minimum(c.hy - SKULL_V, 0.0)
    c.surface(hair, 0.82 * c.hx / mane.width + 0.16 * mane.texture, 0.75 * rise)
    c.gloss[...] += hair * (0.22 + 0.5 * mane.texture) * (0.6 + 0.4 * f["hair_lightness"])
