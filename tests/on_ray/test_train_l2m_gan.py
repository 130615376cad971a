"""Steps of L2M-GAN on Ray's workers are those of one process: targets, weights of domains and all.

In double precision, as ``test_train_stylegan2`` and for its reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import ray.train
import torch
from ray.cluster_utils import Cluster
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from raypipe.backbones.attributes import attribute_part
from raypipe.contract import Share, Site
from raypipe.methods.l2m_gan import Config, build_recipe
from raypipe.on_ray.averaging import average_over_workers
from raypipe.on_ray.batches import RayBatches
from raypipe.on_ray.train_layout import TrainLayout
from raypipe.pipeline.train.batches import Batches
from raypipe.pipeline.train.config import TrainJob
from raypipe.pipeline.train.job import begin
from raypipe.pipeline.train.readers import Reader, as_columns, open_reader
from tests.backbones.recipe_states import flat
from tests.l2m_models import tiny_judge
from tests.on_ray.test_train_stylegan2 import local_batches
from tests.pipeline.train.made_up import celeba_folder
from tests.pipeline.train.test_job import CPU, job_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

JUDGE = {"attributes": attribute_part(tiny_judge())}
STYLES = Config(batch=8, steps=12, style_dim=4, first_width=4, max_width=6, perceptual_weight=0.0, shift=0.05)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> TrainJob:
    folder = tmp_path_factory.mktemp("l2m_gan")
    job = replace(job_for(celeba_folder(folder / "in", 48), folder / "out", recipe="l2m_gan"), recipe=STYLES)
    begin(job, restart=False, say=print)
    return job


@pytest.fixture(scope="module")
def expected(job: TrainJob) -> dict[str, Any]:
    """Of one process without Ray."""
    reader = open_reader(job.config.data, job.columns, job.state_uri)
    states = trained(job, reader, local_batches(job, reader, Share()), Share())
    reader.close()
    return states


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "object_store_memory": 200 * 2**20})
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def trained(job: TrainJob, reader: Reader, batches: Batches, share: Share) -> dict[str, Any]:
    """The recipe's state after its steps in double precision, every leaf by its path; no tensors, for Ray Train."""
    torch.set_default_dtype(torch.float64)
    try:
        recipe = build_recipe(job.recipe, Site(data=reader.facts, parts=JUDGE, share=share))
        for _, arrays in zip(range(job.recipe.steps), batches.from_step(0), strict=False):
            recipe.step({name: column.double() for name, column in as_columns(arrays, CPU).items()})
        leaves = flat(recipe.state_dict())
        return {name: leaf.numpy() if isinstance(leaf, torch.Tensor) else leaf for name, leaf in leaves.items()}
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("workers", [2, 4])
def test_steps_are_the_same_on_any_number_of_workers(
    cluster: Cluster, job: TrainJob, expected: dict[str, Any], tmp_path: Path, workers: int
) -> None:
    layout = TrainLayout(workers=workers, worker_cpus=0.5, worker_gpus=0.0, threads=1, read_cpus=0.5, readers=2)

    def train() -> dict[str, Any]:
        torch.set_num_threads(1)
        share = Share(ray.train.get_context().get_world_rank(), workers, average_over_workers)
        reader = open_reader(job.config.data, job.columns, job.state_uri)
        local = local_batches(job, reader, share)
        batches = RayBatches(job=job, layout=layout, facts=reader.facts, rank=share.rank, local=local)
        return trained(job, reader, batches, share)

    result = TorchTrainer(
        train,
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=workers, resources_per_worker=layout.resources),
        run_config=RunConfig(storage_path=str(tmp_path)),
    ).fit()
    actual = result.return_value
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(actual[name], value, rtol=1e-9, atol=1e-9, err_msg=name)
        else:
            assert actual[name] == value, name
