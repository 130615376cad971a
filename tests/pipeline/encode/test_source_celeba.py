"""CelebA's own layout as a source."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.config import SourceConfig
from raypipe.pipeline.encode.sources import open_source
from tests.pictures import fill_folder, picture_bytes
from tests.pipeline.encode.source_files import fetch_all
from tests.shared_files import data


def test_celeba_joins_pictures_with_tables_and_keeps_what_is_only_in_one(tmp_path: Path) -> None:
    fill_folder(tmp_path / "img_align_celeba", 2)
    (tmp_path / "list_attr_celeba.txt").write_text("2\nSmiling Male \n00001.jpg  1 -1\n00007.jpg -1  1\n")
    (tmp_path / "identity_CelebA.txt").write_text("00001.jpg 12\n00007.jpg 13\n")
    (tmp_path / "list_landmarks_align_celeba.txt").write_text(
        "1\nlefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y\n"
        "00001.jpg 10 11 20 21 15 25 11 30 19 31\n"
    )
    source = open_source(str(tmp_path), SourceConfig())
    entries = {entry.image_id: entry for entry in source.entries()}
    assert list(entries) == ["00000.jpg", "00001.jpg", "00007.jpg"]
    assert entries["00001.jpg"].labels == {"Smiling": 1, "Male": 0, "identity": 12}
    assert entries["00001.jpg"].landmarks == [10, 11, 20, 21, 15, 25, 11, 30, 19, 31]
    assert entries["00000.jpg"].labels == {"identity": None}
    assert source.align == "center"  # 48x40 is not the shape of the aligned pictures
    assert [fetched.status for fetched in fetch_all(source, tmp_path)] == ["ok", "ok", "fetch_404"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("2\nSmiling\n00000.jpg 1\n", "says 2 rows, there are 1"),
        ("2\nSmiling\n0.jpg 1\n0.jpg 1\n", r"line 4: 0\.jpg stands in an earlier line too"),
        ("1\nSmiling\n0.jpg 1 1\n", "line 3: expected 1 64-bit numbers, got 1 1"),
        ("1\nSmil\udce9\n0.jpg 1\n", "is not UTF-8 text"),
        ("", "the first line must be the number of rows"),
    ],
)
def test_a_celeba_table_with_a_mistake_is_refused_and_the_line_named(tmp_path: Path, table: str, message: str) -> None:
    fill_folder(tmp_path / "img_align_celeba", 1)
    (tmp_path / "list_attr_celeba.txt").write_bytes(table.encode(errors="surrogateescape"))
    with pytest.raises(WrongUsage, match=message):
        open_source(str(tmp_path), SourceConfig())


def test_celeba_tables_may_come_from_windows_and_with_our_own_names(tmp_path: Path) -> None:
    folder = tmp_path / "img_align_celeba"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(picture_bytes(1, size=(178, 218)))
    (folder / "notes.txt").write_text("no picture")
    (tmp_path / "list_attr_celeba.txt").write_bytes(b"\xef\xbb\xbf1\r\n status  identity \r\n 1.jpg  1 -1 \r\n\r\n")
    (tmp_path / "identity_CelebA.txt").write_text("1.jpg 99999999999\n")
    source = open_source(str(tmp_path), SourceConfig())
    (entry,) = source.entries()
    assert entry.labels == {"source_status": 1, "source_identity": 0, "identity": 99999999999}
    assert source.align == "celeba"
    assert source.skipped == {".txt": 1}


def test_the_real_celeba_layout_is_read_whole() -> None:
    source = open_source(str(data("celeba10k")), SourceConfig())
    entries = list(source.entries())
    assert len(entries) == 8002
    assert [field.name for field in source.labels][:2] == ["identity", "5_o_Clock_Shadow"]
    assert len({entry.labels["identity"] for entry in entries if entry.labels}) == 4346
