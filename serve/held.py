"""Versions of an index that a process has opened: an older and a newer one may be asked at once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from raypipe import storage
from raypipe.errors import RaypipeError
from serve.errors import Unavailable

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

VERSIONS_KEPT = 3
"""The one that is served, the one before, on which questions may still end, and the one that is coming."""


class HeldVersions(Generic[K, T]):
    """Opens a version when it is first asked for, once, and lets the one go that was not asked for the longest.

    Args:
        open: a version from what names it, and from the last one that was asked for, which may share its files.
    """

    def __init__(self, open: Callable[[K, tuple[K, T] | None], T]) -> None:
        self._open = open
        self._held: OrderedDict[K, T] = OrderedDict()
        self._lock, self._opening = threading.Lock(), threading.Lock()

    def get(self, version: K) -> T:
        """Raises:
        Unavailable: it cannot be opened.
        """
        if (there := self.now(version)) is not None:
            return there
        with self._opening:
            if (there := self.now(version)) is not None:
                return there
            opened = self._opened(version)
            with self._lock:
                self._held[version] = opened
                while len(self._held) > VERSIONS_KEPT:
                    self._held.popitem(last=False)
            return opened

    def now(self, version: K) -> T | None:
        """What is held of it, without waiting for it to be opened."""
        with self._lock:
            if version in self._held:
                self._held.move_to_end(version)
            return self._held.get(version)

    def _opened(self, version: K) -> T:
        with self._lock:
            latest = next(reversed(self._held.items()), None)
        unreadable: tuple[type[Exception], ...] = (RaypipeError, *storage.errors())
        try:
            return self._open(version, latest)
        except unreadable as error:
            raise Unavailable(f"version {version} cannot be opened: {error}") from error
