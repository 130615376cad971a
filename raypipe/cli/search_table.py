"""The answer to a search on the screen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
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

LARGEST_PARTS = 4


def print_result(result: SearchResult, labels: Sequence[str], *, explain: bool) -> None:
    """What was asked, the hits, and a line that says how sure that is and what it took."""
    console = Console(highlight=False)
    console.print(question_in_words(result), markup=False, style="bold", soft_wrap=True)
    if result.hits:
        _print_whole(console, _hits_table(result, labels, explain=explain))
    else:
        console.print("no face matches")
    console.print(answer_in_words(result), markup=False, soft_wrap=True)
    if result.more:
        console.print(f"more: --page {result.query.page + 1}", style="dim")
    if explain:
        _print_whole(console, _shards_table(result))


def _print_whole(console: Console, table: Table) -> None:
    """As wide as it is: a row that the terminal wraps can be read, numbers that are cut off cannot."""
    whole = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    console.width = max(console.width, whole)
    console.print(table)


def _hits_table(result: SearchResult, labels: Sequence[str], *, explain: bool) -> Table:
    """Numbers after ``=`` and ``+`` sum to the distance; in parentheses: intensities, from 0 to 1."""
    attributes, has_main = attributes_shown(result), result.query.face is not None
    others_shown = has_main and any(split_of(hit.parts[0], attributes)[1] for hit in result.hits)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "id", "distance"):
        table.add_column(name, justify="left" if name == "id" else "right")
    terms = [*attributes, *(["other attributes" if attributes else "attributes"] if others_shown else []), "rest"]
    likes = [f"like {face_in_words(aim.face)} in {aim.space.split('.', 1)[1]}" for aim in result.aims[has_main:]]
    for i, name in enumerate([*(terms if has_main else []), *likes]):
        table.add_column(Text(f"{'+' if i else '='} {name}"), justify="right")
    for name in labels:
        table.add_column(Text(name), style="cyan")
    if explain:
        table.add_column("most of it", style="dim")
    if result.wanted:
        table.add_row("", "looked for", "", *(f"({result.wanted[name]:.2f})" for name in attributes), style="green")
    for hit in result.hits:
        cells = [str(hit.rank), hit.id, number(hit.distance)]
        if has_main:
            cells += _main_cells(hit, attributes, others_shown=others_shown)
        cells += [number(part.weight * part.distance) for part in hit.parts[has_main:]]
        cells += [label_text(hit.labels.get(name)) for name in labels]
        if explain:
            parts = largest_parts(hit, LARGEST_PARTS)
            cells.append(", ".join(f"{name} {number(along)}" for name, along in parts.items()))
        table.add_row(*map(Text, cells))
    return table


def _main_cells(hit: FoundFace, attributes: tuple[str, ...], *, others_shown: bool) -> list[str]:
    """The parts of the first aim times its weight."""
    part = hit.parts[0]
    shown, others, rest = split_of(part, attributes)
    cells = [f"{number(part.weight * shown[name])} ({hit.intensities[name]:.2f})" for name in attributes]
    return [*cells, *(number(part.weight * along) for along in ([others] if others_shown else []) + [rest])]


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
