"""Conditions on label columns, as a typed tree; a condition on a null is neither true nor false, and does not match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.errors import WrongUsage

Value = str | int | float | bool


@dataclass(frozen=True)
class Equals:
    column: str
    value: Value


@dataclass(frozen=True)
class OneOf:
    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Between:
    """``low <= column <= high``; None: no limit on that side."""

    column: str
    low: Value | None = None
    high: Value | None = None


@dataclass(frozen=True)
class Null:
    """There is no value; the only condition that is never null itself."""

    column: str


@dataclass(frozen=True)
class AllOf:
    """Every part holds; no parts hold always."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one part holds; no parts hold never."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Not:
    part: Filter


Filter = Equals | OneOf | Between | Null | AllOf | AnyOf | Not


def matching_rows(condition: Filter, labels: pa.Table) -> npt.NDArray[np.bool_]:
    """Which rows match, bool [rows].

    Raises:
        WrongUsage: no such column, or a value that its type cannot be compared with.
    """
    matches = pc.fill_null(_evaluate(condition, labels), False)
    return np.asarray(matches.to_numpy(zero_copy_only=False), dtype=np.bool_)


def columns_of(condition: Filter) -> frozenset[str]:
    """The columns that a condition looks at."""
    if isinstance(condition, (AllOf, AnyOf)):
        return frozenset().union(*map(columns_of, condition.parts))
    return columns_of(condition.part) if isinstance(condition, Not) else frozenset({condition.column})


def shown_columns(labels: pa.Table) -> str:
    """The columns' names for a message; names that begin with "_" are for programs."""
    return ", ".join(name for name in labels.column_names if not name.startswith("_")) or "none"


def _evaluate(condition: Filter, labels: pa.Table) -> Any:
    if isinstance(condition, AllOf):
        return _fold(pc.and_kleene, condition.parts, True, labels)
    if isinstance(condition, AnyOf):
        return _fold(pc.or_kleene, condition.parts, False, labels)
    if isinstance(condition, Not):
        return pc.invert(_evaluate(condition.part, labels))
    column = _column(labels, condition.column)
    try:
        return _compare(condition, column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OverflowError) as error:
        raise WrongUsage(f"column {condition.column!r} holds {column.type}: {condition} cannot be asked") from error


def _compare(condition: Equals | OneOf | Between | Null, column: Any) -> Any:
    if isinstance(condition, Null):
        return pc.is_null(column)
    if isinstance(condition, Equals):
        return pc.equal(column, _scalar(condition.value, column.type))
    if isinstance(condition, OneOf):
        values = pa.array([_scalar(value, column.type).as_py() for value in condition.values], column.type)
        found = pc.is_in(column, value_set=values)
        return pc.if_else(pc.is_valid(column), found, pa.scalar(None, pa.bool_()))
    result = pc.if_else(pc.is_valid(column), True, pa.scalar(None, pa.bool_()))
    if condition.low is not None:
        result = pc.and_kleene(result, pc.greater_equal(column, _scalar(condition.low, column.type)))
    if condition.high is not None:
        result = pc.and_kleene(result, pc.less_equal(column, _scalar(condition.high, column.type)))
    return result


def _scalar(value: Value, kind: pa.DataType) -> Any:
    """The value in the column's own type: 1 asks a column of booleans for True, 0.5 asks none of integers."""
    if pa.types.is_boolean(kind) and value in (0, 1):
        return pa.scalar(bool(value))
    if pa.types.is_string(kind) != isinstance(value, str):
        raise pa.ArrowTypeError("text and numbers")
    return pa.scalar(value) if pa.types.is_integer(kind) and isinstance(value, float) else pa.scalar(value, kind)


def _fold(join: Any, parts: tuple[Filter, ...], empty: bool, labels: pa.Table) -> Any:
    result = pa.chunked_array([pa.array(np.full(labels.num_rows, empty))])
    for part in parts:
        result = join(result, _evaluate(part, labels))
    return result


def _column(labels: pa.Table, name: str) -> Any:
    if name not in labels.column_names:
        raise WrongUsage(f"there is no label column {name!r}; there are: {shown_columns(labels)}")
    return labels.column(name)
