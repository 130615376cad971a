from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from raypipe.backbones.attributes import load_attributes
from raypipe.backbones.attributes.recipe import AttributeRecipe, Config
from raypipe.contract import Share
from raypipe.errors import ModelMismatch, OutputInUse, RaypipeError, WrongUsage
from raypipe.pipeline.encode.lease import Lease
from raypipe.pipeline.info import describe
from raypipe.pipeline.train.checkpoints import Checkpoints
from raypipe.pipeline.train.config import DataConfig, TrainConfig, TrainJob
from raypipe.pipeline.train.job import begin, built, train_locally
from raypipe.pipeline.train.loop import Progress
from raypipe.pipeline.train.summary import Outcome
from raypipe.weights import open_bundle
from tests.models import tiny_model
from tests.pipeline.train.made_up import celeba_folder
from tests.pipeline.train.toy import ToyReader

CPU = torch.device("cpu")
RECIPE = Config(batch=8, steps=12, size=32, widths=(8, 8, 8, 8), feature_dim=8, warmup=2, learning_rate=5e-3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return celeba_folder(tmp_path_factory.mktemp("faces") / "in", 48)


def job_for(folder: Path | str, out: Path | str, **settings: Any) -> TrainJob:
    data = DataConfig(uri=str(folder), size=32, attributes=("Male", "Smiling"), held_out=9)
    config = TrainConfig(recipe="attributes", out=str(out), data=data, log_every=3, checkpoint_every=5)
    return TrainJob(config=replace(config, **settings), recipe=RECIPE)


def train(job: TrainJob, *, restart: bool = False, watch: Callable[[Progress], None] = lambda _: None) -> Outcome:
    return train_locally(job, device=CPU, restart=restart, say=lambda _: None, watch=watch)


def weights_of(out: Path) -> dict[str, torch.Tensor]:
    return dict(open_bundle(str(out)).read("attributes").tensors)


def test_the_result_is_a_model_with_the_parts_it_was_built_on(folder: Path, tmp_path: Path, model: Path) -> None:
    outcome = train(job_for(folder, tmp_path / "out", models=(str(model),)))
    assert outcome.is_done
    bundle = open_bundle(str(tmp_path / "out"))
    assert set(bundle.parts) == {"attributes", "encoder", "generator"}
    assert bundle.describe("encoder") == open_bundle(str(model)).describe("encoder")
    network = load_attributes(bundle.read("attributes"), CPU)
    assert network.names == ("Male", "Smiling")
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (run["state"], run["recipe"]["batch"], run["config"]["seed"]) == ("done", 8, 0)
    assert run["best"]["name"] == "error"


def test_a_run_that_was_told_to_end_goes_on_to_the_same_result(folder: Path, tmp_path: Path) -> None:
    def tell_to_end(progress: Progress) -> None:
        if progress.step == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    train(job_for(folder, tmp_path / "whole"))
    stopped = train(job_for(folder, tmp_path / "cut"), watch=tell_to_end)
    assert (stopped.is_done, stopped.step) == (False, 7)
    assert not (tmp_path / "cut" / "model.json").exists()
    assert train(job_for(folder, tmp_path / "cut")).is_done
    whole, cut = weights_of(tmp_path / "whole"), weights_of(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_a_run_that_was_told_to_end_too_late_is_done_and_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not train(job_for(folder, tmp_path / "untold")).is_told
    monkeypatch.setattr(AttributeRecipe, "finish", lambda *_: signal.raise_signal(signal.SIGINT))
    outcome = train(job_for(folder, tmp_path / "told"))
    assert (outcome.is_done, outcome.is_told) == (True, True)
    assert (tmp_path / "told" / "model.json").exists()


def test_it_is_told_what_an_output_is_before_and_after_its_model_is_there(folder: Path, tmp_path: Path) -> None:
    job = job_for(folder, tmp_path / "out", checkpoint_every=2)
    train(job)
    words, told = describe(str(tmp_path / "out"))
    assert told["kind"] == "model"
    assert "model out" in words
    (tmp_path / "out" / "model.json").unlink()
    words, told = describe(str(tmp_path / "out"))
    assert (told["kind"], told["recipe"], told["steps_done"]) == ("training", "attributes", RECIPE.steps)
    assert f"training of attributes, {RECIPE.steps} steps done, not complete" in words


def test_the_model_is_that_of_the_best_step(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(AttributeRecipe, "evaluate", lambda *_: {"error": next(values)})
    outcome = train(job_for(folder, tmp_path, evaluate_every=5, checkpoint_every=0))
    assert (outcome.step, outcome.run["step"]) == (10, 10)
    assert outcome.run["best"] == {"step": 10, "name": "error", "value": 1.0}
    assert "the weights of step 10 of 12, the best by error = 1: " in outcome.in_words()
    state = Checkpoints(str(tmp_path), 2).load(10, CPU)["recipe"]["training"]["average"]
    weights = weights_of(tmp_path)
    assert weights
    assert all(torch.equal(weights[name], state[name]) for name in weights)


def test_a_run_depends_on_its_seed_alone_and_leaves_the_process_random_state(folder: Path, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    train(job_for(folder, tmp_path / "a"))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    train(job_for(folder, tmp_path / "b"))
    a, b = weights_of(tmp_path / "a"), weights_of(tmp_path / "b")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_another_seed_gives_another_result(folder: Path, tmp_path: Path) -> None:
    train(job_for(folder, tmp_path / "a"))
    train(job_for(folder, tmp_path / "b", seed=1))
    a, b = weights_of(tmp_path / "a"), weights_of(tmp_path / "b")
    assert any(not torch.equal(a[name], b[name]) for name in a)


def test_other_settings_do_not_go_on_with_a_run_unless_told_to_begin_again(folder: Path, tmp_path: Path) -> None:
    first = job_for(folder, tmp_path)
    train(first)
    with pytest.raises(ModelMismatch, match=r"run of other settings:\n  seed: 0 -> 1\n.*--restart"):
        train(replace(first, config=replace(first.config, seed=1)))
    with pytest.raises(ModelMismatch, match=r"config: .*learning_rate"):
        train(replace(first, recipe=replace(RECIPE, learning_rate=1e-3)))
    assert train(replace(first, config=replace(first.config, seed=1)), restart=True).is_done


def test_to_begin_again_deletes_what_runs_wrote_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    job = job_for(folder, tmp_path)
    train(job)
    theirs = [
        tmp_path / name
        for name in ("notes.txt", "checkpoints/mine.pt", "samples/me.png", "tensorboard/notes", "_raypipe/notes")
    ]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    begin(replace(job, recipe=replace(RECIPE, steps=1)), restart=True, say=lambda _: None)
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    listing = set((tmp_path / "_raypipe" / "listing").iterdir())
    # The next model replaces the files of this one's parts.
    assert left == {*theirs, *listing, tmp_path / "_raypipe" / "plan.json", tmp_path / "attributes.safetensors"}


def test_to_begin_again_lists_the_data_anew(tmp_path: Path) -> None:
    folder = celeba_folder(tmp_path / "in", 48)
    job = job_for(folder, tmp_path / "out")
    train(job)
    shutil.rmtree(folder)
    celeba_folder(folder, 44)
    said: list[str] = []
    for restart in (False, True):
        begin(job, restart=restart, say=said.append)
    assert [message.partition(" of ")[0] for message in said] == [
        "attributes on 48 rows", "going on from step 12", "attributes on 44 rows"
    ]  # fmt: skip
    with pytest.raises(ModelMismatch, match="data: "):
        train(job_for(celeba_folder(tmp_path / "other", 48), tmp_path / "out"))


def test_a_damaged_plan_is_told_and_begun_again(folder: Path, tmp_path: Path) -> None:
    job = job_for(folder, tmp_path)
    train(job)
    (tmp_path / "_raypipe" / "plan.json").write_text("{")
    with pytest.raises(RaypipeError, match=r"plan\.json is damaged .*--restart"):
        train(job)
    assert train(job, restart=True).is_done


def test_checkpoints_of_nobody_knows_which_run_are_not_gone_on_from(folder: Path, tmp_path: Path) -> None:
    job = job_for(folder, tmp_path)
    train(job)
    (tmp_path / "model.json").unlink()
    (tmp_path / "_raypipe" / "plan.json").unlink()
    for restart in (False, True):
        with pytest.raises(WrongUsage, match=r"checkpoints of a run whose plan\.json is lost"):
            train(job, restart=restart)
    assert (tmp_path / "checkpoints" / "step-000000012.pt").exists()


def test_what_a_killed_run_left_half_written_is_deleted(folder: Path, tmp_path: Path) -> None:
    half = tmp_path / "checkpoints" / ".step-000000005.pt.0123abcd.tmp"
    half.parent.mkdir()
    half.write_bytes(b"half")
    train(job_for(folder, tmp_path))
    assert not half.exists()


def test_a_run_can_be_made_longer(folder: Path, tmp_path: Path) -> None:
    first = job_for(folder, tmp_path)
    train(first)
    steps: list[int] = []
    longer = train(replace(first, recipe=replace(RECIPE, steps=15)), watch=lambda seen: steps.append(seen.step))
    assert steps == [13, 14, 15]
    assert longer.steps == 15
    with pytest.raises(WrongUsage, match="has been trained for 15 steps, more than the 12 asked for"):
        train(first)


def test_an_output_in_use_or_with_something_else_in_it_is_refused(folder: Path, tmp_path: Path, model: Path) -> None:
    tiny_model(tmp_path / "model")
    for restart in (False, True):
        with pytest.raises(WrongUsage, match="holds a model that no training run made"):
            train(job_for(folder, tmp_path / "model"), restart=restart)
    assert not list((tmp_path / "model" / "_raypipe").iterdir())
    with (
        Lease(str(tmp_path / "busy" / "_raypipe" / "lease.json"), lambda _: None),
        pytest.raises(OutputInUse, match="held by a running job"),
    ):
        train(job_for(folder, tmp_path / "busy"))


def test_a_batch_must_be_shared_equally(folder: Path, tmp_path: Path) -> None:
    job = job_for(folder, tmp_path)
    with pytest.raises(WrongUsage, match="batch of 8 cannot be shared by 3 workers"):
        begin(job, restart=False, say=lambda _: None, workers=3)


def test_codes_of_another_encoder_than_the_models_are_refused(folder: Path, tmp_path: Path, model: Path) -> None:
    reader = ToyReader()
    reader.encoder_sha256 = "another"
    with pytest.raises(ModelMismatch, match="codes of two models must not be mixed"):
        built(job_for(folder, tmp_path, models=(str(model),)), reader, CPU, Share())


def test_too_few_rows_are_told_before_any_worker_starts(tmp_path: Path) -> None:
    folder = celeba_folder(tmp_path / "in", 4)
    job = job_for(folder, tmp_path / "out", data=DataConfig(uri=str(folder), size=32))
    with pytest.raises(WrongUsage, match="4 rows are too few"):
        begin(job, restart=False, say=lambda _: None)
    assert not (tmp_path / "out" / "_raypipe" / "plan.json").exists()
