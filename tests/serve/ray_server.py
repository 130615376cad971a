"""``raypipe serve`` in processes of its own, and questions that are put to it all the while."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import psutil

from tests.ports import free_ports
from tests.serve.processes import END_S, end_processes, replicas_of

START_S = 180


class RayServer:
    """A running server. ``client`` asks it."""

    def __init__(self, url: str, process: psutil.Process) -> None:
        self.client = httpx.Client(base_url=url, timeout=120)
        self._process = process

    def replicas(self, deployment: str) -> list[psutil.Process]:
        return replicas_of(self._process, deployment)

    def kill(self, deployment: str) -> None:
        """As if its machine were gone."""
        replicas = self.replicas(deployment)
        assert replicas, f"there is no replica of {deployment}"
        for replica in replicas:
            replica.kill()

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self._process.send_signal(signal.SIGINT)
        return int(self._process.wait(END_S))


@contextmanager
def ray_server(
    index: Path, model: Path, folder: Path, *settings: str, options: Sequence[str] = ()
) -> Iterator[RayServer]:
    """Ready; gone with all of its processes afterwards, also when the test fails."""
    (port,) = free_ports(1)
    told = [part for setting in settings for part in ("--set", setting)]
    asked = ["serve", str(index), "--model", str(model), "--port", str(port), *options, *told]
    command = [sys.executable, "-m", "raypipe", *asked]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    environment.pop("RAY_ADDRESS", None)
    with (folder / "serve.log").open("w+") as log:
        process = psutil.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        server = RayServer(f"http://127.0.0.1:{port}", process)
        try:
            _wait_until_ready(server, process, log)
            yield server
        finally:
            server.client.close()
            end_processes(process)


class Load:
    """Questions, one after the other from each of ``askers`` threads, within ``with``."""

    def __init__(self, ask: Callable[[], None], askers: int = 2) -> None:
        self._ask, self._ending = ask, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(askers)]
        self.failures: list[str] = []
        self.answers = 0

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Until so many more are answered."""
        wanted, end = self.answers + more, time.monotonic() + START_S
        while self.answers < wanted:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.answers} answers of {wanted} after {START_S} s; failures: {self.failures}")
            time.sleep(0.02)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._ask()
                self.answers += 1
            except (AssertionError, httpx.HTTPError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")


def _wait_until_ready(server: RayServer, process: psutil.Popen, log: IO[str]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if server.client.get("/readyz").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    log.seek(0)
    raise RuntimeError(f"the server did not start:\n{log.read()}")
