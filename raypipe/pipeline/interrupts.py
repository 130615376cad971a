"""Ctrl-C and SIGTERM, noted until work can end in good order.

An exception that a signal raises strikes wherever the main thread is. In ``Condition.__enter__``, where it waits for a
future or a queue, that leaves a lock held for ever, and whoever needs the lock next hangs.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread


class Interrupted(KeyboardInterrupt):
    """By the signal ``signum``."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@dataclass
class Told:
    """``signum``: the signal that came first; 0: none has."""

    signum: int = 0

    def is_told(self) -> bool:
        return self.signum != 0

    def check(self) -> None:
        """Raise Interrupted if a signal has come."""
        if self.signum:
            raise Interrupted(self.signum)


@contextmanager
def told_to_end(say: Callable[[str], None], before_that: str) -> Iterator[Told]:
    """Whether Ctrl-C or SIGTERM came, to be asked where one can end in good order; a second one raises Interrupted.

    Outside the main thread no signal arrives: never.

    Args:
        say: told of the first one, from a thread of its own.
        before_that: what is done before the end, in words.
    """
    told = Told()
    words: SimpleQueue[str | None] = SimpleQueue()  # to say it here could wait for a lock that this thread itself holds

    def note(signum: int, frame: object) -> None:
        if told.signum:
            raise Interrupted(signum)
        told.signum = signum
        words.put(f"told to end: {before_that}; once more ends at once")

    def say_all() -> None:
        while (message := words.get()) is not None:
            say(message)

    try:
        before = {signum: signal.signal(signum, note) for signum in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread
        yield told
        return
    speaker = Thread(target=say_all, name="told-to-end", daemon=True)
    try:
        speaker.start()
        yield told
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        words.put(None)
        speaker.join()


def never() -> None:
    """In the place of ``Told.check`` where no signal is waited for."""
