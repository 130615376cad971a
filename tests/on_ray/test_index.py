"""Building an index on a real Ray cluster, with real processes killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from raypipe.errors import ImpossibleCluster, RaypipeError
from raypipe.on_ray.index import RunOnRay, _first_of, workers_on_cluster
from raypipe.on_ray.settings import IndexOnRay
from raypipe.pipeline.interrupts import Interrupted
from raypipe.retrieval.manifest import read_manifest, versions
from raypipe.retrieval.verify import verify
from tests.on_ray.faults import when
from tests.pipeline.index.indexing import build, copied_codes, interrupted, telling_once
from tests.pipeline.search.small_collection import SmallCollection, make_collection

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

SHARDS = 40


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallCollection:
    return make_collection(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def expected(small: SmallCollection, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The manifest, with the hash of every file, of a build in one process."""
    out = tmp_path_factory.mktemp("local") / "index"
    build(small, out, shards=SHARDS)
    return manifest_of(out)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 100 * 2**20})
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


def on_ray(retries: int = 3) -> RunOnRay:
    settings = IndexOnRay(retries=retries)
    return RunOnRay(workers_on_cluster(settings), settings)


def manifest_of(index: Path) -> bytes:
    return (index / "manifest-000001.json").read_bytes()


def test_the_same_bytes_as_in_one_process(
    cluster: Cluster, small: SmallCollection, expected: bytes, tmp_path: Path
) -> None:
    summary = build(small, tmp_path / "index", shards=SHARDS, runner=on_ray())
    assert summary.run["shards"] == SHARDS
    assert manifest_of(tmp_path / "index") == expected
    assert verify(str(tmp_path / "index")).problems == []


def test_killed_workers_cost_nothing_but_time(
    cluster: Cluster, small: SmallCollection, expected: bytes, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill_workers() -> None:
        for process in psutil.process_iter(["cmdline"]):
            if "ray::_stage" in " ".join(process.info["cmdline"] or []):
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)

    def is_time() -> bool:
        """Some shards are finished, and some worker is in the middle of one."""
        names = (" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
        finished = list(tmp_path.glob("index/.staging-plan-*/shard-*.json"))
        return len(finished) >= 2 and any("ray::_stage" in name for name in names)

    with when(is_time, kill_workers):
        build(small, tmp_path / "index", shards=SHARDS, runner=on_ray())
    assert killed
    assert manifest_of(tmp_path / "index") == expected
    assert verify(str(tmp_path / "index")).problems == []


def test_ctrl_c_ends_it_and_the_same_command_goes_on(
    cluster: Cluster, small: SmallCollection, expected: bytes, tmp_path: Path
) -> None:
    interrupted(small, tmp_path / "index", on_ray(), signal.SIGINT, shards=SHARDS, watch=telling_once(signal.SIGINT))
    assert versions(str(tmp_path / "index")) == []
    build(small, tmp_path / "index", shards=SHARDS, runner=on_ray())
    assert manifest_of(tmp_path / "index") == expected


def test_ctrl_c_is_heard_while_every_worker_is_busy(cluster: Cluster, tmp_path: Path) -> None:
    checks: list[None] = []

    def check() -> None:
        checks.append(None)
        if len(checks) == 3:
            raise Interrupted(signal.SIGINT)

    waiting = ray.remote(_wait_for).remote(tmp_path / "go")
    with pytest.raises(Interrupted):
        _first_of([waiting], check)
    (tmp_path / "go").touch()
    ray.get(waiting)


def _wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def test_a_part_that_cannot_be_read_is_one_clear_error(
    cluster: Cluster, small: SmallCollection, tmp_path: Path
) -> None:
    codes = copied_codes(small, tmp_path / "codes")
    (codes / "part-000003.parquet").unlink()
    with pytest.raises(RaypipeError, match=r"did not finish the job: RaypipeError: .*part-000003\.parquet is missing"):
        build(small, tmp_path / "index", codes, shards=SHARDS, runner=on_ray())
    assert versions(str(tmp_path / "index")) == []


def test_a_cluster_that_can_never_do_it_is_refused(cluster: Cluster) -> None:
    with pytest.raises(ImpossibleCluster, match="a worker needs 64 CPU"):
        workers_on_cluster(IndexOnRay(worker_cpus=64))


def test_a_killed_driver_is_succeeded_by_the_same_command(
    small: SmallCollection, expected: bytes, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "raypipe", "index", "build", str(small.codes), "--out", str(tmp_path / "index")]
    command += ["--model", str(small.model), "--shards", str(SHARDS)]
    with (tmp_path / "log").open("wb") as log:
        driver = subprocess.Popen(command, start_new_session=True, stdout=log, stderr=log)
    staged = "index/.staging-plan-*/shard-*.json"
    while len(list(tmp_path.glob(staged))) < 3 and driver.poll() is None:
        time.sleep(0.005)  # all shards are made within a second
    driver.kill()
    assert driver.wait() == -signal.SIGKILL, (tmp_path / "log").read_text()
    finished = len(list(tmp_path.glob(staged)))
    assert 3 <= finished < SHARDS
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "taking over from a job that died" in again.stderr
    assert "an earlier run had finished" in again.stdout
    assert manifest_of(tmp_path / "index") == expected
    assert read_manifest(str(tmp_path / "index")).rows == 40
