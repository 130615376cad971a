"""The application on Ray Serve, from its settings: ``serve deploy serve/config.yaml``, or ``raypipe serve``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray import serve as ray_serve
from ray.serve import Application

from raypipe.config import read_config
from serve.deployments import Decider, Editor, Encoder, Ingress, ShardGroup
from serve.settings import Scaling, ServeSettings

DRAIN_S = 30.0
"""What a replica that is to go has for what it is at: no question takes longer (``Limits.answer_s``)."""

RETRY_AFTER_S = 1.0


def build(settings: Mapping[str, Any]) -> Application:
    """For Serve, which knows plain values.

    Raises:
        WrongUsage: names every setting that cannot be meant.
    """
    return application(read_config(ServeSettings, settings))


def application(settings: ServeSettings) -> Application:
    """One ingress over shard groups, encoder, editor and coordinator."""
    groups = [
        _deployment(ShardGroup, settings.shards, settings, name=f"ShardGroup-{number}").bind(
            settings.index, number, settings.groups, settings.shards.threads
        )
        for number in range(settings.groups)
    ]
    encoder = _deployment(Encoder, settings.encoder, settings).bind(
        settings.model, settings.batching, settings.encoder.threads
    )
    editor = _deployment(Editor, settings.editor, settings).bind(
        settings.model, settings.batching, settings.editor.threads
    )
    decider = _decider().bind(settings, groups)
    ingress = _deployment(ray_serve.ingress()(Ingress), settings.ingress, settings)
    return ingress.bind(settings, groups, encoder, editor, decider)


def _deployment(kind: type, scaling: Scaling, settings: ServeSettings, *, name: str = "") -> Any:
    return ray_serve.deployment(
        name=name or kind.__name__,
        **_replicas(scaling),
        ray_actor_options={"num_cpus": scaling.cpus, "num_gpus": scaling.gpus},
        max_ongoing_requests=scaling.ongoing,
        # Without a limit an overload is a queue that grows, in which everybody waits until nobody wants the answer.
        max_queued_requests=settings.queued,
        backpressure_config={"status_code": 429, "retry_after_s": RETRY_AFTER_S},
        # The new replica first, then the old one goes: the other way round nobody answers while weights are read.
        max_surge_percent=100,
        graceful_shutdown_timeout_s=DRAIN_S,
        graceful_shutdown_wait_loop_s=0.2,
        # Whoever asks a replica that died asks another at once; a new one is started only after this found it out.
        health_check_period_s=1.0,
        health_check_timeout_s=20.0,
    )(kind)


def _replicas(scaling: Scaling) -> dict[str, Any]:
    if scaling.least == scaling.most:
        return {"num_replicas": scaling.least}
    return {
        "autoscaling_config": {
            "min_replicas": scaling.least,
            "max_replicas": scaling.most,
            # Room for what arrives until the next replica has read its weights.
            "target_ongoing_requests": 0.6 * scaling.ongoing,
            "upscale_delay_s": 5.0,
            "downscale_delay_s": scaling.idle_s,
        }
    }


def _decider() -> Any:
    """One, and never two that decide: the new one starts while the old one ends, and takes longer to."""
    return ray_serve.deployment(
        name=Decider.__name__,
        num_replicas=1,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=1000,
        max_queued_requests=-1,
        max_surge_percent=0,
        # A change that it is at would else end after the new one began to give leases, which is asked for it anew.
        graceful_shutdown_timeout_s=1.0,
        graceful_shutdown_wait_loop_s=0.2,
        health_check_period_s=1.0,
        health_check_timeout_s=10.0,
    )(Decider)
