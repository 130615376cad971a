"""A file that is another one when it is fetched than it was when it was listed is seen, at no request of its own."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.pipeline.encode.config import SourceConfig
from raypipe.pipeline.encode.listing import as_it_is_now
from raypipe.pipeline.encode.sources import open_source
from tests.pictures import fill_folder, picture_bytes
from tests.pipeline.encode.source_files import fetch_listed, list_all, write_tar
from tests.s3_server import S3Server

NOW = picture_bytes(9, size=(64, 64))


def test_a_file_says_both_sizes_and_is_taken_as_it_is_by_a_retry(tmp_path: Path) -> None:
    fill_folder(tmp_path / "in", 3)
    entries = list_all(open_source(str(tmp_path / "in"), SourceConfig()), tmp_path)
    (tmp_path / "in" / "00001.jpg").write_bytes(NOW)
    same, changed, _ = fetch_listed(entries)
    assert same.content == picture_bytes(0)
    assert (changed.status, changed.content) == ("fetch_changed", None)
    assert f"listed with {len(picture_bytes(1)):,} bytes, now {len(NOW):,}; --retry fetch_changed" in changed.error
    assert [fetched.content for fetched in fetch_listed(as_it_is_now(entries))][1] == NOW


def test_an_archive_s_offsets_mean_nothing_in_another_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write_tar(path, {f"{i}.jpg": picture_bytes(i) for i in range(3)})
    entries = list_all(open_source(str(path), SourceConfig()), tmp_path)
    write_tar(path, {f"{i}.jpg": picture_bytes(i, size=(64, 64)) for i in range(30)})
    for rows in (entries, as_it_is_now(entries)):
        fetched = fetch_listed(rows)
        assert [one.status for one in fetched] == ["fetch_changed"] * 3
        assert "listing it anew, with --restart" in fetched[0].error


def test_rows_of_another_table_are_not_taken_for_those_that_were_listed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [picture_bytes(0)] * 2}), tmp_path / "x.parquet")
    source = open_source(str(tmp_path), SourceConfig())
    entries = list_all(source, tmp_path)
    pq.write_table(pa.table({"image": [picture_bytes(0), NOW]}), tmp_path / "x.parquet")
    assert [one.status for one in fetch_listed(entries, source.image_column)] == ["fetch_changed"] * 2


def test_an_object_of_the_same_size_differs_by_its_etag(bucket: str, s3_server: S3Server, tmp_path: Path) -> None:
    client = s3_server.client()
    for name in ("a", "b"):
        client.put_object(Bucket=bucket, Key=f"in/{name}.jpg", Body=b"12345")
    entries = list_all(open_source(f"s3://{bucket}/in", SourceConfig()), tmp_path)
    client.put_object(Bucket=bucket, Key="in/b.jpg", Body=b"54321")
    s3_server.gets.clear()
    s3_server.heads.clear()
    same, changed = fetch_listed(entries)
    assert same.content == b"12345"
    assert changed.status == "fetch_changed"
    before, after = entries.column("etag")[1].as_py(), client.head_object(Bucket=bucket, Key="in/b.jpg")["ETag"]
    assert f"listed with ETag {before}, now {after.strip(chr(34))}" in changed.error
    assert s3_server.gets == {f"/{bucket}/in/{name}.jpg": 1 for name in ("a", "b")}
    assert not [path for path in s3_server.heads if path.endswith("a.jpg")], "one request an image"
    assert fetch_listed(as_it_is_now(entries))[1].content == b"54321"


def test_an_archive_in_a_bucket_that_was_replaced_is_seen(bucket: str, s3_server: S3Server, tmp_path: Path) -> None:
    client = s3_server.client()

    def put(*seeds: int) -> None:
        write_tar(tmp_path / "a.tar", {f"{i}.jpg": picture_bytes(seed, "BMP") for i, seed in enumerate(seeds)})
        client.upload_file(str(tmp_path / "a.tar"), bucket, "in/a.tar")

    put(0, 1, 2)
    entries = list_all(open_source(f"s3://{bucket}/in", SourceConfig()), tmp_path)
    assert [one.status for one in fetch_listed(entries)] == ["ok"] * 3
    put(3, 4, 5)
    assert [one.status for one in fetch_listed(entries)] == ["fetch_changed"] * 3
    put(0)
    last = entries.slice(2)  # beyond the end of what is there: a range that S3 refuses
    assert [one.status for one in fetch_listed(last)] == ["fetch_changed"]


def test_a_table_in_a_bucket_that_was_replaced_is_seen(bucket: str, s3_server: S3Server, tmp_path: Path) -> None:
    def put(seed: int) -> None:
        pq.write_table(pa.table({"image": [picture_bytes(seed, "BMP")]}), tmp_path / "x.parquet", compression="none")
        s3_server.client().upload_file(str(tmp_path / "x.parquet"), bucket, "in/x.parquet")

    put(0)
    source = open_source(f"s3://{bucket}/in", SourceConfig())
    entries = list_all(source, tmp_path)
    assert [one.status for one in fetch_listed(entries, source.image_column)] == ["ok"]
    put(1)
    (changed,) = fetch_listed(entries, source.image_column)
    assert changed.status == "fetch_changed"
    assert "listed with ETag" in changed.error
