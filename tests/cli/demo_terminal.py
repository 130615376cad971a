"""``raypipe demo`` as somebody sees it who sits at a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil

WAIT_S = 200


class Terminal:
    """What the process at the other end wrote, and what is typed."""

    def __init__(self, process: psutil.Popen, descriptor: int) -> None:
        self.process, self._descriptor = process, descriptor
        self.shown = ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match in all that was shown."""
        end = time.monotonic() + WAIT_S
        while not (found := re.search(pattern, self.shown)):
            if time.monotonic() > end or not self._read():
                raise AssertionError(f"no {pattern!r} in:\n{self._last_shown()}")
        return found

    def press_ctrl_c(self) -> None:
        os.write(self._descriptor, b"\x03")

    def wait_for_end(self) -> int:
        """The exit code; everything that was shown until then is in ``shown``."""
        end = time.monotonic() + WAIT_S
        while self._read():
            if time.monotonic() > end:
                raise AssertionError(f"still running:\n{self._last_shown()}")
        return int(self.process.wait(WAIT_S))

    def _last_shown(self) -> str:
        """Without what was drawn over."""
        return re.sub(r"[^\n]*\r(?!\n)", "", self.shown)[-4000:]

    def _read(self) -> bool:
        """What there is by now; False: nothing will come any more."""
        if not select.select([self._descriptor], [], [], 1.0)[0]:
            return True
        try:
            self.shown += os.read(self._descriptor, 65536).decode(errors="replace")
        except OSError:  # so Linux says that nobody has the other end open
            return False
        return True


@contextmanager
def demo_at_a_terminal(arguments: Sequence[str]) -> Iterator[Terminal]:
    """Running; gone with all of its processes afterwards, also when the test fails."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "raypipe", "demo", *arguments]
    process = psutil.Popen(command, env=demo_environment(), preexec_fn=lambda: os.login_tty(theirs))
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.is_running():
            for each in [*process.children(recursive=True), process]:
                each.kill()
        process.wait()
        os.close(ours)


def demo_without_a_terminal(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "raypipe", "demo", *arguments]
    return subprocess.run(
        command, env=demo_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT_S
    )


def demo_environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "160"}
