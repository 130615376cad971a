from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from raypipe import faces, storage
from raypipe.errors import ModelMismatch, OutputInUse, RaypipeError, WrongUsage
from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.encode.dataset import Dataset
from raypipe.pipeline.encode.face_decoder import FaceConfig
from raypipe.pipeline.encode.job import Job, encode
from raypipe.pipeline.encode.lease import Lease
from raypipe.pipeline.encode.local import RunLocally
from raypipe.pipeline.encode.stages import ChunkReport
from raypipe.pipeline.encode.summary import Summary
from raypipe.pipeline.interrupts import never
from tests.models import tiny_model
from tests.pictures import fill_folder, picture, picture_bytes


def test_every_input_has_one_row_whatever_is_wrong_with_it(tmp_path: Path, model: Path) -> None:
    folder = fill_folder(tmp_path / "in", 5)
    whole = picture_bytes(1)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.png").write_text("not an image")
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    picture(2, (1, 1)).save(folder / "dot.png")
    picture(3, (200, 200)).save(folder / "large.png")
    (folder / "gone.jpg").symlink_to(folder / "nowhere")
    (folder / "notes.txt").write_text("no image by its name")
    config = config_for(folder, tmp_path / "out", model, face=FaceConfig(max_pixels=150 * 150))
    summary = encode_locally(config)
    statuses = {row["image_id"]: row["status"] for row in rows_of(tmp_path / "out")}
    assert statuses == {f"{i:05d}.jpg": "ok" for i in range(5)} | {
        "empty.jpg": "decode_empty",
        "text.png": "decode_not_an_image",
        "cut.jpg": "decode_truncated",
        "dot.png": "too_small",
        "large.png": "bomb",
        "gone.jpg": "fetch_404",
    }
    assert all((row["w_plus"] is None) == (row["status"] != "ok") for row in rows_of(tmp_path / "out"))
    assert all((row["error"] is None) == (row["status"] == "ok") for row in rows_of(tmp_path / "out"))
    assert summary.rows == 11
    assert summary.rejected_share == pytest.approx(6 / 11)


def test_codes_are_those_of_the_encoder(tmp_path: Path, model: Path) -> None:
    import torch

    from raypipe.backbones.psp import load_encoder
    from raypipe.pipeline.encode.face_decoder import FaceDecoder
    from raypipe.weights import open_bundle

    folder = fill_folder(tmp_path / "in", 3)
    encode_locally(config_for(folder, tmp_path / "out", model))
    decode = FaceDecoder(FaceConfig(), 32)
    pixels = np.stack([decode((folder / f"{i:05d}.jpg").read_bytes(), None).pixels for i in range(3)])
    encoder = load_encoder(open_bundle(str(model)).read("encoder"), "cpu")
    with torch.inference_mode():
        expected = encoder(faces.to_signed(torch.from_numpy(pixels))).numpy().reshape(3, -1)
    stored = np.array([row["w_plus"] for row in rows_of(tmp_path / "out")])
    np.testing.assert_allclose(stored, expected, rtol=2e-3, atol=1e-4)


def test_the_dataset_is_read_by_pyarrow_pandas_and_duckdb(tmp_path: Path, model: Path) -> None:
    encode_locally(config_for(fill_folder(tmp_path / "in", 5), tmp_path / "out", model))
    files = sorted((tmp_path / "out").glob("part-*.parquet"))
    table = pq.read_table(files)
    assert table.num_rows == 5
    assert faces.code_shape(table.schema.field("w_plus")) == (8, 16)
    frame = pd.read_parquet(tmp_path / "out", ignore_prefixes=["_", ".", "manifest", "run"])
    assert list(frame["image_id"]) == table.column("image_id").to_pylist()
    counted = duckdb.sql(f"select count(*), sum(len(w_plus)) from '{tmp_path}/out/part-*.parquet'").fetchall()
    assert counted == [(5, 5 * 8 * 16)]
    receipt = json.loads(pq.read_schema(files[0]).metadata[b"raypipe"])
    assert set(receipt["made_from"]["weights"]) == {"encoder"}


def test_manifest_counts_and_hashes_what_is_there(tmp_path: Path, model: Path) -> None:
    encode_locally(config_for(fill_folder(tmp_path / "in", 5), tmp_path / "out", model))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["rows"] == 5
    assert manifest["statuses"] == {"ok": 5}
    assert [entry["rows"] for entry in manifest["files"]] == [2, 2, 1]
    for entry in manifest["files"]:
        assert storage.sha256((tmp_path / "out" / entry["file"]).read_bytes()) == entry["sha256"]
    assert (tmp_path / "out" / "_SUCCESS").exists()


@pytest.mark.parametrize("chunks_before_the_end", [0, 1, 2])
def test_a_job_that_was_cut_off_ends_like_one_that_was_not(
    tmp_path: Path, model: Path, chunks_before_the_end: int
) -> None:
    folder = fill_folder(tmp_path / "in", 5)
    encode_locally(config_for(folder, tmp_path / "whole", model))
    config = config_for(folder, tmp_path / "cut", model)
    with pytest.raises(_CutOff):
        encode_with(config, lambda job, _: _cut_off_after(job, chunks_before_the_end))
    assert not (tmp_path / "cut" / "_SUCCESS").exists()
    done: list[int] = []
    encode_with(config, lambda job, _: _noting(job, done))
    assert len(done) == 3 - chunks_before_the_end
    assert part_bytes(tmp_path / "cut") == part_bytes(tmp_path / "whole")


def test_a_finished_job_does_nothing(tmp_path: Path, model: Path) -> None:
    config = config_for(fill_folder(tmp_path / "in", 3), tmp_path / "out", model)
    encode_locally(config)
    before = part_bytes(tmp_path / "out")
    summary = encode_locally(config)
    assert summary.run["images"] == 0
    assert summary.rows == 3
    assert part_bytes(tmp_path / "out") == before


def test_the_record_of_a_part_is_made_again_where_a_kill_left_it_out(tmp_path: Path, model: Path) -> None:
    config = config_for(fill_folder(tmp_path / "in", 5), tmp_path / "out", model)
    encode_locally(config)
    manifest = (tmp_path / "out" / "manifest.json").read_text()
    for record in (tmp_path / "out" / "_raypipe" / "done").iterdir():
        record.unlink()
    (tmp_path / "out" / "_SUCCESS").unlink()
    encode_locally(config)
    assert (tmp_path / "out" / "manifest.json").read_text() == manifest


def test_what_a_kill_left_half_written_is_gone_after_the_next_run(tmp_path: Path, model: Path) -> None:
    config = config_for(fill_folder(tmp_path / "in", 3), tmp_path / "out", model)
    encode_locally(config)
    half = "0123abcd.tmp"
    places = ["", "_raypipe/", "_raypipe/done/", "_raypipe/listing/"]
    names = [".part-000000.parquet", ".plan.json", ".part-000001.json", ".listing-00000.parquet"]
    left = [tmp_path / "out" / f"{place}{name}.{half}" for place, name in zip(places, names, strict=True)]
    others = [tmp_path / "out" / ".notes.tmp", tmp_path / "out" / "_raypipe" / f".lease.json.{half}"]
    for path in (*left, *others):
        path.write_bytes(b"half")
    encode_locally(config)
    assert [path for path in left if path.exists()] == []
    assert all(path.exists() for path in others), "not what someone else writes"


def test_another_config_or_model_is_refused_and_named(tmp_path: Path, model: Path) -> None:
    config = config_for(fill_folder(tmp_path / "in", 3), tmp_path / "out", model)
    encode_locally(config)
    with pytest.raises(ModelMismatch, match="limit: 0 -> 2"):
        encode_locally(replace(config, limit=2))
    tiny_model(tmp_path / "other", seed=1)
    with pytest.raises(ModelMismatch, match="model_fingerprint"):
        encode_locally(replace(config, model=str(tmp_path / "other")))
    assert encode_locally(replace(config, limit=2), restart=True).rows == 2


def test_a_worker_that_outlives_its_job_writes_nothing_into_the_next_one(tmp_path: Path, model: Path) -> None:
    config = config_for(fill_folder(tmp_path / "in", 3), tmp_path / "out", model)
    late: list[Callable[[], object]] = []

    def leave_the_last_chunk(job: Job, check: Callable[[], None]) -> Generator[ChunkReport, None, None]:
        late.append(lambda: list(RunLocally("cpu").run(replace(job, chunks=[1]), check)))
        yield from RunLocally("cpu").run(replace(job, chunks=[0]), check)
        raise _CutOff

    with pytest.raises(_CutOff):
        encode_with(config, leave_the_last_chunk)
    tiny_model(tmp_path / "other", seed=1)
    other = replace(config, model=str(tmp_path / "other"))
    encode_locally(other, restart=True)
    before = part_bytes(tmp_path / "out")
    with pytest.raises(OutputInUse, match="another plan"):
        late[0]()
    assert part_bytes(tmp_path / "out") == before


def test_an_output_with_other_files_is_left_alone(tmp_path: Path, model: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    with pytest.raises(WrongUsage, match=r"thesis\.tex"):
        encode_locally(config_for(fill_folder(tmp_path / "in", 1), tmp_path / "out", model))
    assert (tmp_path / "out" / "thesis.tex").read_text() == "precious"


def test_a_second_job_on_the_same_output_is_refused(tmp_path: Path, model: Path) -> None:
    config = config_for(fill_folder(tmp_path / "in", 1), tmp_path / "out", model)
    with Lease(Dataset(config.out).lease_uri, print), pytest.raises(OutputInUse, match="held by a running job"):
        encode_locally(config)


def test_retry_does_the_named_rows_again_and_no_others(tmp_path: Path, model: Path) -> None:
    folder = fill_folder(tmp_path / "in", 5)
    later = (folder / "00003.jpg").read_bytes()
    (folder / "00003.jpg").unlink()
    (folder / "00003.jpg").symlink_to(tmp_path / "later.jpg")
    (folder / "broken.jpg").write_bytes(b"")
    config = config_for(folder, tmp_path / "out", model)
    before = {row["image_id"]: row for row in (encode_locally(config), rows_of(tmp_path / "out"))[1]}
    assert before["00003.jpg"]["status"] == "fetch_404"
    (tmp_path / "later.jpg").write_bytes(later)
    summary = encode_locally(config, retry=faces.statuses_matching(["fetch_*"]))
    after = {row["image_id"]: row for row in rows_of(tmp_path / "out")}
    assert after.pop("00003.jpg")["status"] == "ok"
    before.pop("00003.jpg")
    assert after == before
    assert summary.run["images"] == 1
    assert summary.run["fetched_bytes"] == len(later)
    assert summary.statuses == {"ok": 5, "decode_empty": 1}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["statuses"] == summary.statuses


def test_a_code_that_is_not_finite_is_a_status(tmp_path: Path) -> None:
    tiny_model(tmp_path / "huge", latent_avg=1e6)
    encode_locally(config_for(fill_folder(tmp_path / "in", 2), tmp_path / "out", tmp_path / "huge"))
    rows = rows_of(tmp_path / "out")
    assert [row["status"] for row in rows] == ["encoder_nan"] * 2
    assert "128 of 128 values" in rows[0]["error"]


def test_no_images_is_wrong_usage_that_says_what_was_passed_over(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("x")
    with pytest.raises(WrongUsage, match=r"\.csv"):
        encode_locally(config_for(tmp_path / "in", tmp_path / "out", model))
    fill_folder(tmp_path / "right", 1)
    assert encode_locally(config_for(tmp_path / "right", tmp_path / "out", model)).statuses == {"ok": 1}


def test_a_runner_that_leaves_chunks_out_is_not_called_success(tmp_path: Path, model: Path) -> None:
    config = config_for(fill_folder(tmp_path / "in", 5), tmp_path / "out", model)
    with pytest.raises(RaypipeError, match="0 of 5 rows"):
        encode_with(config, _nothing)
    assert not (tmp_path / "out" / "_SUCCESS").exists()


Run = Callable[[Job, Callable[[], None]], Generator[ChunkReport, None, None]]


class _CutOff(Exception):
    pass


def config_for(folder: Path, out: Path, model: Path, **values: object) -> EncodeConfig:
    return replace(EncodeConfig(source=str(folder), out=str(out), model=str(model), commit_rows=2), **values)  # type: ignore[arg-type]


def encode_locally(config: EncodeConfig, *, restart: bool = False, retry: frozenset[str] = frozenset()) -> Summary:
    return encode_with(config, RunLocally("cpu").run, restart=restart, retry=retry)


def encode_with(
    config: EncodeConfig, run: Run, *, restart: bool = False, retry: frozenset[str] = frozenset()
) -> Summary:
    return encode(config, _Runner(run), restart=restart, retry=retry, say=print, watch=lambda _: None)


@dataclass(frozen=True)
class _Runner:
    run: Run
    device: str = "cpu"
    workers: str = "a test"
    model_workers: int = 1

    def facts(self) -> dict[str, object]:
        return {}


def _nothing(job: Job, check: Callable[[], None]) -> Generator[ChunkReport, None, None]:
    yield from ()


def _cut_off_after(job: Job, chunks: int) -> Generator[ChunkReport, None, None]:
    some = replace(job, chunks=job.chunks[:chunks])
    yield from RunLocally("cpu").run(some, never)
    raise _CutOff


def _noting(job: Job, done: list[int]) -> Generator[ChunkReport, None, None]:
    done.extend(job.chunks)
    yield from RunLocally("cpu").run(job, never)


def rows_of(out: Path) -> list[dict[str, object]]:
    return [row for path in sorted(out.glob("part-*.parquet")) for row in pq.read_table(path).to_pylist()]


def part_bytes(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("part-*.parquet"))}
