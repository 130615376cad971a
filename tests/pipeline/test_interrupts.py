"""The first signal is noted, the second one raises; the process gets its handlers back."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import pytest

from raypipe.pipeline.interrupts import Interrupted, told_to_end

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("first", BOTH)
@pytest.mark.parametrize("second", BOTH)
def test_the_first_is_noted_and_said_once_and_the_second_raises(first: signal.Signals, second: signal.Signals) -> None:
    said: list[str] = []
    before = [signal.getsignal(signum) for signum in BOTH]
    with told_to_end(said.append, "the kettle is taken off") as told:
        assert not told.is_told()
        told.check()
        signal.raise_signal(first)
        assert told.is_told()
        with pytest.raises(Interrupted) as noted:
            told.check()
        with pytest.raises(Interrupted) as at_once:
            signal.raise_signal(second)
    assert (noted.value.signum, at_once.value.signum) == (first, second)
    assert said == ["told to end: the kettle is taken off; once more ends at once"]
    assert [signal.getsignal(signum) for signum in BOTH] == before


def test_the_handlers_come_back_after_an_error() -> None:
    before = [signal.getsignal(signum) for signum in BOTH]
    with pytest.raises(ValueError, match="of another kind"), told_to_end(print, "nothing"):
        raise ValueError("of another kind")
    assert [signal.getsignal(signum) for signum in BOTH] == before


def test_what_is_said_waits_for_no_lock_that_the_main_thread_holds(capsys: pytest.CaptureFixture[str]) -> None:
    lock = Lock()  # not reentrant: to say it in the handler would hang

    def say(message: str) -> None:
        with lock:
            print(message)

    with told_to_end(say, "nothing"), lock:
        signal.raise_signal(signal.SIGINT)
    assert capsys.readouterr().out == "told to end: nothing; once more ends at once\n"


def test_outside_the_main_thread_nothing_is_noted() -> None:
    before = [signal.getsignal(signum) for signum in BOTH]

    def ask() -> bool:
        with told_to_end(print, "nothing") as told:
            return told.is_told() or [signal.getsignal(signum) for signum in BOTH] != before

    with ThreadPoolExecutor(1) as other:
        assert not other.submit(ask).result()
