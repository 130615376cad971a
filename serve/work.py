"""What each question takes, on an opened index and model, in the calling thread. Both backends do it this way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from raypipe import faces
from raypipe.contract import Columns, FeatureTransfer, Method, Query
from raypipe.errors import WrongUsage
from raypipe.pipeline.loading import methods_of, only_method
from raypipe.pipeline.search.collection import Place
from raypipe.pipeline.search.model import OpenedModel
from raypipe.pipeline.search.names import check_attributes, check_features
from raypipe.pipeline.search.query import Face, FromIndex, FromPixels
from raypipe.pipeline.search.scales import scales_of
from raypipe.pipeline.search.searcher import Searcher
from serve.backend import Change, Description, Encoded, MethodFacts, Pixels, SpaceFacts, Transfer
from serve.errors import Gone, NotFound

HIDDEN_LABELS = frozenset({"uri"})
"""Where a picture lies is for the server to know."""

EXAMPLES = 48
"""Faces that a description names."""


def described(searcher: Searcher) -> Description:
    """What is served: of the model, its methods and the index, what the contract says."""
    model, manifest = searcher.model, searcher.index.manifest
    spaces = tuple(
        SpaceFacts(
            name=name,
            method=entry.binding.method,
            metric=entry.space.metric,
            width=entry.space.width,
            coordinates=entry.space.coordinates,
        )
        for name, entry in manifest.spaces.items()
    )
    return Description(
        model=model.bundle.name,
        fingerprint=model.bundle.fingerprint,
        image_size=model.image_size,
        index_version=manifest.version,
        rows=manifest.rows,
        recall=manifest.recall,
        methods=tuple(_method_facts(name, model.method(name), spaces) for name in methods_of(model.bundle)),
        spaces=spaces,
        labels=tuple(name for name in searcher.label_names if name not in HIDDEN_LABELS),
        examples=_examples(searcher),
    )


def warm(searcher: Searcher) -> None:
    """Load everything that questions need; what goes wrong with a model does so here.

    Raises:
        BadWeights: the model lacks a part of a method.
        ModelMismatch: the index was made with another model.
    """
    model, manifest = searcher.model, searcher.index.manifest
    manifest.require({name: model.binding(name) for name in manifest.spaces})
    nobody = np.zeros((model.image_size, model.image_size, 3), np.uint8)
    for name in methods_of(model.bundle):
        model.encode(nobody, name)


def encode(searcher: Searcher, face: Face) -> Encoded:
    """The codes of a face by every method, and where its attributes stand.

    Raises:
        WrongUsage: no such face, or codes that are not what a method needs.
    """
    codes: dict[str, npt.NDArray[Any]] = {}
    intensities: dict[str, dict[str, float]] = {}
    for name in methods_of(searcher.model.bundle):
        method = searcher.model.method(name)
        columns = _columns(searcher, face, name)
        codes |= {column: values[0].cpu().numpy() for column, values in columns.items() if column != "image"}
        intensities[name] = _intensities(method, columns)
    return Encoded(codes=codes, intensities=intensities)


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
    name = method_named(searcher.model, method)
    used = searcher.model.method(name)
    check_attributes([*change.adjust, *change.move], used.attributes, "this method has")
    check_attributes([edit.attribute for edit in change.edits], used.attributes, "this method has")
    columns = _columns(searcher, coded, name)
    source = _source(searcher, face, used)
    with torch.no_grad():
        return Rendering(name, _changed(used, columns, change), source)


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
    check_features(list(transfer.references), _features_of(used))
    own = Rendering(method, _columns(searcher, coded, method), _source(searcher, face, used))
    references = {name: _columns(searcher, one, method) for name, one in transfer.references.items()}
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


def picture(searcher: Searcher, place: Place) -> Pixels:
    """A face of the collection, uint8 [s,s,3].

    Raises:
        Gone: its file is.
    """
    found = searcher.collection.pictures([place])[0]
    if isinstance(found, str):
        raise Gone(f"the picture of {place.id!r} cannot be read any more")
    return found


def place_of(searcher: Searcher, id: str) -> Place:
    """Where a face is. Looks through all ids of the index.

    Raises:
        NotFound: no face of that id can be found, or no picture of any.
    """
    try:
        return searcher.place(id)
    except WrongUsage as error:
        raise NotFound(f"no face {id!r} in the index") from error


def method_named(model: OpenedModel, asked: str) -> str:
    """The method that was asked for; "": the one that edits.

    Raises:
        WrongUsage: no such method, or several and none was asked for.
    """
    there = methods_of(model.bundle)
    if asked and asked not in there:
        raise WrongUsage(f"{asked!r} is not a method of this model; methods: {', '.join(there) or 'none'}")
    return only_method(model.bundle, [name for name in there if model.method(name).attributes], asked)


def _method_facts(name: str, method: Method, spaces: tuple[SpaceFacts, ...]) -> MethodFacts:
    own = tuple(space.name for space in spaces if space.method == name)
    features = _features_of(method)
    able = (("search", own), ("edit", method.attributes), ("transfer", features))
    return MethodFacts(
        name=name,
        verbs=(*(verb for verb, can in able if can), "encode"),
        attributes=method.attributes,
        spaces=own,
        needs=method.needs,
        features=features,
        usual_strength=method.usual_strength if isinstance(method, FeatureTransfer) else 1.0,
    )


def _features_of(method: Method) -> tuple[str, ...]:
    return method.features if isinstance(method, FeatureTransfer) else ()


def _on(model: OpenedModel, codes: Columns) -> Columns:
    return {name: column.to(model.device) for name, column in codes.items()}


def _examples(searcher: Searcher) -> tuple[str, ...]:
    """Ids from all over the index, the same each time."""
    shards, told = searcher.index.shards(), []
    for shard in shards:
        alive = shard.allowed(None)
        rows = np.arange(shard.rows) if alive is None else np.flatnonzero(alive)
        some = min(len(rows), -(-EXAMPLES // len(shards)))
        told += shard.ids(rows[np.linspace(0, len(rows) - 1, some).astype(np.int64)]) if some else []
    return tuple(told[:EXAMPLES])


def _columns(searcher: Searcher, face: Face, method: str) -> Columns:
    # The space only names the method: the columns of a face are the same for all of its spaces.
    return searcher.columns_of(face, f"{method}.")


def _intensities(method: Method, columns: Columns) -> dict[str, float]:
    """Of the first space that has the attributes as coordinates."""
    for name, space in method.spaces.items():
        scales = scales_of(method, name, columns, method.attributes) if space.coordinates else {}
        if scales:
            with torch.no_grad():
                vector = method.search_vectors(name, columns)[0].cpu().numpy()
            return {attribute: scale.intensity(vector) for attribute, scale in scales.items()}
    return {}


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
