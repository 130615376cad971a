"""Curves as pictures."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from raypipe.errors import WrongUsage
from raypipe.pipeline.evaluate.charts import chart_png
from raypipe.report import BoxPlot, Line, Plot


def plot(*lines: Line) -> Plot:
    return Plot(title="A title", x_label="across", y_label="up", lines=lines, is_log_x=True)


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def test_every_line_and_its_band_are_drawn() -> None:
    rising = Line(name="rising", x=[1, 10, 100], y=[0.1, 0.2, 0.9])
    banded = Line(name="rising", x=[1, 10, 100], y=[0.1, 0.2, 0.9], spread=[0.1, 0.1, 0.1])
    falling = Line(name="falling", x=[1, 10, 100], y=[0.9, 0.2, 0.1])
    one, two, with_band = (pixels(chart_png(p)) for p in (plot(rising), plot(rising, falling), plot(banded)))
    assert one.shape == two.shape == with_band.shape == (675, 1050, 3)

    def coloured(picture: np.ndarray) -> int:
        return int((picture.max(2) - picture.min(2) > 20).sum())

    assert 500 < coloured(one) < coloured(two)
    assert coloured(with_band) > 3 * coloured(one)


def test_a_box_is_where_half_of_a_groups_values_are() -> None:
    def ink_rows(*values: float) -> tuple[int, int]:
        """First and last row of the picture's middle column with ink of the box's outline."""
        groups = {"far": [0.0, 1.0], "one": values}
        picture = pixels(chart_png(BoxPlot(title="A title", y_label="up", groups=groups)))
        right = picture[60:600, 620:, :].max(2)
        rows = np.flatnonzero((right < 100).sum(1) > 100)  # a box's edges are long and black
        return int(rows[0]), int(rows[-2])

    narrow, wide = ink_rows(0.45, 0.5, 0.55), ink_rows(0.1, 0.5, 0.9)
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0]) > 0


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(WrongUsage, match=r"pip install raypipe\[plots\]"):
        chart_png(plot(Line(name="any", x=[1], y=[1])))
