"""Ctrl-C that would get lost.

Python raises KeyboardInterrupt wherever the main thread is at the moment. Where nothing can be raised, in a destructor
or in the callback of a weak reference (every import has one), it tells that the exception was ignored, and goes on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

AGAIN_AFTER_S = 0.05


def repeat_ignored_interrupts() -> None:
    """From now on an interrupt that had to be ignored comes again, when the main thread is elsewhere."""
    usual = sys.unraisablehook

    def tell(ignored: sys.UnraisableHookArgs) -> None:
        if not issubclass(ignored.exc_type, KeyboardInterrupt):
            usual(ignored)
            return
        again = threading.Timer(AGAIN_AFTER_S, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True
        again.start()

    sys.unraisablehook = tell
