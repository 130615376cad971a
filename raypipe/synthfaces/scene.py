"""What is around the face: background, neck and clothes; and the light that falls on everything at the end."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raypipe.synthfaces.colours import hue_colour, mix, scaled, skin_colour
from raypipe.synthfaces.drawing import (
    CLOTHES,
    SKIN,
    Canvas,
    Plane,
    at_least,
    between,
    both,
    bump,
    cover,
    ellipse,
    smooth,
    wave,
)
from raypipe.synthfaces.geometry import Anatomy, Looks, rolled_light

_NECK_TOP = 0.35  # behind the face however it is turned


def draw_background(canvas: Canvas, f: Looks) -> None:
    """Two colours that run into each other, with soft spots of light."""
    lightness = 0.15 + 0.75 * f["background_lightness"]
    saturation = f["background_saturation"] * f["background_saturation"]
    near = hue_colour(f["background_hue"], 0.65 * saturation, lightness)
    far_hue = f["background_hue"] + 0.12 * f["background_gradient"]
    far_lightness = lightness * (1.0 - 0.55 * np.abs(f["background_gradient"]))
    far = hue_colour(far_hue, 0.5 * saturation, far_lightness)
    slant = f["background_gradient"] * canvas.x + 0.6 * canvas.y
    spots = bump(canvas.x - 1.3 * f["light_side"], canvas.y + 0.9, 1.3, 1.1)
    for plane, tint in zip(canvas.colour, mix(near, far, smooth(slant, -1.4, 1.4)), strict=True):
        plane[...] = tint * (0.9 + 0.35 * spots)


def draw_body(canvas: Canvas, f: Looks, a: Anatomy) -> None:
    """Neck in the shadow of the chin, shoulders in clothes with a round neckline."""
    body = canvas.body_window(_NECK_TOP)
    man = f["masculinity"]
    neck_w = 0.33 + 0.09 * man + 0.05 * f["chubbiness"]
    x, y = body.x - 0.004 * f["yaw"], body.y
    wide = at_least(y - 0.75, 0.0)
    neck = cover(both(np.abs(x) - neck_w - wide * wide * 0.9, _NECK_TOP + body.pixel - y), body.pixel)
    body.paint(neck, skin_colour(f["skin_tone"], f["skin_warmth"]), part=SKIN, gloss=0.15)
    body.surface(neck, 0.85 * x / (neck_w + 0.25), 0.1)
    under_chin = 1.0 - smooth(ellipse(x - 0.3 * (body.x - body.u), y - 0.25, a.face_w, a.chin_v - 0.12), 0.0, 0.32)
    body.shadow(0.55 * neck * under_chin)
    shoulder = y - (1.02 - 0.05 * man) - 0.28 * at_least(np.abs(x) - neck_w - 0.1, 0.0)
    neckline = ellipse(x, y - 0.9, neck_w + 0.10, 0.30)
    clothed = cover(both(-shoulder, -neckline), body.pixel)
    lightness = 0.12 + 0.75 * f["clothes_lightness"]
    cloth = hue_colour(f["clothes_hue"], 0.55, lightness)
    fold = 1.0 + 0.07 * wave(x * 1.3 + 0.6 * y)
    body.paint(clothed, scaled(cloth, fold), part=CLOTHES, gloss=0.0)
    body.surface(clothed, 0.5 * x, -0.25)
    body.shadow(clothed * 0.35 * (1.0 - smooth(neckline, 0.0, 0.10)))


def develop(canvas: Canvas, f: Looks) -> npt.NDArray[np.uint8]:
    """Let the light fall and take the picture, uint8 [n,h,w,3].

    Lambert's law wrapped a little around the terminator, plus Blinn's highlight, both per pixel.
    """
    light_x, light_y, light_z = rolled_light(f)
    nx, ny = canvas.normal_x, canvas.normal_y
    nz: Plane = np.sqrt(at_least(1.0 - nx * nx - ny * ny, 0.08))
    scale = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz)
    facing = (nx * light_x + ny * light_y + nz * light_z) * scale
    contrast = f["light_contrast"]
    key = at_least(facing * 0.8 + 0.2, 0.0) * canvas.open * (0.42 + 0.72 * contrast)
    ambient = (0.63 - 0.43 * contrast) * (0.4 + 0.6 * canvas.open)
    half = np.sqrt(2.0 + 2.0 * light_z)
    shine: Plane = at_least((nx * light_x + ny * light_y + nz * (light_z + 1.0)) * scale / half, 0.0)
    for _ in range(4):
        shine *= shine
    shine *= canvas.gloss * canvas.open * (0.12 + 0.2 * contrast)
    brightness = 1.0 + 0.25 * f["exposure"]
    warm = 0.14 * f["light_warmth"]
    pixels = np.empty((*nx.shape, 3), np.uint8)
    for c, (tint, scatter) in enumerate(((1.0 + warm, 0.10), (1.0, 0.0), (1.0 - warm, -0.02))):
        shade = key * tint + ambient
        shade += scatter * at_least(1.0 - shade, 0.0)
        lit = canvas.colour[c] * (1.0 + canvas.lit * (shade - 1.0)) + shine
        screen = np.sqrt(between(lit * brightness, 0.0, 1.0))
        pixels[..., c] = screen * 255.0 + 0.5
    return pixels
