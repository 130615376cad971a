"""Hits in the order of whole vectors, where a method stores less of a face than it could compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raypipe.contract import WholeVectors
from raypipe.pipeline.search.collection import Columns as StoredColumns
from raypipe.pipeline.search.model import OpenedModel
from raypipe.pipeline.search.prepared import PreparedAim
from raypipe.retrieval.answer import Answer, Hit, Part
from raypipe.retrieval.space import comparable, distances, make_target, told_unit

Columns = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Hits that are to be compared by whole vectors, and all that it takes but a model. ``stored``: their codes."""

    aims: tuple[PreparedAim, ...]
    hits: tuple[Hit, ...]
    stored: tuple[StoredColumns, ...]


def compared(model: OpenedModel, comparison: Comparison) -> list[Hit]:
    """The same hits, by whole vectors; of aims whose methods store all there is, distances stay as they are."""
    hits, stored = comparison.hits, comparison.stored
    names = set.intersection(*(set(columns) for columns in stored))
    found = {name: torch.stack([torch.from_numpy(face[name]) for face in stored]) for name in names}
    parts = [_whole_parts(model, aim, found) or [hit.parts[i] for hit in hits] for i, aim in enumerate(comparison.aims)]
    return [
        dataclasses.replace(hit, parts=told, distance=sum(part.weight * part.distance for part in told))
        for hit, told in zip(hits, zip(*parts, strict=True), strict=True)
    ]


def reordered(answer: Answer, whole: Sequence[Hit]) -> Answer:
    """The answer with these of its hits before all others, nearest first, ties by id."""
    places = {(hit.shard, hit.row) for hit in whole}
    first = sorted(whole, key=lambda hit: (hit.distance, hit.id))
    rest = [hit for hit in answer.hits if (hit.shard, hit.row) not in places]
    return dataclasses.replace(answer, hits=[*first, *rest])


def _whole_parts(model: OpenedModel, prepared: PreparedAim, found: Columns) -> list[Part]:
    """What an aim says of some faces, by whole vectors; nothing where there are none."""
    aim, space = prepared.aim, prepared.space
    method_name, name = aim.space.split(".", 1)
    method = model.method(method_name)
    if not isinstance(method, WholeVectors):
        return []
    with torch.no_grad():
        face = method.adjusted(_on(model, prepared.face), prepared.asked)
        wanted_W = method.whole_vectors(name, face)[0].cpu().numpy()
        found_NW = method.whole_vectors(name, _on(model, found)).cpu().numpy()
    whole, unit, count = dataclasses.replace(space, width=len(wanted_W)), told_unit(space), len(space.coordinates)
    vectors_NW = comparable(whole, found_NW)
    target = make_target(whole, wanted_W, prepared.asked.prefer)
    split = distances(target, vectors_NW[:, :count], vectors_NW[:, count:])
    return [
        Part(
            space=aim.space,
            weight=aim.weight,
            distance=float(split.total[i]) * unit,
            attributes=dict(zip(space.coordinates, (split.attributes[i] * unit).tolist(), strict=True)),
            rest=float(split.rest[i]) * unit,
        )
        for i in range(len(found_NW))
    ]


def _on(model: OpenedModel, columns: Columns) -> Columns:
    return {name: column.to(model.device) for name, column in columns.items()}
