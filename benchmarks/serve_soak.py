"""Memory of a server under a constant mixed load: a part of ``benchmarks.serve``."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

SAMPLE_S = 5.0
PARTS = 5
ASKERS = 2
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Soak:
    """Answers by status, and what each kind of process held of its own (USS) in each fifth of the time: the mean of
    its samples, in MiB, all of its processes together."""

    minutes: float
    statuses: dict[str, int]
    changes: int
    processes: dict[str, int]
    mib: dict[str, list[float]]


async def soak(
    url: str, server: psutil.Process, minutes: float, searches: Sequence[Mapping[str, Any]], additions: Sequence[str]
) -> Soak:
    """Two ask without a pause: of ten questions six are searches, two pictures, one an edit and one a picture to
    encode. From time to time an addition is appended, and faces of the collection are deleted.

    Args:
        additions: encoded datasets, by the names under which the server knows them; one for each change.
    """
    end = time.monotonic() + 60 * minutes
    asked_for = searches[: len(searches) // 2]
    kept = {each["face"]["id"] for each in asked_for}
    others = [each["face"]["id"] for each in searches if each["face"]["id"] not in kept]
    statuses: Counter[str] = Counter()
    samples: dict[str, list[tuple[float, int, int]]] = defaultdict(list)
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        picture = (await client.get(f"/v1/images/{searches[0]['face']['id']}")).content
        turn = itertools.cycle(_questions(client, asked_for, picture))

        async def ask() -> None:
            while time.monotonic() < end:
                statuses[str((await next(turn)()).status_code)] += 1

        async def change() -> None:
            """In the first four fifths, so that the last tells what is left of it."""
            for i, name in enumerate(additions):
                await asyncio.sleep(60 * minutes * (PARTS - 1) / PARTS / len(additions))
                for verb, question in (
                    ("append", {"codes": name}),
                    ("delete", {"ids": [others[i]]}),
                ):
                    statuses[f"{verb} {(await client.post(f'/v1/admin/{verb}', json=question)).status_code}"] += 1

        async def sample() -> None:
            began = time.monotonic()
            while (now := time.monotonic()) < end:
                for kind, (count, held) in (await asyncio.to_thread(held_by, server)).items():
                    samples[kind].append(((now - began) / (60 * minutes), count, held))
                await asyncio.sleep(SAMPLE_S)

        await asyncio.gather(sample(), change(), *(ask() for _ in range(ASKERS)))
    return Soak(
        minutes=minutes,
        statuses=dict(statuses),
        changes=2 * len(additions),
        processes={kind: max(count for _, count, _ in taken) for kind, taken in samples.items()},
        mib={kind: _by_part(taken) for kind, taken in samples.items()},
    )


def held_by(server: psutil.Process) -> dict[str, tuple[int, int]]:
    """How many processes of each kind there are, and the bytes that no other process shares with them."""
    found: dict[str, tuple[int, int]] = {}
    for process in [server, *server.children(recursive=True)]:
        try:
            title = " ".join(process.cmdline()) or process.name()
            held = sum(map(int, re.findall(r"^Private_\w+:\s+(\d+) kB", _rollup(process.pid), re.MULTILINE))) * 1024
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            continue
        kind = _kind(title)
        count, so_far = found.get(kind, (0, 0))
        found[kind] = (count + 1, so_far + held)
    return found


def printed(soaked: Soak) -> str:
    """A table, and the rest as JSON."""
    lines = [f"{'':<16}{'processes':>10}" + "".join(f"{f'{20 * i}-{20 * (i + 1)} %':>12}" for i in range(PARTS))]
    for kind, parts in sorted(soaked.mib.items()):
        lines.append(f"{kind:<16}{soaked.processes[kind]:>10}" + "".join(f"{mib:>12.1f}" for mib in parts))
    told = {name: value for name, value in asdict(soaked).items() if name not in ("mib", "processes")}
    return "\n".join([*lines, json.dumps(told)])


def _questions(
    client: httpx.AsyncClient, searches: Sequence[Mapping[str, Any]], picture: bytes
) -> list[Callable[[], Awaitable[httpx.Response]]]:
    """Ten, each with another face from one time to the next."""
    turn = itertools.cycle(searches)

    async def search() -> httpx.Response:
        return await client.post("/v1/search", json=next(turn))

    async def image() -> httpx.Response:
        return await client.get(f"/v1/images/{next(turn)['face']['id']}")

    async def edit() -> httpx.Response:
        asked = next(turn)
        edits = dict.fromkeys(asked["adjust"], 1.0)
        return await client.post("/v1/edit", json={"face": asked["face"], "edits": edits})

    async def encode() -> httpx.Response:
        query = {"query": json.dumps({"face": {"upload": "mine"}})}
        return await client.post("/v1/encode", data=query, files={"mine": picture})

    return [search, search, image, search, edit, search, search, image, search, encode]


def _kind(title: str) -> str:
    """Of a process, by its command line or the title that Ray gave it."""
    if found := re.match(r"ray::ServeReplica:raypipe:([A-Za-z]+)", title):
        return found[1]
    if found := re.match(r"ray::(?!IDLE)([A-Za-z]+)", title):
        return found[1]
    if title.startswith("ray::IDLE"):
        return "idle workers"
    return "raypipe serve" if "raypipe serve" in title else "Ray itself"


def _rollup(pid: int) -> str:
    return Path(f"/proc/{pid}/smaps_rollup").read_text()


def _by_part(taken: Sequence[tuple[float, int, int]]) -> list[float]:
    """Mean of each fifth."""
    means = []
    for part in range(PARTS):
        own = [held for at, _, held in taken if int(min(at, 0.999) * PARTS) == part]
        means.append(sum(own) / len(own) / MIB if own else float("nan"))
    return means
