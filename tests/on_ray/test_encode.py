"""The encode job on real Ray clusters, with real processes killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from ray.cluster_utils import Cluster

from raypipe.errors import ImpossibleCluster, RaypipeError
from raypipe.on_ray.encode import RunOnRay, layout_for
from raypipe.on_ray.settings import RaySettings
from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.encode.job import Job, encode
from raypipe.pipeline.encode.stages import ChunkReport
from raypipe.pipeline.encode.summary import Summary
from tests.models import tiny_model
from tests.on_ray.faults import wait_until, when
from tests.pictures import fill_folder
from tests.pipeline.encode.test_job import encode_locally, encode_with, part_bytes
from tests.s3_server import S3Server

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

IMAGES, COMMIT_ROWS = 240, 8


@pytest.fixture(scope="module")
def faces_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = fill_folder(tmp_path_factory.mktemp("faces") / "in", IMAGES)
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def expected(faces_folder: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The part files of a run in one process that nothing disturbed."""
    out = tmp_path_factory.mktemp("local") / "out"
    encode_locally(config_for(faces_folder, out, model))
    return part_bytes(out)


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 200 * 2**20})
    cluster.add_node(num_cpus=2, object_store_memory=200 * 2**20)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_a_killed_model_worker_costs_nothing_but_time(
    two_nodes: Cluster, faces_folder: Path, model: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    killed: list[int] = []

    def kill_model_workers() -> None:
        for process in psutil.process_iter(["cmdline"]):
            if "EncodeActor" in " ".join(process.info["cmdline"] or []):
                process.kill()
                killed.append(process.pid)

    with when_parts_exist(tmp_path / "out", 3, kill_model_workers):
        encode_on_ray(config_for(faces_folder, tmp_path / "out", model))
    assert killed
    assert part_bytes(tmp_path / "out") == expected


def test_ctrl_c_ends_the_driver_in_good_order_and_the_same_command_goes_on(
    faces_folder: Path, model: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "raypipe", "encode", str(faces_folder), "--out", str(out), "--model", str(model)]
    command += ["--commit-rows", str(COMMIT_ROWS)]
    driver = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(list(out.glob("part-*.parquet"))) >= 2 or driver.poll() is not None)
    driver.send_signal(signal.SIGINT)
    _, told = driver.communicate()
    assert driver.returncode == 1, told
    assert "told to end: what is being written is committed first; once more ends at once" in told
    assert "stopped; what is committed stays: run the same command again to go on" in told
    assert "Traceback" not in told
    assert json.loads((out / "run.json").read_text())["state"] == "failed"
    assert not (out / "_raypipe" / "lease.json").exists()
    assert not (out / "_SUCCESS").exists()
    assert subprocess.run(command, check=False).returncode == 0
    assert part_bytes(out) == expected


def test_a_missing_gpu_is_refused_before_anything_begins(two_nodes: Cluster, faces_folder: Path, model: Path) -> None:
    with pytest.raises(ImpossibleCluster, match="no node has a GPU"):
        layout_for(config_for(faces_folder, Path("out"), model), RaySettings(), require_gpu=True)


def test_a_failing_stage_is_one_clear_error_and_what_is_committed_stays(
    two_nodes: Cluster, faces_folder: Path, tmp_path: Path
) -> None:
    tiny_model(tmp_path / "model")
    config = config_for(faces_folder, tmp_path / "out", tmp_path / "model")
    settings = RaySettings(no_progress_timeout_s=120)
    runner = RunOnRay(layout_for(config, settings, require_gpu=False), settings)

    def run(job: Job, check: Callable[[], None]) -> Generator[ChunkReport, None, None]:
        (tmp_path / "model" / "encoder.safetensors").unlink()
        return runner.run(job, check)

    with pytest.raises(RaypipeError, match=r"did not finish the job: BadWeights: .*encoder\.safetensors .* is missing"):
        encode_with(config, run)
    assert not (tmp_path / "out" / "_SUCCESS").exists()


def test_a_killed_driver_is_succeeded_by_the_same_command_which_fetches_no_finished_image(
    bucket: str, s3_server: S3Server, faces_folder: Path, model: Path, tmp_path: Path
) -> None:
    s3 = s3_server.client()
    for path in faces_folder.iterdir():
        s3.upload_file(str(path), bucket, f"in/{path.name}")
    source, out = f"s3://{bucket}/in", f"s3://{bucket}/out"
    encode_locally(replace(config_for(faces_folder, tmp_path / "local", model), source=source))
    expected = part_bytes(tmp_path / "local")

    command = [sys.executable, "-m", "raypipe", "encode", source, "--out", out, "--model", str(model)]
    command += ["--commit-rows", str(COMMIT_ROWS)]
    driver = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(parts_in(s3, bucket)) >= 5 or driver.poll() is not None)
    driver.kill()
    assert driver.wait() == -signal.SIGKILL, "the job ended before the fault"
    wait_until(lambda: not_growing(s3, bucket))
    finished = parts_in(s3, bucket)
    assert 5 <= len(finished) < len(expected)

    s3_server.gets.clear()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "taking over from a job that died" in again.stderr
    tables = [pq.read_table(pa.BufferReader(expected[name]), columns=["image_id"]) for name in finished]
    finished_images = {f"/{bucket}/in/{name}" for table in tables for name in table.column(0).to_pylist()}
    assert len(finished_images) == COMMIT_ROWS * len(finished)
    assert not finished_images & set(s3_server.gets)
    assert {name: when for name, when in parts_in(s3, bucket).items() if name in finished} == finished
    for name, content in expected.items():
        assert s3.get_object(Bucket=bucket, Key=f"out/{name}")["Body"].read() == content


def test_two_nodes_give_what_one_process_gives_though_one_dies(
    two_nodes: Cluster, faces_folder: Path, model: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    config = config_for(faces_folder, tmp_path / "out", model)
    with when_parts_exist(tmp_path / "out", 5, lambda: two_nodes.remove_node(worker_node(two_nodes), False)):
        summary = encode_on_ray(config)
    assert len([node for node in ray.nodes() if node["Alive"]]) == 1
    assert summary.statuses == {"ok": IMAGES, "decode_not_an_image": 1}
    assert part_bytes(tmp_path / "out") == expected


def config_for(folder: Path, out: Path, model: Path) -> EncodeConfig:
    return EncodeConfig(source=str(folder), out=str(out), model=str(model), commit_rows=COMMIT_ROWS)


def encode_on_ray(config: EncodeConfig) -> Summary:
    settings = RaySettings(no_progress_timeout_s=120)
    runner = RunOnRay(layout_for(config, settings, require_gpu=False), settings)
    summary = encode(config, runner, restart=False, retry=frozenset(), say=print, watch=lambda _: None)
    assert summary.run["spilled_bytes"] == 0
    return summary


def when_parts_exist(out: Path, parts: int, act: Callable[[], object]) -> when:
    """Does something as soon as the output has so many part files."""
    return when(lambda: len(list(out.glob("part-*.parquet"))) >= parts, act)


def worker_node(cluster: Cluster) -> object:
    return next(iter(cluster.worker_nodes))


def parts_in(s3: Any, bucket: str) -> dict[str, object]:
    """Part files in the bucket, and when they were last written."""
    found = s3.list_objects_v2(Bucket=bucket, Prefix="out/part-").get("Contents", [])
    return {item["Key"].removeprefix("out/"): item["LastModified"] for item in found}


def not_growing(s3: Any, bucket: str) -> bool:
    before = parts_in(s3, bucket)
    time.sleep(3.0)
    return parts_in(s3, bucket) == before
