"""Asking a deployment: again where the process that had the question died, and with the errors of this house."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol

from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError

from serve.errors import Overloaded, Replaced, Unavailable

AGAIN_AFTER_S = 0.05

_DIED: tuple[type[Exception], ...] = (RayActorError, ActorUnavailableError, ReplicaUnavailableError)


class Asked(Protocol):
    """A method of a deployment, by its handle."""

    def remote(self, *arguments: Any) -> Awaitable[Any]: ...


async def ask(method: Asked, *arguments: Any, what: str, seconds: float) -> Any:
    """What a replica answers. Questions change nothing, so that another may be asked where one died over it, or was of
    another configuration.

    Args:
        what: who is asked, for the message.

    Raises:
        Unavailable: no answer within so many seconds.
        Overloaded: too many wait already.
        RaypipeError: as the replica raised it.
    """
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await method.remote(*arguments)
                except _DIED:
                    await asyncio.sleep(AGAIN_AFTER_S)
                except RayTaskError as error:
                    if not isinstance(cause := raised(error), Replaced):
                        raise cause from None
                    await asyncio.sleep(AGAIN_AFTER_S)
    except TimeoutError as error:
        raise Unavailable(f"{what} did not answer within {seconds:g} s") from error
    except DeploymentUnavailableError as error:
        raise Unavailable(f"{what} is down") from error
    except BackPressureError as error:
        raise Overloaded(f"too many wait for {what}: ask again") from error


def raised(error: BaseException) -> BaseException:
    """What another process raised, or one that it asked. Ray's own text has traces in it, which are no client's
    business."""
    while isinstance(error, RayTaskError) and isinstance(error.cause, BaseException):
        error = error.cause
    return error
