"""Numbers that can be compared: coordinates between the ends of an adjustment, distances of several spaces.

On the scale of an adjustment 0 is the least of all faces and 1 the most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from raypipe.contract import Columns, Method, Query
from raypipe.retrieval.index import Index
from raypipe.retrieval.space import Array, told_unit


@dataclass(frozen=True)
class Scale:
    """``place``: of an attribute among a space's coordinates; adjusted to 0 it is ``least`` there, to 1 ``most``."""

    place: int
    least: float
    most: float

    def intensity(self, vector: Array) -> float:
        """Of a vector of the space, or of its coordinates alone."""
        length = self.most - self.least
        return (float(vector[self.place]) - self.least) / length if length else 0.0


def scales_of(method: Method, space: str, columns: Columns, asked: Sequence[str]) -> dict[str, Scale]:
    """The scales of those of the attributes that the space has as coordinates and the method can adjust.

    Found by asking with each adjusted to 0 and to 1: only the method knows its ranges.
    """
    coordinates = method.spaces[space].coordinates
    names = [name for name in asked if name in coordinates and name in method.attributes]
    if not names:
        return {}
    with torch.no_grad():
        least, most = (
            method.query(space, columns, Query(adjust=dict.fromkeys(names, end), prefer={}, references={}))[0].tolist()
            for end in (0.0, 1.0)
        )
    places = {name: coordinates.index(name) for name in names}
    return {name: Scale(place, least[place], most[place]) for name, place in places.items()}


def in_first_unit(index: Index, spaces: Sequence[str]) -> list[float]:
    """For each space, what turns its distances into the first one's unit: two faces of the index are as far apart in
    one as in the other, in the mean. Else a space of large numbers would decide alone."""
    if not index.shards():
        return [1.0] * len(spaces)
    stored = index.shards()[0].spaces
    typical = [told_unit(stored[name].space) * stored[name].reduction.typical_distance for name in spaces]
    return [typical[0] / each for each in typical]
