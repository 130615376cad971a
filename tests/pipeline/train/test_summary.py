from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raypipe.contract import Share
from raypipe.pipeline.train.summary import Outcome, bottleneck, run_record
from tests.pipeline.train.made_up import celeba_folder
from tests.pipeline.train.test_job import RECIPE, job_for, train
from tests.pipeline.train.test_loop import make_loop
from tests.pipeline.train.toy import ROWS
from tests.share_workers import Meeting


@pytest.mark.parametrize("stage", ["start", "data", "steps", "evaluation", "checkpoints", "finish"])
def test_the_bottleneck_is_what_took_longest(stage: str) -> None:
    words = {
        "start": "longer runs",
        "data": "CPU cores",
        "steps": "faster device",
        "evaluation": "evaluate_every",
        "checkpoints": "storage",
        "finish": "all rows at the end",
    }
    told = bottleneck(dict.fromkeys(words, 1.0) | {stage: 5.0})
    assert words[stage] in told
    assert told.endswith("(50% of the time)")


def test_images_that_others_replaced_are_counted_and_told(tmp_path: Path) -> None:
    folder = celeba_folder(tmp_path / "in", 48)
    for number in (4, 9, 11):
        (folder / "img_align_celeba" / f"{number:06d}.png").write_bytes(b"")
    job = job_for(folder, tmp_path / "out")
    outcome = train(job)
    assert outcome.run["rejected_rows"] == 3
    assert {example.partition(": ")[0] for example in outcome.run["rejected_examples"]} == {
        "000004.png", "000009.png", "000011.png"
    }  # fmt: skip
    words = outcome.in_words()
    assert "3 images could not be read, and others took their place:" in words
    assert "\n  000009.png: decode_empty: " in words
    assert f"{tmp_path / 'out'}/model.json" in words
    assert json.loads((tmp_path / "out" / "run.json").read_text()) == outcome.run


def test_a_run_that_goes_on_tells_of_itself_alone(tmp_path: Path) -> None:
    job = job_for(celeba_folder(tmp_path / "in", 48), tmp_path / "out")
    assert train(job).run["images_of_last_run"] == 12 * 8
    longer = train(replace(job, recipe=replace(RECIPE, steps=15)))
    assert longer.run["images_of_last_run"] == 3 * 8
    assert longer.run["images_per_s"] == pytest.approx(24 / longer.run["seconds_of_last_run"], rel=0.3)
    again = train(replace(job, recipe=replace(RECIPE, steps=15)))
    assert (again.run["images_of_last_run"], again.run["bottleneck"]) == (0, "nothing was left to do")


def test_all_that_a_run_does_is_timed(tmp_path: Path) -> None:
    loop = make_loop(tmp_path)
    loop.run()
    assert set(loop.seconds) == {"start", "data", "steps", "evaluation", "checkpoints"}
    assert min(loop.seconds.values()) > 0
    short = make_loop(tmp_path / "short")
    short.steps = 1
    short.run()
    assert "data" not in short.seconds  # the wait for the first batch is the start


def test_the_pass_over_all_rows_is_told(tmp_path: Path) -> None:
    loop = make_loop(tmp_path)
    loop.finish(np.arange(5))
    run = run_record(loop.config, RECIPE, loop, step=1, is_done=True, seconds=1.0)
    assert run["rows_at_the_end"] == 5
    words = Outcome("out", 1, 1, is_done=True, run=run | {"ms_per_row_at_the_end": 3.8125}).in_words()
    assert "at the end 5 training rows a worker once more, 3.81 ms each" in words
    assert run["bottleneck"].startswith("the pass over all rows at the end is the bottleneck")


def test_a_row_that_several_workers_met_counts_once(tmp_path: Path) -> None:
    meeting = Meeting(2)

    def rejected_rows(rank: int, met: dict[int, str]) -> int:
        loop = make_loop(tmp_path)
        loop.share = Share(rank, 2, meeting.average_for(rank))
        loop.reader.rejected.update(met)  # type: ignore[attr-defined]
        record = run_record(loop.config, RECIPE, loop, step=1, is_done=True, seconds=1.0)
        return int(record["rejected_rows"])

    with ThreadPoolExecutor(2) as pool:
        told = pool.map(rejected_rows, range(2), [{3: "a", 7: "b"}, {7: "b", ROWS - 1: "c"}])
        assert list(told) == [3, 3]
