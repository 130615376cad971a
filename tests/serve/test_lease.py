from __future__ import annotations

import asyncio

import pytest

from serve.errors import Unavailable
from serve.lease import LEASE_S, Lease, Leases


class Decider:
    """Answers with ``version``, after ``takes_s`` of its own clock; counts the questions."""

    def __init__(self) -> None:
        self.version, self.now, self.takes_s, self.asked = 1, 100.0, 0.0, 0
        self.held: dict[str, int] = {}
        self.is_there = True

    async def ask(self, holder: str, held: int) -> int:
        self.asked += 1
        self.held[holder] = held
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
        lease = decider.lease(wait_s=3 * LEASE_S)
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


def test_who_waits_does_so_for_its_own_time() -> None:
    """Not until somebody gives up who began to ask before."""

    async def run() -> None:
        decider = Decider()
        lease = decider.lease(wait_s=1.0)
        decider.is_there = False
        early = asyncio.create_task(lease.version())
        await asyncio.sleep(0.5)
        late = asyncio.create_task(lease.version())
        with pytest.raises(Unavailable):
            await early
        decider.is_there = True
        assert await late == 1

    asyncio.run(run())


def test_all_who_wait_ask_once() -> None:
    async def run() -> None:
        decider = Decider()
        lease = decider.lease()
        assert await asyncio.gather(*(lease.version() for _ in range(20))) == [1] * 20
        assert decider.asked == 1

    asyncio.run(run())


def test_who_asks_tells_what_it_holds() -> None:
    async def run() -> None:
        decider = Decider()
        lease = decider.lease()
        await lease.version()
        assert list(decider.held.values()) == [0]
        decider.version = 2
        decider.now += LEASE_S
        await lease.version()
        assert list(decider.held.values()) == [1]

    asyncio.run(run())


class Given:
    """Leases by a clock that stands still until it is moved; those of whoever decided before have run out."""

    def __init__(self) -> None:
        self.now = 100.0
        self.leases = Leases(clock=lambda: self.now)
        self.now += LEASE_S

    def is_waiting_for(self, version: int) -> bool:
        async def run() -> bool:
            waiting = asyncio.create_task(self.leases.all_have(version))
            await asyncio.sleep(0)
            is_waiting = not waiting.done()
            waiting.cancel()
            return is_waiting

        return asyncio.run(run())


def test_a_change_waits_until_every_holder_says_that_it_has_it() -> None:
    given = Given()
    for holder in ("one", "other"):
        given.leases.give(holder, 1)
    given.leases.give("one", 2)
    assert given.is_waiting_for(2)
    given.leases.give("other", 1)  # this answer may be lost: it still has the first
    assert given.is_waiting_for(2)
    given.leases.give("other", 2)
    assert not given.is_waiting_for(2)


def test_a_holder_that_says_nothing_is_waited_for_until_its_lease_is_over() -> None:
    given = Given()
    given.leases.give("gone", 1)
    given.now += LEASE_S - 0.01
    assert given.is_waiting_for(2)
    given.now += 0.01
    assert not given.is_waiting_for(2)


def test_leases_of_whoever_decided_before_are_waited_for() -> None:
    given = Given()
    given.now -= 0.01
    assert given.is_waiting_for(2)
