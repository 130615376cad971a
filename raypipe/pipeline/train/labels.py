"""Label columns -> the attributes and persons that a recipe trains with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.errors import WrongUsage

IDENTITY = "identity"


def chosen_attributes(
    asked: Sequence[str], usable: Sequence[str], known: Sequence[str], source: str
) -> tuple[str, ...]:
    """The attributes asked for, or all that can be used.

    Args:
        usable: columns of 0 and 1 that have both and no gaps.
        known: all label columns.

    Raises:
        WrongUsage: one that is asked for is not there or not usable.
    """
    if missing := [name for name in asked if name not in known]:
        raise WrongUsage(f"{source} has no label {', '.join(missing)}; it has: {', '.join(known) or 'none'}")
    if bad := [name for name in asked if name not in usable]:
        raise WrongUsage(
            f"{source}: {', '.join(bad)} cannot be trained: a label needs rows of 0 and rows of 1 and no others; "
            f"usable: {', '.join(usable) or 'none'}"
        )
    return tuple(asked or usable)


def attribute_table(labels: pa.Table, asked: Sequence[str], source: str) -> tuple[tuple[str, ...], npt.NDArray[Any]]:
    """Names, and uint8 [rows, attributes] of 0 and 1.

    Raises:
        WrongUsage: as ``chosen_attributes``, and where nothing is usable.
    """
    usable = [name for name in labels.column_names if name != IDENTITY and _is_binary(labels.column(name))]
    names = chosen_attributes(asked, usable, labels.column_names, source)
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


def _is_binary(column: pa.ChunkedArray) -> bool:
    """Booleans or integers, with exactly two values, of 0 and 1 or of -1 and 1, and no gaps."""
    if column.null_count or not (pa.types.is_boolean(column.type) or pa.types.is_integer(column.type)):
        return False
    return set(pc.unique(column).to_pylist()) in ({0, 1}, {-1, 1})
