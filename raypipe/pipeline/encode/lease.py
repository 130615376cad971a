"""One job writes to an output: a lease file that its owner keeps beating, and that a dead owner's successor takes over.

Nothing depends on clocks of two machines agreeing: a lease is dead when its process is gone (same machine) or when
its beat does not move for ``STALE_AFTER_S`` while one watches.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raypipe import storage
from raypipe.errors import OutputInUse, RaypipeError

BEAT_S = 3.0
STALE_AFTER_S = 12.0


@dataclass
class _Owner:
    token: str
    machine: str
    process: int
    started: str
    beat: int = 0

    def to_bytes(self) -> bytes:
        return json.dumps(vars(self)).encode()


class Lease:
    """Held from entering the ``with`` block to leaving it.

    Raises:
        OutputInUse: another living job holds it.
    """

    def __init__(self, uri: str, say: Callable[[str], None]) -> None:
        self._uri = uri
        self._say = say
        self._owner = _Owner(secrets.token_hex(8), _machine(), os.getpid(), _process_start(os.getpid()))
        self._released = threading.Event()
        self._lost = ""
        self._thread = threading.Thread(target=self._keep_beating, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        while not storage.create_exclusively(self._uri, self._owner.to_bytes()):
            holder = _read(self._uri)
            if holder is not None and self._is_alive(holder):
                raise OutputInUse(
                    f"{self._uri} is held by a running job (process {holder.process} on {holder.machine}); "
                    f"stop it or wait for it, or write to another output"
                )
            self._say(f"taking over from a job that died (process {holder.process if holder else 'unknown'})")
            storage.remove(self._uri)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._thread.join()
        if not self._lost and self._is_ours(_read(self._uri)):  # it may have been taken since the last beat
            storage.remove(self._uri)

    def check(self) -> None:
        """Raise OutputInUse if another job took the lease over, because this one stood still for too long."""
        if self._lost:
            raise OutputInUse(self._lost)

    def _keep_beating(self) -> None:
        while not self._released.wait(BEAT_S):
            try:
                holder = _read(self._uri)
                if not self._is_ours(holder):
                    self._lost = f"{self._uri} was taken over by process {holder.process if holder else 'unknown'}"
                    return
                self._owner.beat += 1
                storage.write_bytes(self._uri, self._owner.to_bytes())
            except storage.errors() as error:
                self._say(f"could not renew the lease on the output, trying again: {error}")
            except RaypipeError as error:
                self._lost = str(error)
                return

    def _is_ours(self, holder: _Owner | None) -> bool:
        return holder is not None and holder.token == self._owner.token

    def _is_alive(self, holder: _Owner) -> bool:
        if holder.machine == self._owner.machine:
            return _process_start(holder.process) == holder.started
        self._say(f"the output is held by a job on {holder.machine}; watching its lease for {STALE_AFTER_S:.0f} s")
        deadline = time.monotonic() + STALE_AFTER_S
        while time.monotonic() < deadline:
            time.sleep(BEAT_S / 3)
            now = _read(self._uri)
            if now is None or now.token != holder.token:
                return now is not None
            if now.beat != holder.beat:
                return True
        return False


def held_by(uri: str) -> str:
    """Who holds the lease, in words, as far as one look can tell; empty where nobody does who lives."""
    holder = _read(uri)
    if holder is None:
        return ""
    if holder.machine != _machine():
        return f"a job on another machine, if it still lives (process {holder.process} on {holder.machine})"
    is_alive = _process_start(holder.process) == holder.started
    return f"a running job (process {holder.process} on this machine)" if is_alive else ""


def _read(uri: str) -> _Owner | None:
    fs, _ = storage.filesystem(uri)
    fs.invalidate_cache()
    try:
        tree: dict[str, Any] = json.loads(storage.read_bytes(uri))
        return _Owner(**tree)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise RaypipeError(f"{uri} is not a lease ({error}); remove it if no job is writing there") from error


def _machine() -> str:
    """This boot of this machine, and the space its process numbers belong to (a container has its own)."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    told = [boot.read_text().strip()[:8] if boot.exists() else "", str(space.readlink()) if space.is_symlink() else ""]
    return "/".join([platform.node(), *told])


def _process_start(process: int) -> str:
    """When a process began, in the kernel's ticks; empty if there is none. Tells a reused number from the owner."""
    stat = Path(f"/proc/{process}/stat")
    if stat.exists():
        fields = stat.read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "unknown"
