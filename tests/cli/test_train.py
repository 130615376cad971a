"""``raypipe train`` as it is called: exit codes, what goes to standard output, and what is left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raypipe.cli import console
from raypipe.cli.console import ProgressLine
from tests.cli.test_encode import Raypipe, raypipe
from tests.pipeline.train.made_up import celeba_folder

__all__ = ["raypipe"]


@pytest.fixture
def train(tmp_path: Path) -> list[object]:
    """A local run on 48 faces, one of which cannot be read."""
    folder = celeba_folder(tmp_path / "in", 48)
    (folder / "img_align_celeba" / "000004.png").write_bytes(b"nothing")
    words = ["train", "attributes", "--data", folder, "--out", tmp_path / "out", "--local", "--size", 32]
    recipe = {"steps": 12, "batch": 8, "size": 32, "widths": "[8,8,8,8]", "feature_dim": 8, "data.held_out": 9}
    return [*words, *(word for name, value in recipe.items() for word in ("--set", f"{name}={value}"))]


def test_a_run_ends_with_a_summary_and_0(raypipe: Raypipe, train: list[object], tmp_path: Path) -> None:
    code, out, err = raypipe(*train)
    assert code == 0
    assert "this run: 96 images in" in out
    assert "bottleneck" in out
    assert "1 images could not be read, and others took their place:\n  000004.png: decode_not_an_image" in out
    assert f"{tmp_path}/out/model.json and the .safetensors beside it; use them with --model {tmp_path}/out" in out
    assert "attributes on 48 rows" in err
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (run["state"], run["step"], run["images_of_last_run"], run["rejected_rows"]) == ("done", 12, 96, 1)


def test_the_result_as_json_is_all_that_is_on_standard_output(raypipe: Raypipe, train: list[object]) -> None:
    code, out, _ = raypipe(*train, "--json")
    assert (code, json.loads(out)["state"]) == (0, "done")


def test_a_dry_run_tells_the_plan_and_leaves_nothing(raypipe: Raypipe, train: list[object], tmp_path: Path) -> None:
    code, out, _ = raypipe(*train, "--dry-run")
    assert code == 0
    assert "12 of 8 rows: 96 images" in out
    assert "this process, on cpu" in out
    assert not (tmp_path / "out").exists()
    code, out, _ = raypipe(*train, "--dry-run", "--json")
    plan = json.loads(out)["plan"]
    assert (plan["rows"], plan["rows_held_out"], plan["found"]["step"]) == (48, 9, 0)


def test_a_dry_run_tells_of_a_refusal_by_its_exit_code(raypipe: Raypipe, train: list[object]) -> None:
    raypipe(*train)
    assert "12 steps are done" in raypipe(*train, "--dry-run")[1]
    code, out, _ = raypipe(*train, "--dry-run", "--seed", 1)
    assert code == 1
    assert "would be refused" in out
    assert raypipe(*train, "--seed", 1)[0] == 1
    assert raypipe(*train, "--dry-run", "--set", "batch=2x")[0] == 2


def test_progress_is_that_of_this_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Also after a resume, and after the run was thrown back to an earlier checkpoint."""
    clock = iter([0.0, 0.0, 20.0, 20.0, 40.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    line = ProgressLine("train", "images")
    for done in (9_000, 9_200, 8_000, 8_100):
        line.update(done, 10_000)
    assert capsys.readouterr().err.splitlines() == [
        "train: 9,200 of 10,000 images, 10.0 images/s, 80 s left",
        "train: 8,100 of 10,000 images, 5.0 images/s, 380 s left",
    ]
