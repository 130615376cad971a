from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from raypipe.pipeline.search.query import FromCodes, FromIndex, Like, SearchQuery
from raypipe.pipeline.search.result_sheet import result_sheet
from raypipe.pipeline.search.searcher import Searcher, open_searcher
from raypipe.pipeline.search.sheet import GAP, MARGIN, Tile, draw_sheet
from tests.pipeline.search.small_collection import SmallCollection

GREEN = np.full((8, 8, 3), (0, 200, 0), np.uint8)
RED = np.full((8, 8, 3), (200, 0, 0), np.uint8)

Pixels = npt.NDArray[np.uint8]


def read(content: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def count_of(sheet: Pixels, colour: tuple[int, int, int]) -> int:
    return int((sheet == colour).all(-1).sum())


@pytest.mark.parametrize(("hits", "side"), [(1, 176), (12, 176), (13, 144), (50, 120)])
def test_every_tile_is_drawn_whole_and_none_over_another(hits: int, side: int) -> None:
    lines = ("a name of a file that goes on and on and on and on.jpg", *("word " * 40,) * 6)
    asked, found = [Tile(RED, lines)] * 2, [Tile(GREEN, lines)] * hits
    sheet = read(draw_sheet(["a title " * 40, "and more"], asked, found))
    assert count_of(sheet, (0, 200, 0)) == hits * side**2
    assert count_of(sheet, (200, 0, 0)) == 2 * side**2
    edge = np.concatenate(
        [sheet[:MARGIN].reshape(-1, 3), sheet[-GAP:].reshape(-1, 3), sheet[:, :MARGIN].reshape(-1, 3)]
    )
    assert (edge == 255).all(), "nothing runs into the margin"
    assert (sheet[:, -MARGIN + 1 :] == 255).all()


@pytest.mark.parametrize("why", ["", "gone", "x" * 500, "many words " * 100])
def test_a_picture_that_cannot_be_read_is_a_grey_tile_that_says_why(why: str) -> None:
    sheet = read(draw_sheet(["title"], [], [Tile(why, ("1",))]))
    grey = count_of(sheet, (0xEC, 0xEC, 0xEF))
    assert 0.5 * 176**2 < grey <= 176**2
    assert (grey < 176**2) == bool(why)


def test_no_hits_at_all() -> None:
    assert (
        count_of(read(draw_sheet(["title", "no face matches"], [Tile(RED, ("the face",))], [])), (200, 0, 0)) == 176**2
    )


def test_pictures_that_are_gone_do_not_stop_the_sheet(collection: SmallCollection, tmp_path: Any) -> None:
    searcher = open_searcher(str(collection.index), str(collection.model))
    searcher.collection._uris = {name: str(tmp_path) for name in searcher.collection._uris}
    code = np.zeros((8, 16), np.float32)
    result = searcher.search(SearchQuery(face=FromCodes({"w_plus": code}), k=3))
    sheet = read(result_sheet(searcher, result))
    assert count_of(sheet, (0xEC, 0xEC, 0xEF)) > 4 * 0.5 * 176**2


def test_the_face_that_was_looked_for_is_drawn_only_where_something_is_adjusted(
    collection: SmallCollection, searcher: Searcher
) -> None:
    face = FromIndex(collection.id(3))

    def asked(**values: Any) -> Pixels:
        """The row of what was asked, between the title and the hits."""
        result = searcher.search(SearchQuery(face=face, k=1, **values))
        return read(result_sheet(searcher, result))[:, MARGIN + 176 + GAP :][:200]

    assert count_of(asked(prefer={"Smiling": 2}), (255, 255, 255)) > 0.9 * asked(prefer={"Smiling": 2})[..., 0].size
    for values in ({"adjust": {"Smiling": 1.0}}, {"move": {"Smiling": 1.0}}, {"like": (Like("w_plus", face),)}):
        sheet = asked(**values)
        assert count_of(sheet, (255, 255, 255)) < 0.9 * sheet[..., 0].size
