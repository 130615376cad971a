from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.contract import SearchSpace
from raypipe.errors import ModelMismatch, WrongUsage
from raypipe.retrieval.answer import Diversity, Wish
from raypipe.retrieval.build import IndexSettings, build
from raypipe.retrieval.changes import append, compact, delete
from raypipe.retrieval.filters import Between
from raypipe.retrieval.index import Index, open_index
from raypipe.retrieval.manifest import Binding
from raypipe.retrieval.plan import Kind
from raypipe.retrieval.shard_search import search_shard
from raypipe.retrieval.shard_writer import Block
from raypipe.retrieval.space import Aim, make_target
from tests.retrieval.searching import Array, bindings, blocks, names, plain_distances, plain_nearest, weighted_space

SPACES = {"m.w": weighted_space(2, 3), "m.cos": SearchSpace(4, "cosine"), "n.l2": SearchSpace(3, "l2")}
ASKED = bindings(SPACES)
PLANS: tuple[Kind | None, ...] = (None, "compare all", "joint scan")


def whole_numbers(rng: np.random.Generator, rows: int, deep: int) -> dict[str, Array]:
    """Ties and duplicates abound; no row is zero in the space of angles."""
    drawn = {name: rng.integers(-deep, deep + 1, (rows, space.width)) for name, space in SPACES.items()}
    drawn["m.cos"][:, 0] = np.where((drawn["m.cos"] == 0).all(1), 1, drawn["m.cos"][:, 0])
    return {name: vectors.astype(np.float32) for name, vectors in drawn.items()}


def built(folder: str, vectors: Mapping[str, Array], per_shard: int, ids: Sequence[str], luck: Array) -> Index:
    settings_ = IndexSettings(axes=2, lists=3, rows_per_shard=per_shard)
    build(folder, SPACES, ASKED, lambda: blocks(ids, vectors, {"luck": luck.tolist()}), settings_)
    return open_index(folder)


def plain_sum(
    vectors: Mapping[str, Array], aims: Sequence[Aim], asked: Sequence[Array], prefer: Mapping[str, float]
) -> Array:
    return np.asarray(
        sum(
            aim.weight * plain_distances(SPACES[aim.space], vectors[aim.space], vector, prefer)
            for aim, vector in zip(aims, asked, strict=True)
        )
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 90),
    per_shard=st.integers(1, 60),
    k=st.integers(1, 25),
    spaces=st.lists(st.sampled_from(sorted(SPACES)), min_size=1, max_size=4),
    weights=st.lists(st.sampled_from([1.0, 0.25, 3.0, 1000.0, 1e-3]), min_size=4, max_size=4),
    preference=st.sampled_from([0.0, 1.0, 30.0, 1000.0]),
    deep=st.sampled_from([1, 5]),
    share=st.sampled_from([None, 0.02, 0.5]),
    deleted=st.integers(0, 20),
)
@settings(max_examples=80, deadline=None)
def test_any_aims_give_the_plain_answer(
    seed: int,
    rows: int,
    per_shard: int,
    k: int,
    spaces: list[str],
    weights: list[float],
    preference: float,
    deep: int,
    share: float | None,
    deleted: int,
) -> None:
    rng, prefer = np.random.default_rng(seed), {"a0": preference}
    vectors, luck = whole_numbers(rng, rows, deep), rng.random(rows)
    ids = rng.permutation(names(rows)).tolist()
    asked = [whole_numbers(rng, 1, deep)[name][0] for name in spaces]
    aims = [
        Aim(name, make_target(SPACES[name], vector, prefer if SPACES[name].coordinates else None), weight)
        for name, vector, weight in zip(spaces, asked, weights, strict=False)
    ]
    distances = plain_sum(vectors, aims, asked, prefer)
    gone = set(ids[:deleted])
    allowed = np.array([name not in gone for name in ids], np.bool_) & (luck <= (1.0 if share is None else share))
    with tempfile.TemporaryDirectory() as folder:
        index = built(folder, vectors, max(per_shard, rows // 5, 1), ids, luck)
        if delete(folder, sorted(gone)):
            index = open_index(folder)
        wish = Wish(k=k, condition=None if share is None else Between("luck", None, share))
        (answer,) = index.search([aims], wish, asked=ASKED)
        parts = [
            search_shard(shard, aims, wish, shard.allowed(wish.condition), "joint scan") for shard in index.shards()
        ]
    expected = plain_nearest(distances, ids, k, allowed)
    assert answer.certified
    assert [hit.distance for hit in answer.hits] == pytest.approx(
        [distances[ids.index(name)] for name in expected], rel=1e-6, abs=1e-6
    )
    assert_same_up_to_rounding(
        [hit.id for hit in answer.hits], expected, dict(zip(ids, distances.tolist(), strict=True))
    )
    assert all(part.certified for part in parts)
    found = sorted((hit.distance, hit.id) for part in parts for hit in part.hits)[:k]
    assert found == [(hit.distance, hit.id) for hit in answer.hits]


def assert_same_up_to_rounding(got: list[str], expected: list[str], distances: Mapping[str, float]) -> None:
    """The same ids; where a cosine is in play, equal distances may differ in the last bits of float32."""
    for a, b in zip(got, expected, strict=True):
        assert a == b or distances[a] == pytest.approx(distances[b], rel=1e-6, abs=1e-6)


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 40), weight=st.sampled_from([0.3, 1.0, 7.0]))
@settings(max_examples=25, deadline=None)
def test_every_plan_gives_the_same_bits(seed: int, k: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = {name: rng.standard_normal((200, space.width)).astype(np.float32) for name, space in SPACES.items()}
    aims = [Aim(name, make_target(space, rng.standard_normal(space.width)), weight) for name, space in SPACES.items()]
    with tempfile.TemporaryDirectory() as folder:
        (shard,) = built(folder, vectors, 200, names(200), rng.random(200)).shards()
        answers = [search_shard(shard, aims, Wish(k=k), None, only) for only in PLANS]
    assert answers[0].hits == answers[1].hits == answers[2].hits
    assert all(answer.certified for answer in answers)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> tuple[Index, dict[str, Array]]:
    rng = np.random.default_rng(1)
    vectors = {name: rng.standard_normal((3000, space.width)).astype(np.float32) for name, space in SPACES.items()}
    folder = str(tmp_path_factory.mktemp("index"))
    return built(folder, vectors, 3000, names(3000), rng.random(3000)), vectors


def test_two_aims_in_one_space_are_between_their_targets(index: tuple[Index, dict[str, Array]]) -> None:
    """|a - x|^2 + |b - x|^2 = 2 |(a + b) / 2 - x|^2 + |a - b|^2 / 2."""
    opened, vectors = index
    a, b = vectors["n.l2"][:2]
    both = [Aim("n.l2", make_target(SPACES["n.l2"], vector)) for vector in (a, b)]
    middle = [Aim("n.l2", make_target(SPACES["n.l2"], (a + b) / 2))]
    one, other = opened.search([both, middle], Wish(k=30), asked=ASKED)
    assert [hit.id for hit in one.hits] == [hit.id for hit in other.hits]
    apart = float(((a.astype(np.float64) - b) ** 2).sum())
    assert [hit.distance for hit in one.hits] == pytest.approx([2 * hit.distance + apart / 2 for hit in other.hits])


def test_the_weight_of_a_single_aim_scales_its_distances_alone(index: tuple[Index, dict[str, Array]]) -> None:
    opened, vectors = index
    target = make_target(SPACES["m.cos"], vectors["m.cos"][5])
    light, heavy = opened.search([[Aim("m.cos", target)], [Aim("m.cos", target, 7.0)]], Wish(), asked=ASKED)
    assert [hit.id for hit in light.hits] == [hit.id for hit in heavy.hits]
    assert [hit.distance for hit in heavy.hits] == pytest.approx([7 * hit.distance for hit in light.hits])
    assert [hit.parts[0].distance for hit in heavy.hits] == [hit.distance for hit in light.hits]


def test_a_hit_says_why_for_each_aim_in_order(index: tuple[Index, dict[str, Array]]) -> None:
    opened, vectors = index
    prefer = {"a1": 20.0}
    aims = [
        Aim("m.cos", make_target(SPACES["m.cos"], vectors["m.cos"][3]), 2.0),
        Aim("m.w", make_target(SPACES["m.w"], vectors["m.w"][4], prefer), 0.5),
    ]
    (answer,) = opened.search([aims], Wish(k=5), asked=ASKED)
    for hit in answer.hits:
        row = names(3000).index(hit.id)
        assert [part.space for part in hit.parts] == ["m.cos", "m.w"]
        assert hit.distance == sum(part.weight * part.distance for part in hit.parts)
        for part, asked in zip(hit.parts, (vectors["m.cos"][3], vectors["m.w"][4]), strict=True):
            assert sum(part.attributes.values()) + part.rest == pytest.approx(part.distance)
            plain = plain_distances(SPACES[part.space], vectors[part.space][row : row + 1], asked, prefer)
            assert part.distance == pytest.approx(plain[0], rel=1e-5, abs=1e-6)
    assert list(answer.hits[0].parts[1].attributes) == ["a0", "a1"]


def test_the_scan_compares_few_rows(index: tuple[Index, dict[str, Array]]) -> None:
    opened, vectors = index
    aims = [Aim(name, make_target(space, vectors[name][9])) for name, space in SPACES.items()]
    answer = search_shard(opened.shards()[0], aims, Wish(k=5), None, "joint scan")
    assert answer.explanations[0].scanned == 3000
    assert answer.explanations[0].compared < 600
    assert answer.certified


@pytest.mark.parametrize("only", PLANS)
def test_diversity_and_exclusion(index: tuple[Index, dict[str, Array]], only: Kind | None, tmp_path: Path) -> None:
    _, vectors = index
    people = [f"p{i % 4}" for i in range(400)]
    some = {name: rows[:400] for name, rows in vectors.items()}
    read = lambda: blocks(names(400), some, {"person": people})  # noqa: E731
    build(str(tmp_path), SPACES, ASKED, read, IndexSettings(axes=2, lists=3))
    (shard,) = open_index(str(tmp_path)).shards()
    aims = [Aim(name, make_target(space, vectors[name][0])) for name, space in SPACES.items()]
    wish = Wish(k=12, diversity=Diversity("person", 3), exclude=frozenset(names(2)))
    answer = search_shard(shard, aims, wish, None, only)
    distances = plain_sum(some, aims, [vectors[name][0] for name in SPACES], {})
    expected: list[int] = []
    for row in np.argsort(distances).tolist():
        if row >= 2 and sum(people[row] == people[other] for other in expected) < 3:
            expected.append(row)
    assert [hit.id for hit in answer.hits] == [names(400)[row] for row in expected]
    assert answer.certified


@pytest.mark.parametrize("far", [100.0, 1e6])
def test_rows_too_long_for_one_space_are_found_all_the_same(tmp_path: Path, far: float) -> None:
    rng = np.random.default_rng(3)
    vectors = {name: rng.standard_normal((300, space.width)).astype(np.float32) for name, space in SPACES.items()}
    vectors["n.l2"][290:] = np.float32([far, 0, 0]) + vectors["n.l2"][290:] / 10
    whole = Block(pa.table({"image_id": names(300), "luck": rng.random(300)}), vectors)
    build(str(tmp_path), SPACES, ASKED, lambda: [whole.cut(0, 290)], IndexSettings(axes=2, lists=3))
    append(str(tmp_path), ASKED, [whole.cut(290, 300)], rows_per_shard=100)
    compact(str(tmp_path), rows_per_shard=300)
    index = open_index(str(tmp_path))
    assert len(index.shards()[0].spaces["n.l2"].strays) == 10
    asked = [vectors["n.l2"][295], vectors["m.w"][295]]
    aims = [Aim(name, make_target(SPACES[name], row)) for name, row in zip(("n.l2", "m.w"), asked, strict=True)]
    answer = search_shard(index.shards()[0], aims, Wish(k=8), None, "joint scan")
    distances = plain_sum(vectors, aims, asked, {})
    assert [hit.id for hit in answer.hits] == plain_nearest(distances, names(300), 8)


def test_compact_keeps_the_bits_of_every_space(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    vectors = {name: rng.standard_normal((120, space.width)).astype(np.float32) for name, space in SPACES.items()}
    index = built(str(tmp_path), vectors, 50, names(120), rng.random(120))
    aims = [Aim(name, make_target(space, rng.standard_normal(space.width))) for name, space in SPACES.items()]
    (before,) = index.search([aims], Wish(k=120), asked=ASKED)
    delete(str(tmp_path), [hit.id for hit in before.hits[-20:]])
    compact(str(tmp_path), rows_per_shard=70)
    after = open_index(str(tmp_path))
    (kept,) = after.search([aims], Wish(k=120), asked=ASKED)
    assert [(hit.id, hit.distance) for hit in kept.hits] == [(hit.id, hit.distance) for hit in before.hits[:-20]]
    place = after.places([before.hits[0].id, before.hits[-1].id])
    assert place[1] is None
    assert place[0] is not None
    row = names(120).index(before.hits[0].id)
    np.testing.assert_array_equal(after.vector("m.w", *place[0]), vectors["m.w"][row])


def test_queries_that_cannot_be_meant_are_refused(index: tuple[Index, dict[str, Array]]) -> None:
    opened, vectors = index
    target = make_target(SPACES["n.l2"], vectors["n.l2"][0])
    with pytest.raises(WrongUsage, match="a query needs at least one aim"):
        opened.search([[]], Wish(), asked=ASKED)
    with pytest.raises(WrongUsage, match=r"the index has no space 'n\.x'; it has: m\.w, m\.cos, n\.l2"):
        opened.search([[Aim("n.x", target)]], Wish(), asked={"n.x": ASKED["n.l2"]})
    with pytest.raises(WrongUsage, match=r"nothing says what the targets in n\.l2 are"):
        opened.search([[Aim("n.l2", target)]], Wish(), asked={})
    with pytest.raises(ModelMismatch, match="model 'model-9', but the index 'model-1'"):
        opened.search([[Aim("n.l2", target)]], Wish(), asked={"n.l2": Binding("method", "n.l2", "model-9")})
    for weight in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(WrongUsage, match=r"weight .* in 'n\.l2' must be a finite number above 0"):
            Aim("n.l2", target, weight)
