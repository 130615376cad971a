"""Faces drawn anew, on an opened index and model: edited, with features of others, as members of other domains.

First the codes of a face are found and changed, in the calling thread; then it is drawn, perhaps elsewhere, together
with others. Both backends do it this way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from raypipe import faces
from raypipe.contract import Columns, FeatureTransfer, Method, Query, Translator
from raypipe.errors import WrongUsage
from raypipe.pipeline.search.model import OpenedModel
from raypipe.pipeline.search.names import check_attributes, check_features
from raypipe.pipeline.search.query import Face, FromIndex, FromPixels
from raypipe.pipeline.search.searcher import Searcher
from serve.backend import Change, Pixels, Transfer, Translation
from serve.work import columns_of, features_of, picture, place_of


def edit(searcher: Searcher, face: Face, change: Change, method: str) -> Pixels:
    """The changed face, uint8 [s,s,3].

    Raises:
        WrongUsage: no such face or method, or a change that the method cannot make.
        Gone: the method needs the face's picture, which cannot be read any more.
    """
    return rendered(searcher.model, [rendering(searcher, face, face, change, method)])[0]


@dataclass(frozen=True, eq=False)
class Rendering:
    """What is left to do for a changed face. ``codes``: [1, ...] by column; ``source``: as ``Method.render``'s."""

    method: str
    codes: Columns
    source: Pixels


def rendering(searcher: Searcher, face: Face, coded: Face, change: Change, method: str) -> Rendering:
    """The changed codes of a face. ``coded``: the same face, as codes where it was a picture and somebody encoded it.

    Raises:
        WrongUsage, Gone: as ``edit``.
    """
    used = searcher.model.method(method)
    check_attributes([*change.adjust, *change.move], used.attributes, "this method has")
    check_attributes([edit.attribute for edit in change.edits], used.attributes, "this method has")
    columns = columns_of(searcher, coded, method)
    source = _source(searcher, face, used)
    with torch.no_grad():
        return Rendering(method, _changed(used, columns, change), source)


def transfer(searcher: Searcher, face: Face, transfer: Transfer, method: str) -> Pixels:
    """The face with features of others, uint8 [s,s,3].

    Raises:
        UnknownAttribute: a feature that the method does not have.
        WrongUsage: no such face, a method that transfers nothing, or a reference that has no such feature.
        Gone: as ``edit``.
    """
    task = transferring(searcher, face, face, transfer, method)
    return rendered(searcher.model, [transferred(searcher.model, task)])[0]


@dataclass(frozen=True, eq=False)
class Transferring:
    """A face that features of others are still to be put on. ``references``: codes as the face's own, by feature."""

    face: Rendering
    references: Mapping[str, Columns]
    strengths: Mapping[str, float]


def transferring(searcher: Searcher, face: Face, coded: Face, transfer: Transfer, method: str) -> Transferring:
    """The codes that a transfer takes. ``coded``: as for ``rendering``; references that are pictures are encoded here.

    Raises:
        UnknownAttribute, WrongUsage, Gone: as ``transfer``.
    """
    used = searcher.model.method(method)
    check_features(list(transfer.references), features_of(used))
    own = Rendering(method, columns_of(searcher, coded, method), _source(searcher, face, used))
    references = {name: columns_of(searcher, one, method) for name, one in transfer.references.items()}
    return Transferring(own, references, transfer.strengths)


def transferred(model: OpenedModel, one: Transferring) -> Rendering:
    """The face with the features, to be drawn. This is what takes the networks, once for each face that takes part.

    Raises:
        WrongUsage: a reference that has no such feature.
    """
    method = model.method(one.face.method)
    assert isinstance(method, FeatureTransfer), "``transferring`` has seen to that"
    codes, references = _on(model, one.face.codes), {name: _on(model, codes) for name, codes in one.references.items()}
    with torch.no_grad():
        return replace(one.face, codes=method.transfer(codes, references, one.strengths))


def translate(searcher: Searcher, face: Face, translation: Translation, method: str) -> Pixels:
    """The face as a member of a domain, uint8 [s,s,3].

    Raises:
        WrongUsage: no such face or domain, a method that translates nothing, or a style that it cannot give.
        Gone: as ``edit``.
    """
    return rendered(searcher.model, [translating(searcher, face, face, translation, method)])[0]


def translating(searcher: Searcher, face: Face, coded: Face, translation: Translation, method: str) -> Rendering:
    """The codes of the face as a member of a domain. ``coded``: as for ``rendering``.

    Raises:
        WrongUsage, Gone: as ``translate``.
    """
    used = searcher.model.method(method)
    if not isinstance(used, Translator):
        raise WrongUsage(f"method {method!r} translates nothing")
    columns, source = columns_of(searcher, coded, method), _source(searcher, face, used)
    other = translation.reference
    reference = None if other is None else columns_of(searcher, other, method)
    with torch.no_grad():
        translated = used.translate(columns, translation.domain, reference=reference, seed=translation.seed)
    return Rendering(method, translated, source)


def rendered(model: OpenedModel, several: Sequence[Rendering]) -> list[Pixels]:
    """The faces, uint8 [s,s,3] each, in order; those of a method whose codes have the same shapes in one pass."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for i, one in enumerate(several):
        shapes = sorted((name, codes.shape) for name, codes in one.codes.items())
        alike.setdefault((one.method, *shapes), []).append(i)
    made: dict[int, Pixels] = {}
    for places in alike.values():
        some = [several[i] for i in places]
        codes = {name: torch.cat([one.codes[name].to(model.device) for one in some]) for name in some[0].codes}
        sources = faces.to_signed(torch.from_numpy(np.stack([one.source for one in some]))).to(model.device)
        with torch.no_grad():
            pixels = faces.to_pixels(model.method(some[0].method).render(codes, sources))
        made |= dict(zip(places, pixels, strict=True))
    return [made[i] for i in range(len(several))]


def _on(model: OpenedModel, codes: Columns) -> Columns:
    return {name: column.to(model.device) for name, column in codes.items()}


def _changed(method: Method, columns: Columns, change: Change) -> Columns:
    if change.adjust or change.move:
        columns = method.adjusted(columns, Query(change.adjust, {}, {}, change.move))
    return method.edit(columns, change.edits)


def _source(searcher: Searcher, face: Face, method: Method) -> Pixels:
    """The face itself; grey where there is none and the method does not look at it."""
    if isinstance(face, FromPixels):
        return face.pixels
    if "image" not in method.needs:
        size = searcher.model.image_size
        return np.full((size, size, 3), 128, np.uint8)
    if isinstance(face, FromIndex):
        return picture(searcher, place_of(searcher, face.id))
    raise WrongUsage("this method works on pictures: give one, or an id, not codes")
