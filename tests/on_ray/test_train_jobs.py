"""Training as a cluster job, on one real head."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch

from tests.on_ray.ray_head import RayHead, ray_head
from tests.on_ray.training import assert_same, locally, weights_of
from tests.pipeline.train.made_up import celeba_folder
from tests.pipeline.train.test_job import job_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).parents[2]
RECIPE = {"batch": 8, "steps": 12, "size": 32, "widths": "[8,8,8,8]", "feature_dim": 8, "warmup": 2}
AROUND = {"data.size": 32, "data.attributes": "[Male,Smiling]", "data.held_out": 9, "run.log_every": 3}


def test_the_repository_trains_as_a_ray_job(tmp_path: Path) -> None:
    folder = celeba_folder(tmp_path / "in", 48)
    expected: dict[str, torch.Tensor] = locally(job_for(folder, tmp_path / "local"))
    around = AROUND | {"run.out": tmp_path / "out", "data.uri": folder, "run.checkpoint_every": 5}
    with ray_head() as head:
        done = ray_job(head, RECIPE | around | {"learning_rate": 5e-3})
        assert done.returncode == 0, done.stdout + done.stderr
        wrong = ray_job(head, around | {"ray.workers": 3, "batch": 8})
    assert_same(weights_of(tmp_path / "out"), expected)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["state"] == "done"
    assert "a batch of 8 cannot be shared by 3 workers" in wrong.stdout
    assert wrong.returncode != 0


def ray_job(head: RayHead, settings: dict[str, object]) -> subprocess.CompletedProcess[str]:
    command = ["ray", "job", "submit", "--address", head.address, "--working-dir", ".", "--"]
    command += ["python", "jobs/train.py", "jobs/configs/train.yaml"]
    command += [f"{name}={value}" for name, value in settings.items()]
    return subprocess.run(
        command, cwd=REPOSITORY, env=head.environment, capture_output=True, text=True, timeout=240, check=False
    )
