"""Work in a thread beside the main one: its items, its errors, its end, and interrupts while it is waited for."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from itertools import count
from threading import Event

import pytest

from raypipe.pipeline.encode.beside import Beside


def test_it_gives_the_items_in_order_and_raises_what_they_raise() -> None:
    def items() -> Generator[int, None, None]:
        yield from range(100)
        raise FileNotFoundError("the hundredth")

    beside = Beside(items(), "items", daemon=False)
    taken: list[int] = []
    with pytest.raises(FileNotFoundError, match="the hundredth"):
        taken.extend(item for item in beside if item is not None)
    assert taken == list(range(100))
    beside.join()


def test_who_waits_hears_nothing_several_times_a_second() -> None:
    goes_on = Event()

    def items() -> Generator[str, None, None]:
        goes_on.wait()
        yield "at last"

    heard: list[str | None] = []
    for item in Beside(items(), "items", daemon=False):
        heard.append(item)
        if len(heard) == 2:
            goes_on.set()
    assert (set(heard[:-1]), heard[-1]) == ({None}, "at last")


def test_where_it_is_left_the_items_are_closed_by_their_thread() -> None:
    closed: list[threading.Thread] = []

    def items() -> Generator[int, None, None]:
        try:
            yield from count()
        finally:
            closed.append(threading.current_thread())

    beside = Beside(items(), "items", daemon=False)
    assert next(iter(beside)) == 0
    beside.leave()
    beside.join()
    assert [thread.name for thread in closed] == ["items"]
    assert closed[0] is not threading.main_thread()


def test_an_exception_of_a_signal_while_it_is_waited_for_stops_nobody_else() -> None:
    begins, goes_on = Event(), Event()

    def items() -> Generator[int, None, None]:
        begins.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        goes_on.wait()
        yield 1

    beside = Beside(items(), "items", daemon=True)
    with pytest.raises(KeyboardInterrupt):
        [begins.set() for _ in beside]
    goes_on.set()
    assert [item for item in beside if item is not None] == [1]
    beside.join()
