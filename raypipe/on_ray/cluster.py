"""The cluster that a job runs on: joining it, what it has, what it says when something fails."""

from __future__ import annotations

import logging
import os
import re

import ray

from raypipe.errors import RaypipeError
from raypipe.on_ray.layout import Node


def connect(address: str) -> None:
    """Join the cluster at ``address`` or RAY_ADDRESS; without either start Ray on this machine.

    The process that started it takes it down when it ends.

    Raises:
        RaypipeError: no cluster answers there.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    address = address or os.environ.get("RAY_ADDRESS", "")
    if not address:
        # Else a harmless message of Ray's core about restarting actors stands in every run's output.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        # Ray ends workers beyond the number of CPUs after an idle second, and starts (and imports) them anew for the
        # next part: on a machine of few CPUs that costs more than the work.
        os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "600000")
    try:
        if address:
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
        else:
            ray.init(address="local", include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    except ConnectionError as error:
        raise RaypipeError(f"no Ray cluster at {address!r}: {error}") from error


def cluster_nodes() -> list[Node]:
    """The living nodes; where the cluster scales by itself, what it may grow to."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    nodes = [
        Node(
            cpus=resources.get("CPU", 0.0),
            gpus=resources.get("GPU", 0.0),
            memory=resources.get("memory", 0.0),
            object_store=resources.get("object_store_memory", 0.0),
        )
        for resources in alive
    ]
    return [*nodes, *_nodes_to_come()]


def cause_of(error: BaseException) -> str:
    """What a person needs of an error: of a trace that Ray carried over as text, the last line; else the first."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    raised = [line for line in lines if re.match(r"[A-Za-z_][\w.]*(Error|Exception|Weights|Mismatch|Usage): ", line)]
    return (raised or lines[:1])[-1].removeprefix("raypipe.errors.")


def _nodes_to_come() -> list[Node]:
    """Nodes that the autoscaler may add, by the cluster's own configuration; none where it does not scale."""
    from ray._private.state import state

    config = state.get_cluster_config()
    if config is None:
        return []
    return [
        Node(cpus=group.resources.get("CPU", 0.0), gpus=group.resources.get("GPU", 0.0))
        for group in config.node_group_configs
        for _ in range(min(group.max_count, 10_000))
    ]
