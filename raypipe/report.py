"""What an evaluation finds, as plain values. How tables, charts and pictures are shown is the pipeline's business."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

Cell = str | float | int | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows beside each other. ``paper``: rows of the same columns with the paper's own numbers, shown apart."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    paper: Sequence[Sequence[Cell]] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """Points [n] and [n]; ``spread`` [n] is half the height of a band around them."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float] = ()


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Lines over one axis. ``is_log_x``: the axis is logarithmic."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    is_log_x: bool = False


@dataclass(frozen=True, kw_only=True)
class BoxPlot:
    """A box for each group's values: quartiles, whiskers to the last value within 1.5 of their distance, and those
    beyond as points (Tukey)."""

    title: str
    y_label: str
    groups: Mapping[str, Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class SheetRow:
    """``pictures`` [n,3,h,w] in [-1,1] with a line under each; ``name``: the lines beside them."""

    name: Sequence[str]
    pictures: Tensor
    captions: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A page of pictures of one size. ``columns``: over them; all rows have so many."""

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[SheetRow]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement of the paper, whether it held here, and the numbers that say so."""

    statement: str
    holds: bool
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """``pictures``: name -> [rows, columns, 3, h, w] in [-1,1]; ``sheets``: the same with words, a page each.
    ``choices``: made where the paper leaves them open."""

    tables: Sequence[Table]
    plots: Sequence[Plot | BoxPlot] = ()
    claims: Sequence[Claim] = ()
    pictures: Mapping[str, Tensor] = field(default_factory=dict)
    sheets: Mapping[str, Sheet] = field(default_factory=dict)
    choices: Sequence[str] = ()
