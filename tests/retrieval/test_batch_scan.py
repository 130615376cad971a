from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from raypipe.retrieval import batch_scan, index
from raypipe.retrieval.answer import Diversity, Wish
from raypipe.retrieval.batch_scan import ScanMatrix
from raypipe.retrieval.filters import Between
from raypipe.retrieval.index import Index
from raypipe.retrieval.scan_rows import Probe
from raypipe.retrieval.shard_search import search_shard
from raypipe.retrieval.space import Aim, make_target
from tests.retrieval.searching import BINDINGS, NAME, Array, built, tiny_settings, weighted_space

SPACE, ROWS = weighted_space(2, 20), 3000


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Index:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((ROWS, 22)).astype(np.float32)
    vectors[100:200] = vectors[:100]  # ties
    labels = {"luck": rng.random(ROWS).tolist(), "person": rng.integers(0, 300, ROWS).tolist()}
    settings = tiny_settings(SPACE, axes=6, rows_per_shard=2000, lists=16)
    return built(tmp_path_factory.mktemp("index"), SPACE, vectors, labels=labels, settings=settings)


def queries(count: int, preference: float) -> list[list[Aim]]:
    rng = np.random.default_rng(1)
    return [
        [Aim(NAME, make_target(SPACE, rng.standard_normal(22), {"a1": preference}), weight)]
        for weight in (1.0, 0.3)
        for _ in range(count // 2)
    ]


@pytest.mark.parametrize("preference", [0.0, 1.0, 30.0])
@pytest.mark.parametrize(
    "wish",
    [
        Wish(),
        Wish(k=300),
        Wish(condition=Between("luck", None, 0.5)),
        Wish(condition=Between("luck", None, 0.001)),
        Wish(diversity=Diversity("person", 1), k=250),
        Wish(diversity=Diversity("person", 1), k=299),
    ],
)
def test_together_and_one_by_one_give_the_same_bits(opened: Index, wish: Wish, preference: float) -> None:
    many = queries(6, preference)
    alone = [opened.search([query], wish, asked=BINDINGS)[0] for query in many]
    shards = opened.shards()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScanMatrix, "pays", lambda *_: True)
        patch.setattr(index, "_QUERIES_AT_ONCE", 4)
        together = opened.search(many, wish, asked=BINDINGS, threads=2)
    for one, other, query in zip(alone, together, many, strict=True):
        assert one.hits == other.hits
        assert other.certified
        plain = [search_shard(s, query, wish, s.allowed(wish.condition), "compare all") for s in shards]
        assert {hit.id for hit in other.hits} <= {hit.id for answer in plain for hit in answer.hits}


def test_scans_that_are_done_together_say_so(opened: Index) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScanMatrix, "pays", lambda *_: True)
        answers = opened.search(queries(4, 1.0), Wish(), asked=BINDINGS)
        (alone,) = opened.search(queries(2, 1.0)[:1], Wish(), asked=BINDINGS)
    scans = [part for answer in answers for part in answer.explanations if part.plan == "scan"]
    assert scans
    assert all(part.why.endswith("in one scan with 3 other queries") for part in scans)
    assert any(part.why.endswith("rows, in one scan") for part in alone.explanations)


@pytest.mark.parametrize("block", [37, 300, 10_000])
@pytest.mark.parametrize("count", [1, 20, 5000])
@pytest.mark.parametrize("share", [None, 0.0, 0.01, 0.6])
def test_the_highest_scores_are_those_of_faiss(
    opened: Index, monkeypatch: pytest.MonkeyPatch, block: int, count: int, share: float | None
) -> None:
    monkeypatch.setattr(batch_scan, "_BLOCK_ROWS", block)
    stored = opened.shards()[1].spaces[NAME]
    allowed = None if share is None else np.random.default_rng(2).random(stored.rows) < share
    probes = np.random.default_rng(3).standard_normal((3, stored.columns)).astype(np.float32)
    every = np.arange(len(stored.list_sizes))
    for probe, (rows, scores) in zip(
        probes, ScanMatrix(stored, torch.device("cpu")).best(probes, count, allowed), strict=True
    ):
        expected_rows, expected = stored.best(probe, every, min(count, stored.rows), allowed)
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-4)
        assert len(set(rows.tolist()) ^ set(expected_rows.tolist())) <= 2  # ties at the end
        assert allowed is None or allowed[rows].all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_margin_covers_a_product_in_any_order(opened: Index, scale: float) -> None:
    """Scores by a product, by Faiss and in float64 are never further apart than what bounds allow for."""
    stored = opened.shards()[0].spaces[NAME]
    target = make_target(SPACE, np.random.default_rng(4).standard_normal(22) * scale, {"a0": 1000.0})
    probe = Probe(stored.reduction.reduce_target(target), target.weights, stored.slack, stored.reduction.scale)
    rows, scores = ScanMatrix(stored, torch.device("cpu")).best(probe.row[None], stored.rows, None)[0]
    exact = exact_scores(stored.scan_rows(), probe, stored.rows)[rows]
    assert (np.abs(scores - exact) <= probe.margin).all()
    true = stored.distances(target, rows).total
    assert (probe.bounds(scores) <= true).all()


def exact_scores(lists: Iterator[tuple[Array, Array]], probe: Probe, count: int) -> Array:
    scores = np.empty(count)
    for numbers, rows in lists:
        scores[numbers] = rows.astype(np.float64) @ probe.row.astype(np.float64)
    return scores


@pytest.mark.parametrize("backend", [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul])
def test_fewer_bits_than_float32_are_never_multiplied_with(opened: Index, backend: Any) -> None:
    matrix = ScanMatrix(opened.shards()[0].spaces[NAME], torch.device("cpu"))
    assert matrix.pays(10_000, None, 2000)
    backend.fp32_precision = "tf32"
    try:
        assert not matrix.pays(10_000, None, 2000)
        assert matrix.propose(np.zeros((10_000, 1), np.float32), 2000, None) is None
    finally:
        backend.fp32_precision = "ieee"
    assert matrix.pays(10_000, None, 2000)


def test_the_older_setting_counts_too(opened: Index) -> None:
    matrix = ScanMatrix(opened.shards()[0].spaces[NAME], torch.device("cpu"))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert not matrix.pays(10_000, None, 2000)
    finally:
        torch.set_float32_matmul_precision(before)


def test_one_query_is_left_to_faiss(opened: Index) -> None:
    matrix = ScanMatrix(opened.shards()[0].spaces[NAME], torch.device("cpu"))
    assert not matrix.pays(1, None, 2000)
    assert not matrix.pays(1, np.ones(2000, np.bool_), 2000)


@pytest.mark.parametrize("count", [1, 30, 300])
@pytest.mark.parametrize("masked", [False, True])
def test_what_is_dropped_between_blocks_is_never_among_the_highest(opened: Index, count: int, masked: bool) -> None:
    (shard, *_), rng = opened.shards(), np.random.default_rng(2)
    stored = shard.spaces[NAME]
    probes_QC = (rng.standard_normal((60, stored.columns)) * 1e-6).astype(np.float32)  # scores near each other
    allowed = rng.random(shard.rows) < 0.5 if masked else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_scan, "_BLOCK_ROWS", 16)
        patch.setattr(batch_scan, "_TRIM_AT", 1)
        found = ScanMatrix(stored, torch.device("cpu")).best(probes_QC, count, allowed)
    rows_NC = np.empty((shard.rows, stored.columns))
    for numbers, rows in stored.scan_rows():
        rows_NC[numbers] = rows
    scores_QN = probes_QC @ rows_NC.T
    for plain_N, (rows, scores) in zip(scores_QN, found, strict=True):
        counted = plain_N if allowed is None else plain_N[allowed]
        assert scores == pytest.approx(np.sort(counted)[::-1][:count], abs=1e-10)
        assert scores == pytest.approx(plain_N[rows], abs=1e-10)
        assert len(set(rows.tolist())) == count
