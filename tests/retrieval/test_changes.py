from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem

from raypipe.contract import SearchSpace
from raypipe.errors import ModelMismatch, OutputInUse, RaypipeError, WrongUsage
from raypipe.retrieval.answer import Wish
from raypipe.retrieval.build import build
from raypipe.retrieval.changes import append, compact, delete, sweep
from raypipe.retrieval.index import open_index
from raypipe.retrieval.manifest import (
    Binding,
    Manifest,
    ShardEntry,
    manifest_name,
    publish,
    read_manifest,
    read_version,
    versions,
)
from raypipe.retrieval.verify import verify
from tests.retrieval.searching import BINDINGS, NAME, aims, blocks, built, names, tiny_settings, weighted_space

SPACE = weighted_space(2, 4)
VECTORS = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)


def found(folder: Path) -> list[tuple[str, float]]:
    """All ids with their distances from one target, nearest first."""
    (answer,) = open_index(str(folder)).search([aims(SPACE, VECTORS[0])], Wish(k=200), asked=BINDINGS)
    return [(hit.id, hit.distance) for hit in answer.hits]


def start(folder: Path, rows: int = 40) -> None:
    built(folder, SPACE, VECTORS[:rows], settings=tiny_settings(SPACE, rows_per_shard=25))


def append_rest(folder: Path) -> Any:
    return append(str(folder), BINDINGS, blocks(names(20, 40), VECTORS[40:]), rows_per_shard=15)


def test_appended_rows_are_found_as_if_they_had_always_been_there(tmp_path: Path) -> None:
    start(tmp_path / "a")
    append_rest(tmp_path / "a")
    start(tmp_path / "b", rows=60)
    assert found(tmp_path / "a") == found(tmp_path / "b")


def test_appending_the_same_rows_again_adds_nothing(tmp_path: Path) -> None:
    start(tmp_path)
    append_rest(tmp_path)
    append_rest(tmp_path)
    assert read_manifest(str(tmp_path)).rows == 60


def test_an_id_that_can_be_found_is_refused_until_it_is_deleted(tmp_path: Path) -> None:
    start(tmp_path)
    again = blocks(["face-0003", "new"], VECTORS[40:42])
    with pytest.raises(WrongUsage, match="1 of the ids are in the index already, 'face-0003' is one"):
        append(str(tmp_path), BINDINGS, again, rows_per_shard=9)
    assert read_manifest(str(tmp_path)).version == 1
    delete(str(tmp_path), ["face-0003"])
    append(str(tmp_path), BINDINGS, blocks(["face-0003", "new"], VECTORS[40:42]), rows_per_shard=9)
    assert dict(found(tmp_path))["face-0003"] == pytest.approx(((VECTORS[0] - VECTORS[40]) ** 2).sum(), rel=1e-6)


def test_rows_of_another_model_are_refused(tmp_path: Path) -> None:
    start(tmp_path)
    with pytest.raises(ModelMismatch, match="model 'model-2', but the index 'model-1'"):
        append(str(tmp_path), {NAME: Binding("method", "space", "model-2", "directions-1")}, [], rows_per_shard=9)


def test_deleted_ids_are_gone_at_once_and_again_after_a_second_delete(tmp_path: Path) -> None:
    start(tmp_path)
    before = found(tmp_path)
    gone = {before[0][0], before[7][0]}
    assert delete(str(tmp_path), [*gone, "nobody"]) == 2
    assert found(tmp_path) == [hit for hit in before if hit[0] not in gone]
    assert delete(str(tmp_path), gone) == 0
    assert versions(str(tmp_path)) == [1, 2]
    assert delete(str(tmp_path), [before[3][0]]) == 1
    assert read_manifest(str(tmp_path)).rows == len(found(tmp_path)) == 37


def test_compact_keeps_every_answer_and_nothing_of_what_was_deleted(tmp_path: Path) -> None:
    start(tmp_path)
    append_rest(tmp_path)
    delete(str(tmp_path), names(25))
    before = found(tmp_path)
    manifest = compact(str(tmp_path), rows_per_shard=50)
    assert found(tmp_path) == before
    assert [(shard.rows, shard.deleted) for shard in manifest.shards] == [(35, None)]
    kept = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert kept == {file.name for file in manifest.files()} | {"manifest-000004.json"}
    erased = VECTORS[3, 2:].tobytes()
    assert not any(erased in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert verify(str(tmp_path)).problems == []


def test_compact_keeps_the_very_bits_of_a_cosine(tmp_path: Path) -> None:
    space = SearchSpace(6, "cosine")
    index = built(tmp_path, space, VECTORS, settings=tiny_settings(space))
    target = [aims(space, VECTORS[1])]
    (before,) = index.search(target, Wish(k=60), asked=BINDINGS)
    delete(str(tmp_path), [before.hits[-1].id])
    compact(str(tmp_path), rows_per_shard=100)
    (after,) = open_index(str(tmp_path)).search(target, Wish(k=60), asked=BINDINGS)
    assert [(hit.id, hit.distance) for hit in after.hits] == [(hit.id, hit.distance) for hit in before.hits[:-1]]


def test_who_reads_while_it_changes_keeps_the_old_version(tmp_path: Path) -> None:
    start(tmp_path)
    index = open_index(str(tmp_path))
    target = [aims(SPACE, VECTORS[0])]
    (before,) = index.search(target, Wish(k=200), asked=BINDINGS)
    delete(str(tmp_path), names(30))
    compact(str(tmp_path), rows_per_shard=50)
    (still,) = index.search(target, Wish(k=200), asked=BINDINGS)
    assert [hit.id for hit in still.hits] == [hit.id for hit in before.hits]


def test_of_two_writers_the_slower_is_told(tmp_path: Path) -> None:
    start(tmp_path)
    old = read_manifest(str(tmp_path))
    delete(str(tmp_path), names(1))
    with pytest.raises(OutputInUse, match="version 2 of the index was written by another job"):
        publish(str(tmp_path), old.next(old.shards))
    with pytest.raises(OutputInUse, match="holds an index already"):
        start(tmp_path)


def test_an_id_in_two_new_shards_is_refused(tmp_path: Path) -> None:
    start(tmp_path)
    with pytest.raises(WrongUsage, match="1 of the ids are in the index already, 'twice' is one"):
        append(str(tmp_path), BINDINGS, blocks(["twice", "once", "twice"], VECTORS[40:43]), rows_per_shard=2)
    assert read_manifest(str(tmp_path)).version == 1


def test_the_next_version_knows_the_sources_of_its_shards_and_no_others() -> None:
    one, two = (ShardEntry(name, 1, f"codes-{name}", ()) for name in ("one", "two"))
    first = Manifest(1, 1.0, {}, (one,), {"codes-one": "file:///one"})
    both = first.next((one, two), {"codes-two": "file:///two", "codes-three": "file:///three"})
    assert both.sources == {"codes-one": "file:///one", "codes-two": "file:///two"}
    assert both.next((two,)).sources == {"codes-two": "file:///two"}


def test_versions_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (1_000_000, 2, 999_999):
        (tmp_path / manifest_name(number)).touch()
    assert versions(str(tmp_path)) == [2, 999_999, 1_000_000]


def test_sweep_deletes_leftovers_and_no_foreign_file(tmp_path: Path) -> None:
    start(tmp_path)
    for name in ("shards/0123/rest.bin", ".staging-x/rest.bin", "run.json", ".manifest-000002.json.0a0a0a0a.tmp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert sweep(str(tmp_path)) == 3
    assert (tmp_path / "run.json").exists()
    assert not (tmp_path / ".staging-x").exists()
    assert not (tmp_path / "shards" / "0123").exists()
    assert verify(str(tmp_path)).problems == []


@pytest.mark.parametrize("files", [1, 2])
def test_a_sweep_that_ends_early_leaves_no_version_without_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    start(tmp_path)
    delete(str(tmp_path), names(1))
    delete(str(tmp_path), names(2))
    gone: list[str] = []

    def rm_file(_: LocalFileSystem, path: str) -> None:
        if len(gone) == files:
            raise PermissionError(path)
        Path(path).unlink()
        gone.append(path)

    monkeypatch.setattr(LocalFileSystem, "rm_file", rm_file)
    with pytest.raises(PermissionError):
        sweep(str(tmp_path))
    assert len(gone) == files
    for version in versions(str(tmp_path)):
        assert all((tmp_path / file.name).exists() for file in read_version(str(tmp_path), version).files())


def test_on_an_object_store_all_operations_leave_a_whole_index(bucket: str, tmp_path: Path) -> None:
    uri = f"s3://{bucket}/faces/index"
    settings = tiny_settings(SPACE, rows_per_shard=25)
    build(uri, {NAME: SPACE}, BINDINGS, lambda: blocks(names(40), VECTORS[:40]), settings)
    append(uri, BINDINGS, blocks(names(20, 40), VECTORS[40:]), rows_per_shard=15, cache=tmp_path / "cache")
    assert delete(uri, names(10), cache=tmp_path / "cache") == 10
    compact(uri, rows_per_shard=100, cache=tmp_path / "cache")
    assert verify(uri, cache=tmp_path / "cache").problems == []
    index = open_index(uri, cache=tmp_path / "cache")
    (answer,) = index.search([aims(SPACE, VECTORS[30])], Wish(k=200), asked=BINDINGS)
    assert sorted(hit.id for hit in answer.hits) == names(50, 10)
    with pytest.raises(OutputInUse):
        publish(uri, index.manifest)


def test_a_manifest_of_a_later_version_is_refused(tmp_path: Path) -> None:
    start(tmp_path)
    text = (tmp_path / "manifest-000001.json").read_text()
    (tmp_path / "manifest-000002.json").write_text(text.replace('"format": 3', '"format": 4'))
    with pytest.raises(RaypipeError, match="has another format than 3"):
        read_manifest(str(tmp_path))
    (tmp_path / "manifest-000003.json").write_text("{")
    with pytest.raises(RaypipeError, match="is damaged"):
        read_manifest(str(tmp_path))
