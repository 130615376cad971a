"""What questions take, on an opened index and model, in the calling thread. Both backends do it this way; faces that
are drawn: ``drawing``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from raypipe.contract import Columns, FeatureTransfer, Method, Translator, WholeVectors
from raypipe.errors import WrongUsage
from raypipe.pipeline.loading import methods_of
from raypipe.pipeline.search.collection import Place
from raypipe.pipeline.search.query import Face
from raypipe.pipeline.search.scales import scales_of
from raypipe.pipeline.search.searcher import Searcher
from serve.backend import Description, Encoded, MethodFacts, Pixels, SpaceFacts
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
            reranks=isinstance(model.method(entry.binding.method), WholeVectors),
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
        columns = columns_of(searcher, face, name)
        codes |= {column: values[0].cpu().numpy() for column, values in columns.items() if column != "image"}
        intensities[name] = _intensities(method, columns)
    return Encoded(codes=codes, intensities=intensities)


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


def columns_of(searcher: Searcher, face: Face, method: str) -> Columns:
    """The codes of a face, [1, ...] by column, as a method takes them.

    Raises:
        WrongUsage: no such face, or codes that are not what the method needs.
    """
    # The space only names the method: the columns of a face are the same for all of its spaces.
    return searcher.columns_of(face, f"{method}.")


def features_of(method: Method) -> tuple[str, ...]:
    """What it can take from other faces."""
    return method.features if isinstance(method, FeatureTransfer) else ()


def _method_facts(name: str, method: Method, spaces: tuple[SpaceFacts, ...]) -> MethodFacts:
    own = tuple(space.name for space in spaces if space.method == name)
    features, domains = features_of(method), method.domains if isinstance(method, Translator) else ()
    able = (("search", own), ("edit", method.attributes), ("transfer", features), ("translate", domains))
    return MethodFacts(
        name=name,
        verbs=(*(verb for verb, can in able if can), "encode"),
        attributes=method.attributes,
        spaces=own,
        needs=method.needs,
        features=features,
        usual_strength=method.usual_strength if isinstance(method, FeatureTransfer) else 1.0,
        domains=domains,
        samples_styles=isinstance(method, Translator) and method.samples_styles,
    )


def _examples(searcher: Searcher) -> tuple[str, ...]:
    """Ids from all over the index, the same each time."""
    shards, told = searcher.index.shards(), []
    for shard in shards:
        alive = shard.allowed(None)
        rows = np.arange(shard.rows) if alive is None else np.flatnonzero(alive)
        some = min(len(rows), -(-EXAMPLES // len(shards)))
        told += shard.ids(rows[np.linspace(0, len(rows) - 1, some).astype(np.int64)]) if some else []
    return tuple(told[:EXAMPLES])


def _intensities(method: Method, columns: Columns) -> dict[str, float]:
    """Of the first space that has the attributes as coordinates."""
    for name, space in method.spaces.items():
        scales = scales_of(method, name, columns, method.attributes) if space.coordinates else {}
        if scales:
            with torch.no_grad():
                vector = method.search_vectors(name, columns)[0].cpu().numpy()
            return {attribute: scale.intensity(vector) for attribute, scale in scales.items()}
    return {}
