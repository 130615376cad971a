from __future__ import annotations

import asyncio

import pytest

from serve.errors import Unavailable
from serve.lease import LEASE_S, Lease


class Decider:
    """Answers with ``version``, after ``takes_s`` of its own clock; counts the questions."""

    def __init__(self) -> None:
        self.version, self.now, self.takes_s, self.asked = 1, 100.0, 0.0, 0
        self.is_there = True

    async def ask(self) -> int:
        self.asked += 1
        version = self.version
        self.now += self.takes_s
        if not self.is_there:
            await asyncio.sleep(3600)
        return version

    def lease(self, wait_s: float = 5.0) -> Lease:
        return Lease(self.ask, wait_s=wait_s, clock=lambda: self.now)


def test_a_version_is_known_for_as_long_as_the_lease_and_no_longer() -> None:
    async def run() -> None:
        decider = Decider()
        lease = decider.lease()
        assert await lease.version() == 1
        decider.version = 2
        decider.now += LEASE_S - 0.01
        assert (await lease.version(), decider.asked) == (1, 1)
        decider.now += 0.01
        assert (await lease.version(), decider.asked) == (2, 2)

    asyncio.run(run())


def test_the_lease_counts_from_before_the_question() -> None:
    """An answer that took longer than the lease may be stale already: it is asked for again."""

    async def run() -> None:
        decider = Decider()
        decider.takes_s = 2 * LEASE_S
        lease = decider.lease(wait_s=1.0)
        with pytest.raises(Unavailable, match="nobody can tell"):
            await lease.version()
        assert decider.asked == 2

    asyncio.run(run())


def test_without_anybody_who_decides_there_is_no_answer() -> None:
    async def run() -> None:
        decider = Decider()
        lease = decider.lease(wait_s=0.05)
        await lease.version()
        decider.is_there = False
        assert await lease.version() == 1
        decider.now += LEASE_S
        with pytest.raises(Unavailable, match="nobody can tell"):
            await lease.version()

    asyncio.run(run())


def test_all_who_wait_ask_once() -> None:
    async def run() -> None:
        decider = Decider()
        lease = decider.lease()
        assert await asyncio.gather(*(lease.version() for _ in range(20))) == [1] * 20
        assert decider.asked == 1

    asyncio.run(run())
