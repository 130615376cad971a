"""Words in, files and exit codes out: ``raypipe weights import`` and then ``raypipe generate``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from raypipe.cli import main
from tests.backbones.perceptual_networks import random_heads_state, random_trunk_state
from tests.backbones.stylegan2_foreign_files import rosinality_checkpoint, saved
from tests.backbones.stylegan2_oracle import GENERATOR_FILE, case


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of ``raypipe`` with these words."""
    monkeypatch.setattr("sys.argv", ["raypipe", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    (tmp_path / "faces.pt").write_bytes(saved(rosinality_checkpoint()))
    assert run(monkeypatch, "weights", "import", str(tmp_path / "faces.pt"), "--out", str(tmp_path / "model")) == 0
    told = capsys.readouterr().out
    assert "rosinality stylegan2-pytorch checkpoint" in told
    assert "generator: stylegan2, 92 tensors" in told
    return str(tmp_path / "model")


def test_imported_weights_draw_the_public_picture(bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = case(GENERATOR_FILE)
    np.save(tmp_path / "z.npy", stored["z"].numpy())
    out = tmp_path / "pictures.npy"
    words = ("generate", bundle, "--latents", str(tmp_path / "z.npy"), "--truncation", "0.7", "--out", str(out))
    assert run(monkeypatch, *words) == 0
    np.testing.assert_allclose(np.load(out), stored["image_trunc07"].numpy(), atol=3e-5)


def test_import_tells_machines_what_it_wrote(
    bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("weights", "import", str(tmp_path / "faces.pt"), "--out", bundle, "--json")
    assert run(monkeypatch, *words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["parts"]["generator"]["size"] == 64
    assert told["imported_from"] == "faces.pt"


def test_lpips_is_imported_from_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alexnet.pth").write_bytes(saved(random_trunk_state("alexnet")))
    (tmp_path / "alex.pth").write_bytes(saved(random_heads_state("alexnet")))
    words = ("weights", "import", str(tmp_path / "alexnet.pth"), "--out", str(tmp_path / "model"))
    assert run(monkeypatch, *words) == 1
    assert "--heads" in capsys.readouterr().err
    assert run(monkeypatch, *words, "--heads", str(tmp_path / "alex.pth")) == 0
    assert "perceptual: lpips, 15 tensors" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--seeds", "9-1", "--out", "x.png"), "must go up"),
        (("--seeds", "1", "--out", "x.bmp"), ".png or .npy"),
        (("--out", "x.png"), "either seeds or latents"),
        (("--seeds", "1", "--noise", "loud", "--out", "x.png"), "const, none, random"),
        (("--latents", "none.npy", "--out", "x.png"), "no latents at"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    bundle: str, words: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "generate", bundle, *words) == 2
    assert told in capsys.readouterr().err


def test_no_model_is_exit_code_2_and_bad_weights_are_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "generate", str(tmp_path), "--seeds", "1", "--out", "x.png") == 2
    (tmp_path / "bad.pkl").write_bytes(b"cposix\nsystem\n.")
    assert run(monkeypatch, "weights", "import", str(tmp_path / "bad.pkl"), "--out", str(tmp_path / "m")) == 1
    assert "posix.system" in capsys.readouterr().err
