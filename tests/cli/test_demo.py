from __future__ import annotations

import signal
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from raypipe.cli import app, demo_serve
from raypipe.contract import Columns
from raypipe.errors import WrongUsage
from raypipe.methods.sparse_directions.recipe import SparseDirectionsRecipe
from raypipe.retrieval.index import open_index
from raypipe.weights import open_bundle
from tests.cli.demo_terminal import demo_at_a_terminal, demo_without_a_terminal

MADE = {"faces", "codes", "model", "index", "reconstructions.png", "edits.png", "found.png"}
SERVED = {*MADE, "edited.png"}
ON_RAY = pytest.param([], marks=[pytest.mark.ray, pytest.mark.slow], id="ray")


def test_the_demo_leaves_codes_directions_and_pictures(tmp_path: Path) -> None:
    arguments = ["demo", "--local", "--no-serve", "--count", "200", "--out", str(tmp_path)]
    app(arguments, standalone_mode=False)
    assert _names(tmp_path) == MADE
    assert (tmp_path / "codes" / "_SUCCESS").exists()
    assert {"generator", "encoder", "sparse_directions"} <= set(open_bundle(str(tmp_path / "model")).parts)
    strip = np.asarray(Image.open(tmp_path / "edits.png")).astype(float)
    tiles = [strip[:64, left : left + 64] for left in range(0, strip.shape[1], 66)]
    moved = [np.abs(tile - tiles[1]).mean() for tile in tiles[2:]]
    assert moved == sorted(moved), "every strength changes more than the one before"
    assert moved[-1] > 3
    assert open_index(str(tmp_path / "index")).manifest.rows == 200
    assert Image.open(tmp_path / "found.png").size > (600, 400)
    app(arguments, standalone_mode=False)  # again, in place of the first
    assert _names(tmp_path) == MADE


@pytest.mark.parametrize("options", [["--local"], ON_RAY])
def test_without_a_terminal_it_asks_its_server_and_ends(tmp_path: Path, options: Sequence[str]) -> None:
    done = demo_without_a_terminal([*options, "--count", "100", "--out", str(tmp_path / "out")])
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "the web page" not in done.stdout
    assert _names(tmp_path / "out") == SERVED
    told = [line for line in done.stdout.splitlines() if "(over HTTP)" in line]
    assert [Path(line.split()[0]).name for line in told] == ["found.png", "edited.png"]
    assert all(Image.open(line.split()[0]).width > 600 for line in told)


@pytest.mark.parametrize("options", [["--local"], ON_RAY])
def test_on_a_terminal_the_page_stays_until_ctrl_c(tmp_path: Path, options: Sequence[str]) -> None:
    with demo_at_a_terminal([*options, "--count", "100", "--out", str(tmp_path / "out")]) as terminal:
        url = terminal.wait_for(r"the web page: (http://127.0.0.1:\d+)/\s")[1]
        terminal.wait_for("Ctrl-C ends it")
        assert _names(tmp_path / "out") == SERVED
        assert "<html" in httpx.get(url).text
        assert httpx.get(f"{url}/v1/index").json()["rows"] == 100
        others = terminal.process.children(recursive=True)
        terminal.press_ctrl_c()
        terminal.wait_for("the server ends")
        terminal.press_ctrl_c()  # which changes nothing any more
        assert terminal.wait_for_end() == 0
        assert "Traceback" not in terminal.shown
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
        assert psutil.wait_procs(others, timeout=30)[1] == []


def test_ctrl_c_at_work_ends_it(tmp_path: Path) -> None:
    with demo_at_a_terminal(["--local", "--out", str(tmp_path / "out")]) as terminal:
        terminal.wait_for("listing")
        terminal.press_ctrl_c()
        assert terminal.wait_for_end() == 1
        assert "stopped; the next demo begins anew" in terminal.shown
        assert "Traceback" not in terminal.shown
    app(["demo", "--local", "--no-serve", "--count", "100", "--out", str(tmp_path / "out")], standalone_mode=False)
    assert _names(tmp_path / "out") == MADE


def test_ctrl_c_after_the_last_step_of_training_ends_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish = SparseDirectionsRecipe.finish

    def finish_interrupted(recipe: SparseDirectionsRecipe, batches: Iterable[Columns]) -> None:
        finish(recipe, batches)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(SparseDirectionsRecipe, "finish", finish_interrupted)
    arguments = ["demo", "--local", "--no-serve", "--count", "100", "--out", str(tmp_path)]
    assert app(arguments, standalone_mode=False) == 1
    assert _names(tmp_path) == {"faces", "codes", "model"}


def test_where_the_usual_port_is_taken_it_takes_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(demo_serve, "USUAL_PORT", port)
        assert demo_serve.free_port() not in (0, port)
        with pytest.raises(WrongUsage, match=f"cannot listen at 127.0.0.1 port {port}"):
            app(["demo", "--port", str(port), "--out", str(tmp_path / "out")], standalone_mode=False)
    assert demo_serve.free_port() == port
    assert _names(tmp_path) == set(), "it is told before any work"


def test_what_is_not_installed_is_told_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_serve, "NEEDED", ("httpx", "no_such_package"))
    with pytest.raises(WrongUsage, match=r"not installed: no_such_package; .*--no-serve"):
        app(["demo", "--local", "--out", str(tmp_path / "out")], standalone_mode=False)
    assert _names(tmp_path) == set()


def test_a_demo_of_too_few_faces_is_refused(tmp_path: Path) -> None:
    done = demo_without_a_terminal(["--local", "--count", "99", "--out", str(tmp_path / "out")])
    assert done.returncode == 2
    assert "--count" in done.stderr


def test_the_demo_deletes_nothing_of_others(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(WrongUsage, match=r"holds other things than a demo: thesis\.txt"):
        app(["demo", "--local", "--out", str(tmp_path)], standalone_mode=False)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
