from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import s3fs

from raypipe import storage
from raypipe.pipeline.encode.config import EncodeConfig, SourceConfig
from raypipe.pipeline.encode.job import Job
from raypipe.pipeline.encode.local import RunLocally
from raypipe.pipeline.encode.sources import open_source
from raypipe.pipeline.encode.sources.folder import walk_files
from raypipe.pipeline.encode.stages import ChunkReport
from tests.pictures import picture_bytes
from tests.pipeline.encode.source_files import fetch_all, write_tar
from tests.pipeline.encode.test_job import encode_locally, encode_with
from tests.s3_server import S3Server


def test_from_bucket_to_bucket_and_finished_images_are_not_fetched_again(
    bucket: str, s3_server: S3Server, model: Path
) -> None:
    fill_bucket(s3_server, bucket, 6)
    config = EncodeConfig(source=f"s3://{bucket}/in", out=f"s3://{bucket}/out", model=str(model), commit_rows=2)
    with pytest.raises(ConnectionAbortedError):
        encode_with(config, _two_chunks_and_no_more)
    s3_server.gets.clear()
    summary = encode_locally(config)
    assert summary.statuses == {"ok": 6}
    fetched = {path: count for path, count in s3_server.gets.items() if path.startswith(f"/{bucket}/in/")}
    assert fetched == {f"/{bucket}/in/{i}.jpg": 1 for i in (4, 5)}
    parts = s3fs.S3FileSystem().glob(f"{bucket}/out/part-*.parquet")
    ids = [i for part in parts for i in pq.read_table(f"s3://{part}").column("image_id").to_pylist()]
    assert ids == [f"{i}.jpg" for i in range(6)]
    assert storage.exists(f"s3://{bucket}/out/_SUCCESS")
    assert not storage.exists(f"s3://{bucket}/out/_raypipe/lease.json")


def test_tars_in_a_bucket_are_read_by_ranges(bucket: str, s3_server: S3Server, model: Path, tmp_path: Path) -> None:
    pictures = {f"{i}.jpg": picture_bytes(i) for i in range(6)}
    write_tar(tmp_path / "a.tar", pictures)
    s3_server.client().upload_file(str(tmp_path / "a.tar"), bucket, "in/a.tar")
    summary = encode_locally(
        EncodeConfig(source=f"s3://{bucket}/in", out=str(tmp_path / "out"), model=str(model), commit_rows=3)
    )
    assert summary.statuses == {"ok": 6}
    assert summary.run["fetched_bytes"] == sum(map(len, pictures.values()))


def test_an_empty_member_of_a_tar_in_a_bucket_is_a_row(bucket: str, s3_server: S3Server, tmp_path: Path) -> None:
    """Also where no neighbour is read along with it."""
    write_tar(tmp_path / "a.tar", {"0.jpg": b""})
    s3_server.client().upload_file(str(tmp_path / "a.tar"), bucket, "in/a.tar")
    fetched = fetch_all(open_source(f"s3://{bucket}/in", SourceConfig()), tmp_path)
    assert [one.content for one in fetched] == [b""]


def test_a_denied_bucket_and_a_missing_key_are_statuses(
    bucket: str, s3_server: S3Server, model: Path, tmp_path: Path
) -> None:
    import pyarrow as pa

    fill_bucket(s3_server, bucket, 1)
    table = pa.table({"uri": [f"s3://{bucket}/in/0.jpg", f"s3://{bucket}/none.jpg", "s3://no-such-bucket/x.jpg"]})
    pq.write_table(table, tmp_path / "x.parquet")
    encode_locally(EncodeConfig(source=str(tmp_path), out=str(tmp_path / "out"), model=str(model)))
    rows = pq.read_table(tmp_path / "out" / "part-000000.parquet").column("status").to_pylist()
    assert rows == ["ok", "fetch_404", "fetch_404"]


def test_a_listing_of_many_pages_is_complete(bucket: str, s3_server: S3Server) -> None:
    client = s3_server.client()
    for i in range(1005):
        client.put_object(Bucket=bucket, Key=f"in/{i:05d}.jpg", Body=b"x")
    found = [file.relative for file in walk_files(f"s3://{bucket}/in")]
    assert found == [f"{i:05d}.jpg" for i in range(1005)]


def test_of_two_creators_one_wins(bucket: str, s3_server: S3Server) -> None:
    uri = f"s3://{bucket}/lease.json"
    assert [storage.create_exclusively(uri, content) for content in (b"first", b"second")] == [True, False]
    assert storage.read_bytes(uri) == b"first"


def fill_bucket(server: S3Server, bucket: str, count: int) -> None:
    for i in range(count):
        server.client().put_object(Bucket=bucket, Key=f"in/{i}.jpg", Body=picture_bytes(i))


def _two_chunks_and_no_more(job: Job, check: Callable[[], None]) -> Generator[ChunkReport, None, None]:
    yield from RunLocally("cpu").run(replace(job, chunks=job.chunks[:2]), check)
    raise ConnectionAbortedError
