"""A Ray cluster of one machine, in processes of its own, with token authentication: started and ended by the test."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.ports import free_ports

START_TIMEOUT_S = 180


@dataclass(frozen=True)
class RayHead:
    """Where it answers, and the environment of a client that may talk to it."""

    address: str
    token: str
    environment: dict[str, str]
    process: psutil.Process

    def get(self, path: str) -> Any:
        """The answer of the dashboard's server, from JSON."""
        request = urllib.request.Request(f"{self.address}{path}")
        request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def job(self, submission_id: str) -> dict[str, Any] | None:
        """What the cluster knows of a job; None if nothing."""
        try:
            return dict(self.get(f"/api/jobs/{submission_id}"))
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None


@contextmanager
def ray_head(*, cpus: int = 2, environment: Mapping[str, str] | None = None) -> Iterator[RayHead]:
    """A running head; every process of it is gone afterwards, also when the test fails.

    Args:
        environment: beside what it is started with anyway.
    """
    token = secrets.token_hex(32)
    binaries = Path(sys.executable).parent
    whole = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
        **(environment or {}),
    }
    gcs, dashboard, agent = free_ports(3)
    # Ray's sockets live in this folder, and their paths may have 107 characters only: not pytest's long tmp_path.
    with tempfile.TemporaryDirectory(prefix="rp", ignore_cleanup_errors=True) as folder:
        command = [
            *(str(binaries / "ray"), "start", "--head", "--block", "--disable-usage-stats", f"--temp-dir={folder}"),
            *("--node-ip-address=127.0.0.1", f"--port={gcs}", f"--dashboard-agent-listen-port={agent}"),
            *("--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"),
            *(f"--num-cpus={cpus}", f"--object-store-memory={80 * 2**20}"),
        ]
        with (Path(folder) / "head.log").open("w") as log:
            process = subprocess.Popen(command, env=whole, stdout=log, stderr=subprocess.STDOUT)
        head = RayHead(f"http://127.0.0.1:{dashboard}", token, whole, psutil.Process(process.pid))
        try:
            _wait_until_it_answers(head, process, Path(log.name))
            yield head
        finally:
            _end(process)


def _wait_until_it_answers(head: RayHead, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            head.job("nothing")
        except (OSError, ValueError):  # not yet, or (no JSON) something else is on that port
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"Ray did not start:\n{log.read_text()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        # At once and all of them: jobs that still run would outlive a head that is asked to go.
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.kill()
    process.wait()
