"""Fifty steps of StyleGAN2 on Ray's workers are those of one process: R1, path lengths, augmentation and labels too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from raypipe.backbones.stylegan2.recipe import Config
from raypipe.pipeline.train.config import TrainJob
from raypipe.pipeline.train.job import begin
from tests.on_ray.exact_steps import Leaves, assert_same_leaves, in_one_process, on_workers
from tests.pipeline.train.made_up import celeba_folder
from tests.pipeline.train.test_job import job_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("four_cpus")
]  # fmt: skip

GAN = Config(
    batch=8, steps=50, style_dim=8, mapping_layers=2, channels=(8, 8, 6, 4), stddev_group=2, d_reg_interval=4,
    g_reg_interval=4, augment_interval=4, augment_target=-1.0, augment_length_images=500.0, conditional=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> TrainJob:
    folder = tmp_path_factory.mktemp("stylegan2")
    job = replace(job_for(celeba_folder(folder / "in", 48), folder / "out", recipe="stylegan2"), recipe=GAN)
    begin(job, restart=False, say=print)
    return job


@pytest.fixture(scope="module")
def expected(job: TrainJob) -> Leaves:
    return in_one_process(job)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_fifty_steps_are_the_same_on_any_number_of_workers(
    job: TrainJob, expected: Leaves, tmp_path: Path, workers: int
) -> None:
    assert expected["/augment_p"] > 0.5  # so augmentation took part
    assert expected["/mean_length"] > 0.0  # and path lengths
    assert_same_leaves(on_workers(job, workers, tmp_path), expected)
