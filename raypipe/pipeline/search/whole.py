"""Hits in the order of whole vectors, where a method stores less of a face than it could compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raypipe.contract import Method, Query, SearchSpace, WholeVectors
from raypipe.pipeline.search.collection import Columns as StoredColumns
from raypipe.retrieval.answer import Hit, Part
from raypipe.retrieval.space import Aim, comparable, distances, make_target, told_unit

Columns = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class PreparedAim:
    """An aim as the engine takes it, and what it was made of.

    Attributes:
        method, space: whose vectors are compared, and how those that are stored are.
        face: the columns of the face that is asked with.
        asked: what it is to become.
    """

    aim: Aim
    method: Method
    space: SearchSpace
    face: Columns
    asked: Query


def in_whole_order(hits: Sequence[Hit], aims: Sequence[PreparedAim], stored: Sequence[StoredColumns]) -> list[Hit]:
    """The hits, nearest first, ties by id; of aims whose methods store all there is, distances stay as they are.

    ``stored``: the codes of each hit.
    """
    names = set.intersection(*(set(columns) for columns in stored))
    device = next(iter(aims[0].face.values())).device
    found = {name: torch.stack([torch.from_numpy(face[name]) for face in stored]).to(device) for name in names}
    parts = [_whole_parts(aim, found) or [hit.parts[i] for hit in hits] for i, aim in enumerate(aims)]
    changed = [
        dataclasses.replace(hit, parts=told, distance=sum(part.weight * part.distance for part in told))
        for hit, told in zip(hits, zip(*parts, strict=True), strict=True)
    ]
    return sorted(changed, key=lambda hit: (hit.distance, hit.id))


def _whole_parts(prepared: PreparedAim, found: Columns) -> list[Part]:
    """What an aim says of some faces, by whole vectors; nothing where there are none."""
    method, aim, space = prepared.method, prepared.aim, prepared.space
    if not isinstance(method, WholeVectors):
        return []
    name = aim.space.split(".", 1)[1]
    with torch.no_grad():
        wanted_W = method.whole_vectors(name, method.adjusted(prepared.face, prepared.asked))[0].cpu().numpy()
        found_NW = method.whole_vectors(name, found).cpu().numpy()
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
