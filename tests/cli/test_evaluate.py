"""``raypipe evaluate`` from words to screen, JSON and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs import evaluate as evaluate_job
from raypipe.cli import main
from raypipe.cli.evaluate import read_job
from raypipe.config import read_yaml
from tests.l2m_models import tiny_l2m
from tests.pipeline.evaluate.models import tiny_identity

FEW = ("train=150", "validation=50", "test=75")
QUICK = (
    "queries=30",
    "preferences=3",
    "least_faces=5",
    "steps=20",
    "batch=64",
    "resamples=100",
    "interfacegan_share=0.5",
    "sparsities=[0, 0.01]",
)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["raypipe", "evaluate", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def words(model: Path, identity: str, *more: str) -> tuple[str, ...]:
    sets = [
        word
        for setting in (
            *(f"run.{few}" for few in FEW),
            *QUICK,
            "data.size=32",
            "data.attributes=[Male, Smiling, Young]",
        )
        for word in ("--set", setting)
    ]
    return ("sparse_directions", "--model", str(model), "--model", identity, *sets, *more)


@pytest.fixture
def identity(tmp_path: Path) -> str:
    return tiny_identity(tmp_path / "who")


def numbers(tree: Any) -> list[float]:
    if isinstance(tree, dict):
        return [number for value in tree.values() for number in numbers(value)]
    if isinstance(tree, list):
        return [number for value in tree for number in numbers(value)]
    return [tree] if isinstance(tree, float) else []


def test_screen_files_and_json_tell_the_same(
    model: Path, identity: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(monkeypatch, *words(model, identity, "--out", str(out))) == 0
    screen = capsys.readouterr().out
    report, record = (json.loads((out / name).read_text()) for name in ("report.json", "run.json"))
    assert run(monkeypatch, *words(model, identity, "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["report"] == report
    shown = numbers(report["tables"])
    assert len(shown) > 100
    assert all(f"{number:.3f}" in screen for number in shown)
    for claim in report["claims"]:
        assert f"{'holds' if claim['holds'] else 'does not hold'}: {claim['statement']}"[:100] in screen
    assert len(list(out.glob("*.png"))) == len(report["plots"]) == 4
    assert record["faces"] == told["run"]["faces"]
    assert record["method"]["queries"] == 30
    assert record["models"]["identity"]["model"] == identity


def test_dry_run_prints_the_settings(
    model: Path, identity: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *words(model, identity, "--dry-run")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["run"]["data"]["uri"] == "synthfaces"
    assert told["run"]["data"]["correlated"] is True
    assert told["method"]["steps"] == 20


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--set", "nonsense=1"), "unknown key 'nonsense'"),
        (("--set", "run.test=0"), "at least 1 face"),
        (("--set", "queries=76"), "76 queries"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    more: tuple[str, ...],
    message: str,
    model: Path,
    identity: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *words(model, identity, *more)) == 2
    assert message in capsys.readouterr().err


def test_the_jobs_settings_are_read_as_the_commands() -> None:
    settings = Path(evaluate_job.__file__).parent / "configs" / "evaluate.yaml"
    job = read_job(read_yaml(settings.read_text()), ["data.uri=elsewhere", "queries=7", "run.limit=9"])
    assert (job.config.data.uri, job.config.limit, job.method.queries) == ("elsewhere", 9, 7)
    assert evaluate_job.main([]) == 2
    assert evaluate_job.main([str(settings), "run.method=nothing"]) == 2


def test_edits_are_compared_with_rivals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        tiny_l2m(tmp_path / f"m{seed}", ("Smiling",), seed=seed)
    settings = (*(f"run.{few}" for few in FEW), "least_faces=5", "made_up=4", "readout=300", "shown=2", "data.size=16")
    sets = [word for setting in settings for word in ("--set", setting)]
    told = ("l2m_gan", "--model", f"{tmp_path}/m0", "--out", f"{tmp_path}/out", *sets)
    assert run(monkeypatch, *told, "--rival", f"other seed={tmp_path}/m1:l2m_gan") == 0
    assert "other seed" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [row[0] for row in report["tables"][0]["rows"]] == ["as they are", "L2M-GAN", "other seed"]
    assert {"strips.png", "edits-Smiling.png"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert run(monkeypatch, *told, "--rival", "small") == 2
    assert "rival 'small' is not of the form NAME=MODEL:METHOD" in capsys.readouterr().err
