"""A picture of faces with a few lines of text under each: what was asked on top, what was found below.

Sizes are in pixels.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

MARGIN, GAP = 24, 14
LINE = 17
TEXT_SIZE, TITLE_SIZE = 13, 17
PAPER, INK, FAINT, RULE, MISSING = "#ffffff", "#1c1c1e", "#6e6e73", "#dcdce0", "#ececef"

SIDES = ((12, 176), (30, 144), (10_000, 120))
"""So many hits at most -> the side of a picture."""

LEAST_COLUMNS = 4
_MOST_WIDTH = 1180

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture, uint8 [h,w,3], or why there is none; under it lines of text, the first of which stands out."""

    picture: npt.NDArray[np.uint8] | str
    lines: tuple[str, ...]


def draw_sheet(title: Sequence[str], asked: Sequence[Tile], found: Sequence[Tile]) -> bytes:
    """The PNG. ``title``: its first line stands out."""
    side = next(side for most, side in SIDES if len(found) <= most)
    columns = min(max(len(found), len(asked), LEAST_COLUMNS), (_MOST_WIDTH - 2 * MARGIN + GAP) // (side + GAP))
    width = 2 * MARGIN + columns * (side + GAP) - GAP
    first, *others = title
    heading = [(line, TITLE_SIZE, INK) for line in _wrapped(first, width - 2 * MARGIN, TITLE_SIZE)]
    for text in others:
        heading += [(line, TEXT_SIZE, FAINT) for line in _wrapped(text, width - 2 * MARGIN, TEXT_SIZE)]
    rows = [_Row(tiles[i : i + columns], side) for tiles in (asked, found) for i in range(0, len(tiles), columns)]
    asked_rows = -(-len(asked) // columns)
    height = 2 * MARGIN + len(heading) * (LINE + 5) + GAP + sum(row.height for row in rows) + (GAP if asked_rows else 0)
    sheet = Image.new("RGB", (width, height), PAPER)
    pen, top = ImageDraw.Draw(sheet), MARGIN
    for line, size, colour in heading:
        pen.text((MARGIN, top), line, colour, _font(size))
        top += LINE + 5
    top += GAP
    for number, row in enumerate(rows):
        if asked_rows and number == asked_rows:
            pen.line((MARGIN, top, width - MARGIN, top), RULE)
            top += GAP
        row.draw(sheet, top)
        top += row.height
    sink = io.BytesIO()
    sheet.save(sink, "PNG")
    return sink.getvalue()


@dataclass(frozen=True)
class _Row:
    tiles: Sequence[Tile]
    side: int

    @property
    def height(self) -> int:
        return self.side + 8 + LINE * max(len(tile.lines) for tile in self.tiles) + GAP

    def draw(self, sheet: Image.Image, top: int) -> None:
        pen = ImageDraw.Draw(sheet)
        for place, tile in enumerate(self.tiles):
            left = MARGIN + place * (self.side + GAP)
            if isinstance(tile.picture, str):
                _draw_missing(pen, tile.picture, left, top, self.side)
            else:
                picture = Image.fromarray(tile.picture)
                sheet.paste(picture.resize((self.side, self.side), Image.Resampling.BICUBIC), (left, top))
            for number, line in enumerate(tile.lines):
                shown, colour = _fitted(line, self.side, TEXT_SIZE), FAINT if number else INK
                pen.text((left, top + self.side + 6 + number * LINE), shown, colour, _font(TEXT_SIZE))


def _draw_missing(pen: ImageDraw.ImageDraw, why: str, left: int, top: int, side: int) -> None:
    """A grey tile that says why, as far as there is room."""
    pen.rectangle((left, top, left + side - 1, top + side - 1), MISSING)
    lines = _wrapped(why, side - 16, TEXT_SIZE)
    room = (side - 16) // LINE
    if len(lines) > room:
        lines = [*lines[: room - 1], _fitted(lines[room - 1] + " ...", side - 16, TEXT_SIZE)]
    for number, line in enumerate(lines):
        pen.text((left + 8, top + 8 + number * LINE), line, FAINT, _font(TEXT_SIZE))


@cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _fitted(text: str, width: int, size: int) -> str:
    """The text, or as much of its beginning and end as fits: names of files often differ in their end."""
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    fitting = bisect_right(range(len(text)), width, key=lambda kept: int(font.getlength(_shortened(text, kept)) + 1))
    return _shortened(text, max(fitting - 1, 2))


def _shortened(text: str, kept: int) -> str:
    end = kept // 2
    return f"{text[: kept - end]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - end :]}"


def _wrapped(text: str, width: int, size: int) -> list[str]:
    """Lines that fit, broken between words; inside a word only where it alone is too long."""
    font, lines = _font(size), [""]
    for word in text.split():
        rest = word
        while rest:
            joined = f"{lines[-1]} {rest}".strip()
            if font.getlength(joined) <= width:
                lines[-1], rest = joined, ""
            elif lines[-1]:
                lines.append("")
            else:
                fitting = max(
                    1, bisect_right(range(len(rest)), width, key=lambda n: int(font.getlength(rest[:n]) + 1)) - 1
                )
                lines[-1], rest = rest[:fitting], rest[fitting:]
                lines.append("")
    return lines if lines[-1] or len(lines) == 1 else lines[:-1]
