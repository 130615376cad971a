"""Ctrl-C that would get lost.

Python raises KeyboardInterrupt wherever the main thread is at the moment. Where nothing can be raised, in a destructor
or in the callback of a weak reference (every import has one), it tells that the exception was ignored, and goes on.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

AGAIN_AFTER_S = 0.05


@contextmanager
def repeating_ignored_interrupts() -> Iterator[None]:
    """Within it, an interrupt that had to be ignored comes again when the main thread is elsewhere."""
    usual = sys.unraisablehook

    def tell(ignored: sys.UnraisableHookArgs) -> None:
        if not issubclass(ignored.exc_type, KeyboardInterrupt):
            usual(ignored)
            return
        # Not by a thread: to start one takes locks, which the main thread may hold where it was interrupted.
        signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, AGAIN_AFTER_S)

    sys.unraisablehook = tell
    try:
        yield
    finally:
        sys.unraisablehook = usual
