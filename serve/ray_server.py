"""The application on Ray Serve on one machine, from start to end."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from raypipe.errors import RaypipeError
from raypipe.on_ray.cluster import cause_of, connect
from serve.settings import ServeSettings

APPLICATION = "raypipe"


def environment(settings: ServeSettings) -> Mapping[str, str]:
    """What Ray's processes must be started with.

    HAProxy takes a request to a replica in a tenth of the time of Serve's own proxy, but it and the replicas then
    listen at all addresses of the machine, and so do replicas that talk gRPC: none of that where only this machine
    may connect.
    """
    everywhere = "0" if settings.api.is_loopback else "1"
    return {
        # One event loop for everything in a replica, and logs written in blocks: nothing in ours ever blocks it.
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": everywhere,
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": everywhere,
        "RAY_SERVE_ENABLE_HA_PROXY": everywhere,
    }


@contextmanager
def running(settings: ServeSettings, *, port: int, address: str = "") -> Iterator[None]:
    """The application answers from the beginning to the end of this block.

    Args:
        address: of a Ray cluster, whose processes were started with ``environment``; "": Ray on this machine.

    Raises:
        RaypipeError: no cluster answers there, or a process of the application cannot start.
    """
    os.environ.update(environment(settings))
    connect(address)
    import ray  # Serve reads the environment when it is imported
    from ray import serve as ray_serve

    from serve.app import application

    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # what it does by the way is not for the terminal
    try:
        ray_serve.start(http_options={"host": settings.api.host, "port": port})
        try:
            ray_serve.run(application(settings), name=APPLICATION)
        except RuntimeError as error:
            raise RaypipeError(f"Ray Serve cannot start it: {_why(error)}") from error
        yield
    finally:
        ray_serve.delete(APPLICATION)
        ray.shutdown()


def _why(error: RuntimeError) -> str:
    """What its processes said; Serve's own error only names them."""
    from ray import serve as ray_serve

    deployments = ray_serve.status().applications[APPLICATION].deployments
    told = [deployment.message for deployment in deployments.values() if deployment.message]
    return cause_of(RuntimeError("\n".join(told))) if told else str(error)
