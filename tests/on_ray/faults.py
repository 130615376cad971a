"""Faults at the right moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class when:  # noqa: N801
    """Does something, once, as soon as a condition holds; fails if that never came."""

    def __init__(self, is_time: Callable[[], bool], act: Callable[[], object]) -> None:
        self._act = act
        self._is_time = is_time
        self._acted = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: object, *_: object) -> None:
        self._over.set()
        self._thread.join()
        assert kind is not None or self._acted, "the job ended before the fault"

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            if self._is_time():
                self._act()
                self._acted = True
                return


def wait_until(condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
