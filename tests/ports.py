"""Ports for servers that cannot be handed a socket."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

OURS = range(20_000, 32_000)
"""Between those of Ray's workers and those that the system gives to outgoing connections: of a port that was free just
now, such a connection may be the next owner."""


def free_ports(count: int) -> list[int]:
    """So many, different from each other, that nobody listened at just now."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            port = random.SystemRandom().choice(OURS)
            try:
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            found.append(port)
    return found
