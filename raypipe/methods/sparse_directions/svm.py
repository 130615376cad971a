"""A linear support vector machine, for data sets small enough for a matrix of all pairs. N rows, P numbers each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raypipe.errors import RaypipeError

Floats = npt.NDArray[np.float64]

MOST_STEPS = 10_000_000


@dataclass(frozen=True)
class Hyperplane:
    """``normal`` [P] . x + ``offset`` is above 0 on the side of the positive rows."""

    normal: Floats
    offset: float


def fit_hyperplane(
    rows_NP: npt.NDArray[np.floating], positive_N: npt.NDArray[np.bool_], *, cost: float = 1.0, tolerance: float = 1e-3
) -> Hyperplane:
    """Minimise |f|^2 / 2 + cost * sum of max(0, 1 - y (f.x + b)); rows of both classes must be there.

    The dual is solved two multipliers at a time: the one that most violates optimality and the partner that gains most
    (Fan, Chen and Lin, JMLR 2005). s = y * alpha are the signed multipliers: f = sum of s x, sum of s = 0, and s lies
    between 0 and y * cost. Memory: N^2 doubles.

    Args:
        tolerance: by how much the optimality conditions may be violated, in units of the margin.

    Raises:
        RaypipeError: not optimal after ten million steps: the rows' scale is far from 1.
    """
    x = rows_NP.astype(np.float64)
    target = np.where(positive_N, 1.0, -1.0)
    upper, lower = np.where(positive_N, cost, 0.0), np.where(positive_N, 0.0, -cost)
    kernel = x @ x.T
    squares = np.diag(kernel)
    s = np.zeros(len(x))
    error = target.copy()  # target - f.x, without the offset
    for _ in range(MOST_STEPS):
        up = int(np.argmax(np.where(s < upper, error, -np.inf)))
        can_fall = s > lower
        lowest = error[can_fall].min()
        if error[up] - lowest <= tolerance:
            return Hyperplane(s @ x, float(error[up] + lowest) / 2)
        violation = np.where(can_fall, error[up] - error, 0.0).clip(min=0.0)
        curvature = np.maximum(squares[up] + squares - 2 * kernel[up], 1e-12)
        down = int(np.argmax(violation**2 / curvature))
        step = min(violation[down] / curvature[down], upper[up] - s[up], s[down] - lower[down])
        # Exactly on the bound: a remainder of rounding would be chosen again and again.
        s[up] = upper[up] if step == upper[up] - s[up] else s[up] + step
        s[down] = lower[down] if step == s[down] - lower[down] else s[down] - step
        error -= step * (kernel[up] - kernel[down])
    raise RaypipeError(f"no separating plane found in {MOST_STEPS:,} steps: the rows' scale is far from 1")
