from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.errors import ModelMismatch, RaypipeError, WrongUsage
from raypipe.retrieval.answer import Diversity, Hit, Wish, nearest_hits
from raypipe.retrieval.build import build
from raypipe.retrieval.changes import append
from raypipe.retrieval.filters import Equals
from raypipe.retrieval.index import open_index
from raypipe.retrieval.manifest import read_manifest
from tests.retrieval.searching import BINDINGS, NAME, aims, blocks, built, names, tiny_settings, weighted_space


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 80),
    per_shard=st.integers(1, 50),
    k=st.integers(1, 30),
    most=st.sampled_from([None, 1, 3]),
)
@settings(max_examples=25, deadline=None)
def test_merged_shards_are_one_index(seed: int, rows: int, per_shard: int, k: int, most: int | None) -> None:
    space, rng = weighted_space(2, 3), np.random.default_rng(seed)
    per_shard = max(per_shard, rows // 6)
    vectors = rng.integers(-2, 3, (rows, 5)).astype(np.float32)
    labels = {"person": [f"p{i}" for i in rng.integers(0, 6, rows)]}
    wish = Wish(k=k, diversity=Diversity("person", most) if most else None)
    targets = [aims(space, vectors[0], {"a0": 10.0}), aims(space, -vectors[0])]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as many:
        whole = built(one, space, vectors, labels=labels)
        parts = built(many, space, vectors, labels=labels, settings=tiny_settings(space, rows_per_shard=per_shard))
        expected = whole.search(targets, wish, asked=BINDINGS)
        got = parts.search(targets, wish, asked=BINDINGS, threads=3)
        assert len(parts.shards()) == -(-rows // per_shard)
    for a, b in zip(expected, got, strict=True):
        assert [(hit.id, hit.distance, hit.parts) for hit in a.hits] == [
            (hit.id, hit.distance, hit.parts) for hit in b.hits
        ]
        assert b.certified


def test_no_rows_at_all(tmp_path: Path) -> None:
    space = weighted_space(1, 3)
    index = built(tmp_path, space, np.zeros((0, 4), np.float32))
    (answer,) = index.search([aims(space, np.ones(4))], Wish(), asked=BINDINGS)
    assert not answer.hits
    assert answer.certified
    assert index.manifest.rows == 0


@pytest.mark.parametrize("field", ["method", "space", "model", "directions"])
def test_another_models_query_is_a_named_error(tmp_path: Path, field: str) -> None:
    space = weighted_space(1, 3)
    index = built(tmp_path, space, np.ones((3, 4), np.float32))
    other = {NAME: dataclasses.replace(BINDINGS[NAME], **{field: "other"})}
    with pytest.raises(ModelMismatch, match=f"the query has {field} 'other', but the index"):
        index.search([aims(space, np.ones(4))], Wish(), asked=other)


def test_a_damaged_or_missing_file_is_named(tmp_path: Path) -> None:
    built(tmp_path, weighted_space(1, 3), np.ones((3, 4), np.float32))
    (entry,) = read_manifest(str(tmp_path)).shards
    (tmp_path / "shards" / entry.name / NAME / "rest.bin").unlink()
    with pytest.raises(RaypipeError, match=r"rest\.bin is missing or has another size"):
        open_index(str(tmp_path))
    (reduction,) = tmp_path.glob("reduction-*")
    reduction.write_bytes(b"x")
    with pytest.raises(RaypipeError, match="is damaged: its sha256"):
        open_index(str(tmp_path))


def test_no_index_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="no index at"):
        open_index(str(tmp_path))


def test_an_unknown_column_is_wrong_usage(tmp_path: Path) -> None:
    space = weighted_space(1, 3)
    index = built(tmp_path, space, np.ones((3, 4), np.float32), labels={"age": [1, 2, 3]})
    for wish in (Wish(condition=Equals("hat", 1)), Wish(diversity=Diversity("hat", 1))):
        with pytest.raises(WrongUsage, match="no label column hat; there are: image_id, age"):
            index.search([aims(space, np.ones(4))], wish, asked=BINDINGS)


def test_a_column_that_some_faces_lack_is_told_with_how_many(tmp_path: Path) -> None:
    space = weighted_space(1, 3)
    built(tmp_path, space, np.ones((3, 4), np.float32), labels={"age": [1, 2, 3]})
    append(str(tmp_path), BINDINGS, blocks(["a", "b"], np.ones((2, 4), np.float32)), rows_per_shard=9)
    with pytest.raises(WrongUsage, match="no label column age for 2 of the 5 faces; there are: image_id"):
        open_index(str(tmp_path)).search([aims(space, np.ones(4))], Wish(condition=Equals("age", 1)), asked=BINDINGS)


def test_labels_of_hits(tmp_path: Path) -> None:
    space, vectors = weighted_space(1, 3), np.arange(40, dtype=np.float32).reshape(10, 4)
    labels = {"age": list(range(10))}
    index = built(tmp_path, space, vectors, labels=labels, settings=tiny_settings(space, rows_per_shard=4))
    (answer,) = index.search([aims(space, vectors[6])], Wish(k=3), asked=BINDINGS)
    assert index.labels(answer.hits, ["age"]) == [{"age": int(hit.id[-2:])} for hit in answer.hits]
    assert answer.hits[0].id == names(10)[6]


def test_another_storage_is_read_through_the_cache(tmp_path: Path) -> None:
    space, vectors = weighted_space(1, 3), np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    uri = f"memory://index-{tmp_path.name}"
    build(uri, {NAME: space}, BINDINGS, lambda: blocks(names(50), vectors), tiny_settings(space, rows_per_shard=20))
    target, wish = aims(space, vectors[3]), Wish(k=4)
    (first,) = open_index(uri, cache=tmp_path / "cache").search([target], wish, asked=BINDINGS)
    fsspec.filesystem("memory").rm(f"/index-{tmp_path.name}/shards", recursive=True)
    (again,) = open_index(uri, cache=tmp_path / "cache").search([target], wish, asked=BINDINGS)
    assert [hit.id for hit in first.hits] == [hit.id for hit in again.hits]
    assert first.hits[0].id == names(50)[3]


def test_cutting_parts_before_merging_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    hits = [
        Hit(id=f"{i}", distance=float(d), shard="s", row=i, group=int(g))
        for i, (d, g) in enumerate(zip(rng.integers(0, 9, 60), rng.integers(0, 4, 60), strict=True))
    ]
    for diversity in (None, Diversity("g", 1), Diversity("g", 3)):
        cut = [hit for s in range(5) for hit in nearest_hits(hits[s::5], 7, diversity)]
        assert nearest_hits(cut, 7, diversity) == nearest_hits(hits, 7, diversity)
