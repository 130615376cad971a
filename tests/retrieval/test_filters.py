from __future__ import annotations

import operator
from functools import reduce
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.errors import WrongUsage
from raypipe.retrieval.filters import (
    AllOf,
    AnyOf,
    Between,
    Equals,
    Filter,
    Not,
    Null,
    OneOf,
    columns_of,
    matching_rows,
)

ROWS = [
    {"age": 30, "score": 0.5, "person": "ann", "smiling": True},
    {"age": 41, "score": None, "person": "bob", "smiling": False},
    {"age": None, "score": -1.0, "person": None, "smiling": None},
    {"age": 30, "score": 2.5, "person": "ann", "smiling": False},
]
LABELS = pa.Table.from_pylist(
    ROWS,
    pa.schema({"age": pa.int32(), "score": pa.float32(), "person": pa.string(), "smiling": pa.bool_()}),
)

leaves = st.one_of(
    st.builds(Equals, st.just("age"), st.sampled_from([30, 41, 7])),
    st.builds(Equals, st.just("smiling"), st.booleans()),
    st.builds(OneOf, st.just("person"), st.sampled_from([(), ("ann",), ("ann", "bob"), ("eve",)])),
    st.builds(Null, st.sampled_from(["age", "person"])),
    st.builds(Between, st.just("score"), st.sampled_from([None, -1.0, 0.5]), st.sampled_from([None, 0.5, 2.0])),
)
trees = st.recursive(
    leaves,
    lambda part: st.one_of(
        st.builds(Not, part),
        st.builds(AllOf, st.lists(part, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(part, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


def plainly(condition: Filter, row: dict[str, Any]) -> bool | None:
    """Three-valued logic, row by row."""
    if isinstance(condition, Not):
        inner = plainly(condition.part, row)
        return None if inner is None else not inner
    if isinstance(condition, (AllOf, AnyOf)):
        decides = isinstance(condition, AnyOf)
        parts = [plainly(part, row) for part in condition.parts]
        return decides if decides in parts else None if None in parts else not decides
    value = row[condition.column]
    if isinstance(condition, Null):
        return value is None
    if value is None:
        return None
    if isinstance(condition, Equals):
        return bool(value == condition.value)
    if isinstance(condition, OneOf):
        return value in condition.values
    return (condition.low is None or value >= condition.low) and (condition.high is None or value <= condition.high)


@given(trees)
@settings(max_examples=150, deadline=None)
def test_agrees_with_three_valued_logic_row_by_row(condition: Filter) -> None:
    assert matching_rows(condition, LABELS).tolist() == [plainly(condition, row) is True for row in ROWS]


def test_numbers_ask_booleans_and_fractions_ask_integers() -> None:
    assert matching_rows(Equals("smiling", 1), LABELS).tolist() == [True, False, False, False]
    assert matching_rows(Between("age", 30.5), LABELS).tolist() == [False, True, False, False]


@pytest.mark.parametrize("condition", [Equals("person", 3), Equals("age", "old"), Between("smiling", "a")])
def test_text_is_not_compared_with_numbers(condition: Filter) -> None:
    with pytest.raises(WrongUsage, match="cannot be asked"):
        matching_rows(condition, LABELS)


def test_an_unknown_column_is_named_with_those_there_are() -> None:
    with pytest.raises(WrongUsage, match="no label column 'hat'; there are: age, score, person, smiling"):
        matching_rows(Not(Equals("hat", 1)), LABELS)


def test_columns_of_a_tree() -> None:
    parts = (Equals("a", 1), Not(AnyOf((Between("b"), OneOf("c", (1,))))))
    assert columns_of(AllOf(parts)) == reduce(operator.or_, map(columns_of, parts)) == {"a", "b", "c"}
    assert columns_of(AllOf(())) == frozenset()
