from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raypipe.contract import SearchSpace
from raypipe.errors import RaypipeError, WrongUsage
from raypipe.retrieval import answer
from raypipe.retrieval.answer import Diversity, Wish
from raypipe.retrieval.build import IndexSettings, build
from raypipe.retrieval.changes import append, compact, delete
from raypipe.retrieval.factory import opened
from raypipe.retrieval.filters import Between
from raypipe.retrieval.index import Index, open_index
from raypipe.retrieval.manifest import read_manifest
from raypipe.retrieval.space import Aim, make_target
from raypipe.retrieval.verify import verify
from tests.retrieval.searching import (
    BINDINGS,
    NAME,
    Array,
    aims,
    bindings,
    blocks,
    built,
    names,
    plain_distances,
    plain_nearest,
    weighted_space,
)

ROWS = 3000
SPACE = weighted_space(2, 14)
KINDS = ("Flat", "SQfp16", "HNSW32", "HNSW32,SQfp16", "IVF32,PQ12x4", "IVF16,Flat", "RR24,IVF16,Flat")


def clustered() -> Array:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((ROWS, 16)) + 3 * rng.standard_normal((8, 16))[rng.integers(0, 8, ROWS)]
    return vectors.astype(np.float32)


VECTORS, LUCK = clustered(), np.random.default_rng(1).random(ROWS)


@pytest.fixture(scope="module", params=KINDS)
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Index:
    settings = IndexSettings(factory=request.param, axes=14)
    folder = tmp_path_factory.mktemp("index")
    return built(folder, SPACE, VECTORS, labels={"luck": LUCK.tolist()}, settings=settings)


@pytest.fixture(autouse=True)
def _few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the usual number all rows of so small a shard would be compared."""
    monkeypatch.setattr(answer, "_FIRST_BOUNDS", 60)


def recall(index: Index, wish: Wish, prefer: dict[str, float], allowed: Array | None = None) -> float:
    """Of 30 queries, the share of the true hits; every answer must be of rows that are allowed, and not certified."""
    found = total = 0
    for row in range(30):
        (got,) = index.search([aims(SPACE, VECTORS[row], prefer)], wish, asked=BINDINGS)
        assert not got.certified
        assert {part.plan for part in got.explanations} == {"factory"}
        distances = plain_distances(SPACE, VECTORS, VECTORS[row], prefer)
        expected = plain_nearest(distances, names(ROWS), wish.k, allowed)
        ids = [hit.id for hit in got.hits]
        assert len(ids) == wish.k
        assert allowed is None or allowed[[names(ROWS).index(name) for name in ids]].all()
        told = [distances[names(ROWS).index(name)] for name in ids]
        assert [hit.distance for hit in got.hits] == pytest.approx(told)
        found, total = found + len(set(ids) & set(expected)), total + wish.k
    return found / total


@pytest.mark.parametrize("preference", [0.0, 1.0, 20.0])
def test_most_hits_are_found_under_any_preference_and_never_certified(index: Index, preference: float) -> None:
    factory = index.manifest.spaces[NAME].factory
    least = 0.25 if "PQ" in factory else 0.85
    assert recall(index, Wish(k=10), {"a0": preference}) > least


def test_filters_are_right(index: Index) -> None:
    wish = Wish(k=10, condition=Between("luck", None, 0.4))
    assert recall(index, wish, {}, LUCK <= 0.4) > 0.2


def test_deleted_rows_are_never_found(index: Index, tmp_path: Path) -> None:
    factory = index.manifest.spaces[NAME].factory
    built(tmp_path, SPACE, VECTORS, settings=IndexSettings(factory=factory, axes=14))
    gone = np.arange(ROWS) % 3 == 0
    delete(str(tmp_path), [name for name, is_gone in zip(names(ROWS), gone, strict=True) if is_gone])
    assert recall(open_index(str(tmp_path)), Wish(k=10), {}, ~gone) > 0.2


def test_few_rows_that_a_filter_leaves_are_compared_and_then_certified(index: Index) -> None:
    wish = Wish(k=10, condition=Between("luck", None, 0.01))
    (got,) = index.search([aims(SPACE, VECTORS[0])], wish, asked=BINDINGS)
    assert got.certified
    distances = plain_distances(SPACE, VECTORS, VECTORS[0], {})
    assert [hit.id for hit in got.hits] == plain_nearest(distances, names(ROWS), 10, LUCK <= 0.01)


def test_where_candidates_do_not_suffice_more_are_asked_for(tmp_path: Path) -> None:
    people = [f"p{i % 40}" for i in range(ROWS)]
    settings = IndexSettings(factory="IVF16,Flat", axes=14)
    index = built(tmp_path, SPACE, VECTORS, labels={"person": people}, settings=settings)
    wish = Wish(k=40, diversity=Diversity("person", 1))
    (got,) = index.search([aims(SPACE, VECTORS[0])], wish, asked=BINDINGS)
    assert len(got.hits) == len({hit.group for hit in got.hits}) == 40


def test_an_asked_recall_below_1_probes_fewer_lists(tmp_path: Path) -> None:
    index = built(tmp_path, SPACE, VECTORS, settings=IndexSettings(factory="IVF32,SQfp16", axes=14))
    shares = [recall(index, Wish(k=10, recall=asked), {}) for asked in (0.9, 1.0)]
    assert 0.5 < shares[0] <= shares[1]
    assert shares[1] > 0.95


def test_several_aims_take_the_candidates_of_each(tmp_path: Path) -> None:
    spaces = {"m.w": SPACE, "m.cos": SearchSpace(16, "cosine")}
    asked = bindings(spaces)
    read = lambda: blocks(names(ROWS), dict.fromkeys(spaces, VECTORS))  # noqa: E731
    build(str(tmp_path), spaces, asked, read, IndexSettings(factory="IVF16,Flat", axes=14))
    query = [Aim(name, make_target(space, VECTORS[5])) for name, space in spaces.items()]
    (got,) = open_index(str(tmp_path)).search([query], Wish(k=10), asked=asked)
    assert not got.certified
    distances = sum(plain_distances(space, VECTORS, VECTORS[5], {}) for space in spaces.values())
    expected = plain_nearest(np.asarray(distances), names(ROWS), 10)
    assert len({hit.id for hit in got.hits} & set(expected)) >= 8


def test_an_index_by_factory_can_be_appended_to_and_compacted(tmp_path: Path) -> None:
    built(tmp_path, SPACE, VECTORS[:2000], settings=IndexSettings(factory="IVF16,Flat", axes=14))
    append(str(tmp_path), BINDINGS, blocks(names(1000, 2000), VECTORS[2000:]), rows_per_shard=500)
    compact(str(tmp_path), rows_per_shard=ROWS)
    assert verify(str(tmp_path)).problems == []
    assert [shard.rows for shard in read_manifest(str(tmp_path)).shards] == [ROWS]
    assert recall(open_index(str(tmp_path)), Wish(k=10), {}) > 0.85


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("bogus", "could not parse index string bogus"),
        ("PQ12x4", "invalid search params"),
        ("NSG16", "search params not supported"),
        ("PCA8,Flat", "moves the origin"),
        ("IVF100000,Flat", "100000"),
    ],
)
def test_what_faiss_cannot_do_is_said_when_it_is_built(tmp_path: Path, factory: str, reason: str) -> None:
    with pytest.raises(WrongUsage, match=rf"factory '{factory}' cannot be used over 24 numbers a row: .*{reason}"):
        built(tmp_path, SPACE, VECTORS, settings=IndexSettings(factory=factory, axes=14))
    assert not list(tmp_path.iterdir())


def test_bytes_that_are_no_index_are_a_named_error() -> None:
    with pytest.raises(RaypipeError, match="an index of Faiss cannot be opened"):
        opened(np.zeros(40, np.uint8))
