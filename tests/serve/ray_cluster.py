"""``serve deploy`` to a Ray cluster of one machine, which the test starts."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from tests.on_ray.ray_head import RayHead, ray_head
from tests.ports import free_ports
from tests.serve.processes import replicas_of

DEPLOY_S = 240

CPUS = 64
"""What the cluster believes to have: what a config asks for must fit, and tests share a machine of few."""


class RayCluster:
    """``client`` asks what is deployed there, at ``port``."""

    def __init__(self, head: RayHead, folder: Path) -> None:
        self._head, self._folder = head, folder
        (self.port,) = free_ports(1)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=120)

    def deploy(self, config: Mapping[str, Any]) -> None:
        """Back when everything is as the config says."""
        path = self._folder / "deployed.yaml"
        path.write_text(yaml.safe_dump(config))
        command = ["serve", "deploy", "--address", self._head.address, str(path)]
        done = subprocess.run(command, env=self._head.environment, capture_output=True, text=True, timeout=DEPLOY_S)
        assert done.returncode == 0, done.stdout + done.stderr
        self.wait_until(lambda state: state["status"] == "RUNNING" and _is_settled(state))

    def wait_until(self, holds: Callable[[Mapping[str, Any]], bool]) -> None:
        """``holds``: of what the cluster tells of the application."""
        end = time.monotonic() + DEPLOY_S
        while not holds(state := self.application()):
            assert state["status"] != "DEPLOY_FAILED", state
            assert time.monotonic() < end, state
            time.sleep(0.5)

    def application(self) -> dict[str, Any]:
        applications = self._head.get("/api/serve/applications/")["applications"]
        told: dict[str, Any] = applications.get("raypipe", {"status": "NOT_STARTED", "deployments": {}})
        return told

    def replicas(self, deployment: str) -> list[psutil.Process]:
        return replicas_of(self._head.process, deployment)


@contextmanager
def ray_cluster(folder: Path, environment: Mapping[str, str]) -> Iterator[RayCluster]:
    """``environment``: of all its processes. They are gone afterwards."""
    with ray_head(cpus=CPUS, environment=environment) as head:
        cluster = RayCluster(head, folder)
        try:
            yield cluster
        finally:
            cluster.client.close()


def _is_settled(state: Mapping[str, Any]) -> bool:
    """No replica is on its way in or out."""
    return all(
        each["status"] == "HEALTHY" and all(replica["state"] == "RUNNING" for replica in each["replicas"])
        for each in state["deployments"].values()
    )
