"""Faces drawn anew are what the methods make of them, whatever they are drawn together with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from raypipe import faces
from raypipe.attributes import Edit
from raypipe.contract import Columns, Query
from raypipe.errors import WrongUsage
from raypipe.pipeline.search.query import FromIndex, FromPixels
from raypipe.pipeline.search.searcher import Searcher
from serve import drawing
from serve.backend import Change, Transfer, Translation
from serve.work import columns_of, picture, place_of
from tests.pipeline.search.small_collection import NAMES
from tests.serve.featured import METHOD as TRANSFERRING
from tests.serve.translated import DOMAINS, UNJUDGED
from tests.serve.translated import METHOD as TRANSLATING

pytestmark = UNJUDGED

EDITING = "sparse_directions"
FACE, OTHER = FromIndex("face-05"), FromIndex("face-08")


@torch.no_grad()
def rendered(searcher: Searcher, codes: Columns, method: str) -> npt.NDArray[Any]:
    """``FACE`` in these codes, without anything of ``drawing``."""
    source = torch.from_numpy(picture(searcher, place_of(searcher, FACE.id)))
    return faces.to_pixels(searcher.model.method(method).render(codes, faces.to_signed(source[None])))[0]


@torch.no_grad()
def test_what_is_adjusted_and_moved_is_edited_then(translating_searcher: Searcher) -> None:
    adjust, move, edits = {NAMES[0]: 1.0}, {NAMES[1]: 2.0}, (Edit(NAMES[2], 3.0), Edit(NAMES[0], -1.0))
    method = translating_searcher.model.method(EDITING)
    adjusted = method.adjusted(columns_of(translating_searcher, FACE, EDITING), Query(adjust, {}, {}, move))
    for change, codes in (
        (Change(adjust=adjust, move=move), adjusted),
        (Change(adjust=adjust, move=move, edits=edits), method.edit(adjusted, edits)),
    ):
        made = drawing.edit(translating_searcher, FACE, change, EDITING)
        assert np.array_equal(made, rendered(translating_searcher, codes, EDITING))


@torch.no_grad()
def test_features_come_from_their_references_by_their_strengths(translating_searcher: Searcher) -> None:
    strengths = {"hair": 0.5, "eyes": 1.5}
    method: Any = translating_searcher.model.method(TRANSFERRING)
    others = {"hair": OTHER, "eyes": FromIndex("face-02")}
    codes = {name: columns_of(translating_searcher, other, TRANSFERRING) for name, other in others.items()}
    expected = method.transfer(columns_of(translating_searcher, FACE, TRANSFERRING), codes, strengths)
    made = drawing.transfer(translating_searcher, FACE, Transfer(references=others, strengths=strengths), TRANSFERRING)
    assert np.array_equal(made, rendered(translating_searcher, expected, TRANSFERRING))


@torch.no_grad()
def test_a_domain_is_given_by_label_or_in_the_style_of_a_reference(translating_searcher: Searcher) -> None:
    method: Any = translating_searcher.model.method(TRANSLATING)
    mine, hers = (columns_of(translating_searcher, face, TRANSLATING) for face in (FACE, OTHER))
    for reference, codes in ((None, None), (OTHER, hers)):
        made = drawing.translate(
            translating_searcher, FACE, Translation(domain=DOMAINS[1], reference=reference), TRANSLATING
        )
        expected = method.translate(mine, DOMAINS[1], reference=codes)
        assert np.array_equal(made, rendered(translating_searcher, expected, TRANSLATING))
    with pytest.raises(WrongUsage, match="draws no styles"):
        drawing.translate(translating_searcher, FACE, Translation(domain=DOMAINS[1], seed=3), TRANSLATING)


def test_faces_that_are_drawn_together_keep_their_order_whatever_their_methods_and_shapes(
    translating_searcher: Searcher,
) -> None:
    methods = [EDITING, TRANSLATING, EDITING, TRANSFERRING, TRANSLATING, EDITING]
    asked = [FromIndex(f"face-{number:02}") for number in (1, 2, 3, 4, 5, 6)]
    several = [
        drawing.rendering(translating_searcher, face, face, Change(), method)
        for face, method in zip(asked, methods, strict=True)
    ]
    several[0] = replace(several[0], codes={**several[0].codes, "beside": torch.zeros(1, 2)})
    together = drawing.rendered(translating_searcher.model, several)
    for made, one in zip(together, several, strict=True):
        alone = drawing.rendered(translating_searcher.model, [one])[0]
        assert np.abs(made.astype(int) - alone.astype(int)).max() <= 1
    assert len({made.tobytes() for made in together}) == len(several)


def test_a_picture_that_is_given_is_what_is_drawn_from(translating_searcher: Searcher) -> None:
    pixels = picture(translating_searcher, place_of(translating_searcher, FACE.id))
    change = Change(edits=(Edit("Smiling", 1.0),))
    from_index, from_pixels = (
        drawing.edit(translating_searcher, face, change, TRANSLATING) for face in (FACE, FromPixels(pixels))
    )
    assert np.abs(from_index.astype(int) - from_pixels.astype(int)).max() <= 1


@pytest.mark.parametrize(
    "change", [Change(edits=(Edit("Beard", 1.0),)), Change(adjust={"Beard": 1.0}), Change(move={"Beard": 1.0})]
)
def test_what_a_method_does_not_have_is_told(translating_searcher: Searcher, change: Change) -> None:
    with pytest.raises(WrongUsage, match=r"Beard.*this method has"):
        drawing.edit(translating_searcher, FACE, change, EDITING)
    with pytest.raises(WrongUsage, match="translates nothing"):
        drawing.translate(translating_searcher, FACE, Translation(domain=DOMAINS[0]), EDITING)
    wanted = Transfer(references={"nose": OTHER}, strengths={"nose": 1.0})
    for method in (TRANSFERRING, EDITING):
        with pytest.raises(WrongUsage, match="nose"):
            drawing.transfer(translating_searcher, FACE, wanted, method)
