import colorsys

import numpy as np

from raypipe.synthfaces.colours import hue_colour, mix, ramp

HUES = np.linspace(0, 2, 25, dtype=np.float32)


def test_hues_are_those_of_hsv() -> None:
    ours = np.sqrt(np.stack(hue_colour(HUES, 0.6, np.full_like(HUES, 0.8)), axis=1))
    np.testing.assert_allclose(ours, [colorsys.hsv_to_rgb(float(hue) % 1, 0.6, 0.8) for hue in HUES], atol=1e-5)


def test_a_ramp_passes_through_its_stops_and_is_straight_between() -> None:
    stops = ((0.0, 0.2, 1.0), (1.0, 0.4, 0.0), (0.5, 0.4, 0.5))
    position = np.array([0.0, 0.25, 0.5, 1.0], np.float32)
    colours = np.sqrt(np.stack(ramp(position, stops), axis=1))
    np.testing.assert_allclose(colours, [stops[0], (0.5, 0.3, 0.5), stops[1], stops[2]], atol=1e-6)


def test_mixing_by_nothing_and_by_all() -> None:
    first, second = (0.1, 0.2, 0.3), (0.9, 0.8, 0.7)
    np.testing.assert_allclose(mix(first, second, 0.0), first)
    np.testing.assert_allclose(mix(first, second, 1.0), second)
