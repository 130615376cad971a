"""Charts as PNG. Matplotlib is imported only when there is something to draw."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from raypipe.errors import WrongUsage
from raypipe.report import BoxPlot, Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES, DOTS_PER_INCH = (7.0, 4.5), 150
STYLES = ("-", "--", "-.", ":")


def chart_png(plot: Plot | BoxPlot) -> bytes:
    """Lines over one axis with a legend, bands where a line has a spread; or a box for each group.

    Raises:
        WrongUsage: matplotlib is not installed.
    """
    figure = _new_figure()
    axes = figure.add_subplot()
    if isinstance(plot, BoxPlot):
        _draw_boxes(axes, plot)
    else:
        _draw_lines(axes, plot)
        figure.legend(loc="outside lower center", ncols=2)  # beside the curves: there are up to six
    axes.set(title=plot.title, ylabel=plot.y_label)
    axes.grid(alpha=0.3)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH)
    return content.getvalue()


def _new_figure() -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise WrongUsage(f"charts are drawn by matplotlib ({error}): pip install raypipe[plots]") from error
    figure = Figure(figsize=INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_lines(axes: Axes, plot: Plot) -> None:
    for number, line in enumerate(plot.lines):
        (drawn,) = axes.plot(
            line.x, line.y, STYLES[number % len(STYLES)], marker="." if len(line.x) < 50 else "", label=line.name
        )
        if line.spread:
            low = [y - spread for y, spread in zip(line.y, line.spread, strict=True)]
            high = [y + spread for y, spread in zip(line.y, line.spread, strict=True)]
            axes.fill_between(line.x, low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)
    if plot.is_log_x:
        axes.set_xscale("log")
    axes.set(xlabel=plot.x_label)


def _draw_boxes(axes: Axes, plot: BoxPlot) -> None:
    axes.boxplot(list(plot.groups.values()), tick_labels=list(plot.groups), widths=0.5)
