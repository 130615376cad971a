"""An interrupt that Python ignores comes again."""

from __future__ import annotations

import subprocess
import sys

import pytest

IN_A_CALLBACK = """
import signal, sys, time, weakref
from raypipe import cli

class Thing: ...

def command():
    thing = Thing()
    weak = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
    del thing
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(7)

cli.app = command
cli.main()
"""

IN_A_DESTRUCTOR = """
import signal, sys, time
from raypipe import cli

class Thing:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def command():
    try:
        Thing()
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(7)

cli.app = command
cli.main()
"""

AN_ERROR = """
from raypipe import cli

class Thing:
    def __del__(self):
        raise ValueError("of no interest")

cli.app = Thing
cli.main()
"""


@pytest.mark.parametrize("program", [IN_A_CALLBACK, IN_A_DESTRUCTOR], ids=["callback", "destructor"])
def test_where_nothing_can_be_raised_an_interrupt_comes_later(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


def test_other_errors_that_are_ignored_are_told_as_ever() -> None:
    done = subprocess.run([sys.executable, "-c", AN_ERROR], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0
    assert "ValueError: of no interest" in done.stderr
