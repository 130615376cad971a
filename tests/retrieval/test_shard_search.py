from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.contract import SearchSpace
from raypipe.retrieval import answer as answers
from raypipe.retrieval.answer import Diversity, Wish
from raypipe.retrieval.changes import append, compact
from raypipe.retrieval.filters import Between, Equals
from raypipe.retrieval.index import open_index
from raypipe.retrieval.plan import Kind
from raypipe.retrieval.shard import Shard
from raypipe.retrieval.shard_search import search_shard
from tests.retrieval.searching import (
    BINDINGS,
    NAME,
    aims,
    blocks,
    built,
    names,
    plain_distances,
    plain_nearest,
    tiny_settings,
    weighted_space,
)

PLANS: tuple[Kind, ...] = ("compare all", "scan", "lists", "window")


def clustered(rows: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((rows, width)) + 4 * rng.standard_normal((5, width))[rng.integers(0, 5, rows)]).astype(
        np.float32
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 120),
    attributes=st.integers(0, 3),
    rest=st.integers(0, 6),
    k=st.integers(1, 30),
    weights=st.lists(st.sampled_from([0.0, 1.0, 1.0, 10.0, 1000.0]), min_size=3, max_size=3),
    deep=st.sampled_from([1, 3, 40]),
)
@settings(max_examples=60, deadline=None)
def test_every_plan_gives_the_plain_answer(
    seed: int, rows: int, attributes: int, rest: int, k: int, weights: list[float], deep: int
) -> None:
    """Whole numbers: ties and duplicates abound, and are decided by id."""
    space = weighted_space(attributes, max(rest, 1 - attributes))
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-deep, deep + 1, (rows, space.width)).astype(np.float32)
    ids = rng.permutation(names(rows)).tolist()
    prefer = dict(zip(space.coordinates, weights, strict=False))
    asked = rng.integers(-deep, deep + 1, space.width).astype(np.float32)
    expected = plain_nearest(plain_distances(space, vectors, asked, prefer), ids, k)
    with tempfile.TemporaryDirectory() as folder:
        (shard,) = built(folder, space, vectors, ids=ids).shards()
        for only in (None, *PLANS):
            answer = search_shard(shard, aims(space, asked, prefer), Wish(k=k), None, only)
            assert [hit.id for hit in answer.hits] == expected, only
            assert answer.certified, only


@pytest.fixture(scope="module")
def range_case(tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchSpace, np.ndarray, Shard]:
    space, vectors = weighted_space(3, 20), clustered(3000, 23, seed=1)
    settings_ = tiny_settings(space, axes=6, rows_per_shard=3000, lists=32)
    return space, vectors, built(tmp_path_factory.mktemp("index"), space, vectors, settings=settings_).shards()[0]


@pytest.mark.parametrize("prefer", [{}, {"a0": 0.0}, {"a0": 10.0}, {"a1": 1000.0}, {"a0": 1000.0, "a2": 1000.0}])
@pytest.mark.parametrize("only", [None, *PLANS])
def test_the_end_of_the_range_of_an_attribute(
    range_case: tuple[SearchSpace, np.ndarray, Shard], only: Kind | None, prefer: dict[str, float]
) -> None:
    space, vectors, shard = range_case
    asked = vectors[7].copy()
    asked[:3] = vectors[:, :3].max(0)
    answer = search_shard(shard, aims(space, asked, prefer), Wish(), None, only)
    distances = plain_distances(space, vectors, asked, prefer)
    assert [hit.id for hit in answer.hits] == plain_nearest(distances, names(3000), 20)
    assert answer.certified
    explanation = answer.explanations[0]
    if only in ("scan", "lists"):
        assert explanation.compared < 3000
    if only == "window" and prefer.get("a1") == 1000:
        assert explanation.plan == "window"
        assert explanation.scanned + explanation.compared < 1000


def test_a_hit_says_why(tmp_path: Path) -> None:
    space, vectors = weighted_space(2, 4), clustered(50, 6, seed=2)
    (shard,) = built(tmp_path, space, vectors).shards()
    asked = vectors[0] + np.float32(0.5)
    for hit in search_shard(shard, aims(space, asked, {"a1": 30.0}), Wish(k=5), None).hits:
        row = vectors[names(50).index(hit.id)].astype(np.float64)
        (part,) = hit.parts
        assert part.attributes == pytest.approx({"a0": (asked[0] - row[0]) ** 2, "a1": 30 * (asked[1] - row[1]) ** 2})
        assert part.rest == pytest.approx(((asked[2:] - row[2:]) ** 2).sum())
        assert hit.distance == pytest.approx(sum(part.attributes.values()) + part.rest)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("only", [None, "scan", "lists"])
def test_spaces_without_attributes(tmp_path: Path, metric: Literal["l2", "cosine"], only: Kind | None) -> None:
    space, vectors = SearchSpace(16, metric), clustered(800, 16, seed=3)
    (shard,) = built(tmp_path, space, vectors, settings=tiny_settings(space, axes=4)).shards()
    asked = vectors[5] * np.float32(3)
    answer = search_shard(shard, aims(space, asked), Wish(k=10), None, only)
    distances = plain_distances(space, vectors, asked, {})
    assert [hit.id for hit in answer.hits] == plain_nearest(distances, names(800), 10)
    np.testing.assert_allclose([hit.distance for hit in answer.hits], np.sort(distances)[:10], rtol=1e-6, atol=1e-7)


@pytest.fixture(scope="module")
def lucky_case(tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchSpace, np.ndarray, np.ndarray, Shard]:
    space, vectors = weighted_space(2, 10), clustered(4000, 12, seed=4)
    luck, settings_ = np.random.default_rng(5).random(4000), tiny_settings(space, axes=5, rows_per_shard=4000)
    index = built(tmp_path_factory.mktemp("index"), space, vectors, labels={"luck": luck}, settings=settings_)
    return space, vectors, luck, index.shards()[0]


@pytest.mark.parametrize("only", [None, *PLANS])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.5])
def test_filters_are_exact_however_few_rows_pass(
    lucky_case: tuple[SearchSpace, np.ndarray, np.ndarray, Shard], share: float, only: Kind | None
) -> None:
    space, vectors, luck, shard = lucky_case
    wish = Wish(k=10, condition=Between("luck", None, share))
    target = aims(space, vectors[9], {"a0": 50.0})
    answer = search_shard(shard, target, wish, shard.allowed(wish.condition), only)
    distances = plain_distances(space, vectors, vectors[9], {"a0": 50.0})
    assert [hit.id for hit in answer.hits] == plain_nearest(distances, names(4000), 10, luck <= share)
    assert answer.certified
    assert answer.explanations[0].rows == (luck <= share).sum()


@pytest.mark.parametrize("only", [None, *PLANS])
def test_at_most_so_many_hits_of_a_person_and_never_an_excluded_one(tmp_path: Path, only: Kind | None) -> None:
    space, vectors = weighted_space(1, 6), clustered(600, 7, seed=6)
    people = [None if i % 7 == 0 else f"p{i % 5}" for i in range(600)]
    (shard,) = built(tmp_path, space, vectors, labels={"person": people}).shards()
    distances, excluded = plain_distances(space, vectors, vectors[0], {"a0": 5.0}), frozenset(names(3))
    wish = Wish(k=30, exclude=excluded, diversity=Diversity("person", 2))
    answer = search_shard(shard, aims(space, vectors[0], {"a0": 5.0}), wish, None, only)
    expected, counts = [], dict.fromkeys(people, 0)
    for row in np.argsort(distances):
        counts[people[row]] += 1
        if names(600)[row] in excluded:
            counts[people[row]] -= 1
        elif people[row] is None or counts[people[row]] <= 2:
            expected.append(names(600)[row])
    assert [hit.id for hit in answer.hits] == expected[:30]
    assert answer.certified


@pytest.mark.parametrize("far", [4000.0, 1e6])
def test_rows_too_long_for_the_scan_are_found_all_the_same(tmp_path: Path, far: float) -> None:
    """The axes and the scale know the first 500 rows only."""
    space, vectors = weighted_space(1, 8), clustered(504, 9, seed=7)
    vectors[500:] = np.float32([0, far, *[0] * 7]) + vectors[500:] / 10
    built(tmp_path, space, vectors[:500], settings=tiny_settings(space, axes=3))
    append(str(tmp_path), BINDINGS, blocks(names(4, 500), vectors[500:]), rows_per_shard=4)
    compact(str(tmp_path), rows_per_shard=504)
    (shard,) = open_index(str(tmp_path)).shards()
    assert shard.spaces[NAME].strays.tolist() == [500, 501, 502, 503]
    for asked in (vectors[501], vectors[100]):
        for only in PLANS:
            answer = search_shard(shard, aims(space, asked), Wish(k=6), None, only)
            distances = plain_distances(space, vectors, asked, {})
            assert [hit.id for hit in answer.hits] == plain_nearest(distances, names(504), 6)


@pytest.mark.parametrize("only", PLANS)
@pytest.mark.parametrize("prefer", [1.0, 1000.0])
def test_no_row_that_was_not_compared_is_nearer_than_the_bound(tmp_path: Path, only: Kind, prefer: float) -> None:
    space, vectors = weighted_space(1, 8), clustered(3000, 9, seed=11)
    (shard,) = built(tmp_path, space, vectors, settings=tiny_settings(space, axes=3, rows_per_shard=3000)).shards()
    for asked in vectors[:10]:
        (told,) = search_shard(shard, aims(space, asked, {"a0": prefer}), Wish(k=3), None, only).explanations
        distances = plain_distances(space, vectors, asked, {"a0": prefer})
        assert np.count_nonzero(distances < told.bound * (1 - 1e-9)) <= told.compared
        assert (told.bound == np.inf) == (told.compared == 3000)


@pytest.mark.parametrize("size", [1e-12, 1e-3, 1e12])
def test_queries_far_from_rows_of_any_size(tmp_path: Path, size: float) -> None:
    space, vectors = weighted_space(2, 8), clustered(400, 10, seed=10) * np.float32(size)
    (shard,) = built(tmp_path, space, vectors, settings=tiny_settings(space, axes=3)).shards()
    for asked in (np.full(10, 1e15), np.full(10, -30 * size), np.zeros(10)):
        for only in PLANS:
            answer = search_shard(shard, aims(space, asked, {"a1": 1000.0}), Wish(k=5), None, only)
            distances = plain_distances(space, vectors, asked.astype(np.float32), {"a1": 1000.0})
            np.testing.assert_allclose([hit.distance for hit in answer.hits], np.sort(distances)[:5], rtol=1e-12)
            assert answer.certified


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([1e-12, 1e-6, 1.0, 1e9]),
    apart=st.sampled_from([1e-7, 1e-6, 1e-4]),
    weight=st.sampled_from([0.5, 1.0, 3e-3]),
    preference=st.sampled_from([0.0, 1.0, 1000.0]),
)
@settings(max_examples=30, deadline=None)
def test_near_ties_are_decided_alike_by_every_plan(
    seed: int, size: float, apart: float, weight: float, preference: float
) -> None:
    assert_every_plan_decides_alike(seed, size, apart, weight, preference)


def test_near_ties_of_small_numbers_are_decided_alike_where_denormal_ones_are_dropped() -> None:
    torch.set_flush_denormal(True)
    try:
        for seed in range(6):
            assert_every_plan_decides_alike(seed, 1e-12, 1e-4, weight=0.5, preference=0.0)
    finally:
        torch.set_flush_denormal(False)


def assert_every_plan_decides_alike(seed: int, size: float, apart: float, weight: float, preference: float) -> None:
    space, rng = weighted_space(2, 8), np.random.default_rng(seed)
    vectors = rng.standard_normal(10) + apart * rng.standard_normal((150, 10))
    vectors[:, 4] = 0.25
    vectors = (vectors * size).astype(np.float32)
    asked = aims(space, vectors[0] + np.float32(size) * rng.integers(0, 2), {"a1": preference}, weight=weight)
    with tempfile.TemporaryDirectory() as folder:
        (shard,) = built(folder, space, vectors).shards()
        answers = [search_shard(shard, asked, Wish(k=9), None, only) for only in (None, *PLANS)]
    assert all(answer.hits == answers[1].hits for answer in answers)
    assert all(answer.certified for answer in answers)


def test_less_than_all_is_only_done_when_asked_and_then_said(tmp_path: Path) -> None:
    space, vectors = weighted_space(1, 30), np.random.default_rng(8).standard_normal((6000, 31)).astype(np.float32)
    (shard,) = built(
        tmp_path, space, vectors, settings=tiny_settings(space, axes=3, rows_per_shard=6000, lists=64)
    ).shards()
    target = aims(space, vectors[3])
    exact = search_shard(shard, target, Wish(), None)
    rough = search_shard(shard, target, Wish(recall=0.9), None)
    assert exact.certified
    assert not rough.certified
    assert rough.explanations[0].plan == "some lists"
    assert rough.explanations[0].compared < exact.explanations[0].compared


def test_a_condition_that_no_row_meets_gives_no_hits(tmp_path: Path) -> None:
    space, vectors = weighted_space(1, 3), clustered(50, 4, seed=9)
    (shard,) = built(tmp_path, space, vectors, labels={"n": list(range(50))}).shards()
    allowed = shard.allowed(Equals("n", 99))
    for only in (None, *PLANS):
        answer = search_shard(shard, aims(space, vectors[0], {"a0": 9.0}), Wish(), allowed, only)
        assert not answer.hits
        assert answer.certified


@pytest.mark.parametrize("weight", [1e-3, 1.0, 1e3])
def test_where_the_lowest_bounds_do_not_suffice_no_row_within_the_limit_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight: float
) -> None:
    monkeypatch.setattr(answers, "_FIRST_BOUNDS", 4)
    space = weighted_space(1, 30)
    vectors = np.random.default_rng(12).standard_normal((2000, 31)).astype(np.float32)
    (shard,) = built(tmp_path, space, vectors, settings=tiny_settings(space, axes=2, rows_per_shard=2000)).shards()
    for asked in vectors[:5]:
        for only in PLANS:
            got = search_shard(shard, aims(space, asked, weight=weight), Wish(k=3), None, only)
            distances = plain_distances(space, vectors, asked, {})
            assert [hit.id for hit in got.hits] == plain_nearest(distances, names(2000), 3)
