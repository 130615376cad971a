"""The list of commands, and that it costs nothing to look at it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from raypipe.cli import app, main
from raypipe.cli.lazy import LazyCommand, loaded


def test_help_and_a_mistyped_word_import_no_pytorch() -> None:
    script = (
        "import sys; from raypipe.cli import app\n"
        "for words in (['--help'], ['enco']):\n"
        "    try: app(words)\n"
        "    except SystemExit: pass\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'ray', 'pyarrow', 'numpy')))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert all(name in told.stdout for name in app.commands)
    assert "Did you mean 'encode'?" in told.stderr


@pytest.mark.parametrize("name", sorted(app.commands))
def test_behind_each_name_is_a_command_with_a_longer_help(name: str) -> None:
    behind = loaded(app.commands[name])
    assert not isinstance(behind, LazyCommand)
    assert behind.help
    assert behind.params or behind.commands


def test_a_command_that_submits_itself_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["raypipe", "submit", "--address", "http://127.0.0.1:1", "--", "submit", "--", "info", "x"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "cannot submit itself" in capsys.readouterr().err
