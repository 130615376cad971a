from __future__ import annotations

import datetime
import decimal
import io
import json
import os
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe import faces
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.config import FetchConfig, SourceConfig
from raypipe.pipeline.encode.fetch import Fetched, Fetcher
from raypipe.pipeline.encode.listing import RESERVED, STAGE_COLUMNS, Entry, open_listing, write_listing
from raypipe.pipeline.encode.sources import Source, open_source
from raypipe.pipeline.encode.sources.parquet import read_images
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


def test_images_beside_shards_are_not_left_out_in_silence(tmp_path: Path) -> None:
    fill_folder(tmp_path, 1)
    write_tar(tmp_path / "a.tar", {"x.jpg": picture_bytes(1)})
    with pytest.raises(WrongUsage, match=r"images and tar shards.*a glob"):
        open_source(str(tmp_path), SourceConfig())
    assert open_source(f"{tmp_path}/*.tar", SourceConfig()).kind == "webdataset"


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


def test_every_label_keeps_its_values_whatever_it_is_called(tmp_path: Path) -> None:
    names = [*(field.name for field in faces.base_fields()), *STAGE_COLUMNS, "offset", "problem", "source_status"]
    columns = {name: [i] for i, name in enumerate(names) if name not in ("image_id", "uri")}
    pq.write_table(pa.table({"image": [picture_bytes(0)], **columns}), tmp_path / "x.parquet")
    source = open_source(str(tmp_path), SourceConfig())
    (entry,) = source.entries()
    assert entry.labels is not None
    assert [field.name for field in source.labels] == list(entry.labels)
    assert list(entry.labels.values()) == [value for (value,) in columns.values()]
    assert not RESERVED & set(entry.labels)


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


def test_parquet_labels_of_all_plain_types_are_kept(tmp_path: Path) -> None:
    when = datetime.datetime(2020, 1, 2, 3, 4, 5)
    columns = {
        "kind": pa.array(["a"]).dictionary_encode(),
        "when": pa.array([when], pa.timestamp("ns")),
        "day": pa.array([when.date()]),
        "price": pa.array([decimal.Decimal("1.50")]),
        "large": pa.array(["x"], pa.large_string()),
    }
    image = pa.array([picture_bytes(0)]).dictionary_encode()
    pq.write_table(pa.table({"image": image, "tags": [["no", "scalar"]], **columns}), tmp_path / "x.parquet")
    source = open_source(str(tmp_path), SourceConfig())
    fetch_all(source, tmp_path)
    listing = open_listing(str(tmp_path / "_listing"))
    assert listing is not None
    row = listing.read_chunk(0).select(listing.labels).to_pylist()
    assert row == [{"kind": "a", "when": when, "day": when.date(), "price": decimal.Decimal("1.50"), "large": "x"}]


def test_parquet_files_of_other_schemas_are_read_as_far_as_that_means_something(tmp_path: Path) -> None:
    image = [picture_bytes(0)]
    pq.write_table(pa.table({"image": image, "age": [1]}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"age": pa.array([2], pa.int8()), "image": image}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"image": image}), tmp_path / "2.parquet")
    (tmp_path / "3.parquet").write_bytes(b"")
    entries = list(open_source(str(tmp_path), SourceConfig()).entries())
    assert [(entry.labels or {}).get("age") for entry in entries] == [1, 2, None, None]
    assert [entry.problem for entry in entries] == ["", "", "", "fetch_error"]
    pq.write_table(pa.table({"picture": image}), tmp_path / "4.parquet")
    with pytest.raises(WrongUsage, match=r"4\.parquet: no column 'image'"):
        list(open_source(str(tmp_path), SourceConfig()).entries())
    pq.write_table(pa.table({"image": image, "age": ["old"]}), tmp_path / "4.parquet")
    with pytest.raises(WrongUsage, match=r"4\.parquet: column 'age' is string, in other files int64"):
        list(open_source(str(tmp_path), SourceConfig()).entries())


def test_parquet_ids_of_bytes_and_landmarks_in_odd_numbers(tmp_path: Path) -> None:
    table = {
        "id": [b"a", b"\xff", b""],
        "image": [picture_bytes(0)] * 3,
        "landmarks": [[1.0, 2.0], [1.0, 2.0, 3.0], None],
    }
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    entries = list(open_source(str(tmp_path), SourceConfig()).entries())
    assert [entry.image_id for entry in entries[:2]] == ["a", r"\xff"]
    assert [entry.problem for entry in entries] == ["", "", "missing_id"]
    assert [entry.landmarks for entry in entries] == [[1.0, 2.0], None, None]


def test_parquet_that_changed_since_it_was_listed_is_a_status(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [picture_bytes(0)] * 2}), tmp_path / "x.parquet")
    source = open_source(str(tmp_path), SourceConfig())
    entries = list(source.entries())
    pq.write_table(pa.table({"image": [picture_bytes(0)]}), tmp_path / "x.parquet")
    write_listing(str(tmp_path / "_listing"), entries, [], 10, {})
    listing = open_listing(str(tmp_path / "_listing"))
    assert listing is not None
    fetcher = Fetcher(FetchConfig(retries=0), source.image_column)
    assert [fetched.status for fetched in fetcher.fetch(listing.read_chunk(0))] == ["fetch_error"] * 2
    fetcher.close()


def test_rows_far_apart_in_one_row_group(tmp_path: Path) -> None:
    contents = [picture_bytes(i) for i in range(200)]
    pq.write_table(pa.table({"image": contents}), tmp_path / "x.parquet", row_group_size=150)
    rows = [0, 1, 63, 64, 130, 149, 150, 199]
    assert read_images(str(tmp_path / "x.parquet"), rows, "image") == [contents[row] for row in rows]


def test_addresses_that_nothing_can_open_are_statuses(tmp_path: Path) -> None:
    addresses = ["nope://x", "gs://x/y.jpg", "a\0b.jpg", "x" * 5000, "/dev/zero", str(tmp_path), "::::"]
    pq.write_table(pa.table({"uri": addresses}), tmp_path / "x.parquet")
    fetched = fetch_all(open_source(str(tmp_path), SourceConfig()), tmp_path)
    wrong = "fetch_error"
    assert [f.status for f in fetched] == [wrong, wrong, wrong, "fetch_404", wrong, wrong, "fetch_404"]
    pq.write_table(pa.table({"uri": [1]}), tmp_path / "x.parquet")
    with pytest.raises(WrongUsage, match="must hold text, not int64"):
        open_source(str(tmp_path), SourceConfig())


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
