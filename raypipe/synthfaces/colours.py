"""Colours, written as seen on a screen and handed out linear: squared, a display gamma of 2."""

from __future__ import annotations

import numpy as np

from raypipe.synthfaces.drawing import Colour, Plane, at_most, between

_SKIN = ((0.96, 0.82, 0.75), (0.91, 0.71, 0.60), (0.80, 0.58, 0.44), (0.58, 0.39, 0.28), (0.36, 0.24, 0.18))
_HAIR = ((0.07, 0.06, 0.07), (0.17, 0.11, 0.08), (0.36, 0.23, 0.15), (0.62, 0.44, 0.26), (0.92, 0.78, 0.52))
_IRIS = ((0.20, 0.12, 0.07), (0.40, 0.25, 0.12), (0.42, 0.42, 0.22), (0.30, 0.48, 0.55), (0.35, 0.56, 0.80))
_EYE_SHADOW = ((0.30, 0.42, 0.70), (0.48, 0.28, 0.58), (0.42, 0.26, 0.20))
_LIPSTICK = ((0.50, 0.08, 0.25), (0.74, 0.06, 0.14), (0.88, 0.32, 0.30))


def skin_colour(tone: Plane, warmth: Plane) -> Colour:
    red, green, blue = ramp(tone, _SKIN)
    return [red, green * (0.96 + 0.08 * warmth), blue * (1.06 - 0.16 * warmth)]


def hair_colour(lightness: Plane, redness: Plane, grey: Plane) -> Colour:
    red, green, blue = ramp(lightness, _HAIR)
    red_part = redness * redness
    natural = [red * (0.9 + 0.45 * red_part), green * (1.03 - 0.15 * red_part), blue * (1.12 - 0.5 * red_part)]
    return mix(natural, (0.45, 0.45, 0.47), 0.9 * grey)


def iris_colour(kind: Plane) -> Colour:
    return ramp(kind, _IRIS)


def eye_shadow_colour(hue: Plane) -> Colour:
    return ramp(hue, _EYE_SHADOW)


def lipstick_colour(hue: Plane) -> Colour:
    return ramp(hue, _LIPSTICK)


def hue_colour(hue: Plane, saturation: Plane | float, value: Plane | float) -> Colour:
    """From hue (turns), saturation and value."""
    return [
        _squared(value * (1.0 - saturation * (1.0 - between(_hexagon(hue, offset), 0.0, 1.0))))
        for offset in (0.0, 2.0, 4.0)
    ]


def mix(first: Colour, second: Colour, amount: Plane | float) -> Colour:
    return [a + amount * (b - a) for a, b in zip(first, second, strict=True)]


def scaled(colour: Colour, factor: Plane | float) -> Colour:
    return [plane * factor for plane in colour]


def ramp(position: Plane, stops: tuple[tuple[float, float, float], ...]) -> Colour:
    """Straight lines between evenly spaced ``stops`` (screen values), at ``position`` in [0, 1]."""
    place = position * (len(stops) - 1)
    below = at_most(np.floor(place), len(stops) - 2)
    table, rest, index = np.asarray(stops, np.float32), place - below, below.astype(np.int64)
    return [_squared(table[index, c] * (1.0 - rest) + table[index + 1, c] * rest) for c in range(3)]


def _hexagon(hue: Plane, offset: float) -> Plane:
    turns = hue * 6.0 - offset + 3.0
    distance: Plane = 2.0 - np.abs(turns - 6.0 * np.floor(turns / 6.0) - 3.0)
    return distance


def _squared(value: Plane) -> Plane:
    return value * value
