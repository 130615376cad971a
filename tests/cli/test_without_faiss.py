"""Where faiss is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = "import sys; sys.modules['faiss'] = None; from raypipe.cli import main; main()"


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SCRIPT, *map(str, words)], capture_output=True, text=True)


@pytest.mark.parametrize("words", [["index", "build", "codes"], ["index", "info", "index"], ["search", "index"]])
def test_what_needs_it_says_how_to_install_it(words: list[str]) -> None:
    told = run(*words)
    assert told.returncode == 2
    assert told.stderr.startswith("raypipe: searching needs faiss, which is not installed: pip install 'raypipe[cpu]'")


def test_what_does_not_need_it_works() -> None:
    assert run("methods").returncode == 0
    assert run("synth", "--help").returncode == 0
    assert run("encode", "--help").returncode == 0
