"""Which version of the index answers may be of: known for a while from the moment of asking.

Whoever answers holds a lease and renews it all the time, so that it outlasts who gave it by nearly its whole length:
while that one is replaced, nobody waits. Whoever changes the version waits until every holder says that it has the new
one, or until its lease has run out; from then on no answer is of the older one, whether or not its holder could be
reached. Time is measured by the holder alone and from before it asked, so that clocks need not agree. (C. G. Gray and
D. R. Cheriton, Leases: an efficient fault-tolerant mechanism for distributed file cache consistency, SOSP 1989.)
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from serve.errors import Unavailable

LEASE_S = 20.0
"""Longer than it takes to start a process that decides; a change after somebody died waits for as long. The same for
all: leases that another release or configuration gave are waited for, too."""

RENEW_S = 0.1
SETTLE_S = 0.25
"""For an answer that is on its way out."""

_NOBODY = "nobody can tell which version of the index to answer from"


class Lease:
    """Of one process.

    Args:
        ask: whoever decides, for the version; tells who asks, and the version that it holds (0: none).
        wait_s: how long an answer waits for a lease if there is none.
    """

    def __init__(
        self,
        ask: Callable[[str, int], Awaitable[int]],
        *,
        wait_s: float,
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._wait_s, self._lease_s, self._clock = ask, wait_s, lease_s, clock
        self._holder, self._version, self._until = secrets.token_hex(8), 0, float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def version(self) -> int:
        """The version that an answer which is given now is of.

        Raises:
            Unavailable: nobody who decides can be reached.
        """
        end = self._clock() + self._wait_s
        try:
            async with asyncio.timeout(self._wait_s):
                while self._clock() >= self._until:  # also where the answer took longer than a lease
                    if self._clock() >= end:
                        raise Unavailable(_NOBODY)
                    await self._tried()
        except TimeoutError as error:
            raise Unavailable(_NOBODY) from error
        return self._version

    async def keep(self) -> None:
        """Renew, until cancelled."""
        while True:
            with suppress(Unavailable):  # whoever answers asks again, and says so
                await self._renewed()
            await asyncio.sleep(RENEW_S)

    async def _tried(self) -> None:
        """Others may have begun to ask long before: that they gave up is no reason for this one to."""
        try:
            await self._renewed()
        except Unavailable:
            await asyncio.sleep(RENEW_S)

    async def _renewed(self) -> None:
        """One question at a time, for all who wait."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._renew())
        await asyncio.shield(self._asking)

    async def _renew(self) -> None:
        asked = self._clock()
        try:
            async with asyncio.timeout(self._wait_s):
                version = await self._ask(self._holder, self._version)
        except TimeoutError as error:
            raise Unavailable(_NOBODY) from error
        self._version, self._until = version, asked + self._lease_s


class Leases:
    """Those that were given, for whoever decides. One who starts does not know those of the one before."""

    def __init__(self, *, lease_s: float = LEASE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease_s, self._clock = lease_s, clock
        self._others_until = clock() + lease_s
        self._held: dict[str, tuple[int, float]] = {}

    def give(self, holder: str, held: int) -> None:
        """A lease from now on, on whatever is decided now, to one that has ``held`` until it hears of that."""
        now = self._clock()
        self._held = {name: lease for name, lease in self._held.items() if lease[1] > now}
        self._held[holder] = (held, now + self._lease_s)

    async def all_have(self, version: int) -> None:
        """Until nobody can hold another version."""
        while not self._has_everybody(version):
            await asyncio.sleep(RENEW_S / 4)

    def _has_everybody(self, version: int) -> bool:
        now = self._clock()
        return now >= self._others_until and all(held == version or until <= now for held, until in self._held.values())
