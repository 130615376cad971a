"""What every training worker gets, decided before anything starts. A cluster that can never run it is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raypipe.errors import ImpossibleCluster
from raypipe.on_ray.layout import SMALL_CLUSTER_CPUS, Node, nodes_in_words, room_for
from raypipe.on_ray.settings import TrainOnRay

CPUS_TO_TRY = (4.0, 3.0, 2.0, 1.0, 0.75, 0.5, 0.25, 0.1)


@dataclass(frozen=True, kw_only=True)
class TrainLayout:
    """``threads``: of a worker without a GPU. ``readers``: tasks that read and decode, as many as have room."""

    workers: int
    worker_cpus: float
    worker_gpus: float
    threads: int
    read_cpus: float
    readers: int

    @property
    def resources(self) -> dict[str, float]:
        """Of one worker, as Ray names them."""
        return {"CPU": self.worker_cpus} | ({"GPU": self.worker_gpus} if self.worker_gpus else {})

    def in_words(self) -> str:
        gpus = f" + {self.worker_gpus:g} GPU" if self.worker_gpus else ""
        return (
            f"training with {self.workers} worker{'s' if self.workers > 1 else ''} ({self.worker_cpus:g} CPU{gpus} "
            f"each), up to {self.readers} readers ({self.read_cpus:g} CPU each)"
        )


def lay_out_training(nodes: Sequence[Node], settings: TrainOnRay, *, require_gpu: bool) -> TrainLayout:
    """Divide the nodes among training workers and readers. Where there are GPUs every worker has one.

    Args:
        nodes: what the cluster has, or may grow to.

    Raises:
        ImpossibleCluster: the run could never begin there; shows the arithmetic.
    """
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    if require_gpu and gpus < 1:
        raise ImpossibleCluster(f"--require-gpu: no node has a GPU ({nodes_in_words(nodes)})")
    worker_gpus = 1.0 if gpus >= 1 else 0.0
    read_cpus = settings.read_cpus or (min(0.4, 0.4 * cpus) if cpus < SMALL_CLUSTER_CPUS else 1.0)
    sizes = (settings.worker_cpus,) if settings.worker_cpus else (1.0,) if worker_gpus else CPUS_TO_TRY
    for worker_cpus in sizes:
        holds_them = room_for(nodes, worker_cpus, worker_gpus) >= settings.workers
        if holds_them and _leaves_room(nodes, settings.workers, worker_cpus, worker_gpus, read_cpus):
            left = cpus - settings.workers * worker_cpus
            return TrainLayout(
                workers=settings.workers,
                worker_cpus=worker_cpus,
                worker_gpus=worker_gpus,
                threads=max(1, math.floor(worker_cpus)),
                read_cpus=read_cpus,
                readers=max(1, math.floor(left / read_cpus + 1e-9)),
            )
    raise ImpossibleCluster(_arithmetic(nodes, settings.workers, sizes[-1], worker_gpus, read_cpus))


def _leaves_room(nodes: Sequence[Node], workers: int, worker_cpus: float, worker_gpus: float, read_cpus: float) -> bool:
    """Whether some node has room for a reader, however Ray places the workers."""
    that_fill_all = 0
    for node in nodes:
        that_fill_it = max(0, math.floor((node.cpus - read_cpus) / worker_cpus + 1e-9) + 1)
        if that_fill_it > room_for([node], worker_cpus, worker_gpus):
            return True
        that_fill_all += that_fill_it
    return that_fill_all > workers


def _arithmetic(nodes: Sequence[Node], workers: int, worker_cpus: float, worker_gpus: float, read_cpus: float) -> str:
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    each = f"{worker_cpus:g} CPU" + (f" + {worker_gpus:g} GPU" if worker_gpus else "")
    return (
        f"this cluster can never run the training: {workers} workers need {each} each, all of one worker on one node, "
        f"and a reader {read_cpus:g} CPU beside them on one node: {workers} x {worker_cpus:g} + {read_cpus:g} = "
        f"{workers * worker_cpus + read_cpus:g} CPU"
        + (f" and {workers * worker_gpus:g} GPU" if worker_gpus else "")
        + f"; there are {cpus:g} CPU and {gpus:g} GPU ({nodes_in_words(nodes)}); ask for fewer workers, "
        "or for less each with ray.worker_cpus"
    )
