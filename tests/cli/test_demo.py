from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raypipe.cli import app
from raypipe.errors import WrongUsage
from raypipe.retrieval.index import open_index
from raypipe.weights import open_bundle


def test_the_demo_leaves_codes_directions_and_pictures(tmp_path: Path) -> None:
    arguments = ["demo", "--local", "--count", "200", "--out", str(tmp_path)]
    app(arguments, standalone_mode=False)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"faces", "codes", "model", "reconstructions.png", "edits.png", "index", "found.png"}
    assert (tmp_path / "codes" / "_SUCCESS").exists()
    assert {"generator", "encoder", "sparse_directions"} <= set(open_bundle(str(tmp_path / "model")).parts)
    strip = np.asarray(Image.open(tmp_path / "edits.png")).astype(float)
    tiles = [strip[2:66, left : left + 64] for left in range(2, strip.shape[1], 66)]
    moved = [np.abs(tile - tiles[1]).mean() for tile in tiles[2:]]
    assert moved == sorted(moved), "every strength changes more than the one before"
    assert moved[-1] > 3
    assert open_index(str(tmp_path / "index")).manifest.rows == 200
    assert Image.open(tmp_path / "found.png").size > (600, 400)
    app(arguments, standalone_mode=False)  # again, in place of the first
    assert {path.name for path in tmp_path.iterdir()} == made


def test_the_demo_deletes_nothing_of_others(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(WrongUsage, match=r"holds other things than a demo: thesis\.txt"):
        app(["demo", "--local", "--out", str(tmp_path)], standalone_mode=False)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
