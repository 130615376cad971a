"""A version of the index as it is served, and its pictures that were asked for lately. Both backends have these."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from raypipe.pipeline.search.collection import Place
from raypipe.pipeline.search.searcher import Searcher
from serve import work
from serve.backend import Description, Pixels

K = TypeVar("K")
T = TypeVar("T")

PICTURES_KEPT = 2048
"""Of the collection, in memory: 25 MB at 64 pixels, 400 MB at 256."""


@dataclass(frozen=True)
class Served:
    """A version of the index, with what is told of it."""

    searcher: Searcher
    description: Description

    @property
    def version(self) -> int:
        return self.description.index_version


class KeptPictures:
    """Pictures that were asked for lately, by where they are, and where that is, by version and id: a face that was
    deleted is not found in the version after that."""

    def __init__(self) -> None:
        self._places = _Lately[tuple[int, str], Place]()
        self._pictures = _Lately[Place, Pixels]()

    def picture(self, served: Served, id: str) -> Pixels:
        place = self._places.get((served.version, id), lambda: work.place_of(served.searcher, id))
        return self._pictures.get(place, lambda: work.picture(served.searcher, place))


class _Lately(Generic[K, T]):
    """What was made lately, to be had again."""

    def __init__(self) -> None:
        self._kept: OrderedDict[K, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], T]) -> T:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._lock:
            self._kept[key] = made
            if len(self._kept) > PICTURES_KEPT:
                self._kept.popitem(last=False)
        return made
