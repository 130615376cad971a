"""What only a GPU can show: Faiss and torch scan there, and answers have the bits that they have on the processor."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
import torch

from raypipe.retrieval.answer import Wish
from raypipe.retrieval.batch_scan import ScanMatrix
from raypipe.retrieval.faiss_gpu import MOST, works
from raypipe.retrieval.filters import Between
from raypipe.retrieval.gpu_scan import FaissScan, faiss_gpu, first_scan
from raypipe.retrieval.index import Index, open_index
from raypipe.retrieval.scan_rows import Probe
from raypipe.retrieval.space import make_target
from tests.retrieval.searching import BINDINGS, NAME, Array, aims, built, tiny_settings, weighted_space

pytestmark = pytest.mark.gpu

SPACE, ROWS = weighted_space(2, 20), 4000


@pytest.fixture(scope="module")
def device() -> torch.device:
    """A GPU that torch sees."""
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    return torch.device("cuda", 0)


@pytest.fixture(scope="module")
def faiss_device(device: torch.device) -> torch.device:
    """A GPU that Faiss sees too."""
    if not hasattr(faiss, "StandardGpuResources"):
        pytest.skip("this Faiss was built without GPUs: pip install faiss-gpu")
    if not faiss.get_num_gpus():
        pytest.skip("Faiss sees no CUDA device")
    return device


@pytest.fixture(scope="module")
def folder(device: torch.device, tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng, made = np.random.default_rng(0), tmp_path_factory.mktemp("index")
    vectors = rng.standard_normal((ROWS, 22)).astype(np.float32)
    vectors[100:200] = vectors[:100]  # ties
    settings = tiny_settings(SPACE, axes=6, rows_per_shard=3000, lists=16)
    built(made, SPACE, vectors, labels={"luck": rng.random(ROWS).tolist()}, settings=settings)
    return made


@pytest.fixture(scope="module")
def plain(folder: Path) -> Index:
    return open_index(str(folder))


def probe_of(plain: Index, scale: float) -> Probe:
    stored = plain.shards()[0].spaces[NAME]
    target = make_target(SPACE, np.random.default_rng(6).standard_normal(22) * scale, {"a0": 1000.0})
    return Probe(stored.reduction.reduce_target(target), target.weights, stored.slack, stored.reduction.scale)


def check_scores(plain: Index, probe: Probe, found: list[tuple[Array, Array]] | None, count: int) -> None:
    """These are the highest scores, and within the margin of float64's."""
    stored = plain.shards()[0].spaces[NAME]
    exact = np.empty(stored.rows)
    for numbers, rows in stored.scan_rows():
        exact[numbers] = rows.astype(np.float64) @ probe.row.astype(np.float64)
    assert found is not None
    for rows, scores in found:
        assert len(set(rows.tolist())) == min(count, stored.rows)
        assert (np.abs(scores - exact[rows]) <= probe.margin).all()
        left_out = np.setdiff1d(np.arange(stored.rows), rows)
        assert (exact[left_out] <= scores.min() + probe.margin).all()


def test_faiss_passes_its_trial(faiss_device: torch.device) -> None:
    assert works(faiss_device.index)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("count", [1, 20, 1024, MOST])
def test_scores_of_faiss_are_within_the_margin(
    faiss_device: torch.device, plain: Index, count: int, scale: float
) -> None:
    probe = probe_of(plain, scale)
    scan = first_scan(plain.shards()[0].spaces[NAME], faiss_device, faiss_gpu(faiss_device))
    assert isinstance(scan, FaissScan)
    check_scores(plain, probe, scan.propose(np.stack([probe.row] * 3), count, None), count)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("count", [1, 1024, 10_000])
def test_scores_of_the_product_are_within_the_margin(
    device: torch.device, plain: Index, count: int, scale: float
) -> None:
    probe = probe_of(plain, scale)
    matrix = ScanMatrix(plain.shards()[0].spaces[NAME], device)
    check_scores(plain, probe, matrix.propose(np.stack([probe.row] * 3), count, None), count)


@pytest.mark.parametrize("preference", [0.0, 1.0, 30.0, 1000.0])
@pytest.mark.parametrize("wish", [Wish(), Wish(k=600), Wish(k=1100), Wish(condition=Between("luck", None, 0.5))])
def test_answers_have_the_same_bits(
    device: torch.device, folder: Path, plain: Index, wish: Wish, preference: float
) -> None:
    there, rng = open_index(str(folder), device=str(device)), np.random.default_rng(3)
    many = [aims(SPACE, rng.standard_normal(22), {"a1": preference}) for _ in range(40)]
    for queries in (many, many[:1]):
        expected = plain.search(queries, wish, asked=BINDINGS)
        for one, other in zip(expected, there.search(queries, wish, asked=BINDINGS, threads=2), strict=True):
            assert one.hits == other.hits
            assert other.certified
