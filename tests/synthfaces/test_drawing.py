import numpy as np
import pytest

from raypipe.synthfaces.drawing import bump, cover, ellipse, resolved, strands, wave

SIZE = 64
AXIS = ((np.arange(SIZE, dtype=np.float32) + 0.5) * 2 / SIZE - 1)[None]
X, Y = AXIS[:, None, :], AXIS[:, :, None]
PIXEL = 2 / SIZE


@pytest.mark.parametrize(("ru", "rv"), [(0.5, 0.5), (0.7, 0.3), (0.11, 0.2)])
def test_coverage_adds_up_to_the_ellipses_area(ru: float, rv: float) -> None:
    area = cover(ellipse(X - 0.013, Y + 0.007, ru, rv), PIXEL).sum() * PIXEL**2
    assert area == pytest.approx(np.pi * ru * rv, rel=0.01)


def test_a_circles_distance_is_exact_to_first_order_at_its_edge() -> None:
    radius = np.float32(0.5) + np.linspace(-0.02, 0.02, 9, dtype=np.float32)
    angle = np.linspace(0, 2 * np.pi, 9, dtype=np.float32)
    distance = ellipse(radius * np.cos(angle), radius * np.sin(angle), 0.5, 0.5)
    np.testing.assert_allclose(distance, radius - 0.5, atol=5e-4)


def test_a_square_ellipse_has_the_area_of_a_superellipse_of_power_four() -> None:
    area = cover(ellipse(X, Y, 0.6, 0.6, square=1.0), PIXEL).sum() * PIXEL**2
    assert area == pytest.approx(3.7081 * 0.36, rel=0.015)  # 4 gamma(5/4)^2 / gamma(3/2) r^2


def test_a_bump_is_one_in_the_middle_and_nothing_from_its_edge_on() -> None:
    line = np.array([0.0, 0.15, 0.3, 0.31, 5.0], np.float32)
    np.testing.assert_allclose(bump(line, 0 * line, 0.3, 0.2), [1, 0.5625, 0, 0, 0], atol=1e-6)


def test_a_wave_has_period_one_mean_nothing_and_range_one() -> None:
    turns = np.linspace(-3, 3, 6001, dtype=np.float32)[:-1]
    values = wave(turns)
    assert values.max() == pytest.approx(1, abs=1e-4)
    assert values.min() == pytest.approx(-1, abs=1e-4)
    assert abs(values.mean()) < 1e-4
    np.testing.assert_allclose(wave(turns + 1), values, atol=1e-4)


def test_strands_too_fine_for_the_pixels_vanish() -> None:
    turns = np.linspace(0, 1, 50, dtype=np.float32)
    detail = np.full_like(turns, 0.01)
    np.testing.assert_array_equal(strands(turns, 3.0, detail), wave(turns * 3.0))
    assert not strands(turns, 60.0, detail).any()
    np.testing.assert_allclose(resolved(np.array([0.1, 1 / 3, 0.6], np.float32)), [1, 0.5, 0], atol=1e-6)
