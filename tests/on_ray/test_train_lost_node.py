"""A node with a training worker on it is lost: the run goes on by itself, to the weights of one undisturbed process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import ray
import torch
from ray.cluster_utils import Cluster

from tests.on_ray.faults import wait_until
from tests.on_ray.training import assert_same, checkpoints, locally, long_job, on_ray, weights_of, workers_alive
from tests.pipeline.train.made_up import celeba_folder

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

MEMORY = 150 * 2**20
MISSED_BEATS = {
    "health_check_initial_delay_ms": 1_000,
    "health_check_period_ms": 1_000,
    "health_check_timeout_ms": 1_000,
    "health_check_failure_threshold": 5,
}
"""A node that no longer answers is lost after six seconds, where Ray waits for a minute."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return celeba_folder(tmp_path_factory.mktemp("faces") / "in", 48)


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return locally(long_job(folder, tmp_path_factory.mktemp("local") / "out"))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Two nodes for the workers; the driver is on a third without room for them."""
    monkeypatch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    head = {"num_cpus": 0, "object_store_memory": MEMORY, "_system_config": MISSED_BEATS}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        cluster.add_node(num_cpus=2, object_store_memory=MEMORY)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_training_goes_on_where_the_nodes_left_have_room(
    cluster: Cluster, folder: Path, tmp_path: Path, expected: dict[str, torch.Tensor]
) -> None:
    said: list[str] = []
    with ThreadPoolExecutor(1) as driver:
        run = driver.submit(on_ray, long_job(folder, tmp_path), workers=2, worker_cpus=0.5, say=said.append)
        wait_until(lambda: len(checkpoints(tmp_path)) >= 2 or run.done())
        lost = next(node for node in cluster.worker_nodes if training_on(node))
        assert not run.done(), "the run ended before the fault"
        cluster.remove_node(lost, allow_graceful=False)
        assert run.result(timeout=150).is_done
    assert any("workers were lost" in message for message in said)
    assert_same(weights_of(tmp_path), expected)


def test_training_goes_on_once_another_node_has_taken_the_place(
    cluster: Cluster, folder: Path, tmp_path: Path, expected: dict[str, torch.Tensor]
) -> None:
    """The node just stops to answer: nobody's connection to it is closed."""
    said: list[str] = []
    with ThreadPoolExecutor(1) as driver:
        # A node has room for one worker.
        run = driver.submit(
            on_ray, long_job(folder, tmp_path), workers=2, worker_cpus=1.5, read_cpus=0.4, say=said.append
        )
        wait_until(lambda: len(checkpoints(tmp_path)) >= 2 or run.done())
        lost, left = cluster.worker_nodes
        assert len(training_on(lost)) == len(training_on(left)) == 1
        assert not run.done(), "the run ended before the fault"
        with frozen(lost):
            wait_until(lambda: not training_on(left))
            assert not run.done()
            another = cluster.add_node(num_cpus=2, object_store_memory=MEMORY)
            wait_until(lambda: len(training_on(another)) == len(training_on(left)) == 1 or run.done())
            assert run.result(timeout=150).is_done
    assert any("workers were lost" in message for message in said)
    assert_same(weights_of(tmp_path), expected)


def training_on(node: object) -> list[psutil.Process]:
    """The training workers whose parent is the node's raylet."""
    raylet = raylet_of(node)
    return [worker for worker in workers_alive() if worker.ppid() == raylet]


def raylet_of(node: object) -> int:
    return int(node.all_processes["raylet"][0].process.pid)  # type: ignore[attr-defined]


@contextmanager
def frozen(node: object) -> Iterator[None]:
    """The node's processes stand still where they are; in the end they are killed."""
    raylet = psutil.Process(raylet_of(node))
    processes = [raylet, *raylet.children(recursive=True)]
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
