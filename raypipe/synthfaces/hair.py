"""Hair: behind the head, around the face, on the upper lip and the chin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raypipe.synthfaces.colours import hair_colour, scaled
from raypipe.synthfaces.drawing import (
    HAIR,
    Canvas,
    Plane,
    at_least,
    at_most,
    between,
    both,
    bump,
    cover,
    ellipse,
    gate,
    smooth,
    strands,
    wave,
)
from raypipe.synthfaces.geometry import Anatomy, Looks
from raypipe.synthfaces.skin import skull_distance

SKULL_V = -0.14


@dataclass(frozen=True)
class Mane:
    """All the hair of a head.

    ``outline``: distance to its outer form, tips included. ``around``: -1 to 1 from side to side, the same along a
    strand. ``width``: half of its width at this height. ``texture``: about -1 to 1.
    """

    outline: Plane
    around: Plane
    width: Plane
    texture: Plane


def grow(c: Canvas, f: Looks, a: Anatomy) -> Mane:
    """Work out the form and the texture of the hair; draw nothing yet."""
    volume, wavy = f["hair_volume"] * (1.0 - gate(f["baldness"])), smooth(f["hair_wave"], 0.3, 0.9)
    length = f["hair_length"] * (1.0 - gate(f["baldness"]))
    drop, rise = at_least(c.hy - SKULL_V, 0.0), at_most(c.hy - SKULL_V, 0.0)
    width = a.face_w + 0.055 + 0.08 * smooth(length, 0.25, 0.5) + 0.10 * volume + 0.03 * wavy
    width = width + drop * (0.03 + 0.10 * volume) * length + 0.03 * wavy * wave(c.hy * 2.3) * smooth(drop, 0.0, 0.3)
    ratio = rise / (0.88 + 0.13 * volume)
    local: Plane = width * np.sqrt(at_least(1.0 - ratio * ratio, 0.02))
    around = (c.hx + 0.10 * f["hair_part"] * ratio) / local
    curl = wavy * (0.10 * wave(c.hy * 2.3 + 0.7 * np.abs(around)) + 0.05 * wave(c.hy * 4.1 - around))
    texture = _strands(around + curl, 0.025 * ratio, c.pixel / local)
    uneven = 0.025 * wave(around * 2.3) + 0.020 * wave(around * 7.3) + 0.012 * wave(around * 17.9)
    end = -0.10 + 1.5 * length * (0.45 + 0.55 * length)
    outer = ellipse(c.hx, rise, width, 0.88 + 0.13 * volume)
    return Mane(both(outer, c.hy - end - uneven), around, width, texture)


def _strands(turns: Plane, shear: Plane, detail: Plane) -> Plane:
    """Locks, and finer and finer strands as far as the pixels show them."""
    texture: Plane = 0.22 * strands(turns + 0.13, 4.0, detail) + 0.30 * strands(turns, 9.0, detail)
    texture = texture + 0.35 * strands(turns + shear, 21.0, detail)
    texture = texture + 0.35 * strands(turns + 1.2 * shear, 47.0, detail)
    return texture + 0.25 * strands(turns - shear, 103.0, detail)


def draw_hair_behind(canvas: Canvas, f: Looks, mane: Mane) -> None:
    """What is seen of the hair beside and below the jaw, in the head's own shadow."""
    hair = cover(mane.outline, canvas.pixel + 0.02)
    hair *= smooth(f["hair_length"] * (1.0 - gate(f["baldness"])), 0.15, 0.35)
    _paint(canvas, f, mane, hair)
    canvas.shadow(hair * 0.55)


def draw_hair(canvas: Canvas, f: Looks, a: Anatomy, mane: Mane) -> None:
    """The hair on and around the face, with its shadow on the skin."""
    bald = gate(f["baldness"])
    opening = _opening(canvas, f, a, mane)
    reach = smooth(-opening, 0.14, 0.0) * cover(mane.outline - 0.05, 0.08) * (1.0 - bald)
    canvas.shadow(0.42 * reach * smooth(canvas.v, 0.75, 0.25))
    hair = cover(both(mane.outline, -opening), canvas.pixel + 0.018)
    fringe = smooth(canvas.hy, -0.42, -0.16) * smooth(f["baldness"], 0.95, 0.80)
    hair *= 1.0 - bald * (1.0 - 0.8 * fringe)
    _paint(canvas, f, mane, hair)
    canvas.shadow(hair * 0.5 * smooth(-opening, -0.10, 0.0) * smooth(canvas.hy, -0.15, 0.15))


def _opening(c: Canvas, f: Looks, a: Anatomy, mane: Mane) -> Plane:
    """Signed distance to the opening that the face looks out of: negative where there is no hair."""
    bald, bangs = gate(f["baldness"]), gate(f["bangs"])
    middle = -0.02
    curtain = smooth(f["hair_length"], 0.3, 0.65) * (1.0 - bangs)
    top = -0.57 - 0.13 * f["hairline"] - 0.13 * curtain - 0.03 * f["masculinity"]
    fringe = -0.29 + 0.12 * (1.0 - f["bangs"]) + 0.10 * f["hair_part"] * c.u
    top = top + bangs * (fringe - top) + bald * (-1.35 - top)
    fringe_tips = 0.035 * bangs * (wave(mane.around * 5.3) + 0.7 * wave(mane.around * 11.7 + 0.2))
    jagged = fringe_tips + 0.009 * (1.0 - curtain) * wave(mane.around * 9.0)
    up = at_most(c.v - middle + jagged, 0.0)
    sweep = (1.0 - bangs) * (0.16 + 0.3 * curtain) * f["hair_part"] * between(-c.v - 0.2, 0.0, 0.5)
    temple = f["hairline"] * 0.10 * bump(np.abs(c.u) - 0.42, c.v + 0.62, 0.25, 0.25)
    side = a.face_w * (0.955 - 0.03 * bangs)
    opening = ellipse(c.u + sweep, up, side, middle - top, square=0.25 + 0.6 * bangs - 0.25 * curtain) - temple
    return both(opening, skull_distance(c, a))


def _paint(c: Canvas, f: Looks, mane: Mane, hair: Plane) -> None:
    colour = hair_colour(f["hair_lightness"], f["hair_redness"], gate(f["hair_grey"]))
    c.paint(hair, scaled(colour, 1.0 + 0.40 * mane.texture), part=HAIR, gloss=0.25)
    rise = at_most(c.hy - SKULL_V, 0.0)
    c.surface(hair, 0.82 * c.hx / mane.width + 0.16 * mane.texture, 0.75 * rise)
    c.gloss[...] += hair * (0.12 + 0.4 * mane.texture) * (0.6 + 0.4 * f["hair_lightness"])
