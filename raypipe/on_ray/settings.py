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


@dataclass(frozen=True, kw_only=True)
class TrainOnRay:
    """How a training run uses a cluster. 0 means: chosen from the cluster.

    ``workers``: that many share every batch; the result does not depend on it. ``worker_cpus``: CPUs (and, without a
    GPU, compute threads) of each. ``read_cpus``: CPUs of a task that reads and decodes. ``max_failures``: how often
    lost workers are started again before the run gives up. ``start_timeout_s``: how long new machines may take.
    """

    address: str = ""
    workers: int = 1
    worker_cpus: float = 0.0
    read_cpus: float = 0.0
    max_failures: int = 8
    start_timeout_s: int = 1_800

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise WrongUsage(f"workers must be at least 1, got {self.workers}")
        if min(self.worker_cpus, self.read_cpus, self.max_failures) < 0 or self.start_timeout_s < 1:
            raise WrongUsage(f"CPUs and failures are at least 0 and times at least 1 s, got {self}")


@dataclass(frozen=True, kw_only=True)
class IndexOnRay:
    """How building an index uses a cluster. 0 means: chosen from the cluster.

    ``workers``: shards made at once, at most. ``worker_cpus``: CPUs (and compute threads) of each. ``retries``: how
    often a shard whose worker died is made again before the job gives up.
    """

    address: str = ""
    workers: int = 0
    worker_cpus: float = 1.0
    retries: int = 3

    def __post_init__(self) -> None:
        if min(self.workers, self.retries) < 0 or self.worker_cpus <= 0:
            raise WrongUsage(f"workers and retries are at least 0 and CPUs over 0, got {self}")
