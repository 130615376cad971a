"""Ray's client of the job server: found by address alone, with an end to every wait, and quiet."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import aiohttp
import requests
from ray.exceptions import AuthenticationError, RayError
from ray.job_submission import JobSubmissionClient

from raypipe.errors import RaypipeError

ANSWER_S = 60.0

TROUBLE = (OSError, RuntimeError, aiohttp.ClientError, requests.RequestException)
"""A request that failed is a RuntimeError or one of requests', a broken log stream one of the others."""

CHATTY = (  # tell of every upload, ignored folder and closed socket
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)


class JobClient(JobSubmissionClient):  # type: ignore[misc]  # Ray's types are not read
    """Ray's client, but it does not wait for ever for a machine that vanished without a word (or a tunnel to it)."""

    def _do_request(
        self, method: str, endpoint: str, *, data: bytes | None = None, json_data: dict[str, Any] | None = None
    ) -> requests.Response:
        answer: requests.Response = super()._do_request(
            method, endpoint, data=data, json_data=json_data, timeout=ANSWER_S
        )
        return answer


def connect(address: str) -> JobClient:
    """The client of the cluster at ``address``; RAY_AUTH_MODE=token adds the token, as everywhere in Ray.

    Raises:
        RaypipeError: no cluster answers there, or it refuses the token.
    """
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with _address_in_environment(address):
            return JobClient(address)
    except AuthenticationError as error:
        raise RaypipeError(f"{address} refuses the token: {error}") from error
    except (ValueError, RayError, *TROUBLE) as error:
        raise RaypipeError(f"no Ray cluster answers at {address!r}: {error}") from error


@contextlib.contextmanager
def _address_in_environment(address: str) -> Iterator[None]:
    # Ray lets these variables override the argument; for us the argument is what was asked for.
    name = "RAY_API_SERVER_ADDRESS"
    before = os.environ.get(name)
    os.environ[name] = address
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
