"""What ``raypipe submit`` makes of its words, before any cluster is asked."""

from __future__ import annotations

import shlex

import pytest
import typer
import typer.main
from typer.core import TyperGroup

from raypipe.cli import submit
from raypipe.errors import WrongUsage


def _context() -> typer.Context:
    """Of the command ``submit``, beside one that resumes by default, one that must be asked to, and one that cannot."""
    app, index = typer.Typer(), typer.Typer()

    @app.command()
    def encode(source: str, restart: bool = typer.Option(False, "--restart/--resume")) -> None: ...

    @app.command()
    def info(uri: str) -> None: ...

    @index.command()
    def build(codes: str, resume: bool = typer.Option(False, "--resume")) -> None: ...

    @index.command()
    def verify(uri: str) -> None: ...

    app.add_typer(index, name="index")
    app.command()(submit.submit)
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    return typer.Context(root.commands["submit"], parent=typer.Context(root))


@pytest.mark.parametrize(
    ("words", "resumed"),
    [
        ("encode faces --out codes", "encode --resume faces --out codes"),
        ("encode --restart faces", "encode --resume faces"),
        ("encode faces --resume", "encode --resume faces"),
        ("index build codes", "index build --resume codes"),
        ("index verify codes", "index verify codes"),
        ("info --restart", "info --restart"),
        ("--help", "--help"),
    ],
)
def test_lost_work_is_resumed_by_commands_that_can(words: str, resumed: str) -> None:
    assert submit._resumed(_context(), words.split()) == resumed.split()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("encodee faces", "known here: encode, index, info, submit"),
        ("index biuld codes", "known here: build, verify"),
        ("submit -- info x", "cannot submit itself"),
    ],
)
def test_what_cannot_run_there_is_refused_here(words: str, message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        submit._resumed(_context(), words.split())


def test_the_name_follows_from_the_command_alone() -> None:
    words = ["encode", "a b", "--out", "c"]
    assert submit._name(words) == submit._name(list(words))
    assert submit._name(words).startswith("raypipe-encode-")
    # Joined by spaces these two would be the same.
    assert submit._name(words) != submit._name(["encode", "a", "b", "--out", "c"])


def test_the_shell_on_the_cluster_sees_the_words_as_they_were_given() -> None:
    words = ["search", "an index", "--adjust", "smile=$(reboot)"]
    assert shlex.split(submit._entrypoint(words)) == ["exec", "python", "-m", "raypipe", *words]


@pytest.mark.parametrize(
    ("size", "count"), [("0", 0), ("4096", 4096), ("4G", 4 * 2**30), ("1.5 GiB", 3 * 2**29), ("512mb", 2**29)]
)
def test_sizes(size: str, count: int) -> None:
    assert submit._bytes(size) == count


@pytest.mark.parametrize("size", ["", "G", "-1", "4 bananas", "1e9"])
def test_what_is_not_a_size(size: str) -> None:
    with pytest.raises(WrongUsage, match="is not a size"):
        submit._bytes(size)
