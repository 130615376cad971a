"""A recipe's steps in double precision, in one process and on Ray's workers: the states that they lead to.

What is left is rounding: 1e-14 after fifty steps of StyleGAN2. In single precision rounding grows (Adam without
momentum makes a whole step of the sign of a gradient near zero): to between 1e-5 and 1e-3 after fifty. What the product
itself computes is compared after fewer steps in ``test_train``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import ray.train
import torch
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from raypipe.contract import Share
from raypipe.on_ray.averaging import average_over_workers
from raypipe.on_ray.batches import RayBatches
from raypipe.on_ray.train_layout import TrainLayout
from raypipe.pipeline.train.batches import Batches, LocalBatches
from raypipe.pipeline.train.config import TrainJob
from raypipe.pipeline.train.job import built
from raypipe.pipeline.train.readers import Reader, as_columns, open_reader, split_rows
from tests.backbones.recipe_states import flat
from tests.pipeline.train.test_job import CPU

Leaves = dict[str, Any]
"""A state's leaves by their paths; arrays in place of tensors, which Ray Train does not bring back."""


def in_one_process(job: TrainJob) -> Leaves:
    """Without Ray. ``begin`` must have been called."""
    reader = open_reader(job.config.data, job.columns, job.state_uri)
    try:
        return _trained(job, reader, _local_batches(job, reader, Share()), Share())
    finally:
        reader.close()


def on_workers(job: TrainJob, workers: int, scratch: Path) -> Leaves:
    """Of the first of them, on the cluster that this process is connected to. ``begin`` must have been called."""
    layout = TrainLayout(workers=workers, worker_cpus=0.5, worker_gpus=0.0, threads=1, read_cpus=0.5, readers=2)

    def train() -> Leaves:
        torch.set_num_threads(1)
        share = Share(ray.train.get_context().get_world_rank(), workers, average_over_workers)
        reader = open_reader(job.config.data, job.columns, job.state_uri)
        local = _local_batches(job, reader, share)
        batches = RayBatches(job=job, layout=layout, facts=reader.facts, rank=share.rank, local=local)
        return _trained(job, reader, batches, share)

    result = TorchTrainer(
        train,
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(num_workers=workers, resources_per_worker=layout.resources),
        run_config=RunConfig(storage_path=str(scratch)),
    ).fit()
    leaves: Leaves = result.return_value
    return leaves


def assert_same_leaves(actual: Leaves, expected: Leaves) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(actual[name], value, rtol=1e-9, atol=1e-9, err_msg=name)
        else:
            assert actual[name] == value, name


def _local_batches(job: TrainJob, reader: Reader, share: Share) -> LocalBatches:
    split = split_rows(reader, held_out=job.config.data.held_out)
    order = split.order(reader.groups, batch=job.recipe.batch, seed=job.config.seed)
    return LocalBatches(reader, order, split.training, share.rank, share.count)


def _trained(job: TrainJob, reader: Reader, batches: Batches, share: Share) -> Leaves:
    torch.set_default_dtype(torch.float64)
    try:
        recipe = built(job, reader, CPU, share)
        for _, arrays in zip(range(job.recipe.steps), batches.from_step(0), strict=False):
            recipe.step({name: column.double() for name, column in as_columns(arrays, CPU).items()})
        leaves = flat(recipe.state_dict())
        return {name: leaf.numpy() if isinstance(leaf, torch.Tensor) else leaf for name, leaf in leaves.items()}
    finally:
        torch.set_default_dtype(torch.float32)
