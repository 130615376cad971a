"""Tar shards as a source."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pyarrow as pa
import pytest

from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.config import SourceConfig
from raypipe.pipeline.encode.sources import open_source
from tests.pictures import fill_folder, picture_bytes
from tests.pipeline.encode.source_files import add_member, fetch_all, write_tar


def test_images_beside_shards_are_not_left_out_in_silence(tmp_path: Path) -> None:
    fill_folder(tmp_path, 1)
    write_tar(tmp_path / "a.tar", {"x.jpg": picture_bytes(1)})
    with pytest.raises(WrongUsage, match=r"images and tar shards.*a glob"):
        open_source(str(tmp_path), SourceConfig())
    assert open_source(f"{tmp_path}/*.tar", SourceConfig()).kind == "webdataset"


def test_tar_members_are_fetched_by_ranges_and_carry_their_labels(tmp_path: Path) -> None:
    pictures = {f"s/{i:03d}": picture_bytes(i) for i in range(5)}
    write_tar(tmp_path / "a.tar", {f"{k}.jpg": v for k, v in pictures.items()}, labels={"age": 3, "name": "x"})
    source = open_source(str(tmp_path), SourceConfig())
    assert {field.name: field.type for field in source.labels} == {"age": pa.float64(), "name": pa.string()}
    entries = list(source.entries())
    assert [entry.image_id for entry in entries] == [f"a.tar/{key}.jpg" for key in pictures]
    assert entries[0].labels == {"age": 3.0, "name": "x"}
    assert [fetched.content for fetched in fetch_all(source, tmp_path)] == list(pictures.values())


def test_a_truncated_tar_keeps_its_good_members(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write_tar(path, {f"{i}.jpg": picture_bytes(i) for i in range(4)})
    with tarfile.open(path) as archive:
        third = archive.getmembers()[2]
    whole = path.read_bytes()
    path.write_bytes(whole[: third.offset_data + third.size // 2])
    statuses = [fetched.status for fetched in fetch_all(open_source(str(tmp_path), SourceConfig()), tmp_path)]
    assert statuses == ["ok", "ok", "fetch_truncated"]
    path.write_bytes(whole[: third.offset] + b"\xff" * 512 + whole[third.offset + 512 :])
    entries = list(open_source(str(tmp_path), SourceConfig()).entries())
    assert [entry.problem for entry in entries] == ["", "", "fetch_truncated"]
    assert f"damaged at byte {third.offset}" in entries[2].problem_detail


def test_a_member_that_comes_twice_is_marked(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for seed in (1, 2):
            add_member(archive, "x.jpg", picture_bytes(seed))
    entries = list(open_source(str(tmp_path), SourceConfig()).entries())
    assert [entry.problem for entry in entries] == ["", "duplicate_id"]


def test_compressed_archives_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"x")
    with pytest.raises(WrongUsage, match="compressed archives"):
        open_source(str(tmp_path), SourceConfig())


def test_labels_of_a_shard_may_have_our_names(tmp_path: Path) -> None:
    """As img2dataset writes them."""
    labels = {
        "url": "u",
        "key": "0",
        "status": "success",
        "error_message": None,
        "width": 48,
        "sha256": "s",
        "bytes": 1,
    }
    write_tar(tmp_path / "a.tar", {"0.jpg": picture_bytes(0)}, labels=labels)
    source = open_source(str(tmp_path), SourceConfig())
    (entry,) = source.entries()
    renamed = {"source_status": "success", "source_width": 48.0, "source_sha256": "s", "source_bytes": 1.0}
    assert entry.labels == {"url": "u", "key": "0", **renamed}


@pytest.mark.parametrize("side", [b'{"a": ' + b"9" * 400 + b"}", b"[" * 100_000, b"\xff\xfe", b'{"b": "\\ud800"}'])
def test_a_strange_json_beside_an_image_stops_nothing(tmp_path: Path, side: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add_member(archive, "0.jpg", picture_bytes(0))
        add_member(archive, "0.json", side)
    assert [fetched.status for fetched in fetch_all(open_source(str(tmp_path), SourceConfig()), tmp_path)] == ["ok"]
