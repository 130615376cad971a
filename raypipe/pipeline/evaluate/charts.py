"""Curves as PNG. Matplotlib is imported only when there is something to draw."""

from __future__ import annotations

import io

from raypipe.errors import WrongUsage
from raypipe.report import Plot

INCHES, DOTS_PER_INCH = (7.0, 4.5), 150
STYLES = ("-", "--", "-.", ":")


def chart_png(plot: Plot) -> bytes:
    """The plot's lines over one axis, with a legend; bands where a line has a spread.

    Raises:
        WrongUsage: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise WrongUsage(f"curves are drawn by matplotlib ({error}): pip install raypipe[plots]") from error
    figure = Figure(figsize=INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
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
    axes.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2)  # beside the curves: there are up to six
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS_PER_INCH)
    return content.getvalue()
