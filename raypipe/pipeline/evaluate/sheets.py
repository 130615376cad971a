"""Pages of pictures with words over, beside and under them. Sizes are in pixels."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont

from raypipe.faces import to_pixels
from raypipe.report import Sheet, SheetRow

MARGIN, GAP, LINE, SIDE = 24, 8, 16, 104
TEXT_SIZE, TITLE_SIZE = 13, 17
PAPER, INK, FAINT, RULE = "#ffffff", "#1c1c1e", "#6e6e73", "#dcdce0"

HEADING = 60
"""Of a page: title and note, without the lines over the columns."""

ROW = SIDE + LINE + 2 * GAP


def sheet_png(sheet: Sheet) -> bytes:
    """The page as PNG; a rule where a row's first line is another than that of the row before."""
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    words = [(line, TEXT_SIZE) for row in sheet.rows for line in row.name]
    left = MARGIN + GAP + max((_width(pen, line, size) for line, size in words), default=0)
    heading = max(_width(pen, sheet.title, TITLE_SIZE), _width(pen, sheet.note, TEXT_SIZE)) + 2 * MARGIN
    width = max(left + len(sheet.columns) * (SIDE + GAP) + MARGIN, heading)
    names = [_lines(pen, name) for name in sheet.columns]
    first = MARGIN + HEADING + LINE * max(map(len, names), default=0)
    page = Image.new("RGB", (width, first + len(sheet.rows) * ROW + MARGIN), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((MARGIN, MARGIN), sheet.title, INK, ImageFont.load_default(TITLE_SIZE))
    pen.text((MARGIN, MARGIN + 26), sheet.note, FAINT, ImageFont.load_default(TEXT_SIZE))
    for place, lines in enumerate(names):
        for up, line in enumerate(reversed(lines), start=1):
            _centred(pen, line, left + place * (SIDE + GAP), first - GAP - up * LINE)
    before: str | None = None
    for number, row in enumerate(sheet.rows):
        top = first + number * ROW
        if row.name[0] != before:
            pen.line((MARGIN, top - GAP, width - MARGIN, top - GAP), RULE)
        before = row.name[0]
        _draw_row(page, row, left, top)
    sink = io.BytesIO()
    page.save(sink, "PNG")
    return sink.getvalue()


def _draw_row(page: Image.Image, row: SheetRow, left: int, top: int) -> None:
    pen = ImageDraw.Draw(page)
    for number, line in enumerate(row.name):
        pen.text((MARGIN, top + number * LINE), line, FAINT if number else INK, ImageFont.load_default(TEXT_SIZE))
    for place, (pixels, caption) in enumerate(zip(to_pixels(row.pictures), row.captions, strict=True)):
        x = left + place * (SIDE + GAP)
        page.paste(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC), (x, top))
        _centred(pen, _cut(pen, caption), x, top + SIDE + 1)


def _lines(pen: ImageDraw.ImageDraw, text: str) -> list[str]:
    """As many words on each as fit into the width of a picture."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _width(pen, longer, TEXT_SIZE) <= SIDE:
            lines[-1] = longer
        else:
            lines.append(_cut(pen, word))
    return lines


def _cut(pen: ImageDraw.ImageDraw, text: str) -> str:
    """So much of it as fits into the width of a picture."""
    fitting = text
    while _width(pen, fitting, TEXT_SIZE) > SIDE:
        fitting = fitting.rstrip("…")[:-1] + "…"
    return fitting


def _centred(pen: ImageDraw.ImageDraw, text: str, left: int, top: int) -> None:
    """In the width of a picture."""
    free = SIDE - _width(pen, text, TEXT_SIZE)
    pen.text((left + free // 2, top), text, FAINT, ImageFont.load_default(TEXT_SIZE))


def _width(pen: ImageDraw.ImageDraw, text: str, size: int) -> int:
    return round(pen.textlength(text, ImageFont.load_default(size)))
