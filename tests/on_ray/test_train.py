"""Training on real Ray clusters, with real processes killed: always the weights of one undisturbed process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ray
import ray.train
import torch
from ray.cluster_utils import Cluster
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from raypipe.backbones.stylegan2.recipe import Config as StyleGAN2Config
from raypipe.errors import Diverged, ImpossibleCluster, RaypipeError, WrongUsage
from raypipe.methods.sparse_directions import Config as SparseDirectionsConfig
from raypipe.on_ray.batches import RayBatches
from raypipe.on_ray.train_layout import TrainLayout
from raypipe.pipeline.train.batches import LocalBatches
from raypipe.pipeline.train.config import DataConfig, TrainConfig, TrainJob
from raypipe.pipeline.train.job import begin
from raypipe.pipeline.train.loop import Progress
from raypipe.pipeline.train.readers import open_reader, split_rows
from tests.on_ray.faults import wait_until
from tests.on_ray.training import (
    assert_same,
    checkpoints,
    kill_a_worker,
    locally,
    long_job,
    on_ray,
    once_it_has_checkpoints,
    weights_of,
    workers_alive,
)
from tests.pipeline.encode.test_job import config_for, encode_locally
from tests.pipeline.train.made_up import celeba_folder
from tests.pipeline.train.test_job import RECIPE, job_for
from tests.pipeline.train.test_leaks import decode_processes, is_alive
from tests.s3_server import S3Server

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

GAN = StyleGAN2Config(
    batch=8, steps=6, style_dim=8, mapping_layers=2, channels=(8, 8, 6, 4), stddev_group=2, d_reg_interval=2,
    g_reg_interval=2, fid_images=9,
)  # fmt: skip


BROKEN = ("000020.png", "000012.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures cannot be read: of a row to train with, after which one is held out, and of one held out."""
    folder = celeba_folder(tmp_path_factory.mktemp("faces") / "in", 48)
    for name in BROKEN:
        (folder / "img_align_celeba" / name).write_bytes(b"nothing")
    return folder


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights of a run in one process."""
    return locally(long_job(folder, tmp_path_factory.mktemp("local") / "out"))


@pytest.fixture(scope="module")
def two_nodes(s3_server: S3Server) -> Iterator[Cluster]:
    os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.2"
    memory = 200 * 2**20
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": memory})
    cluster.add_node(num_cpus=2, object_store_memory=memory)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    del os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"]


def test_batches_are_those_of_a_plain_reader_from_any_step(two_nodes: Cluster, folder: Path, tmp_path: Path) -> None:
    job = replace(job_for(folder, tmp_path), recipe=replace(RECIPE, steps=120))
    begin(job, restart=False, say=print)
    layout = TrainLayout(workers=2, worker_cpus=0.5, worker_gpus=0.0, threads=1, read_cpus=0.5, readers=2)

    def compare() -> list[bool]:
        rank = ray.train.get_context().get_world_rank()
        reader = open_reader(job.config.data, job.columns, job.state_uri)
        split = split_rows(reader, held_out=9)
        local = LocalBatches(reader, split.order(reader.groups, batch=8, seed=0), split.training, rank, 2)
        several = RayBatches(
            job=job, layout=layout, facts=reader.facts, rank=rank, local=local, tasks_of_a_dataset=2
        )  # a task reads 64 steps: one dataset ends, and the next begins
        pairs = zip(several.from_step(3), local.from_step(3), strict=False)
        return [all(np.array_equal(ours[name], plain[name]) for name in job.columns) for ours, plain in pairs]

    result = TorchTrainer(
        compare,
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker=layout.resources),
        run_config=RunConfig(storage_path=str(tmp_path / "ray_train")),
    ).fit()
    assert result.return_value == [True] * (job.recipe.steps - 3)


@pytest.mark.parametrize("workers", [2, 4])
def test_penalties_of_gradients_are_the_same_on_any_number_of_workers(
    two_nodes: Cluster, folder: Path, tmp_path: Path, workers: int
) -> None:
    def job(out: Path) -> TrainJob:
        return replace(job_for(folder, out, recipe="stylegan2"), recipe=GAN)

    outcome = on_ray(job(tmp_path / "ray"), workers=workers)
    assert outcome.run["workers"] == workers
    ours, plain = weights_of(tmp_path / "ray"), locally(job(tmp_path / "local"))
    # Adam without momentum divides a small gradient by a small one. In float32 single weights then differ by up to a
    # tenth of a step (2.5e-3); in float64 ``test_train_stylegan2`` holds all of them to 1e-9 over fifty.
    assert_same(ours, plain, atol=1e-3)
    apart = torch.cat([(ours[name] - tensor).abs().flatten() for name, tensor in plain.items()])
    assert apart.mean() < 1e-5


def test_fifty_steps_of_four_workers_are_those_of_one_process(
    two_nodes: Cluster, folder: Path, bucket: str, expected: dict[str, torch.Tensor]
) -> None:
    seen: list[int] = []
    job = long_job(folder, f"s3://{bucket}/out")
    outcome = on_ray(job, workers=4, watch=lambda progress: seen.append(progress.step))
    assert outcome.is_done
    assert seen == sorted(seen)
    assert seen
    assert outcome.run["rejected_rows"] == len(BROKEN)
    assert outcome.run["images_of_last_run"] == 50 * 8
    assert_same(weights_of(job.config.out), expected)


def test_directions_of_codes_and_a_file_of_labels_end_with_ranges_over_all_training_rows(
    two_nodes: Cluster, tmp_path: Path, model: Path
) -> None:
    images = celeba_folder(tmp_path / "in", 48)
    encode_locally(config_for(images, tmp_path / "codes", model))
    data = DataConfig(uri=str(tmp_path / "codes"), labels=str(images / "list_attr_celeba.txt"), attributes=("Male",))
    config = TrainConfig(recipe="sparse_directions", out=str(tmp_path / "out"), data=data)
    job = TrainJob(config=config, recipe=SparseDirectionsConfig(steps=4, batch=6))
    assert on_ray(job, workers=3).run["workers"] == 3
    reader = open_reader(data, job.columns, job.state_uri)
    training = split_rows(reader, held_out=data.held_out).training
    codes = torch.from_numpy(reader.read(training, training)["w_plus"]).float().flatten(1)
    weights = weights_of(tmp_path / "out")
    projections = codes @ weights["sparse_directions.vectors"].T
    torch.testing.assert_close(weights["sparse_directions.lowest"], projections.amin(0))
    torch.testing.assert_close(weights["sparse_directions.highest"], projections.amax(0))


def test_a_killed_worker_costs_nothing_but_time(
    two_nodes: Cluster, folder: Path, tmp_path: Path, expected: dict[str, torch.Tensor]
) -> None:
    said: list[str] = []
    with once_it_has_checkpoints(tmp_path, kill_a_worker):
        on_ray(long_job(folder, tmp_path), workers=2, say=said.append)
    assert any("workers were lost" in message for message in said)
    assert_same(weights_of(tmp_path), expected)


def test_workers_that_are_lost_too_often_end_the_run(two_nodes: Cluster, folder: Path, tmp_path: Path) -> None:
    with once_it_has_checkpoints(tmp_path, kill_a_worker), pytest.raises(RaypipeError) as failed:
        on_ray(long_job(folder, tmp_path), workers=2, max_failures=0)
    assert "workers were lost more than 0 times, the last time: " in str(failed.value)
    assert checkpoints(tmp_path)


def test_a_killed_driver_is_succeeded_by_the_same_command(
    two_nodes: Cluster, folder: Path, tmp_path: Path, expected: dict[str, torch.Tensor]
) -> None:
    command = [sys.executable, "-m", "raypipe", "train", "attributes", "--data", str(folder), "--out", str(tmp_path)]
    command += ["--size", "32", "--attributes", "Male,Smiling", "--workers", "2", "--address", two_nodes.address]
    job = long_job(folder, tmp_path)
    settings = {"batch": 8, "steps": job.recipe.steps, "size": 32, "widths": "[8,8,8,8]", "feature_dim": 8}
    settings |= {"warmup": 2, "learning_rate": 5e-3, "data.held_out": 9, "run.log_every": 3, "run.checkpoint_every": 5}
    command += [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    driver = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(checkpoints(tmp_path)) >= 2 or driver.poll() is not None)
    decoders = decode_processes(os.getpid())  # of the readers on the two nodes
    driver.kill()
    assert driver.wait() == -signal.SIGKILL, "the run ended before the fault"
    wait_until(lambda: not workers_alive())
    assert decoders
    wait_until(lambda: not any(map(is_alive, decoders)))
    assert not (tmp_path / "model.json").exists()
    plan = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=True).stdout
    assert "training with 2 workers" in plan
    assert "steps are done; the run would do the other" in plan

    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "taking over from a job that died" in again.stderr
    assert "going on from step" in again.stderr
    assert_same(weights_of(tmp_path), expected)


def test_a_run_that_is_told_to_end_goes_on_in_one_process(two_nodes: Cluster, folder: Path, tmp_path: Path) -> None:
    job = replace(job_for(folder, tmp_path), recipe=replace(RECIPE, steps=600))  # far longer than telling takes
    told: list[int] = []

    def tell_to_end(progress: Progress) -> None:
        if not told:
            told.append(progress.step)
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = on_ray(job, workers=2, watch=tell_to_end)
    assert not outcome.is_done
    assert told[0] < outcome.step < 600
    assert checkpoints(tmp_path)[-1].name == f"step-{outcome.step:09d}.pt"
    # What several workers rounded differently grows over hundreds of steps: the weights are compared after fewer above.
    steps: list[int] = []
    locally(job, watch=lambda progress: steps.append(progress.step))
    assert steps == list(range(outcome.step + 1, 601))


def test_what_only_happens_again_is_not_tried_again(two_nodes: Cluster, folder: Path, tmp_path: Path) -> None:
    job = long_job(folder, tmp_path)
    locally(replace(job, recipe=replace(job.recipe, steps=5)))
    said: list[str] = []
    with pytest.raises(Diverged, match=r"at step 6: loss = .*last good checkpoint is that of step 5"):
        on_ray(replace(job, config=replace(job.config, loss_limit=1e-9)), workers=2, say=said.append)
    assert not any("lost" in message for message in said)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000000005.pt"]


def test_data_that_cannot_be_read_is_one_clear_error(two_nodes: Cluster, tmp_path: Path) -> None:
    folder = celeba_folder(tmp_path / "in", 48)
    job = long_job(folder, tmp_path / "out")
    locally(replace(job, recipe=replace(job.recipe, steps=5)))
    for path in (folder / "img_align_celeba").iterdir():
        path.unlink()
    with pytest.raises(RaypipeError, match=r"100 images in a row cannot be read; the last: .*fetch_404"):
        on_ray(job, workers=2)


def test_what_can_never_run_is_refused_before_anything_begins(two_nodes: Cluster, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ImpossibleCluster, match=r"3 x 1.5 \+ 1 = 5.5 CPU; there are 4 CPU"):
        on_ray(job_for(folder, tmp_path), workers=3, worker_cpus=1.5)
    with pytest.raises(WrongUsage, match="batch of 8 cannot be shared by 3 workers"):
        on_ray(job_for(folder, tmp_path), workers=3)
    assert not checkpoints(tmp_path)
