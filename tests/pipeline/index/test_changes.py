"""Delete and compact, with the codes: what is gone, what stays, and what a crash leaves."""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from raypipe import faces, storage
from raypipe.errors import ModelMismatch, OutputInUse, WrongUsage
from raypipe.pipeline.encode.dataset import Dataset
from raypipe.pipeline.encode.lease import Lease
from raypipe.pipeline.index import job
from raypipe.pipeline.index.changes import compact, delete
from raypipe.pipeline.index.info import index_info
from raypipe.pipeline.index.job import lease_uri
from raypipe.pipeline.info import dataset_info, describe
from raypipe.retrieval.manifest import read_manifest
from raypipe.retrieval.verify import verify
from tests.killing import kill
from tests.pipeline.encode.test_job import config_for, encode_locally
from tests.pipeline.index.indexing import (
    append,
    build,
    change_part,
    copied_codes,
    found,
    other_codes,
    renamed,
    rows_of,
)
from tests.pipeline.search.small_collection import FACES, SmallCollection

CHANGES = ((os, "replace"), (os, "link"), (storage, "remove"))

GONE = (3, 4, 17, 39)


def ids(small: SmallCollection, rows: tuple[int, ...] = GONE) -> list[str]:
    return [small.id(row) for row in rows]


def compacted(index: Path | str, *, with_codes: bool = True) -> dict[str, int]:
    return compact(str(index), rows_per_shard=100, with_codes=with_codes, say=print).erased


@pytest.fixture
def codes(small: SmallCollection, tmp_path: Path) -> Path:
    return copied_codes(small, tmp_path / "codes")


@pytest.fixture
def index(small: SmallCollection, codes: Path, tmp_path: Path) -> Path:
    """Three shards, of which some faces are deleted."""
    build(small, tmp_path / "index", codes, shards=3)
    delete(str(tmp_path / "index"), ids(small), print)
    return tmp_path / "index"


def test_unknown_ids_are_counted_and_nothing_is_deleted_for_them(small: SmallCollection, index: Path) -> None:
    result = delete(str(index), [small.id(0), small.id(3), "nobody"], print)
    assert (result.deleted, result.unknown, result.rows) == (1, 2, FACES - 5)
    again = delete(str(index), ["nobody"], print)
    assert (again.deleted, again.unknown, again.version) == (0, 1, result.version)
    assert "none of the 1 id is in the index" in again.in_words()


def test_a_delete_goes_on_beside_a_build_but_not_beside_a_compaction(
    small: SmallCollection, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "CHANGE_WAIT_S", 0.5)
    with Lease(lease_uri(str(index)), print):
        assert delete(str(index), [small.id(0)], print).deleted == 1
        with pytest.raises(OutputInUse):
            compacted(index)
    with (
        Lease(storage.join(str(index), "_index", "change.json"), print),
        pytest.raises(OutputInUse, match="held by a running job"),
    ):
        delete(str(index), [small.id(1)], print)
    held = Lease(storage.join(str(index), "_index", "change.json"), print)
    held.__enter__()
    threading.Timer(0.2, held.__exit__, (None, None, None)).start()
    assert delete(str(index), [small.id(1)], print).deleted == 1


def test_wiped_rows_keep_their_place_and_id_and_nothing_else(small: SmallCollection, codes: Path, index: Path) -> None:
    before, schema = rows_of(codes), pq.read_schema(codes / "part-000000.parquet")
    assert compacted(index) == {str(codes): len(GONE)}
    assert pq.read_schema(codes / "part-000000.parquet").equals(schema, check_metadata=True)
    after = rows_of(codes)
    nothing = dict.fromkeys(before[0])
    for row, (old, new) in enumerate(zip(before, after, strict=True)):
        assert new == ({**nothing, "image_id": small.id(row), "status": "deleted"} if row in GONE else old)
    numbers = np.array(before[GONE[0]]["w_plus"], np.float16).tobytes()
    assert not any(numbers in path.read_bytes() for path in codes.rglob("*") if path.is_file())
    info = dataset_info(str(codes))
    assert (info.complete, info.statuses) == (True, {"ok": FACES - 4, "deleted": 4})
    assert "deleted: wiped by raypipe index compact --codes" in describe(str(codes))[0]


def test_after_a_compaction_the_index_is_bound_to_the_new_codes(
    small: SmallCollection, codes: Path, index: Path
) -> None:
    before = found(small, index)
    compacted(index)
    manifest = read_manifest(str(index))
    assert list(manifest.sources.items()) == [(storage.sha256((codes / "manifest.json").read_bytes()), str(codes))]
    assert [(shard.rows, shard.deleted) for shard in manifest.shards] == [(FACES - 4, None)]
    assert found(small, index) == before
    assert verify(str(index)).problems == []
    info = index_info(str(index))
    assert (info.rows, info.deleted, info.versions, info.sources[0].state) == (
        FACES - 4,
        0,
        (manifest.version,),
        "unchanged",
    )


def test_compact_without_codes_leaves_them_alone(small: SmallCollection, codes: Path, index: Path) -> None:
    before = {path: path.read_bytes() for path in codes.rglob("*") if path.is_file()}
    assert compacted(index, with_codes=False) == {}
    assert {path: path.read_bytes() for path in codes.rglob("*") if path.is_file()} == before
    assert read_manifest(str(index)).rows == FACES - 4


def test_only_parts_with_deleted_rows_are_written(small: SmallCollection, codes: Path, index: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in codes.glob("part-*")}
    compacted(index)
    after = {path.name: path.stat().st_mtime_ns for path in codes.glob("part-*")}
    assert {name for name in before if before[name] != after[name]} == {
        f"part-00000{number}.parquet" for number in {row // 8 for row in GONE}
    }


def test_encoding_again_does_not_bring_deleted_faces_back_unless_they_are_named(
    small: SmallCollection, codes: Path, index: Path
) -> None:
    compacted(index)
    config = config_for(
        small.codes.parent / "faces.parquet", codes, small.model, commit_rows=8, methods=("sparse_directions",)
    )
    for retry in (frozenset(), faces.statuses_matching(["*"]), frozenset({"no_face"})):
        summary = encode_locally(config, retry=retry)
        assert summary.statuses == {"ok": FACES - 4, "deleted": 4}
        assert summary.rejected_share == 0
    summary = encode_locally(config, retry=faces.statuses_matching(["deleted"]))
    assert summary.statuses == {"ok": FACES}
    assert rows_of(codes) == rows_of(small.codes)


def test_an_index_of_wiped_codes_is_that_of_what_is_left(
    small: SmallCollection, codes: Path, index: Path, tmp_path: Path
) -> None:
    compacted(index)
    summary = build(small, tmp_path / "new", codes)
    assert summary.rejected == {"deleted": 4}
    assert [id_ for id_, _ in found(small, tmp_path / "new")] == [id_ for id_, _ in found(small, index)]


def test_several_datasets_in_one_index_are_wiped_each(small: SmallCollection, codes: Path, tmp_path: Path) -> None:
    more, third = other_codes(small, tmp_path / "more"), other_codes(small, tmp_path / "third", "third-")
    build(small, tmp_path / "index", codes, more)
    append(small, tmp_path / "index", third)
    gone = [small.id(5), f"other-{small.id(6)}", f"other-{small.id(7)}"]
    delete(str(tmp_path / "index"), gone, print)
    assert compacted(tmp_path / "index") == {str(codes): 1, str(more): 2}
    wiped = {row["image_id"] for folder in (codes, more, third) for row in rows_of(folder) if row["status"] != "ok"}
    assert wiped == set(gone)
    assert {source.state for source in index_info(str(tmp_path / "index")).sources} == {"unchanged"}
    assert read_manifest(str(tmp_path / "index")).rows == 3 * FACES - 3


def test_codes_that_are_not_those_of_the_index_are_not_wiped(small: SmallCollection, codes: Path, index: Path) -> None:
    change_part(codes, 2, renamed("x"))
    parts = {path: path.read_bytes() for path in codes.glob("part-*")}
    with pytest.raises(ModelMismatch, match="row 1 of part 2 is not 'face-17'"):
        compacted(index)
    assert (codes / "part-000002.parquet").read_bytes() == parts[codes / "part-000002.parquet"]
    shutil.rmtree(codes)
    with pytest.raises(WrongUsage, match="are not at"):
        compacted(index)


def test_codes_that_a_job_writes_to_are_not_wiped(codes: Path, index: Path) -> None:
    with Lease(Dataset(str(codes)).lease_uri, print), pytest.raises(OutputInUse, match="held by a running job"):
        compacted(index)


def test_codes_and_index_on_an_object_store(
    small: SmallCollection, tmp_path: Path, bucket: str, s3_server: Any
) -> None:
    for path in small.codes.rglob("*"):
        if path.is_file():
            s3_server.client().upload_file(str(path), bucket, f"codes/{path.relative_to(small.codes)}")
    build(small, f"s3://{bucket}/index", f"s3://{bucket}/codes", shards=2)
    assert delete(f"s3://{bucket}/index", ids(small), print).deleted == 4
    assert compacted(f"s3://{bucket}/index") == {f"s3://{bucket}/codes": 4}
    assert verify(f"s3://{bucket}/index").problems == []
    assert dataset_info(f"s3://{bucket}/codes").statuses == {"ok": FACES - 4, "deleted": 4}


def test_killed_at_any_write_the_answers_are_right_and_running_again_finishes(
    small: SmallCollection, codes: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = found(small, index)
    for name in ("codes", "index"):
        shutil.copytree(tmp_path / name, tmp_path / "start" / name)
    compacted(index)
    expected, manifest = rows_of(codes), (codes / "manifest.json").read_bytes()
    for kill_at in range(400):
        for name in ("codes", "index"):
            shutil.rmtree(tmp_path / name)
            shutil.copytree(tmp_path / "start" / name, tmp_path / name)
        with monkeypatch.context() as patched:
            killed = kill(patched, CHANGES, kill_at, lambda: compacted(index))
        for lease in (*(index / "_index").glob("[!p]*.json"), codes / "_raypipe" / "lease.json"):
            lease.unlink(missing_ok=True)  # of a process that is dead, as this one is not
        assert found(small, index) == before
        assert verify(str(index), queries=0).problems == []
        compacted(index)
        assert found(small, index) == before
        assert verify(str(index), queries=0).problems == []
        assert rows_of(codes) == expected
        assert (codes / "manifest.json").read_bytes() == manifest
        assert index_info(str(index)).sources[0].state == "unchanged"
        assert dataset_info(str(codes)).complete
        if not killed:
            break
    assert kill_at > 20


def test_a_deleted_face_may_be_encoded_and_appended_again(
    small: SmallCollection, codes: Path, index: Path, tmp_path: Path
) -> None:
    compacted(index)
    config = config_for(
        small.codes.parent / "faces.parquet", codes, small.model, commit_rows=8, methods=("sparse_directions",)
    )
    again = tmp_path / "again"
    encode_locally(replace(config, out=str(again)))
    with pytest.raises(WrongUsage, match="of the ids are in the index already"):
        append(small, index, again)
