"""Folders and globs as a source."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.config import SourceConfig
from raypipe.pipeline.encode.listing import open_listing
from raypipe.pipeline.encode.sources import open_source
from tests.pictures import fill_folder, picture_bytes
from tests.pipeline.encode.source_files import fetch_all


def test_a_folder_gives_its_images_by_path_and_counts_the_rest(tmp_path: Path) -> None:
    fill_folder(tmp_path / "b", 2)
    fill_folder(tmp_path / "a", 1)
    (tmp_path / "b" / "readme.md").write_text("x")
    (tmp_path / ".hidden.jpg").write_bytes(b"x")
    source = open_source(str(tmp_path), SourceConfig())
    assert [entry.image_id for entry in source.entries()] == ["a/00000.jpg", "b/00000.jpg", "b/00001.jpg"]
    assert source.skipped == {".md": 1}


def test_any_name_can_be_listed_and_read(tmp_path: Path) -> None:
    names = sorted(
        ["é 漢.jpg", "x#row=3.jpg", "new\nline.jpg", "q?.jpg", "st*r.jpg", "br[1].jpg", "a::b.jpg", "%20.jpg"]
    )
    folder = tmp_path / "in[1]"
    folder.mkdir()
    for i, name in enumerate(names):
        (folder / name).write_bytes(picture_bytes(i))
    source = open_source(str(folder), SourceConfig())
    assert [entry.image_id for entry in source.entries()] == names
    assert [fetched.content for fetched in fetch_all(source, tmp_path)] == [picture_bytes(i) for i in range(len(names))]


def test_a_name_that_is_not_utf8_is_a_row(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(picture_bytes(1))
    source = open_source(str(tmp_path), SourceConfig())
    (fetched,) = fetch_all(source, tmp_path)
    assert (fetched.status, fetched.content) == ("fetch_error", None)
    listing = open_listing(str(tmp_path / "_listing"))
    assert listing is not None
    assert listing.read_chunk(0).column("image_id").to_pylist() == ["\\udcff.jpg"]


def test_a_link_back_is_not_followed_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    fill_folder(tmp_path / "a", 1)
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "there").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe.jpg")
    source = open_source(str(tmp_path), SourceConfig())
    assert [entry.image_id for entry in source.entries()] == ["a/00000.jpg", "pipe.jpg", "there/00000.jpg"]
    assert [fetched.status for fetched in fetch_all(source, tmp_path)] == ["ok", "fetch_error", "ok"]


def test_a_folder_that_cannot_be_listed_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_folder(tmp_path / "open", 1)
    (tmp_path / "shut").mkdir()
    scandir = os.scandir

    def refusing(path: str) -> object:
        if path.endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # root may list everything
    entries = list(open_source(str(tmp_path), SourceConfig()).entries())
    assert [(entry.image_id, entry.problem) for entry in entries] == [("open/00000.jpg", ""), ("shut/", "fetch_denied")]


def test_an_encoded_dataset_among_the_images_is_passed_over(tmp_path: Path) -> None:
    fill_folder(tmp_path / "b", 1)
    (tmp_path / "a" / "_raypipe").mkdir(parents=True)
    (tmp_path / "a" / "_raypipe" / "plan.json").write_text("{}")
    (tmp_path / "b" / "_raypipe").mkdir()
    pq.write_table(pa.table({"uri": ["x"]}), tmp_path / "a" / "part-000000.parquet")
    source = open_source(str(tmp_path), SourceConfig())
    assert source.kind == "folder"
    assert [entry.image_id for entry in source.entries()] == ["b/00000.jpg"]


def test_the_id_of_an_image_does_not_depend_on_what_else_a_glob_matches(tmp_path: Path) -> None:
    fill_folder(tmp_path / "a" / "x", 1)
    assert [e.image_id for e in open_source(f"{tmp_path}/*/x/*", SourceConfig()).entries()] == ["a/x/00000.jpg"]
    fill_folder(tmp_path / "b" / "x", 1)
    ids = [entry.image_id for entry in open_source(f"{tmp_path}/*/x/*", SourceConfig()).entries()]
    assert ids == ["a/x/00000.jpg", "b/x/00000.jpg"]


def test_a_glob_takes_what_it_matches(tmp_path: Path) -> None:
    fill_folder(tmp_path, 3)
    (tmp_path / "00009.raw").write_bytes(b"x")
    source = open_source(f"{tmp_path}/*9.raw", SourceConfig())
    assert [entry.image_id for entry in source.entries()] == ["00009.raw"]


def test_nothing_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="nothing at"):
        open_source(str(tmp_path / "none"), SourceConfig())
