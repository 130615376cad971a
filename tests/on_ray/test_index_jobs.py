"""Building an index as a cluster job, submitted by ``raypipe submit`` and by ``ray job submit``, on one real head."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.on_ray.ray_head import RayHead, ray_head
from tests.pipeline.index.indexing import build
from tests.pipeline.search.small_collection import make_collection

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).parents[2]
SHARDS = 3


def test_submitted_jobs_build_the_index_of_a_local_run(tmp_path: Path) -> None:
    small = make_collection(tmp_path)
    build(small, tmp_path / "local", shards=SHARDS)
    codes, model = str(small.codes), str(small.model)
    submit = [sys.executable, "-m", "raypipe", "submit"]
    words = ["index", "build", codes, "--out", str(tmp_path / "submitted"), "--model", model, "--shards", str(SHARDS)]
    ray_job = ["ray", "job", "submit", "--working-dir", ".", "--", "python", "jobs/index.py", "jobs/configs/index.yaml"]
    settings = {"codes": f"[{codes}]", "out": tmp_path / "job", "model": model, "shards": SHARDS}
    overrides = [f"index.{name}={value}" for name, value in settings.items()]
    with ray_head() as head:
        submitted = run([*submit, "--address", head.address, "--", *words], head)
        assert submitted.returncode == 0, submitted.stderr
        assert "3 shards" in submitted.stdout
        again = run([*submit, "--address", head.address, "--submission-id", "again", "--", *words], head)
        assert again.returncode == 0
        assert "nothing was left to do" in again.stdout
        job = run([*ray_job[:3], "--address", head.address, *ray_job[3:], *overrides], head)
        assert job.returncode == 0, job.stdout + job.stderr
    for out in ("submitted", "job"):
        assert manifest_of(tmp_path / out) == manifest_of(tmp_path / "local")


def manifest_of(index: Path) -> bytes:
    return (index / "manifest-000001.json").read_bytes()


def run(command: list[str], head: RayHead) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=REPOSITORY, env=head.environment, capture_output=True, text=True, timeout=240, check=False
    )
