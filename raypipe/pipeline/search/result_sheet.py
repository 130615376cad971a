"""The sheet of a search: the face, the face that was looked for, the others it is to be like, and the hits."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from raypipe import faces
from raypipe.contract import Query
from raypipe.pipeline.reconstruct import Pixels
from raypipe.pipeline.search.query import Face, FromCodes, FromPixels
from raypipe.pipeline.search.result import AskedAim, FoundFace, SearchResult, face_in_words
from raypipe.pipeline.search.searcher import Searcher
from raypipe.pipeline.search.sheet import Tile, draw_sheet
from raypipe.pipeline.search.words import answer_in_words, label_text, number, question_in_words

LINES_SHOWN = 4
"""Of attributes, and of labels."""


def result_sheet(searcher: Searcher, result: SearchResult, labels: Sequence[str] = ()) -> bytes:
    """The PNG. ``labels``: label columns to write under each hit."""
    asked = [_asked_tile(searcher, result, aim, i) for i, aim in enumerate(result.aims)]
    query = result.query
    if query.face is not None and (query.adjust or query.move):
        asked.insert(1, _adjusted_tile(searcher, result))
    pictures = searcher.collection.pictures([hit.place for hit in result.hits])
    found = [Tile(picture, _lines(hit, result, labels)) for hit, picture in zip(result.hits, pictures, strict=True)]
    nothing = [] if found else ["no face matches"]
    return draw_sheet([question_in_words(result), answer_in_words(result), *nothing], asked, found)


def _asked_tile(searcher: Searcher, result: SearchResult, aim: AskedAim, place: int) -> Tile:
    is_main = place == 0 and result.query.face is not None
    lines = ["the face" if is_main else f"like this in {aim.space.split('.', 1)[1]}", face_in_words(aim.face)]
    if len(result.aims) > 1:
        lines.append(f"weight {aim.weight:g}")
    return Tile(_picture_of(searcher, aim.face), tuple(lines))


def _adjusted_tile(searcher: Searcher, result: SearchResult) -> Tile:
    """The generator's picture of the face that was looked for."""
    query, aim = result.query, result.aims[0]
    method = searcher.model.method(aim.space.split(".", 1)[0])
    columns = searcher.columns_of(aim.face, aim.space)
    picture = _picture_of(searcher, aim.face)
    size = searcher.model.image_size
    pixels = (
        torch.zeros(1, size, size, 3, dtype=torch.uint8) if isinstance(picture, str) else torch.tensor(picture)[None]
    )
    with torch.no_grad():
        wanted = method.adjusted(columns, Query(query.adjust, query.prefer, {}, query.move))
        made = method.render(wanted, faces.to_signed(pixels).to(searcher.model.device))
    changed = {*query.adjust, *query.move}
    told = [f"{name} {intensity:.2f}" for name, intensity in result.wanted.items() if name in changed]
    return Tile(faces.to_pixels(made)[0], ("looked for", *_at_most(told)))


def _picture_of(searcher: Searcher, face: Face) -> Pixels | str:
    if isinstance(face, FromPixels):
        return face.pixels
    if isinstance(face, FromCodes):
        return "codes were given, and no picture"
    return searcher.collection.pictures([searcher.place(face.id)])[0]


def _lines(hit: FoundFace, result: SearchResult, labels: Sequence[str]) -> tuple[str, ...]:
    told = [f"{name} {intensity:.2f}" for name, intensity in hit.intensities.items()]
    values = [f"{name} = {label_text(hit.labels.get(name))}" for name in labels]
    return (f"{hit.rank}  {hit.id}", f"distance {number(hit.distance)}", *_at_most(told), *_at_most(values))


def _at_most(told: Sequence[str]) -> list[str]:
    if len(told) <= LINES_SHOWN:
        return list(told)
    return [*told[: LINES_SHOWN - 1], f"and {len(told) - LINES_SHOWN + 1} more"]
