from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.retrieval.reduction import fit_reduction
from raypipe.retrieval.scan_rows import Probe, no_slack, stored_rows
from raypipe.retrieval.space import Target, distances


@given(
    seed=st.integers(0, 2**32 - 1),
    attributes=st.integers(0, 4),
    rest=st.integers(1, 12),
    axes=st.integers(1, 6),
    size=st.sampled_from([1e-6, 1.0, 1e6]),
    weight=st.sampled_from([0.0, 1.0, 37.5, 1000.0]),
)
@settings(max_examples=150, deadline=None)
def test_no_row_is_nearer_than_its_bound(
    seed: int, attributes: int, rest: int, axes: int, size: float, weight: float
) -> None:
    rng = np.random.default_rng(seed)
    rows = (size * (rng.standard_normal((60, attributes + rest)) + rng.standard_normal())).astype(np.float32)
    rows[:3] *= rng.choice([1.0, 20.0, 1e4])
    reduction = fit_reduction(rows[3:], attributes=attributes, axes=axes, lists=1)
    stored, is_stray, slack = stored_rows(reduction.reduce(rows))
    np.testing.assert_array_equal(stored, stored.astype(np.float16))
    weights = np.where(rng.random(attributes) < 0.5, weight, 1.0)
    for asked in (rows[5], rows[0], rng.standard_normal(rows.shape[1]) * size * 3):
        target = Target(asked[:attributes].astype(np.float64), asked[attributes:].astype(np.float64), weights)
        probe = Probe(reduction.reduce_target(target), weights, slack, reduction.scale)
        scores = stored @ probe.row
        true = distances(target, rows[:, :attributes], rows[:, attributes:]).total
        assert (probe.bounds(scores)[~is_stray] <= true[~is_stray]).all()
        for limit in (0.0, float(np.median(true))):
            assert (scores > probe.least_score(limit))[(true <= limit) & ~is_stray].all()


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([1e-12, 1e-9, 1e-3, 1.0, 1e6, 1e12]),
    apart=st.sampled_from([0.0, 1e-7, 1e-5]),
    constant=st.integers(0, 9),
    offset=st.sampled_from([0.0, 1.0, 1e3]),
    weight=st.sampled_from([0.0, 1.0, 1000.0]),
)
@settings(max_examples=150, deadline=None)
def test_rounding_never_lifts_a_bound_above_a_distance(
    seed: int, size: float, apart: float, constant: int, offset: float, weight: float
) -> None:
    """Rows nearly on the query and nearly on each other, far from the origin, with columns that never change."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(rng.standard_normal((6, 10)), 10, axis=0) + apart * rng.standard_normal((60, 10))
    rows[:, rng.permutation(10)[:constant]] = rng.standard_normal()
    rows = ((rows + offset) * size).astype(np.float32)
    reduction = fit_reduction(rows, attributes=2, axes=3, lists=1)
    stored, is_stray, slack = stored_rows(reduction.reduce(rows))
    weights = np.array([weight, 1.0])
    for asked in (rows[3], rows.mean(0), np.zeros(10), np.nextafter(rows[7], np.float32(0))):
        target = Target(asked[:2].astype(np.float64), asked[2:].astype(np.float64), weights)
        probe = Probe(reduction.reduce_target(target), weights, slack, reduction.scale)
        true = distances(target, rows[:, :2], rows[:, 2:]).total[~is_stray]
        for order in (slice(None), slice(None, None, -1), rng.permutation(stored.shape[1])):
            scores = np.cumsum(stored[:, order] * probe.row[order], axis=1, dtype=np.float32)[~is_stray, -1]
            assert (probe.bounds(scores) <= true).all()
            for limit in np.unique(true)[:3]:
                assert (scores > probe.least_score(float(limit)))[true <= limit].all()


def test_with_all_axes_the_bound_is_the_distance() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((500, 10)).astype(np.float32)
    reduction = fit_reduction(rows, attributes=2, axes=8, lists=1)
    stored, is_stray, slack = stored_rows(reduction.reduce(rows))
    weights = np.array([1.0, 10.0])
    target = Target(np.array([3.0, -3.0]), np.zeros(8), weights)
    probe = Probe(reduction.reduce_target(target), weights, slack, reduction.scale)
    true = distances(target, rows[:, :2], rows[:, 2:]).total
    np.testing.assert_allclose(probe.bounds(stored @ probe.row), true, rtol=0.01)
    assert not is_stray.any()


def test_slack_of_two_blocks_is_that_of_all_rows() -> None:
    rows = np.random.default_rng(0).standard_normal((40, 9)).astype(np.float32)
    reduction = fit_reduction(rows, attributes=3, axes=2, lists=1)
    whole = stored_rows(reduction.reduce(rows))[2]
    parts = no_slack(2, 3)
    for part in (rows[:15], rows[15:15], rows[15:]):
        parts = parts.with_rows(stored_rows(reduction.reduce(part))[2])
    assert (parts.rest, parts.length) == (whole.rest, whole.length)
    np.testing.assert_array_equal(parts.attributes, whole.attributes)
    np.testing.assert_array_equal(parts.largest, whole.largest)
