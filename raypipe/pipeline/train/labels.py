"""Label columns -> the attributes and persons that a recipe trains with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.errors import WrongUsage

IDENTITY = "identity"
SHOWN = 5


def chosen_attributes(
    asked: Sequence[str], problems: Mapping[str, str], known: Sequence[str], source: str
) -> tuple[str, ...]:
    """The attributes asked for, or all that can be used.

    Args:
        problems: column -> why it is not one of 0 and 1 with both and without gaps; those that are have no entry.
        known: all label columns.

    Raises:
        WrongUsage: one that is asked for is not there or not usable.
    """
    if missing := [name for name in asked if name not in known]:
        raise WrongUsage(f"{source} has no label {', '.join(missing)}; it has: {', '.join(known) or 'none'}")
    usable = [name for name in known if name not in problems]
    if bad := [f"{name} ({problems[name]})" for name in asked if name in problems]:
        more = f" and {len(bad) - SHOWN:,} more" if len(bad) > SHOWN else ""
        raise WrongUsage(
            f"{source}: {', '.join(bad[:SHOWN])}{more} cannot be trained: a label needs rows of 0 and rows of 1 and "
            f"no others; usable: {', '.join(usable) or 'none'}"
        )
    return tuple(asked or usable)


def attribute_table(labels: pa.Table, asked: Sequence[str], source: str) -> tuple[tuple[str, ...], npt.NDArray[Any]]:
    """Names, and uint8 [rows, attributes] of 0 and 1.

    Raises:
        WrongUsage: as ``chosen_attributes``, and where nothing is usable.
    """
    found = {name: _problem(name, labels.column(name)) for name in labels.column_names}
    problems = {name: problem for name, problem in found.items() if problem}
    names = chosen_attributes(asked, problems, labels.column_names, source)
    if not names:
        raise WrongUsage(
            f"{source} has no labels to train with: columns of 0 and 1 with both and without gaps; "
            f"its columns: {', '.join(labels.column_names) or 'none'}"
        )
    columns = [labels.column(name).cast(pa.int8()).to_numpy() for name in names]
    return names, np.stack([column > 0 for column in columns], axis=1).astype(np.uint8)


def identity_numbers(labels: pa.Table, source: str) -> npt.NDArray[np.int64]:
    """The persons of all rows, numbered from 0 in the order of their names: int64 [rows].

    Raises:
        WrongUsage: no ``identity`` column, or gaps in it.
    """
    if IDENTITY not in labels.column_names:
        raise WrongUsage(
            f"{source} has no {IDENTITY!r} column; its columns: {', '.join(labels.column_names) or 'none'}"
        )
    column = labels.column(IDENTITY)
    if column.null_count:
        raise WrongUsage(f"{source}: {column.null_count} of {len(column)} rows have no {IDENTITY}")
    _, numbers = np.unique(column.to_numpy(zero_copy_only=False), return_inverse=True)
    return numbers.astype(np.int64)


def _problem(name: str, column: pa.ChunkedArray) -> str:
    """Why a column is not exactly 0 and 1, or -1 and 1, booleans or numbers, without gaps; empty if it is."""
    kind = column.type
    if name == IDENTITY:
        return "persons"
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return f"of type {kind}"
    if column.null_count:
        return f"{column.null_count:,} rows without a value"
    values = pc.unique(column)
    if len(values) == 2 and set(values.to_pylist()) in ({0, 1}, {-1, 1}):
        return ""
    if len(values) == 1:
        return f"{values[0].as_py()} in all rows"
    shown = values.sort()[:SHOWN].to_pylist()
    return f"values {', '.join(map(str, shown))}{', ...' if len(values) > SHOWN else ''}"
