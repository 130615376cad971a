"""Work in a thread beside the main one, which meanwhile hears signals, and can do what they ask for at once."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Generic, TypeVar

LOOK_EVERY_S = 0.2

Item = TypeVar("Item")


@dataclass(frozen=True)
class _Ended:
    """``error``: what ended it before its time."""

    error: BaseException | None = None


class Beside(Generic[Item]):
    """Iterates over ``items`` in a thread of its own, as fast as it can, and closes them there.

    To iterate over it gives the items, and raises what they raise; between them None, several times a second. It waits
    in ``SimpleQueue.get`` alone, which is written in C and keeps no lock when a signal raises.

    The end of the process waits for the thread, unless it is a ``daemon``.
    """

    def __init__(self, items: Generator[Item, None, None], name: str, *, daemon: bool) -> None:
        self._items = items
        self._taken: SimpleQueue[Item | _Ended] = SimpleQueue()
        self._is_left = Event()
        self._thread = Thread(target=self._take, name=name, daemon=daemon)
        self._thread.start()

    def __iter__(self) -> Iterator[Item | None]:
        while True:
            try:
                item = self._taken.get(timeout=LOOK_EVERY_S)
            except Empty:
                yield None
                continue
            if not isinstance(item, _Ended):
                yield item
                continue
            self.join()
            if item.error is not None:
                raise item.error
            return

    def leave(self) -> None:
        """Whatever has begun is ended by the thread at the next item, and told to nobody."""
        self._is_left.set()

    def join(self) -> None:
        """Wait until nothing is done beside any more."""
        self._thread.join()

    def _take(self) -> None:
        try:
            with closing(self._items):
                for item in self._items:
                    if self._is_left.is_set():
                        break
                    self._taken.put(item)
        except BaseException as error:  # noqa: BLE001 (it is raised where the items are waited for)
            self._taken.put(_Ended(error))
        else:
            self._taken.put(_Ended())
