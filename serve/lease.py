"""Which version of the index answers may be of: known for a quarter of a second from the moment of asking.

Whoever answers holds a lease and renews it in the background. Whoever changes the version waits until every lease on
the older one has run out; from then on no answer is of it, whether or not its holder could be told. Time is measured
by the holder alone and from before it asked, so that clocks need not agree. (C. G. Gray and D. R. Cheriton, Leases: an
efficient fault-tolerant mechanism for distributed file cache consistency, SOSP 1989.)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from serve.errors import Unavailable

LEASE_S = 0.25
RENEW_S = 0.1
SETTLE_S = 2 * LEASE_S
"""Whoever changes the version waits so long: the lease, and as much again for an answer on its way out."""

_NOBODY = "nobody can tell which version of the index to answer from"


class Lease:
    """Of one process.

    Args:
        ask: whoever decides, for the version.
        wait_s: how long an answer waits for a lease if there is none.
    """

    def __init__(
        self, ask: Callable[[], Awaitable[int]], *, wait_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask, self._wait_s, self._clock = ask, wait_s, clock
        self._version, self._until = 0, -1.0
        self._asking: asyncio.Task[None] | None = None

    async def version(self) -> int:
        """The version that an answer which is given now is of.

        Raises:
            Unavailable: nobody who decides can be reached.
        """
        end = self._clock() + self._wait_s
        while self._clock() >= self._until:  # also where the answer took longer than a lease
            if self._clock() >= end:
                raise Unavailable(_NOBODY)
            await self._renewed()
        return self._version

    async def keep(self) -> None:
        """Renew, until cancelled."""
        while True:
            with suppress(Unavailable):  # whoever answers asks again, and says so
                await self._renewed()
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
                version = await self._ask()
        except TimeoutError as error:
            raise Unavailable(_NOBODY) from error
        self._version, self._until = version, asked + LEASE_S
