"""The three sets of an evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from raypipe.errors import WrongUsage
from raypipe.pipeline.evaluate.split import split_sets


def test_sets_are_disjoint_and_of_the_wanted_sizes() -> None:
    sets = split_sets(1_000, None, (300, 50, 200), seed=3)
    assert [len(chosen) for chosen in sets] == [300, 50, 200]
    assert len(np.unique(np.concatenate(sets))) == 550
    assert all((np.diff(chosen) > 0).all() for chosen in sets)
    again, other = split_sets(1_000, None, (300, 50, 200), seed=3), split_sets(1_000, None, (300, 50, 200), seed=4)
    assert np.array_equal(sets[2], again[2])
    assert not np.array_equal(sets[2], other[2])


def test_of_few_faces_each_set_gets_its_share() -> None:
    assert [len(chosen) for chosen in split_sets(110, None, (6_000, 1_000, 4_000))] == [60, 10, 40]
    assert [len(chosen) for chosen in split_sets(5_000, None, (60, 10, 40), limit=55)] == [30, 5, 20]


def test_a_persons_faces_lie_in_one_set() -> None:
    identities = np.random.default_rng(0).integers(0, 100, 1_000)
    sets = split_sets(1_000, identities, (500, 100, 400))
    people = [set(identities[chosen]) for chosen in sets]
    assert not people[0] & people[1]
    assert not people[1] & people[2]
    assert not people[0] & people[2]
    assert all(abs(len(chosen) - size) < 30 for chosen, size in zip(sets, (500, 100, 400), strict=True))


def test_too_few_faces() -> None:
    with pytest.raises(WrongUsage, match="3 faces are too few"):
        split_sets(3, None, (6, 1, 4))
    with pytest.raises(WrongUsage, match="too few"):
        split_sets(100, np.zeros(100, np.int64), (50, 10, 40))
