from __future__ import annotations

import json
import operator
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.errors import WrongUsage
from raypipe.pipeline.search.conditions import COMPARISONS, as_text, compared, parse_condition
from raypipe.pipeline.search.conditions_json import condition_as_json, condition_from_json
from raypipe.retrieval.filters import (
    AllOf,
    AnyOf,
    Between,
    Equals,
    Filter,
    Not,
    Null,
    OneOf,
    matching_rows,
)

values = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(["and", "O'Hara", '"', "true", "5", "nan", "a b", "(", ""]),
)
columns = st.one_of(st.text(max_size=6), st.sampled_from(["Male", "5_o_Clock_Shadow", "not", "a'b", "In", "-1", "ä"]))
leaves = st.one_of(
    st.builds(Equals, columns, values),
    st.builds(OneOf, columns, st.lists(values, min_size=1, max_size=3).map(tuple)),
    st.builds(Between, columns, values, values),
    st.builds(Between, columns, st.none(), values),
    st.builds(Between, columns, values, st.none()),
    st.builds(Null, columns),
    st.builds(compared, columns, st.sampled_from(COMPARISONS), values),
)
trees = st.recursive(
    leaves,
    lambda part: st.one_of(
        st.builds(Not, part),
        st.builds(AllOf, st.lists(part, min_size=2, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(part, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


@given(trees)
@settings(max_examples=300, deadline=None)
def test_what_is_printed_is_read_as_the_same(tree: Filter) -> None:
    read = parse_condition(as_text(tree))
    assert read == tree
    assert repr(read) == repr(tree), "1, 1.0 and true are equal, but not the same"


@given(trees)
@settings(max_examples=300, deadline=None)
def test_json_is_read_as_the_same(tree: Filter) -> None:
    assert repr(condition_from_json(json.loads(json.dumps(condition_as_json(tree))))) == repr(tree)


ROWS = [
    {"age": age, "score": score, "hair": hair, "Male": male}
    for age in (10, 30, 41, None)
    for score, hair, male in (
        (0.5, "black", True),
        (None, "dark brown", False),
        (-2.0, None, None),
        (float("nan"), "black", True),
    )
]
LABELS = pa.Table.from_pylist(
    ROWS, pa.schema({"age": pa.int8(), "score": pa.float32(), "hair": pa.string(), "Male": pa.bool_()})
)

Answer = bool | None


def nobody(a: Answer) -> Answer:
    return None if a is None else not a


def both(a: Answer, b: Answer) -> Answer:
    return False if a is False or b is False else None if a is None or b is None else True


def either(a: Answer, b: Answer) -> Answer:
    return nobody(both(nobody(a), nobody(b)))


SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def test_of_value(test: Callable[[Any], bool], row: dict[str, Any], column: str) -> Answer:
    return None if row[column] is None else test(row[column])


test_of_value.__test__ = False  # type: ignore[attr-defined]

Told = tuple[str, Callable[[dict[str, Any]], Answer]]
"""An expression, and what it says of a row in plain Python."""


def a_comparison(column: str, sign: str, value: int | float) -> Told:
    return f"{column}{sign}{value}", lambda row: test_of_value(lambda v: SIGNS[sign](v, value), row, column)


single = st.one_of(
    st.builds(a_comparison, st.just("age"), st.sampled_from(COMPARISONS), st.sampled_from([10, 30, 30.5])),
    st.builds(a_comparison, st.just("score"), st.sampled_from(COMPARISONS), st.sampled_from([-2, 0.5])),
    st.sampled_from(
        [
            ("hair in (black, 'dark brown')", lambda row: test_of_value(lambda v: True, row, "hair")),
            ("hair NOT IN (black)", lambda row: test_of_value(lambda v: v != "black", row, "hair")),
            ("age between 10 and 30", lambda row: test_of_value(lambda v: v <= 30, row, "age")),
            ("Male = true", lambda row: row["Male"]),
            ("Male=0", lambda row: nobody(row["Male"])),
            ("hair is null", lambda row: row["hair"] is None),
            ("age is not null", lambda row: row["age"] is not None),
        ]
    ),
)  # fmt: skip


def joined(word: str, join: Callable[[Answer, Answer], Answer]) -> Callable[[tuple[Told, Told]], Told]:
    return lambda ab: (f"({ab[0][0]}) {word} ({ab[1][0]})", lambda row: join(ab[0][1](row), ab[1][1](row)))


told = st.recursive(
    single,
    lambda part: st.one_of(
        part.map(lambda a: (f"not ({a[0]})", lambda row: nobody(a[1](row)))),
        st.tuples(part, part).map(joined("and", both)),
        st.tuples(part, part).map(joined("OR", either)),
    ),
    max_leaves=5,
)


@given(told)
@settings(max_examples=200, deadline=None)
def test_an_expression_means_what_python_says(expression: Told) -> None:
    text, says = expression
    assert matching_rows(parse_condition(text), LABELS).tolist() == [says(row) is True for row in ROWS]


def test_and_binds_more_than_or_and_not_more_than_and() -> None:
    assert parse_condition("a=1 or not b=2 and c=3") == AnyOf(
        (Equals("a", 1), AllOf((Not(Equals("b", 2)), Equals("c", 3))))
    )
    assert parse_condition("a=1 and b=1 and c=1") == AllOf((Equals("a", 1), Equals("b", 1), Equals("c", 1)))


def test_words_numbers_and_quotes() -> None:
    assert parse_condition("5_o_Clock_Shadow = 1e2") == Equals("5_o_Clock_Shadow", 100.0)
    assert parse_condition("a = '1'") == Equals("a", "1")
    assert parse_condition("\"my column\" = 'O''Hara'") == Equals("my column", "O'Hara")
    assert parse_condition("image_id = 000042.jpg") == Equals("image_id", "000042.jpg")


@pytest.mark.parametrize(
    ("text", "what", "place"),
    [
        ("", "expected a column, but the filter ends", 0),
        ("male=", "expected a value, but the filter ends", 5),
        ("male = and age>3", "expected a value, got 'and'", 7),
        ("male 0", "expected one of", 5),
        ("(male=0", r"expected '\)', but the filter ends", 7),
        ("male=0 age=3", "expected 'and', 'or' or the end, got 'age'", 7),
        ("hair in black", r"expected '\(', got 'black'", 8),
        ("hair='black", "a quote that is not closed", 5),
        ("a=1 && b=2", "a character that has no meaning here", 4),
        ("a between 1", "expected 'and' and the upper limit", 11),
        ("a is 3", "expected 'null', got '3'", 5),
        ("and=3", "expected a column, got 'and'", 0),
        ("(" * 60 + "a=1" + ")" * 60, "more than 50 levels", 51),
        ("not " * 60 + "a=1", "more than 50 levels", 204),
    ],
)
def test_an_error_shows_its_place(text: str, what: str, place: int) -> None:
    with pytest.raises(WrongUsage, match=what) as raised:
        parse_condition(text)
    assert str(raised.value).splitlines()[1:] == [f"  {text}", f"  {' ' * place}^"]


@pytest.mark.parametrize(
    "tree",
    [
        [], {}, {"and": []}, {"and": {}}, {"and": [1]}, {"not": []}, {"xor": []}, {"column": "a"},
        {"column": 3, "=": 1}, {"column": "a", "~": 1}, {"column": "a", "in": []}, {"column": "a", "=": None},
        {"column": "a", "=": {}}, {"column": "a", "null": 1}, {"and": [], "or": []}, None,
    ],
)  # fmt: skip
def test_json_that_is_no_filter(tree: Any) -> None:
    with pytest.raises(WrongUsage, match="must be one of"):
        condition_from_json(tree)


def test_several_tests_of_one_column_hold_together() -> None:
    read = condition_from_json({"column": "age", ">": 3, "!=": 5})
    assert read == AllOf((compared("age", ">", 3), Not(Equals("age", 5))))


def test_what_is_too_long_or_too_deep_is_refused() -> None:
    with pytest.raises(WrongUsage, match="at most 10,000"):
        parse_condition(" " * 10_001)
    tree: dict[str, Any] = {"column": "a", "=": 1}
    for _ in range(60):
        tree = {"not": tree}
    with pytest.raises(WrongUsage, match="more than 50 levels"):
        condition_from_json(tree)


def test_a_number_that_no_column_can_hold() -> None:
    with pytest.raises(WrongUsage, match="cannot be asked"):
        matching_rows(parse_condition(f"age > {10**30}"), LABELS)
