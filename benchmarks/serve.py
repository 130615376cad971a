"""What HTTP and Ray Serve cost beside the engine itself, and what happens beyond what they can do.

    python -m benchmarks.serve [--index DIR] [--faces 1000] [--seconds 5] [--most 64] [--local] [--set NAME=VALUE]
    python -m benchmarks.serve --soak MINUTES [--changes N] [--faces 1000] [--local] [--set NAME=VALUE]

Searches by id, each with one adjusted and preferred attribute, are put to ``raypipe serve`` on this machine's loopback
from 1, 2, 4, ... connections at once, each of which asks again as soon as it has its answer; then once more from a
single one, to see whether it has recovered. Beside them the same questions to the engine, in this process, in turn.
Without ``--index`` one of made-up faces is built first; ``--local``: the server is one process, without Ray. Refusals
(429, 503) are counted apart: their times are not those of answers. Prints a table, then JSON. Client and server share
the machine.

``--soak``: instead, a constant mixed load for so long, with so many additions and deletions, and the memory of the
server's processes meanwhile (``benchmarks.serve_soak``).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.machine import machine
from benchmarks.serve_soak import printed, soak
from raypipe.pipeline.search.query import FromIndex, SearchQuery
from raypipe.pipeline.search.searcher import Searcher, open_searcher

START_S, END_S = 300, 90
MODEL = "small"
K = 20
DIRECT = 50
"""Questions to the engine in this process."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """``answers`` a second, milliseconds of answers, and how many came with which status."""

    connections: int
    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    statuses: dict[str, int]


def main() -> None:
    """Read the options, build, serve, measure, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--index", default="")
    options.add_argument("--faces", type=int, default=1000)
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--most", type=int, default=64)
    options.add_argument("--set", action="append", default=[], dest="settings")
    options.add_argument("--local", action="store_true")
    options.add_argument("--soak", type=float, default=0.0, metavar="MINUTES")
    options.add_argument("--changes", type=int, default=7, help="additions, and as many deletions, during a soak")
    options.add_argument("--json", default="")
    told = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index = told.index or build_index(Path(folder), told.faces)
        settings = [part for setting in told.settings for part in ("--set", setting)]
        asked = [*settings, *(["--local"] if told.local else [])]
        if told.soak:
            report = soaked(Path(folder), index, asked, told)
        else:
            report = measured(index, asked, told.seconds, told.most)
    print(text := json.dumps({"machine": machine(), **report}, indent=1))
    if told.json:
        Path(told.json).write_text(text)


def build_index(folder: Path, faces: int) -> str:
    """Made-up faces, encoded and indexed in two shards."""
    made, codes, index = (str(folder / name) for name in ("faces", "codes", "index"))
    raypipe("synth", "--count", str(faces), "--size", "64", "--seed", "1", "--out", made)
    raypipe("encode", made, "--model", MODEL, "--out", codes, "--local")
    raypipe("index", "build", codes, "--model", MODEL, "--shards", "2", "--out", index, "--local")
    return index


def soaked(folder: Path, index: str, options: Sequence[str], told: argparse.Namespace) -> dict[str, Any]:
    """A server that is asked for so long; prints a table."""
    (folder / "additions").mkdir()
    names = [f"more-{i}" for i in range(told.changes)]
    for i, name in enumerate(names):
        made = str(folder / "made" / name)
        raypipe("synth", "--count", "20", "--start", str(told.faces + 20 * i), "--seed", "1", "--out", made)
        raypipe("encode", made, "--model", MODEL, "--out", str(folder / "additions" / name), "--local")
    searches = [as_question(query) for query in itertools.islice(questions(open_searcher(index, MODEL)), 256)]
    with served(index, [*options, "--append-from", str(folder / "additions")]) as (url, server):
        found = asyncio.run(soak(url, psutil.Process(server.pid), told.soak, searches, names))
    print(printed(found))
    return {"options": list(options), **asdict(found)}


def measured(index: str, options: Sequence[str], seconds: float, most: int) -> dict[str, Any]:
    """All rounds; prints a line each."""
    searcher = open_searcher(index, MODEL)
    queries = list(itertools.islice(questions(searcher), 256))
    direct_ms(searcher, queries)  # everything is loaded by the first questions
    direct = direct_ms(searcher, queries)
    print(f"the engine alone: {direct[0]:.1f} ms p50, {direct[1]:.1f} ms p95")
    with served(index, options) as (url, _):
        rounds = [asyncio.run(one_round(url, queries, count, seconds)) for count in [1, *counts(most), 1]]
    return {
        "rows": searcher.index.manifest.rows,
        "options": list(options),
        "direct_p50_ms": direct[0],
        "direct_p95_ms": direct[1],
        "rounds": [asdict(each) for each in rounds],
    }


def counts(most: int) -> list[int]:
    return [2**power for power in range(1, most.bit_length())]


def questions(searcher: Searcher) -> Iterator[SearchQuery]:
    """Each for another face, with one attribute adjusted to an end and preferred tenfold."""
    space = next(iter(searcher.index.manifest.spaces))
    attributes = searcher.model.method(space.split(".")[0]).attributes
    ids = [shard.ids(np.arange(min(shard.rows, 500))) for shard in searcher.index.shards()]
    for i, id in enumerate(itertools.cycle(itertools.chain(*ids))):
        name = attributes[i % len(attributes)]
        yield SearchQuery(face=FromIndex(id), space=space, adjust={name: float(i % 2)}, prefer={name: 10.0}, k=K)


def direct_ms(searcher: Searcher, queries: Sequence[SearchQuery]) -> tuple[float, float]:
    """Milliseconds of a question in this process, median and 95th percentile."""
    taken = []
    for query in queries[:DIRECT]:
        started = time.perf_counter()
        searcher.search(query)
        taken.append((time.perf_counter() - started) * 1e3)
    return percentile(taken, 50), percentile(taken, 95)


@contextmanager
def served(index: str, options: Sequence[str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a server that is ready, and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "raypipe", "serve", index, "--model", MODEL, "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen([*command, *options], stdout=log, stderr=log)
        try:
            wait_until_ready(url, server)
            yield url, server
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(END_S)


def wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=10).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise RuntimeError("the server did not start")


async def one_round(url: str, queries: Sequence[SearchQuery], connections: int, seconds: float) -> Round:
    """``connections`` askers for ``seconds``, and as long as the last answers take."""
    turn, end = itertools.cycle(queries), time.perf_counter() + seconds
    taken: list[float] = []
    statuses: Counter[str] = Counter()

    async def ask_on(client: httpx.AsyncClient) -> None:
        while (started := time.perf_counter()) < end:
            try:
                status = str((await client.post("/v1/search", json=as_question(next(turn)))).status_code)
            except httpx.HTTPError as error:
                status = type(error).__name__
            statuses[status] += 1
            if status == "200":
                taken.append((time.perf_counter() - started) * 1e3)
            elif status in ("429", "503"):
                await asyncio.sleep(0.05)  # a polite client would wait for a second, as it is told

    limits = httpx.Limits(max_connections=connections)
    began = time.perf_counter()
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        await asyncio.gather(*(ask_on(client) for _ in range(connections)))
    found = Round(
        connections=connections,
        rate=len(taken) / (time.perf_counter() - began),
        p50_ms=percentile(taken, 50),
        p95_ms=percentile(taken, 95),
        p99_ms=percentile(taken, 99),
        statuses=dict(statuses),
    )
    print(
        f"{connections:>4} connections: {found.rate:7.1f} answers/s, p50 {found.p50_ms:7.1f} ms, "
        f"p95 {found.p95_ms:7.1f} ms, p99 {found.p99_ms:7.1f} ms  {found.statuses}",
        flush=True,
    )
    return found


def as_question(query: SearchQuery) -> dict[str, Any]:
    """As the API reads it."""
    assert isinstance(query.face, FromIndex)
    return {
        "face": {"id": query.face.id},
        "space": query.space,
        "adjust": dict(query.adjust),
        "prefer": dict(query.prefer),
        "k": query.k,
    }


def percentile(taken: Sequence[float], share: float) -> float:
    return float(np.percentile(taken, share)) if taken else float("nan")


def raypipe(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "raypipe", *arguments], check=True)


if __name__ == "__main__":
    main()
