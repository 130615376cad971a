"""The answer to a search on the screen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from raypipe.pipeline.search.result import FoundFace, SearchResult, face_in_words
from raypipe.pipeline.search.words import (
    answer_in_words,
    attributes_shown,
    label_text,
    largest_parts,
    number,
    question_in_words,
    split_of,
)

WIDTH = 160
"""Columns of text where standard output is no terminal."""

LARGEST_PARTS = 4


def print_result(result: SearchResult, labels: Sequence[str], *, explain: bool) -> None:
    """What was asked, the hits, and a line that says how sure that is and what it took."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(question_in_words(result), markup=False, style="bold", soft_wrap=True)
    if result.hits:
        console.print(_hits_table(result, labels, explain=explain))
    else:
        console.print("no face matches")
    console.print(answer_in_words(result), markup=False, soft_wrap=True)
    if result.more:
        console.print(f"more: --page {result.query.page + 1}", style="dim")
    if explain:
        console.print(_shards_table(result))


def _hits_table(result: SearchResult, labels: Sequence[str], *, explain: bool) -> Table:
    attributes, has_main = attributes_shown(result), result.query.face is not None
    others_shown = has_main and any(split_of(hit.parts[0], attributes)[1] for hit in result.hits)
    first_like = 1 if has_main else 0
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", justify="right")
    table.add_column("id", overflow="fold")
    table.add_column("distance", justify="right")
    if has_main:
        others = ["other attributes" if attributes else "attributes"] if others_shown else []
        for i, name in enumerate((*attributes, *others, "rest")):
            table.add_column(f"{'+' if i else '='} {name}", justify="right")
    for i, aim in enumerate(result.aims[first_like:], first_like):
        like = f"like {face_in_words(aim.face)} in {aim.space.split('.', 1)[1]}"
        table.add_column(f"{'+' if i else '='} {like}", justify="right")
    for name in result.wanted:
        table.add_column(f"{name}, wanted {result.wanted[name]:.2f}", justify="right", style="green")
    for name in labels:
        table.add_column(f"{name} (label)" if name in result.wanted else name, style="cyan")
    if explain:
        table.add_column("most of it", style="dim")
    for hit in result.hits:
        cells = [str(hit.rank), hit.id, number(hit.distance)]
        if has_main:
            cells += _main_cells(hit, attributes, others_shown=others_shown)
        cells += [number(part.weight * part.distance) for part in hit.parts[first_like:]]
        cells += [f"{intensity:.2f}" for intensity in hit.intensities.values()]
        cells += [label_text(hit.labels.get(name)) for name in labels]
        if explain:
            parts = largest_parts(hit, LARGEST_PARTS)
            cells.append(", ".join(f"{name} {number(along)}" for name, along in parts.items()))
        table.add_row(*map(Text, cells))
    return table


def _main_cells(hit: FoundFace, attributes: tuple[str, ...], *, others_shown: bool) -> list[str]:
    """The parts of the first aim times its weight, so that a row's numbers sum to its distance."""
    part = hit.parts[0]
    shown, others, rest = split_of(part, attributes)
    numbers = [*(shown.get(name, 0.0) for name in attributes), *([others] if others_shown else []), rest]
    return [number(part.weight * along) for along in numbers]


def _shards_table(result: SearchResult) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("shard")
    table.add_column("plan")
    for name in ("rows", "bounds", "compared", "others beyond", "ms"):
        table.add_column(name, justify="right")
    table.add_column("why", overflow="fold")
    for told in result.explanations:
        bound = number(told.bound) if math.isfinite(told.bound) else "all compared"
        numbers = (f"{told.rows:,}", f"{told.scanned:,}", f"{told.compared:,}", bound, f"{told.ms:.1f}")
        table.add_row(told.shard, told.plan, *numbers, Text(told.why))
    return table
