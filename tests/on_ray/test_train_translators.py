"""L2M-GAN and StarGAN v2 on Ray's workers: their steps are those of one process, also after a worker was killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from raypipe.backbones.attributes import attribute_part
from raypipe.backbones.stargan2.recipe import Config as StarGAN2Config
from raypipe.methods.l2m_gan import Config as L2MGANConfig
from raypipe.pipeline.train.config import TrainJob
from raypipe.pipeline.train.job import begin
from raypipe.weights import save_bundle
from tests.l2m_models import tiny_judge
from tests.on_ray.exact_steps import assert_same_leaves, in_one_process, on_workers
from tests.on_ray.training import kill_a_worker, on_ray, once_it_has_checkpoints, weights_of
from tests.pipeline.train.made_up import celeba_folder
from tests.pipeline.train.test_job import job_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("four_cpus")
]  # fmt: skip

RECIPES: dict[str, L2MGANConfig | StarGAN2Config] = {
    "l2m_gan": L2MGANConfig(
        batch=8, steps=12, style_dim=4, first_width=4, max_width=6, perceptual_weight=0.0, shift=0.05
    ),
    "stargan2": StarGAN2Config(
        batch=12, steps=12, style_dim=4, first_width=4, max_width=6, latent_dim=4, hidden=8, diversity_steps=20,
        mapping_learning_rate=1e-3, shift=0.05,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return celeba_folder(tmp_path_factory.mktemp("faces") / "in", 48)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with nothing but an attribute network."""
    out = tmp_path_factory.mktemp("models") / "judge"
    return save_bundle(str(out), "judge", {"attributes": attribute_part(tiny_judge())}, {"made_by": "tests"}).uri


@pytest.mark.parametrize("name", RECIPES)
def test_steps_are_the_same_on_any_number_of_workers(name: str, folder: Path, judge: str, tmp_path: Path) -> None:
    job = job_of(name, folder, judge, tmp_path / "out")
    begin(job, restart=False, say=print)
    expected = in_one_process(job)
    for workers in (2, 4):
        assert_same_leaves(on_workers(job, workers, tmp_path / str(workers)), expected)


@pytest.mark.parametrize("name", RECIPES)
def test_a_killed_worker_costs_nothing_but_time(name: str, folder: Path, judge: str, tmp_path: Path) -> None:
    """On as many workers the weights are those of an undisturbed run bit for bit."""
    said: list[str] = []
    undisturbed, disturbed = (job_of(name, folder, judge, tmp_path / out, steps=30) for out in ("whole", "cut"))
    on_ray(undisturbed, workers=2)
    with once_it_has_checkpoints(tmp_path / "cut", kill_a_worker):
        on_ray(disturbed, workers=2, say=said.append)
    assert any("workers were lost" in message for message in said)
    expected, actual = weights_of(tmp_path / "whole"), weights_of(tmp_path / "cut")
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[part], tensor) for part, tensor in expected.items())


def job_of(name: str, folder: Path, judge: str, out: Path, **settings: int) -> TrainJob:
    job = job_for(folder, out, recipe=name, models=(judge,), checkpoint_every=3)
    return replace(job, recipe=replace(RECIPES[name], **settings))
