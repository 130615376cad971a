from __future__ import annotations

import pytest

from raypipe.errors import ImpossibleCluster
from raypipe.on_ray.layout import GIB, Layout, Node, lay_out
from raypipe.on_ray.settings import RaySettings


def layout(*nodes: Node, require_gpu: bool = False, **settings: float) -> Layout:
    return lay_out(
        nodes,
        RaySettings(**settings),  # type: ignore[arg-type]
        require_gpu=require_gpu,
        actor_bytes=GIB,
        chunk_bytes=32 * 2**20,
    )


@pytest.mark.parametrize("cpus", [1, 2, 3, 4, 8, 16, 64])
def test_workers_a_decoder_and_a_writer_fit_together(cpus: int) -> None:
    chosen = layout(Node(cpus=cpus))
    assert chosen.actors * chosen.actor_cpus + chosen.decode_cpus + chosen.write_cpus <= cpus + 1e-9
    assert chosen.threads <= cpus
    assert chosen.actors >= 1


def test_every_gpu_gets_a_worker() -> None:
    chosen = layout(Node(cpus=32, gpus=4), Node(cpus=32, gpus=4))
    assert (chosen.device, chosen.actors, chosen.actor_gpus) == ("cuda", 8, 1.0)
    assert chosen.decoders == 55


def test_a_cluster_full_of_workers_is_refused_with_the_arithmetic() -> None:
    with pytest.raises(ImpossibleCluster, match=r"2 \+ 0\.4 \+ 0\.1 = 2\.5 CPU; there are 2 CPU"):
        layout(Node(cpus=2), actor_cpus=2)


def test_cpus_of_two_nodes_do_not_make_one_worker() -> None:
    with pytest.raises(ImpossibleCluster, match="on one node"):
        layout(Node(cpus=2), Node(cpus=2), actor_cpus=3)


def test_missing_gpu_memory_and_store_are_named() -> None:
    with pytest.raises(ImpossibleCluster, match="no node has a GPU"):
        layout(Node(cpus=8), require_gpu=True)
    with pytest.raises(ImpossibleCluster, match=r"1\.0 GiB of memory on one node"):
        layout(Node(cpus=8, memory=GIB // 2))
    with pytest.raises(ImpossibleCluster, match="too little object store"):
        layout(Node(cpus=8, object_store=64 * 2**20))


def test_no_nodes_at_all() -> None:
    with pytest.raises(ImpossibleCluster):
        layout()
