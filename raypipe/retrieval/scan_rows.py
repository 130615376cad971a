"""What Faiss scans: float16 rows whose product with a query's row bounds the distance from below.

A row x = [y, t, u, u^2, n, n'] and a query's row q = [2 y_q, 2 t_q, 2 p c, -p, -1, -1] give

    q.x = constant - V,    V = |y_q - y|^2 + (t_q - t)^2 + sum p_m (c_m - u_m)^2,    n + n' = |y|^2 + t^2

so one maximum inner product search over one stored index answers every preference and adjustment. V is what the stored
numbers say. What the true distance d is at least:

- The rows are rounded to float16. y, t and u moved by at most ``rest`` and ``attributes`` (measured when written), so
  in the space where sqrt(V) is a length they moved by at most E, and sqrt(d) >= sqrt(V) - E by the triangle inequality.
- u^2 and n' are rounded down: V is never too large for it.
- Faiss adds up in float32. However it orders the sum, its error is at most (columns + 8) 2^-24 sum |q_i| max|x_i|
  (Higham 2002, section 3.1; the 8 pay for the rounding of q), the ``margin``.
- The reduction itself is computed in float64. t suffers most: its square is the difference of two sums of R terms, so
  its error is at most sqrt(R 2^-53) of the lengths that go into it, below ``_ROUNDING`` for R up to 100,000.

Columns of zeros fill a row up to a multiple of 8: for other widths Faiss has no vector instructions (20 times slower).
Rows too long for float16 (30 times the typical) are ``strays``: stored as nothing, compared with every query.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from raypipe.retrieval.reduction import Reduced
from raypipe.retrieval.space import Array

COLUMNS_STEP = 8

_LARGEST = 60000.0
_STRAY = 4096.0
"""Stored as the squared length of a stray: no good score, and no large margin."""

_ROUNDING = 4e-6
_SURE = 1.0 - 1e-9


@dataclass(frozen=True, eq=False)
class Slack:
    """How far stored rows are from the true ones at most.

    ``rest``: of [y, t]; ``attributes``: of u [A]; ``largest``: of each column [C], the largest number; ``length``: of
    |r|, the largest.
    """

    rest: float
    attributes: Array
    largest: Array
    length: float

    def with_rows(self, other: Slack) -> Slack:
        """Of the rows of both."""
        return Slack(
            max(self.rest, other.rest),
            np.maximum(self.attributes, other.attributes),
            np.maximum(self.largest, other.largest),
            max(self.length, other.length),
        )


def fixed_columns(attributes: int) -> int:
    """What a row stores beside the axes: t, u, u^2, n and n'."""
    return 2 * attributes + 3


def column_count(axes: int, attributes: int) -> int:
    """Stored numbers of a row."""
    return -(-(axes + fixed_columns(attributes)) // COLUMNS_STEP) * COLUMNS_STEP


def no_slack(axes: int, attributes: int) -> Slack:
    """Of no rows."""
    return Slack(0.0, np.zeros(attributes), np.zeros(column_count(axes, attributes)), 0.0)


def stored_rows(reduced: Reduced) -> tuple[Array, Array, Slack]:
    """Rows as they are stored [N,C] float32 (each number one of float16), which are strays [N], and the slack."""
    exact = np.concatenate([reduced.axes, reduced.cut[:, None], reduced.attributes], axis=1)
    axes = reduced.axes.shape[1] + 1
    squared = (exact[:, :axes] ** 2).sum(1)
    is_stray_N = (squared > _LARGEST) | ((exact[:, axes:] ** 2) > _LARGEST).any(1)
    exact[is_stray_N] = 0.0
    near = exact.astype(np.float16).astype(np.float64)
    squared_N = (near[:, :axes] ** 2).sum(1)
    high_N = squared_N.astype(np.float16).astype(np.float64)
    low_N = _rounded_down(squared_N - high_N)
    high_N[is_stray_N] = _STRAY
    rows = _filled(np.concatenate([near, _rounded_down(near[:, axes:] ** 2), high_N[:, None], low_N[:, None]], axis=1))
    moved = near - exact
    slack = no_slack(axes - 1, exact.shape[1] - axes)
    if len(rows):
        slack = Slack(
            rest=float(np.sqrt((moved[:, :axes] ** 2).sum(1).max())),
            attributes=np.abs(moved[:, axes:]).max(0),
            largest=np.abs(rows).max(0),
            length=float(reduced.length[~is_stray_N].max(initial=0.0)),
        )
    return rows.astype(np.float32), is_stray_N, slack


def _filled(rows: Array) -> Array:
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % COLUMNS_STEP)))


def _rounded_down(values: Array) -> Array:
    near = values.astype(np.float16)
    near = np.where(near.astype(np.float64) > values, np.nextafter(near, np.float16(-np.inf)), near)
    return near.astype(np.float64)


class Probe:
    """A query as the scan sees it, and what a score proves. ``margin``: what a score may be off by."""

    def __init__(self, reduced: Reduced, weights_A: Array, slack: Slack, scale: float) -> None:
        axes_D, wanted_A, cut = reduced.axes[0], reduced.attributes[0], float(reduced.cut[0])
        parts = [2 * axes_D, [2 * cut], 2 * weights_A * wanted_A, -weights_A, [-1.0, -1.0]]
        row = _filled(np.concatenate(parts)[None])[0]
        self.row = row.astype(np.float32)
        self._scale = scale
        self._constant = float((axes_D**2).sum() + cut**2 + (weights_A * wanted_A**2).sum())
        self.margin = (len(row) + 8) * 2.0**-24 * float((np.abs(row) * slack.largest).sum()) + 1e-12
        lengths = slack.length + float(reduced.length[0])
        self._moved = math.sqrt(slack.rest**2 + float((weights_A * slack.attributes**2).sum())) + _ROUNDING * lengths

    def bounds(self, scores: Array) -> Array:
        """Rows with these scores are at least this far away, float64."""
        told = np.sqrt(np.maximum(self._constant - scores.astype(np.float64) - self.margin, 0.0))
        return np.maximum(told - self._moved, 0.0) ** 2 * (self._scale**2 * _SURE)

    def least_score(self, distance: float) -> float:
        """Rows with lower scores are farther away than ``distance``; rounded down to a float32."""
        told = math.sqrt(distance / _SURE) / self._scale + self._moved
        with np.errstate(over="ignore"):  # no score is that low or that high
            score = np.float32(self._constant - self.margin - told * told * (1 + 1e-9))
        return float(np.nextafter(score, np.float32(-np.inf)))
