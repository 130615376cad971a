"""Parquet with images or addresses as a source."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe import faces
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.config import SourceConfig
from raypipe.pipeline.encode.listing import RESERVED, STAGE_COLUMNS, open_listing
from raypipe.pipeline.encode.read_file import Listed
from raypipe.pipeline.encode.sources import open_source
from raypipe.pipeline.encode.sources.parquet import read_images
from tests.pictures import fill_folder, picture_bytes
from tests.pipeline.encode.source_files import fetch_all


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


def test_images_that_a_struct_only_names_are_read_from_the_files_folder(tmp_path: Path) -> None:
    """As Hugging Face datasets write images that are not embedded; ``path`` of an embedded one is but its old name."""
    fill_folder(tmp_path / "pictures", 2)
    images = [
        {"bytes": picture_bytes(7), "path": "nowhere.jpg"},
        {"bytes": None, "path": "pictures/00000.jpg"},
        {"bytes": None, "path": str(tmp_path / "pictures" / "00001.jpg")},
        {"bytes": None, "path": "pictures/none.jpg"},
        {"bytes": None, "path": None},
        None,
    ]
    pq.write_table(pa.table({"image": images}), tmp_path / "x.parquet")
    fetched = fetch_all(open_source(str(tmp_path), SourceConfig()), tmp_path)
    assert [f.content for f in fetched] == [picture_bytes(i) for i in (7, 0, 1)] + [None] * 3
    assert [f.status for f in fetched[3:]] == ["fetch_404", "decode_empty", "decode_empty"]
    assert "none.jpg" in fetched[3].error


def test_rows_far_apart_in_one_row_group(tmp_path: Path) -> None:
    contents = [picture_bytes(i) for i in range(200)]
    pq.write_table(pa.table({"image": contents}), tmp_path / "x.parquet", row_group_size=150)
    rows = [0, 1, 63, 64, 130, 149, 150, 199]
    assert read_images(str(tmp_path / "x.parquet"), rows, "image", Listed()) == [contents[row] for row in rows]


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
