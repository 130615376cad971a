"""The same filters as JSON.

::

    {"and": [..]}   {"or": [..]}   {"not": ..}
    {"column": "Male", "=": 0}     also != < <= > >=; several of them hold together
    {"column": "hair", "in": ["black", "brown"]}
    {"column": "age", "null": true}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raypipe.errors import WrongUsage
from raypipe.pipeline.search.conditions import COMPARISONS, DEPTH_LIMIT, compared
from raypipe.retrieval.filters import AllOf, AnyOf, Between, Equals, Filter, Not, Null, OneOf, Value

_TESTS = (*COMPARISONS, "in", "null")


def condition_from_json(tree: object, depth: int = 0) -> Filter:
    """Read a filter.

    Raises:
        WrongUsage: it is none; the message shows the part.
    """
    if depth > DEPTH_LIMIT:
        raise WrongUsage(f"filter: more than {DEPTH_LIMIT} levels")
    if not isinstance(tree, Mapping):
        raise _not_a_filter(tree)
    if "column" in tree:
        return _leaf(tree)
    if len(tree) != 1:
        raise _not_a_filter(tree)
    ((word, inner),) = tree.items()
    if word == "not":
        return Not(condition_from_json(inner, depth + 1))
    if word not in ("and", "or") or not isinstance(inner, list) or not inner:
        raise _not_a_filter(tree)
    parts = tuple(condition_from_json(part, depth + 1) for part in inner)
    if len(parts) == 1:
        return parts[0]
    return AllOf(parts) if word == "and" else AnyOf(parts)


def condition_as_json(condition: Filter) -> dict[str, Any]:
    """What ``condition_from_json`` reads as the same filter."""
    if isinstance(condition, (AllOf, AnyOf)):
        word = "and" if isinstance(condition, AllOf) else "or"
        return {word: [condition_as_json(part) for part in condition.parts]}
    if isinstance(condition, Not):
        return {"not": condition_as_json(condition.part)}
    leaf: dict[str, Any] = {"column": condition.column}
    if isinstance(condition, Null):
        return {**leaf, "null": True}
    if isinstance(condition, Equals):
        return {**leaf, "=": condition.value}
    if isinstance(condition, OneOf):
        return {**leaf, "in": list(condition.values)}
    limits = {">=": condition.low, "<=": condition.high}
    told = {sign: limit for sign, limit in limits.items() if limit is not None}
    return {**leaf, **(told or {"null": False})}


def _leaf(tree: Mapping[str, Any]) -> Filter:
    column, tests = tree["column"], {word: value for word, value in tree.items() if word != "column"}
    if not isinstance(column, str) or not tests or not set(tests) <= set(_TESTS):
        raise _not_a_filter(tree)
    parts: list[Filter] = []
    if {">=", "<="} <= set(tests):
        parts.append(Between(column, _value(tests.pop(">="), tree), _value(tests.pop("<="), tree)))
    for word, value in tests.items():
        if word == "null":
            if not isinstance(value, bool):
                raise _not_a_filter(tree)
            parts.append(Null(column) if value else Not(Null(column)))
        elif word == "in":
            if not isinstance(value, list) or not value:
                raise _not_a_filter(tree)
            parts.append(OneOf(column, tuple(_value(item, tree) for item in value)))
        else:
            parts.append(compared(column, word, _value(value, tree)))
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _value(value: object, tree: object) -> Value:
    if isinstance(value, (str, int, float)):
        return value
    raise _not_a_filter(tree)


def _not_a_filter(tree: object) -> WrongUsage:
    shown = repr(tree)
    return WrongUsage(
        f"filter: {shown[:200]}{'...' if len(shown) > 200 else ''} must be one of "
        f'{{"and": [..]}}, {{"or": [..]}}, {{"not": ..}}, {{"column": NAME, TEST: VALUE}}; tests: {" ".join(_TESTS)}'
    )
