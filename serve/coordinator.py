"""Who decides which version of the index is served. Knows nothing of where the others run."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection

from raypipe import storage
from raypipe.errors import RaypipeError, WrongUsage
from raypipe.pipeline.index.changes import delete as delete_from_index
from raypipe.pipeline.index.config import AppendConfig
from raypipe.pipeline.index.job import run_job
from raypipe.pipeline.index.local import RunLocally
from raypipe.pipeline.index.plan import append_job
from raypipe.retrieval.manifest import read_manifest
from serve.lease import LEASE_S, SETTLE_S, Leases
from serve.versions import checked_version

CHOICE = "served.json"
"""Beside the manifests: the version that was activated by its number. Without it the newest is served."""

_log = logging.getLogger("raypipe.serve")


class Coordinator:
    """One for all who answer. Changes are made one after the other.

    Args:
        index: where it is.
        preload: has a version opened by everybody who answers; raises where somebody cannot.
        append: writes the next version, with the faces of a dataset; see ``append_codes``.
        lease_s: of all coordinators of this index; the first change waits for leases that a lost one may have given.

    Raises:
        WrongUsage: there is no index.
    """

    def __init__(
        self,
        index: str,
        *,
        preload: Callable[[int], Awaitable[None]],
        append: Callable[[str], Awaitable[None]],
        lease_s: float = LEASE_S,
    ) -> None:
        self._uri, self._preload, self._append = index, preload, append
        self._version = version_to_serve(index)
        self._changes = asyncio.Lock()
        self._leases = Leases(lease_s=lease_s)

    @property
    def version(self) -> int:
        return self._version

    def lease(self, holder: str, held: int) -> int:
        """What an answer may be of for as long as a lease lasts. ``held``: what the holder had until now."""
        self._leases.give(holder, held)
        return self._version

    async def activate(self, version: int | None) -> int:
        """As ``Backend.activate``."""
        async with self._changes:
            if version is not None:
                await asyncio.to_thread(checked_version, self._uri, version)
            return await self._serve(version)

    async def append(self, codes: str) -> int:
        """As ``Backend.append``."""
        async with self._changes:
            await self._append(codes)
            return await self._serve(None)

    async def delete(self, ids: Collection[str]) -> int:
        """As ``Backend.delete``."""
        async with self._changes:
            await asyncio.to_thread(delete_from_index, self._uri, ids, _log.info)
            return await self._serve(None)

    async def _serve(self, version: int | None) -> int:
        """Opened everywhere, chosen for whoever decides next, then given; back when no lease on another is left."""
        chosen = version or (await asyncio.to_thread(read_manifest, self._uri)).version
        await self._preload(chosen)
        await asyncio.to_thread(_choose, self._uri, version)
        self._version = chosen
        await self._leases.all_have(chosen)
        await asyncio.sleep(SETTLE_S)
        _log.info("version %d of the index is served", chosen)
        return chosen


def version_to_serve(uri: str) -> int:
    """The one that was chosen, where it may still be served; else the newest.

    Raises:
        WrongUsage: there is no index.
    """
    newest = read_manifest(uri).version
    try:
        return checked_version(uri, int(json.loads(storage.read_bytes(storage.join(uri, CHOICE)))["version"])).version
    except (FileNotFoundError, WrongUsage):  # nothing was chosen, or faces were deleted since, or it was compacted away
        return newest
    except (ValueError, KeyError, TypeError) as error:
        raise RaypipeError(f"{storage.join(uri, CHOICE)} is damaged: {error}") from error


def append_codes(index: str, codes: str, model: str) -> None:
    """Index a dataset in this process."""
    job = append_job(AppendConfig(index=index, codes=(codes,), model=model))
    run_job(job, RunLocally(), say=_log.info, watch=lambda record: None)


def _choose(uri: str, version: int | None) -> None:
    place = storage.join(uri, CHOICE)
    if version is not None:
        storage.write_bytes(place, json.dumps({"version": version}).encode())
    else:
        storage.remove(place)
