"""How a job uses a cluster. Nothing here changes a value in the output."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.errors import WrongUsage


@dataclass(frozen=True, kw_only=True)
class RaySettings:
    """0 means: chosen from the cluster.

    ``address``: a running cluster's; empty takes RAY_ADDRESS, and without that starts Ray on this machine.
    ``actors``: model workers at most. ``actor_cpus``: CPUs (and, without a GPU, compute threads) of each.
    ``actor_restarts``: how often a model worker that died is started again before the job gives up.
    """

    address: str = ""
    actors: int = 0
    actor_cpus: float = 0.0
    decode_cpus: float = 0.0
    actor_restarts: int = 3
    no_progress_timeout_s: int = 600

    def __post_init__(self) -> None:
        if min(self.actors, self.actor_cpus, self.decode_cpus, self.actor_restarts) < 0:
            raise WrongUsage(f"numbers of workers and CPUs are at least 0, got {self}")
        if self.no_progress_timeout_s < 1:
            raise WrongUsage(f"no_progress_timeout_s must be at least 1, got {self.no_progress_timeout_s}")
