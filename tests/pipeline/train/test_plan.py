"""What ``--dry-run`` tells is what the run then does."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.lease import Lease
from raypipe.pipeline.train.config import TrainJob
from raypipe.pipeline.train.loop import Progress
from raypipe.pipeline.train.plan import Plan, plan_run
from tests.pipeline.train.made_up import celeba_folder
from tests.pipeline.train.test_job import CPU, RECIPE, job_for, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return celeba_folder(tmp_path_factory.mktemp("faces") / "in", 48)


def plan(job: TrainJob, *, workers: int = 1, restart: bool = False) -> Plan:
    return plan_run(job, device=CPU, workers=workers, where="here", restart=restart)


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_plan_tells_the_data_and_what_comes_of_them(folder: Path, tmp_path: Path) -> None:
    job = job_for(folder, tmp_path / "out")
    told = plan(job)
    assert not (tmp_path / "out").exists()
    lines = (folder / "list_attr_celeba.txt").read_text().splitlines()
    male = lines[1].split().index("Male")
    assert told.labels["Male"] == sum(line.split()[1 + male] == "1" for line in lines[2:])
    assert (told.rows, told.rows_held_out, told.batch, told.steps) == (48, 9, 8, 12)
    assert told.step_seconds > 0
    assert told.seconds == pytest.approx(12 * told.step_seconds, abs=0.06)

    train(job)
    checkpoint = next((tmp_path / "out" / "checkpoints").iterdir())
    assert told.checkpoint_bytes == pytest.approx(checkpoint.stat().st_size, rel=0.02)
    words = told.in_words()
    assert "48 rows, 9 of them held out" in words
    assert f"Male {told.labels['Male'] / 48:.0%}, Smiling" in words
    assert "12 of 8 rows: 96 images, 2.5 epochs" in words
    assert "the run would begin there" in words


def test_a_plan_tells_whether_the_run_would_go_on(tmp_path: Path) -> None:
    folder, out = celeba_folder(tmp_path / "in", 48), tmp_path / "out"

    def tell_to_end(progress: Progress) -> None:
        if progress.step == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    job = job_for(folder, out)
    train(job, watch=tell_to_end)
    before = files_in(out)
    assert plan(job, restart=True).found.in_words() == "the run would begin there"
    (folder / "img_align_celeba" / "000000.png").write_bytes(b"new, and not in the run's listing")
    told = plan(job)
    assert (told.found.step, told.found.refusal, told.rows) == (7, "", 48)
    assert "7 steps are done; the run would do the other 5" in told.in_words()
    assert told.seconds == pytest.approx(5 * told.step_seconds, abs=0.06)
    assert plan(replace(job, recipe=replace(RECIPE, steps=7))).found.in_words().endswith("the model is to be written")
    assert files_in(out) == before


def test_a_plan_tells_why_a_run_would_be_refused(folder: Path, tmp_path: Path, model: Path) -> None:
    job = job_for(folder, tmp_path / "out")
    train(job)
    longer = replace(job, recipe=replace(RECIPE, steps=3))
    assert "12 steps, more than the 3 asked for" in plan(longer).found.refusal
    assert "seed: 0 -> 1" in plan(replace(job, config=replace(job.config, seed=1))).found.refusal
    assert "no training run made" in plan(job_for(folder, model)).in_words()
    with Lease(job.lease_uri, lambda _: None):
        assert "held by a running job" in plan(job).found.refusal


def test_data_that_cannot_be_trained_with_have_no_plan(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="batch of 8 cannot be shared by 3 workers"):
        plan(job_for(folder, tmp_path), workers=3)
    with pytest.raises(WrongUsage, match="nothing at"):
        plan(job_for(tmp_path / "nowhere", tmp_path))


def test_a_worker_is_timed_on_its_share(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    built = job_for(folder, tmp_path)

    class Recipe:
        def step(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            rows.append(len(batch["image"]))
            return {}

        def state_dict(self) -> dict[str, object]:
            return {}

    monkeypatch.setattr("raypipe.pipeline.train.plan.built", lambda *_: Recipe())
    plan(built, workers=4)
    assert set(rows) == {2}
    assert len(rows) > 1
