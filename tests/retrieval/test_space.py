from __future__ import annotations

import numpy as np
import pytest

from raypipe.contract import SearchSpace
from raypipe.errors import UnknownAttribute, WrongUsage
from raypipe.retrieval.space import comparable, distances, make_target
from tests.retrieval.searching import plain_distances, weighted_space


def test_the_distance_is_equation_3_and_its_parts_add_up() -> None:
    rng = np.random.default_rng(0)
    space, prefer = weighted_space(3, 5), {"a0": 0.0, "a2": 1000.0}
    rows, asked = rng.standard_normal((7, 8)).astype(np.float32), rng.standard_normal(8).astype(np.float32)
    found = distances(make_target(space, asked, prefer), rows[:, :3], rows[:, 3:])
    np.testing.assert_allclose(found.total, plain_distances(space, rows, asked, prefer), rtol=1e-13)
    np.testing.assert_array_equal(found.total, found.attributes.sum(1) + found.rest)
    assert not found.attributes[:, 0].any()


def test_a_row_has_the_same_distance_whatever_is_beside_it() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((300, 130)).astype(np.float32)
    target = make_target(weighted_space(2, 128), rows[0])
    together = distances(target, rows[:, :2], rows[:, 2:]).total
    alone = [distances(target, row[None, :2], row[None, 2:]).total[0] for row in rows]
    np.testing.assert_array_equal(together, alone)


def test_a_cosine_compares_directions_only() -> None:
    space = SearchSpace(3, "cosine")
    rows = comparable(space, np.array([[3.0, 0, 4], [30, 0, 40]]))
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_allclose(rows[0], [0.6, 0, 0.8], rtol=1e-7)


@pytest.mark.parametrize(
    ("vector", "prefer", "error", "message"),
    [
        ([1.0, 2.0], {}, WrongUsage, r"must be \[n, 3\], got \[1, 2\]"),
        ([1.0, np.nan, 0.0], {}, WrongUsage, "vector 0 has a number that is not finite"),
        ([1.0, 1e300, 0.0], {}, WrongUsage, "vector 0 has a number that is not finite, or beyond 1e"),
        ([1.0, -1e16, 0.0], {}, WrongUsage, "vector 0 has a number that is not finite, or beyond 1e"),
        ([1.0, 2.0, 3.0], {"a0": 1001.0}, WrongUsage, "preference 1001.0 of 'a0' must be from 0 to 1000"),
        ([1.0, 2.0, 3.0], {"a0": np.nan}, WrongUsage, "preference nan"),
        ([1.0, 2.0, 3.0], {"hat": 1.0}, UnknownAttribute, "'hat' cannot be weighted in this space; it has: a0"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    vector: list[float], prefer: dict[str, float], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_target(weighted_space(1, 2), np.array(vector), prefer)


def test_a_vector_of_zeros_has_no_cosine() -> None:
    with pytest.raises(WrongUsage, match="vector 1 is zero"):
        comparable(SearchSpace(2, "cosine"), np.array([[1.0, 0], [0, 0]]))
