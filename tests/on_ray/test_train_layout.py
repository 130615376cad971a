from __future__ import annotations

import itertools

import pytest

from raypipe.errors import ImpossibleCluster
from raypipe.on_ray.layout import Node
from raypipe.on_ray.settings import TrainOnRay
from raypipe.on_ray.train_layout import TrainLayout, lay_out_training


def layout(*nodes: Node, require_gpu: bool = False, **settings: float) -> TrainLayout:
    return lay_out_training(nodes, TrainOnRay(**settings), require_gpu=require_gpu)  # type: ignore[arg-type]


@pytest.mark.parametrize("cpus", [1, 2, 3, 4, 8, 64])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_and_a_reader_fit_together(cpus: int, workers: int) -> None:
    chosen = layout(Node(cpus=cpus), workers=workers)
    assert chosen.workers == workers
    assert workers * chosen.worker_cpus + chosen.readers * chosen.read_cpus <= cpus + 1e-9
    assert chosen.threads <= max(1, cpus)


def test_where_there_are_gpus_every_worker_has_one() -> None:
    chosen = layout(Node(cpus=16, gpus=2), Node(cpus=16, gpus=2), workers=4)
    assert chosen.resources == {"CPU": 1.0, "GPU": 1.0}
    assert (chosen.readers, chosen.threads) == (28, 1)


@pytest.mark.parametrize("cpus", [1, 2, 3, 4])
@pytest.mark.parametrize("nodes", [1, 2, 3])
@pytest.mark.parametrize("workers", [1, 2, 3, 4, 5])
def test_a_reader_has_room_however_the_workers_are_placed(cpus: int, nodes: int, workers: int) -> None:
    chosen = layout(*[Node(cpus=cpus)] * nodes, workers=workers)
    for placed in itertools.product(range(workers + 1), repeat=nodes):
        left = [cpus - count * chosen.worker_cpus for count in placed]
        if sum(placed) == workers and min(left) >= 0:
            assert max(left) >= chosen.read_cpus - 1e-9


def test_a_worker_lies_on_one_node() -> None:
    assert layout(Node(cpus=2), Node(cpus=2), Node(cpus=2), workers=2).worker_cpus == 2.0


@pytest.mark.parametrize(
    ("nodes", "settings", "arithmetic"),
    [
        ([Node(cpus=2)], {"workers": 2, "worker_cpus": 1.0}, r"2 x 1 \+ 0.4 = 2.4 CPU; there are 2 CPU and 0 GPU"),
        (
            [Node(cpus=1)] * 4,
            {"workers": 1, "worker_cpus": 2.0},
            r"1 workers need 2 CPU each, all of one worker on one node.* \(nodes: 4 x 1 CPU\)",
        ),
        ([Node(cpus=8, gpus=1)], {"workers": 2}, r"2 x 1 \+ 1 = 3 CPU and 2 GPU; there are 8 CPU and 1 GPU"),
        ([Node(cpus=2)], {"workers": 40}, r"40 x 0.1 \+ 0.4 = 4.4 CPU"),
    ],
)
def test_what_can_never_run_is_refused_with_the_arithmetic(
    nodes: list[Node], settings: dict[str, float], arithmetic: str
) -> None:
    with pytest.raises(ImpossibleCluster, match=arithmetic):
        layout(*nodes, **settings)


def test_a_gpu_that_is_asked_for_must_be_there() -> None:
    with pytest.raises(ImpossibleCluster, match="no node has a GPU"):
        layout(Node(cpus=64), require_gpu=True)
