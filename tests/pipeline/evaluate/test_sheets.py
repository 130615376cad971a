"""Pages of pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from raypipe.pipeline.evaluate.sheets import GAP, HEADING, LINE, MARGIN, ROW, SIDE, sheet_png
from raypipe.report import Sheet, SheetRow


def page(*rows: SheetRow, columns: Sequence[str] = ("over",) * 3, title: str = "A title") -> np.ndarray:
    sheet = Sheet(title=title, note="a note", columns=columns, rows=rows)
    return np.asarray(Image.open(io.BytesIO(sheet_png(sheet))).convert("RGB")).astype(int)


def row(*lightness: float, name: tuple[str, ...] = ("eyes", "us")) -> SheetRow:
    pictures = torch.tensor(lightness)[:, None, None, None].expand(-1, 3, 8, 8)
    return SheetRow(name=name, pictures=pictures, captions=["0.25"] * len(lightness))


def test_every_picture_is_in_its_row_and_column() -> None:
    drawn = page(row(-1.0, 0.0, 0.5), row(0.5, -1.0, 0.0))
    assert drawn.shape[0] == 2 * MARGIN + HEADING + LINE + 2 * ROW
    first = drawn.shape[1] - MARGIN - 3 * (SIDE + GAP)
    for number, expected in enumerate([(0, 128, 191), (191, 0, 128)]):
        middle = MARGIN + HEADING + LINE + number * ROW + SIDE // 2
        centres = [first + place * (SIDE + GAP) + SIDE // 2 for place in range(3)]
        np.testing.assert_allclose(drawn[middle, centres, 0], expected, atol=1)
        under = drawn[middle + SIDE // 2 + 1 : middle + SIDE // 2 + LINE, centres[0] - 20 : centres[0] + 20]
        assert under.min() < 160, "its caption"
        beside = drawn[MARGIN + HEADING + LINE + number * ROW :][:LINE, MARGIN : MARGIN + 30]
        assert beside.min() < 100, "its name"


def test_a_long_title_widens_the_page_and_no_row_is_no_error() -> None:
    narrow, wide = page(columns=["over"]), page(columns=["over"], title="A title " * 20)
    assert wide.shape[1] > narrow.shape[1]


def test_long_words_over_and_under_pictures_stay_in_their_columns() -> None:
    long = "Mouth_Slightly_Open_And_Eyes_Narrow"
    drawn = page(
        SheetRow(name=("eyes",), pictures=torch.zeros(3, 3, 8, 8), captions=[long] * 3),
        columns=["over", "no orthogonality and no perceptual loss", long],
    )
    first, top = drawn.shape[1] - MARGIN - 3 * (SIDE + GAP), MARGIN + HEADING + 3 * LINE
    assert drawn.shape[0] == top + ROW + MARGIN
    assert drawn[top + SIDE // 2, first + SIDE // 2, 0] == 128, "the picture"
    for place in range(3):
        left = first + place * (SIDE + GAP)
        for rows in (slice(MARGIN + HEADING - GAP, top - GAP), slice(top + SIDE, top + SIDE + LINE)):
            assert drawn[rows, left + SIDE + 1 : left + SIDE + GAP].min() == 255, "between columns"
            assert drawn[rows, left : left + SIDE].min() < 160, "words"
    over = [drawn[top - GAP - (up + 1) * LINE :][:LINE, first:][:, :SIDE].min() < 160 for up in range(3)]
    assert over == [True, False, False], "short names stand just over their pictures"


def test_the_lines_of_a_name_are_in_order() -> None:
    drawn = page(columns=["Mouth_Slightly W"])
    first, top = drawn.shape[1] - MARGIN - SIDE - GAP, MARGIN + HEADING - GAP
    upper, lower = (
        (drawn[top + line * LINE :][:LINE, first : first + SIDE].min((0, 2)) < 160).sum() for line in range(2)
    )
    assert upper > 3 * lower > 0
