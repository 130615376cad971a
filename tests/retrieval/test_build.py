from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.errors import WrongUsage
from raypipe.retrieval.answer import Diversity, Wish
from raypipe.retrieval.build import IndexSettings
from raypipe.retrieval.changes import delete
from raypipe.retrieval.index import open_index
from raypipe.retrieval.manifest import read_manifest
from raypipe.retrieval.scan_rows import column_count
from raypipe.retrieval.shard_writer import Block, write_shard
from raypipe.retrieval.space_writer import Form
from tests.retrieval.searching import BINDINGS, NAME, aims, built, names, tiny_settings, weighted_space

SPACE = weighted_space(2, 30)
VECTORS = np.random.default_rng(0).standard_normal((400, 32)).astype(np.float32)


def test_memory_per_row_is_what_was_asked(tmp_path: Path) -> None:
    index = built(tmp_path, SPACE, VECTORS, settings=IndexSettings(memory_per_row=40))
    assert index.memory_bytes == 400 * 40


@pytest.mark.parametrize(("width", "attributes"), [(1280, 13), (9216, 40)])
def test_the_default_takes_a_tenth_of_the_codes_in_float16(width: int, attributes: int) -> None:
    axes = IndexSettings().axes_of(weighted_space(attributes, width))
    assert 2 * column_count(axes, attributes) + 8 <= width * 2 / 10
    assert axes > 30


def test_too_little_memory_is_refused_with_what_is_needed() -> None:
    space = weighted_space(40, 9216)
    with pytest.raises(WrongUsage, match="100 bytes a row are too few: this space needs at least 184"):
        IndexSettings(memory_per_row=100).axes_of(space)
    assert IndexSettings(memory_per_row=184).axes_of(space) == 5


def test_the_same_faces_give_the_same_index(tmp_path: Path) -> None:
    for name in ("a", "b"):
        built(tmp_path / name, SPACE, VECTORS, settings=tiny_settings(SPACE, rows_per_shard=150))
    assert read_manifest(str(tmp_path / "a")) == read_manifest(str(tmp_path / "b"))


def test_shards_are_full_and_hold_all_rows_in_order(tmp_path: Path) -> None:
    index = built(tmp_path, SPACE, VECTORS, settings=tiny_settings(SPACE, rows_per_shard=150))
    assert [shard.rows for shard in index.shards()] == [150, 150, 100]
    assert [name for shard in index.shards() for name in shard.ids(np.arange(shard.rows))] == names(400)
    np.testing.assert_array_equal(
        np.concatenate([shard.spaces[NAME].vectors(np.arange(shard.rows)) for shard in index.shards()]), VECTORS
    )


def test_float16_halves_the_rest_on_disk_and_searches_what_is_stored(tmp_path: Path) -> None:
    settings = IndexSettings(precision="float16", memory_per_row=60)
    (shard,) = built(tmp_path, SPACE, VECTORS, settings=settings).shards()
    stored = shard.spaces[NAME].vectors(np.arange(400))
    np.testing.assert_array_equal(stored[:, :2], VECTORS[:, :2])
    np.testing.assert_array_equal(stored[:, 2:], VECTORS[:, 2:].astype(np.float16))
    assert (tmp_path / "shards" / shard.name / NAME / "rest.bin").stat().st_size == 400 * 30 * 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pa.table({"id": ["a", "b"]}), "every row needs an image_id"),
        (pa.table({"image_id": ["a", None]}), "every row needs an image_id"),
        (pa.table({"image_id": ["a"]}), "1 rows of labels, but 2 vectors of 'method.space'"),
    ],
)
def test_rows_without_an_id_are_refused(tmp_path: Path, labels: pa.Table, message: str) -> None:
    reduction = built(tmp_path / "index", SPACE, VECTORS).shards()[0].spaces[NAME].reduction
    with pytest.raises(WrongUsage, match=message):
        write_shard(tmp_path / "s", [Block(labels, {NAME: VECTORS[:2]})], {NAME: Form(SPACE, reduction, "float32")})


@pytest.mark.parametrize("second", [1, 2, 399])  # of the same block, of another one
def test_ids_that_are_there_twice_are_refused(tmp_path: Path, second: int) -> None:
    ids = names(400)
    ids[second] = ids[0]
    with pytest.raises(WrongUsage, match=r"1 ids are there more than once, as face-0000$"):
        built(tmp_path, SPACE, VECTORS, ids=ids)


@settings(deadline=None)
@given(st.sets(st.text(max_size=3), min_size=1, max_size=40), st.data())
def test_every_id_is_found_and_nothing_else(ids: set[str], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(sorted(ids)))
    deleted = data.draw(st.sets(st.sampled_from(shuffled)))
    with tempfile.TemporaryDirectory() as folder:
        built(folder, SPACE, VECTORS[: len(ids)], ids=shuffled, settings=tiny_settings(SPACE, rows_per_shard=15))
        delete(folder, deleted)
        index = open_index(folder)
        asked = [*shuffled, *data.draw(st.lists(st.text(max_size=3)))]
        rows = {name: row for row, name in enumerate(shuffled) if name not in deleted}
        starts = {shard.name: 15 * number for number, shard in enumerate(index.shards())}
        found = [place and starts[place[0]] + place[1] for place in index.places(asked)]
    assert found == [rows.get(name) for name in asked]


def test_blocks_with_other_columns_are_refused(tmp_path: Path) -> None:
    reduction = built(tmp_path / "index", SPACE, VECTORS).shards()[0].spaces[NAME].reduction
    blocks = [
        Block(pa.table({"image_id": ["a"], "age": [1]}), {NAME: VECTORS[:1]}),
        Block(pa.table({"image_id": ["b"]}), {NAME: VECTORS[:1]}),
    ]
    with pytest.raises(WrongUsage, match="blocks with different label columns"):
        write_shard(tmp_path / "s", blocks, {NAME: Form(SPACE, reduction, "float32")})


def test_dictionaries_are_stored_as_what_they_mean(tmp_path: Path) -> None:
    people = pa.array(["ann", "bob", "ann", None] * 100).dictionary_encode()
    index = built(tmp_path, SPACE, VECTORS, labels={"person": people})
    assert index.shards()[0].labels.schema.field("person").type == pa.string()
    wish = Wish(k=400, diversity=Diversity("person", 1))
    (answer,) = index.search([aims(SPACE, VECTORS[0])], wish, asked=BINDINGS)
    assert len(answer.hits) == 100 + 2


@pytest.mark.parametrize("options", [{"k": 0}, {"k": 10_001}, {"recall": 0.0}, {"diversity": Diversity("a", 0)}])
def test_wishes_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(WrongUsage):
        Wish(**options)  # type: ignore[arg-type]
