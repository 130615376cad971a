from __future__ import annotations

import pyarrow as pa
import pytest

from raypipe.errors import WrongUsage
from raypipe.pipeline.train.labels import attribute_table, identity_numbers

TABLE = pa.table(
    {
        "identity": pa.array(["b", "a", "b"]),
        "smiling": pa.array([1, 0, 1], pa.int8()),
        "male": pa.array([-1, 1, 1], pa.int8()),
        "young": pa.array([True, False, False]),
        "always": pa.array([1, 1, 1], pa.int8()),
        "sometimes_known": pa.array([1, 0, None], pa.int8()),
        "age": pa.array([20, 40, 60], pa.int8()),
        "name": pa.array(["x", "y", "z"]),
    }
)


def test_columns_of_two_values_are_attributes() -> None:
    names, labels = attribute_table(TABLE, (), "here")
    assert names == ("smiling", "male", "young")
    assert labels.tolist() == [[1, 0, 1], [0, 1, 0], [1, 1, 0]]


def test_those_that_are_asked_for_come_in_that_order() -> None:
    names, labels = attribute_table(TABLE, ("young", "smiling"), "here")
    assert names == ("young", "smiling")
    assert labels.tolist() == [[1, 1], [0, 0], [0, 1]]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("always", "1 in all rows"),
        ("sometimes_known", "1 rows without a value"),
        ("age", "values 20, 40, 60"),
        ("name", "of type string"),
        ("identity", "persons"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(name: str, why: str) -> None:
    with pytest.raises(WrongUsage, match=rf"here: {name} \({why}\) cannot be trained.*usable: smiling, male, young"):
        attribute_table(TABLE, (name, "male"), "here")


def test_of_many_that_cannot_be_trained_some_are_named() -> None:
    many = pa.table({f"n{number}": [2, 3] for number in range(9)} | {"fine": [0, 1]})
    with pytest.raises(WrongUsage, match=r"n4 \(values 2, 3\) and 4 more cannot be trained.*usable: fine"):
        attribute_table(many, many.column_names, "here")


@pytest.mark.parametrize("values", [[0, 2], [-1, 0], [-1, 0, 1], [0.0, 1.0, float("nan")], [0.0, 0.5]])
def test_two_values_are_not_enough(values: list[float]) -> None:
    with pytest.raises(WrongUsage, match=r"hat \(values "):
        attribute_table(pa.table({"hat": values}), ("hat",), "here")


def test_unknown_and_missing_labels_are_told() -> None:
    with pytest.raises(WrongUsage, match="here has no label hat; it has: identity, smiling"):
        attribute_table(TABLE, ("hat",), "here")
    with pytest.raises(WrongUsage, match=r"here has no labels to train with.*its columns: name"):
        attribute_table(TABLE.select(["name"]), (), "here")


def test_persons_are_numbered() -> None:
    assert identity_numbers(TABLE, "here").tolist() == [1, 0, 1]
    with pytest.raises(WrongUsage, match="no 'identity' column"):
        identity_numbers(TABLE.select(["name"]), "here")
    gaps = pa.table({"identity": pa.array([1, None])})
    with pytest.raises(WrongUsage, match="1 of 2 rows have no identity"):
        identity_numbers(gaps, "here")
