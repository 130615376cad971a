"""Who gets which CPUs and GPUs, decided before anything starts. A cluster that can never run the job is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raypipe.errors import ImpossibleCluster
from raypipe.on_ray.settings import RaySettings

CPU_ACTOR_MOST = 4.0
"""Threads beyond this add little to one CPU model worker's speed at these sizes: more workers do."""

SMALL_CLUSTER_CPUS = 4.0
WRITE_CPUS = 0.1
CHUNKS_IN_STORE = 6
"""Chunks of pixels that wait between reading and the model when all runs well; the object store must hold them."""

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Node:
    """What one node offers, in Ray's units. Memory in bytes."""

    cpus: float
    gpus: float = 0.0
    memory: float = math.inf
    object_store: float = math.inf


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Resources of the three stages. ``threads`` are a CPU model worker's."""

    device: str
    actors: int
    actor_cpus: float
    actor_gpus: float
    threads: int
    decode_cpus: float
    decoders: int
    write_cpus: float = WRITE_CPUS

    def in_words(self) -> str:
        gpus = f" + {self.actor_gpus:g} GPU" if self.actor_gpus else f", {self.threads} threads"
        return (
            f"{self.actors} model worker{'s' if self.actors > 1 else ''} ({self.actor_cpus:g} CPU{gpus} each), "
            f"up to {self.decoders} decoders ({self.decode_cpus:g} CPU each), writers ({self.write_cpus:g} CPU each)"
        )


def lay_out(
    nodes: Sequence[Node], settings: RaySettings, *, require_gpu: bool, actor_bytes: int, chunk_bytes: int
) -> Layout:
    """Divide the nodes among model workers, decoders and writers.

    Args:
        nodes: what the cluster has, or may grow to.
        actor_bytes: memory a model worker needs for its weights.
        chunk_bytes: pixels of one chunk.

    Raises:
        ImpossibleCluster: the job could never run there; shows the arithmetic.
    """
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    if require_gpu and gpus < 1:
        raise ImpossibleCluster(f"--require-gpu: no node has a GPU ({nodes_in_words(nodes)})")
    is_small = cpus < SMALL_CLUSTER_CPUS
    decode_cpus = settings.decode_cpus or (min(0.4, 0.4 * cpus) if is_small else 1.0)
    actor_cpus = settings.actor_cpus or _actor_cpus(nodes, gpus, decode_cpus)
    fitting = room_for(nodes, actor_cpus, 1.0 if gpus >= 1 else 0.0, actor_bytes)
    most = min(fitting, settings.actors or fitting)
    actors = min(most, math.floor((cpus - decode_cpus - WRITE_CPUS + 1e-9) / actor_cpus))
    if fitting == 0 or actors < 1:
        raise ImpossibleCluster(
            f"this cluster can never run the job: a model worker needs {actor_cpus:g} CPU"
            f"{' + 1 GPU' if gpus >= 1 else ''} and {_gib(actor_bytes)} of memory on one node, "
            f"a decoder {decode_cpus:g}, a writer {WRITE_CPUS:g}: {actor_cpus:g} + {decode_cpus:g} + {WRITE_CPUS:g} = "
            f"{actor_cpus + decode_cpus + WRITE_CPUS:g} CPU; there are {cpus:g} CPU and {gpus:g} GPU "
            f"({nodes_in_words(nodes)})"
        )
    store = sum(node.object_store for node in nodes)
    if store < CHUNKS_IN_STORE * chunk_bytes:
        raise ImpossibleCluster(
            f"too little object store: {CHUNKS_IN_STORE} chunks of pixels of {_gib(chunk_bytes)} make "
            f"{_gib(CHUNKS_IN_STORE * chunk_bytes)}, the nodes have {_gib(store)}; ask for fewer rows a commit"
        )
    return Layout(
        device="cuda" if gpus >= 1 else "cpu",
        actors=actors,
        actor_cpus=actor_cpus,
        actor_gpus=1.0 if gpus >= 1 else 0.0,
        threads=max(1, math.ceil(actor_cpus)),
        decode_cpus=decode_cpus,
        decoders=max(1, math.floor((cpus - actors * actor_cpus - WRITE_CPUS + 1e-9) / decode_cpus)),
    )


def _actor_cpus(nodes: Sequence[Node], gpus: float, decode_cpus: float) -> float:
    """One CPU feeds a GPU; without one, as many as a node has beside a decoder and a writer, up to four."""
    if gpus >= 1:
        return 1.0
    largest = max((node.cpus for node in nodes), default=0.0)
    return max(0.1, min(CPU_ACTOR_MOST, largest - decode_cpus - WRITE_CPUS))


def room_for(nodes: Sequence[Node], cpus: float, gpus: float, memory: int = 0) -> int:
    """How many workers of that size the nodes hold, each on one node."""
    return sum(
        math.floor(
            min(
                node.cpus / cpus + 1e-9,
                node.gpus / gpus if gpus else math.inf,
                node.memory / memory if memory else math.inf,
            )
        )
        for node in nodes
    )


def nodes_in_words(nodes: Sequence[Node]) -> str:
    """How many nodes there are of which kind."""
    shapes = [
        f"{node.cpus:g} CPU"
        + (f" + {node.gpus:g} GPU" if node.gpus else "")
        + (f", {_gib(node.memory)}" if math.isfinite(node.memory) else "")
        for node in nodes
    ]
    return "nodes: " + "; ".join(f"{shapes.count(shape)} x {shape}" for shape in dict.fromkeys(shapes))


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"
