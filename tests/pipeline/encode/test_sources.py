from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.config import FetchConfig, SourceConfig
from raypipe.pipeline.encode.fetch import Fetched, Fetcher
from raypipe.pipeline.encode.listing import Entry, open_listing, write_listing
from raypipe.pipeline.encode.sources import Source, open_source
from tests.pictures import fill_folder, picture_bytes
from tests.shared_files import data


def test_a_folder_gives_its_images_by_path_and_counts_the_rest(tmp_path: Path) -> None:
    fill_folder(tmp_path / "b", 2)
    fill_folder(tmp_path / "a", 1)
    (tmp_path / "b" / "readme.md").write_text("x")
    (tmp_path / ".hidden.jpg").write_bytes(b"x")
    source = open_source(str(tmp_path), SourceConfig())
    assert [entry.image_id for entry in source.entries()] == ["a/00000.jpg", "b/00000.jpg", "b/00001.jpg"]
    assert source.skipped == {".md": 1}


def test_a_glob_takes_what_it_matches(tmp_path: Path) -> None:
    fill_folder(tmp_path, 3)
    (tmp_path / "00009.raw").write_bytes(b"x")
    source = open_source(f"{tmp_path}/*9.raw", SourceConfig())
    assert [entry.image_id for entry in source.entries()] == ["00009.raw"]


def test_nothing_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="nothing at"):
        open_source(str(tmp_path / "none"), SourceConfig())


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
    assert source.align == "celeba"
    assert [fetched.status for fetched in fetch_all(source, tmp_path)] == ["ok", "ok", "fetch_404"]


def test_a_celeba_table_that_does_not_count_is_refused(tmp_path: Path) -> None:
    fill_folder(tmp_path / "img_align_celeba", 1)
    (tmp_path / "list_attr_celeba.txt").write_text("2\nSmiling\n00000.jpg 1\n")
    with pytest.raises(WrongUsage, match="says 2 rows, there are 1"):
        open_source(str(tmp_path), SourceConfig())


def test_the_real_celeba_layout_is_read_whole() -> None:
    source = open_source(str(data("celeba10k")), SourceConfig())
    entries = list(source.entries())
    assert len(entries) == 8002
    assert [field.name for field in source.labels][:2] == ["identity", "5_o_Clock_Shadow"]
    assert len({entry.labels["identity"] for entry in entries if entry.labels}) == 4346


def test_tar_members_are_fetched_by_ranges_and_carry_their_labels(tmp_path: Path) -> None:
    pictures = {f"s/{i:03d}": picture_bytes(i) for i in range(5)}
    write_tar(tmp_path / "a.tar", {f"{k}.jpg": v for k, v in pictures.items()}, labels={"age": 3, "name": "x"})
    source = open_source(str(tmp_path), SourceConfig())
    assert {field.name: field.type for field in source.labels} == {"age": pa.float64(), "name": pa.string()}
    entries = list(source.entries())
    assert [entry.image_id for entry in entries] == [f"a/{key}.jpg" for key in pictures]
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


@pytest.mark.parametrize("as_struct", [False, True])
def test_parquet_with_bytes_keeps_labels_and_marks_bad_ids(tmp_path: Path, as_struct: bool) -> None:
    contents = [picture_bytes(i) for i in range(5)]
    contents[3] = None  # type: ignore[call-overload]
    images = [{"bytes": content, "path": None} for content in contents] if as_struct else contents
    table = pa.table({"id": ["a", "b", "a", "d", None], "image": images, "age": [1, 2, 3, 4, 5], "status": ["s"] * 5})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    source = open_source(str(tmp_path), SourceConfig())
    entries = list(source.entries())
    assert [entry.problem for entry in entries] == ["", "", "duplicate_id", "", "missing_id"]
    assert [entry.labels["age"] for entry in entries if entry.labels] == [1, 2, 3, 4, 5]
    assert [field.name for field in source.labels] == ["age", "source_status"]
    fetched = fetch_all(source, tmp_path)
    assert [f.content for f in fetched] == [contents[0], contents[1], None, None, None]
    assert fetched[3].status == "decode_empty"


def test_parquet_with_addresses_reads_them_from_the_files_folder(tmp_path: Path) -> None:
    folder = fill_folder(tmp_path / "pictures", 2)
    pq.write_table(
        pa.table({"path": ["pictures/00000.jpg", str(folder / "00001.jpg"), "pictures/none.jpg", None]}),
        tmp_path / "x.parquet",
    )
    fetched = fetch_all(open_source(str(tmp_path), SourceConfig()), tmp_path)
    assert [f.status for f in fetched] == ["ok", "ok", "fetch_404", "fetch_404"]
    assert fetched[1].content == picture_bytes(1)


def test_parquet_without_images_says_which_columns_there_are(tmp_path: Path) -> None:
    pq.write_table(pa.table({"age": [1]}), tmp_path / "x.parquet")
    with pytest.raises(WrongUsage, match="among: age"):
        open_source(str(tmp_path), SourceConfig())


def test_a_listing_is_read_back_by_chunks(tmp_path: Path) -> None:
    entries = [Entry(image_id=str(i), uri=f"u{i}", file=f"u{i}", labels={"age": i}) for i in range(7)]
    write_listing(str(tmp_path), entries, [pa.field("age", pa.int64())], 3, {".txt": 2})
    listing = open_listing(str(tmp_path))
    assert listing is not None
    assert (listing.rows, listing.chunks, listing.rows_in(2), listing.skipped) == (7, 3, 1, {".txt": 2})
    ids = [listing.read_chunk(chunk).column("image_id").to_pylist() for chunk in range(3)]
    assert ids == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    assert listing.read_chunk(1).column("age").to_pylist() == [3, 4, 5]


def test_an_unfinished_listing_does_not_count(tmp_path: Path) -> None:
    write_listing(str(tmp_path), [Entry(image_id="0", uri="u", file="u")], [], 3, {})
    (tmp_path / "listing.json").unlink()
    assert open_listing(str(tmp_path)) is None


def fetch_all(source: Source, folder: Path) -> list[Fetched]:
    listing = write_listing(str(folder / "_listing"), source.entries(), source.labels, 1000, source.skipped)
    fetcher = Fetcher(FetchConfig(retries=0), source.image_column)
    fetched = list(fetcher.fetch(listing.read_chunk(0)))
    fetcher.close()
    return fetched


def write_tar(path: Path, files: dict[str, bytes], labels: dict[str, object] | None = None) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            add_member(archive, name, content)
            if labels:
                add_member(archive, name.rsplit(".", 1)[0] + ".json", json.dumps(labels).encode())


def add_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
