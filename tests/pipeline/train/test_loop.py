from __future__ import annotations

import json
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from raypipe import storage
from raypipe.contract import Share
from raypipe.errors import Diverged, RaypipeError
from raypipe.pipeline.train.batches import LocalBatches
from raypipe.pipeline.train.config import DataConfig, TrainConfig
from raypipe.pipeline.train.loop import Loop, Progress
from raypipe.pipeline.train.readers import Arrays, split_rows
from raypipe.pipeline.train.sums import Sums
from tests.pipeline.train.toy import ROWS, ToyReader, ToyRecipe
from tests.share_workers import Meeting

STEPS = 23


class Killed(Exception):
    """The process ends here, as far as the run can tell."""


class Interrupted(LocalBatches):
    """Batches up to a step, and then no more."""

    def from_step(self, step: int) -> Generator[Arrays]:
        for number, arrays in enumerate(super().from_step(step), start=step):
            if number == 14:
                raise Killed
            yield arrays


def make_loop(out: Path | str, batches: type[LocalBatches] = LocalBatches, **recipe: Any) -> Loop:
    data = DataConfig(uri="toy", held_out=8)
    config = TrainConfig(
        recipe="toy", out=str(out), data=data, log_every=4, checkpoint_every=5, snapshot_every=10, evaluate_every=10
    )
    reader = ToyReader()
    split = split_rows(reader, held_out=8)
    order = split.order(reader.groups, batch=6, seed=0)
    return Loop(
        config=config,
        recipe=ToyRecipe(Share(), **recipe),
        steps=STEPS,
        batch_rows=6,
        batches=batches(reader, order, split.training),
        reader=reader,
        held_out=split.held_out,
        device=torch.device("cpu"),
        share=Share(),
        watch=lambda progress: None,
        is_told=lambda: False,
    )


def numbers_of(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "steps_per_s"} for line in lines]


def test_a_run_that_was_cut_off_ends_as_the_unbroken_one(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    unbroken = make_loop(whole)
    assert unbroken.run() == STEPS
    with pytest.raises(Killed):
        make_loop(cut, Interrupted).run()
    assert make_loop(cut).checkpoints.steps() == [5, 10]
    resumed = make_loop(cut)
    assert resumed.run() == STEPS
    assert torch.equal(resumed.recipe.state_dict()["weight"], unbroken.recipe.state_dict()["weight"])
    assert resumed.best == unbroken.best
    assert {path.name for path in (cut / "samples").iterdir()} == {path.name for path in (whole / "samples").iterdir()}
    assert [line["step"] for line in numbers_of(cut)] == [4, 5, 8, 10, 10, 12, 15, 16, 20, 20, 23, 23]
    assert numbers_of(cut) == numbers_of(whole)


def test_tensorboard_shows_a_resumed_run_once(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    make_loop(whole).run()
    with pytest.raises(Killed):
        make_loop(cut, Interrupted).run()
    make_loop(cut).run()
    assert scalars_of(cut) == scalars_of(whole)


def scalars_of(out: Path) -> dict[str, list[tuple[int, float]]]:
    """Of each number but the speed its steps and values, as TensorBoard shows them."""
    board = EventAccumulator(str(out / "tensorboard")).Reload()
    names = set(board.Tags()["scalars"]) - {"steps_per_s"}
    assert names
    return {name: [(event.step, event.value) for event in board.Scalars(name)] for name in names}


def test_a_run_that_ends_between_two_logs_goes_on_with_the_same_means(tmp_path: Path) -> None:
    whole, stopped = make_loop(tmp_path / "whole"), make_loop(tmp_path / "cut")
    whole.run()
    steps: list[int] = []
    stopped.watch = lambda progress: steps.append(progress.step)
    stopped.is_told = lambda: steps[-1:] == [14]
    assert stopped.run() == 14
    assert make_loop(tmp_path / "cut").run() == STEPS
    assert numbers_of(tmp_path / "cut") == numbers_of(tmp_path / "whole")


def test_the_last_checkpoints_stay_and_the_best_one(tmp_path: Path) -> None:
    loop = make_loop(tmp_path, best_at=10)
    loop.run()
    assert loop.best is not None
    assert (loop.best.step, loop.best.name, loop.best.value) == (10, "distance", 0.0)
    assert loop.checkpoints.steps() == [10, 20, 23]


def test_a_run_at_its_end_has_nothing_left_to_do(tmp_path: Path) -> None:
    make_loop(tmp_path).run()
    again = make_loop(tmp_path)
    assert again.run() == STEPS
    assert again.recipe.state_dict()["steps"] == STEPS


def test_a_number_that_is_not_finite_stops_the_run_and_the_checkpoints_before_it_stay_good(tmp_path: Path) -> None:
    loop = make_loop(tmp_path, poison=12)
    with pytest.raises(Diverged, match=r"at step 15: loss = nan.*last good checkpoint is that of step 10"):
        loop.run()
    assert loop.checkpoints.steps() == [5, 10]
    state = loop.checkpoints.load(10, torch.device("cpu"))
    assert torch.isfinite(state["recipe"]["weight"]).all()


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    loop = make_loop(tmp_path)
    loop.recipe.weight.data.fill_(float("inf"))  # type: ignore[attr-defined]
    loop.recipe.step = lambda batch: {"loss": torch.zeros(())}  # type: ignore[method-assign]
    with pytest.raises(Diverged, match=r"1 of the recipe's tensors are not finite, weight.*no checkpoint yet"):
        loop.run()
    assert loop.checkpoints.steps() == []


def test_an_evaluation_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    loop = make_loop(tmp_path)
    loop.recipe.evaluate = lambda batches: {"distance": float("nan")}  # type: ignore[method-assign]
    with pytest.raises(Diverged, match=r"after step 10: held_out/distance = nan. The last good checkpoint .* step 5"):
        loop.run()
    assert loop.checkpoints.steps() == [5]


def test_workers_end_together_where_one_is_told_to(tmp_path: Path) -> None:
    meeting = Meeting(2)
    loops = [make_loop(tmp_path) for _ in range(2)]
    steps: list[int] = []
    for rank, loop in enumerate(loops):
        loop.share = Share(rank, 2, meeting.average_for(rank))
        loop.sums = Sums(loop.share)
    loops[1].watch = lambda progress: steps.append(progress.step)
    loops[1].is_told = lambda: len(steps) >= 6  # of which the first worker knows nothing
    with ThreadPoolExecutor(2) as workers:
        assert list(workers.map(Loop.run, loops)) == [8, 8]  # the next step that is logged
    assert loops[0].checkpoints.steps() == [5, 8]


def test_held_out_rows_are_never_trained_with(tmp_path: Path) -> None:
    loop = make_loop(tmp_path)
    assert isinstance(loop.batches, LocalBatches)
    trained = set(np.concatenate([loop.batches.rows[loop.batches.order.of_step(step)] for step in range(50)]).tolist())
    assert trained | set(loop.held_out.tolist()) == set(range(ROWS))
    assert not trained & set(loop.held_out.tolist())
    loop.run()
    assert numbers_of(tmp_path)[-1]["held_out/rows"] == len(loop.held_out) == 8


def test_samples_are_pictures(tmp_path: Path) -> None:
    make_loop(tmp_path).run()
    sheet = np.asarray(Image.open(tmp_path / "samples" / "step-000000023.png"))
    assert sheet.shape == (8 * 4 + 7 * 2, 3 * 4 + 2 * 2, 3)
    assert sheet[:4, :4].mean() == pytest.approx(128, abs=1)
    assert (sheet[4:6] == 255).all()


def test_whoever_watches_sees_every_step_and_the_numbers_when_they_are_logged(tmp_path: Path) -> None:
    seen: list[Progress] = []
    loop = make_loop(tmp_path)
    loop.watch = seen.append
    loop.run()
    assert [progress.step for progress in seen] == list(range(1, STEPS + 1))
    assert seen[-1].images == STEPS * 6
    assert [progress.step for progress in seen if progress.numbers] == [4, 5, 8, 10, 12, 15, 16, 20, 23]


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    make_loop(tmp_path).run()
    (tmp_path / "checkpoints" / "step-000000023.pt").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(RaypipeError, match=r"step-000000023\.pt is damaged"):
        make_loop(tmp_path).run()


def test_a_run_lives_on_an_object_store(bucket: str) -> None:
    out = f"s3://{bucket}/run"
    with pytest.raises(Killed):
        make_loop(out, Interrupted).run()
    loop = make_loop(out)
    loop.run()
    assert loop.checkpoints.steps() == [10, 20, 23]
    assert storage.exists(f"{out}/metrics.jsonl")
    assert storage.exists(f"{out}/samples/step-000000010.png")
