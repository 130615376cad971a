from __future__ import annotations

import numpy as np
import pytest

from raypipe.errors import RaypipeError
from raypipe.retrieval.reduction import Reduction, RowSample, fit_reduction


def correlated(rows: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((width, width)))[0]
    return (3 + rng.standard_normal((rows, width)) * 0.7 ** np.arange(width) @ turn).astype(np.float32)


def test_the_axes_are_those_of_the_covariance() -> None:
    rows = correlated(4000, 30)
    reduction = fit_reduction(rows, attributes=0, axes=5, lists=1)
    values, vectors = np.linalg.eigh(np.cov(rows.astype(np.float64).T))
    cosines = np.abs((reduction.axes * vectors[:, ::-1][:, :5].T).sum(1))
    np.testing.assert_allclose(cosines, 1, atol=1e-4)
    np.testing.assert_allclose(reduction.axes @ reduction.axes.T, np.eye(5), atol=1e-13)
    assert values[-1] > values[0]


def test_two_rows_are_at_least_as_far_apart_as_reduced() -> None:
    rows = correlated(300, 20)
    reduction = fit_reduction(rows, attributes=2, axes=4, lists=1)
    reduced = reduction.reduce(rows)
    low = ((reduced.axes[:, None] - reduced.axes) ** 2).sum(2) + (reduced.cut[:, None] - reduced.cut) ** 2
    rest = rows[:, 2:].astype(np.float64)
    true = ((rest[:, None] - rest) ** 2).sum(2)
    assert (low * reduction.scale**2 <= true * (1 + 1e-9) + 1e-9).all()
    assert np.median(low * reduction.scale**2 / np.maximum(true, 1e-9)) > 0.5


def test_axes_that_prove_nothing_more_are_left_out() -> None:
    flat = np.random.default_rng(0).standard_normal((500, 3)) @ np.random.default_rng(1).standard_normal((3, 40))
    reduction = fit_reduction(flat.astype(np.float32), attributes=0, axes=27, lists=1)
    assert len(reduction.axes) <= 3


@pytest.mark.parametrize("rows", [np.zeros((0, 6)), np.ones((1, 6)), np.ones((50, 6))])
def test_samples_without_spread_still_give_orthonormal_axes(rows: np.ndarray) -> None:
    reduction = fit_reduction(rows.astype(np.float32), attributes=1, axes=3, lists=8)
    np.testing.assert_allclose(reduction.axes @ reduction.axes.T, np.eye(3), atol=1e-13)
    assert np.isfinite(reduction.centroids).all()


def test_a_space_of_attributes_alone_needs_no_axes() -> None:
    reduction = fit_reduction(correlated(100, 4), attributes=4, axes=9, lists=2)
    assert reduction.axes.shape == (0, 0)
    np.testing.assert_array_equal(reduction.reduce(correlated(5, 4)).cut, 0)


def test_a_sample_is_uniform_and_depends_on_the_stream_alone() -> None:
    stream = np.arange(1000, dtype=np.float32)[:, None]
    counts = np.zeros(1000)
    for seed in range(200):
        sample = RowSample(1, 100, seed)
        for start in range(0, 1000, 90):
            sample.add(stream[start : start + 90])
        assert len(np.unique(sample.rows)) == 100
        counts[sample.rows[:, 0].astype(int)] += 1
    tenths = counts.reshape(10, 100).sum(1) / counts.sum()  # 0.1 each, with a deviation of 0.002
    np.testing.assert_allclose(tenths, 0.1, atol=0.01)


def test_a_short_stream_is_its_own_sample() -> None:
    sample = RowSample(2, 100)
    sample.add(np.ones((3, 2), np.float32))
    sample.add(np.zeros((0, 2), np.float32))
    assert sample.rows.tolist() == [[1, 1]] * 3


def test_bytes_and_back() -> None:
    reduction = fit_reduction(correlated(200, 12), attributes=2, axes=4, lists=3)
    again = Reduction.from_bytes(reduction.to_bytes())
    assert again.to_bytes() == reduction.to_bytes()
    with pytest.raises(RaypipeError, match="reduction is damaged"):
        Reduction.from_bytes(reduction.to_bytes()[:100])
