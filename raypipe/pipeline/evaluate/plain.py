"""A report as plain values, for ``report.json`` and ``--json``."""

from __future__ import annotations

import math
import re
from typing import Any

from raypipe.report import BoxPlot, Cell, Line, Plot, Report, Table


def as_plain(report: Report) -> dict[str, Any]:
    """All but the pictures, of which only the names are told. Numbers that are not finite become None."""
    return {
        "claims": [vars(claim) for claim in report.claims],
        "tables": [_table(table) for table in report.tables],
        "plots": [_plot(plot) for plot in report.plots],
        "pictures": [*report.pictures, *report.sheets],
        "choices": list(report.choices),
    }


def file_name(title: str) -> str:
    """A title as the name of a file, without its ending."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _table(table: Table) -> dict[str, Any]:
    return {
        "title": table.title,
        "columns": list(table.columns),
        "rows": [[_cell(cell) for cell in row] for row in table.rows],
        "paper": [[_cell(cell) for cell in row] for row in table.paper],
        "note": table.note,
    }


def _plot(plot: Plot | BoxPlot) -> dict[str, Any]:
    if isinstance(plot, BoxPlot):
        groups = {name: [_cell(value) for value in values] for name, values in plot.groups.items()}
        return {"title": plot.title, "y_label": plot.y_label, "groups": groups}
    return {
        "title": plot.title,
        "x_label": plot.x_label,
        "y_label": plot.y_label,
        "is_log_x": plot.is_log_x,
        "lines": [_line(line) for line in plot.lines],
    }


def _line(line: Line) -> dict[str, Any]:
    numbers = {"x": line.x, "y": line.y, "spread": line.spread}
    return {"name": line.name, **{name: [_cell(value) for value in values] for name, values in numbers.items()}}


def _cell(cell: Cell) -> Cell:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
