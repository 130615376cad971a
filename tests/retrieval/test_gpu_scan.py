"""The scan by Faiss on a GPU. Any index of Faiss that holds a shard's lists can be scanned, so these tests take the
processor's own, under the limits of a GPU's; ``test_on_a_gpu`` has those that need one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.retrieval import gpu_scan, index
from raypipe.retrieval.answer import Answer, Diversity, Wish
from raypipe.retrieval.batch_scan import ScanMatrix
from raypipe.retrieval.changes import delete
from raypipe.retrieval.faiss_gpu import MOST
from raypipe.retrieval.filters import Between
from raypipe.retrieval.gpu_scan import FaissScan, faiss_gpu, first_scan
from raypipe.retrieval.index import Index, open_index
from raypipe.retrieval.shard_search import ShardSearch, scan_together
from raypipe.retrieval.space import Aim
from raypipe.retrieval.stored_space import StoredSpace
from tests.retrieval.searching import (
    BINDINGS,
    NAME,
    Array,
    aims,
    built,
    names,
    plain_distances,
    plain_nearest,
    tiny_settings,
    weighted_space,
)

SPACE, ROWS, CPU = weighted_space(2, 20), 4000, torch.device("cpu")
LUCK = np.random.default_rng(1).random(ROWS)


class Limited:
    """Lists in the processor's memory that can no more than a GPU's: at most ``MOST`` rows and lists, selectors looked
    past, one search at a time."""

    def __init__(self, lists: Any) -> None:
        self._lists, self._busy, self.nlist, self.searches = lists, False, lists.nlist, 0

    def search(self, probes: Array, count: int, *, params: Any) -> tuple[Array, Array]:
        if self._busy or count > MOST or params.nprobe > MOST:
            raise RuntimeError("a GPU would have stopped the process")
        self._busy = True
        parameters: Any = faiss.SearchParametersIVF
        found: tuple[Array, Array] = self._lists.search(probes, count, params=parameters(nprobe=params.nprobe))
        self.searches, self._busy = self.searches + 1, False
        return found


class Processor:
    """As ``FaissGpu``, of a machine without one."""

    def __init__(self) -> None:
        self.free, self.copies = threading.Lock(), list[Limited]()

    def copy(self, lists: Any) -> Limited:
        self.copies.append(Limited(faiss.clone_index(lists)))
        return self.copies[-1]


def vectors() -> Array:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((ROWS, 22)).astype(np.float32)
    rows[100:200] = rows[:100]  # ties
    return rows


VECTORS = vectors()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("index")
    labels = {"luck": LUCK.tolist(), "person": np.random.default_rng(2).integers(0, 300, ROWS).tolist()}
    built(made, SPACE, VECTORS, labels=labels, settings=tiny_settings(SPACE, axes=6, rows_per_shard=3000, lists=16))
    return made


@pytest.fixture(scope="module")
def plain(folder: Path) -> Index:
    return open_index(str(folder))


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Processor:
    """In place of what Faiss sees of the device."""
    made = Processor()
    monkeypatch.setattr(index, "faiss_gpu", lambda _: made)
    return made


@pytest.fixture
def opened(folder: Path, processor: Processor) -> Index:
    return open_index(str(folder))


def scan_of(stored: StoredSpace) -> tuple[FaissScan, Limited]:
    lists = Limited(stored.scanned)
    return FaissScan(stored, lists, threading.Lock(), CPU), lists


def some_queries(count: int, preference: float) -> list[list[Aim]]:
    rng = np.random.default_rng(3)
    return [aims(SPACE, rng.standard_normal(22), {"a1": preference}) for _ in range(count)]


def scanned(answers: list[Answer]) -> int:
    """Shards and queries for which all bounds were scanned together."""
    return sum(part.plan == "scan" and "in one scan" in part.why for answer in answers for part in answer.explanations)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    preference=st.sampled_from([0.0, 0.3, 1.0, 30.0, 1e3]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    k=st.integers(1, 60),
    count=st.integers(1, 5),
)
def test_answers_are_those_of_comparing_all_rows(
    plain: Index, seed: int, preference: float, scale: float, k: int, count: int
) -> None:
    rng, wish, shards = np.random.default_rng(seed), Wish(k=k), plain.shards()
    asked = (VECTORS[rng.integers(0, ROWS, count)] + scale * rng.standard_normal((count, 22))).astype(np.float32)
    queries = [aims(SPACE, vector, {"a0": preference}) for vector in asked]
    scans = {(shard.name, NAME): scan_of(shard.spaces[NAME])[0] for shard in shards}
    searches = [ShardSearch(shard, query, wish, None, "scan") for query in queries for shard in shards]
    scan_together(searches, scans, wish, {shard.name: None for shard in shards})
    for search, query in zip(searches, np.repeat(np.arange(count), len(shards)), strict=True):
        got, every = search.answer(), ShardSearch(search.shard, queries[query], wish, None, "compare all").answer()
        assert got.certified
        assert "in one scan" in got.explanations[0].why
        assert got.hits == every.hits
        if search.shard is shards[0]:
            distances = plain_distances(SPACE, VECTORS[:3000], asked[query], {"a0": preference})
            assert [hit.distance for hit in got.hits] == pytest.approx(np.sort(distances)[:k], rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("preference", [0.0, 1.0, 30.0])
@pytest.mark.parametrize(
    "wish",
    [
        Wish(),
        Wish(k=600),
        Wish(k=1100),
        Wish(condition=Between("luck", None, 0.5)),
        Wish(diversity=Diversity("person", 1), k=250),
        Wish(diversity=Diversity("person", 1), k=299),
    ],
)
def test_the_bits_of_an_answer_do_not_tell_where_it_was_scanned(
    plain: Index, opened: Index, processor: Processor, wish: Wish, preference: float
) -> None:
    many = some_queries(5, preference)
    there = opened.search(many, wish, asked=BINDINGS, threads=2)
    for one, other in zip(plain.search(many, wish, asked=BINDINGS), there, strict=True):
        assert one.hits == other.hits
        assert one.certified
        assert other.certified
    uses_faiss = wish.condition is None and wish.k <= MOST // 2
    assert any(copy.searches for copy in processor.copies) == (uses_faiss and scanned(there) > 0)


def test_a_single_query_is_scanned_there_too(opened: Index, processor: Processor) -> None:
    (answer,) = opened.search(some_queries(1, 1.0), Wish(k=200), asked=BINDINGS)
    assert answer.certified
    assert sum(copy.searches for copy in processor.copies) == scanned([answer]) > 0


@pytest.mark.parametrize("count", [1, 20, MOST, 10_000])
def test_the_highest_scores_are_those_of_the_lists_one_by_one(plain: Index, count: int) -> None:
    for shard in plain.shards():
        stored = shard.spaces[NAME]
        probes = np.random.default_rng(3).standard_normal((3, stored.columns)).astype(np.float32)
        scan, lists = scan_of(stored)
        every = np.arange(len(stored.list_sizes))
        found = scan.propose(probes, count, None)
        assert lists.searches == (count <= MOST)
        for probe, (rows, scores) in zip(probes, found or (), strict=found is not None):
            expected_rows, expected = stored.best(probe, every, min(count, stored.rows), None)
            np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-4)
            assert len(set(rows.tolist()) ^ set(expected_rows.tolist())) <= 2  # ties at the end


def test_a_filter_and_deleted_rows_are_left_to_the_product(plain: Index) -> None:
    stored = plain.shards()[0].spaces[NAME]
    allowed = np.arange(stored.rows) % 3 == 0
    probes = np.random.default_rng(4).standard_normal((40, stored.columns)).astype(np.float32)
    scan, lists = scan_of(stored)
    found = scan.propose(probes, 500, allowed)
    assert lists.searches == 0
    assert found is not None
    assert all(allowed[rows].all() and len(rows) == 500 for rows, _ in found)


def test_where_rows_are_deleted_nothing_is_copied_for_faiss(tmp_path: Path, processor: Processor) -> None:
    built(tmp_path, SPACE, VECTORS, settings=tiny_settings(SPACE, axes=6, rows_per_shard=3000, lists=16))
    assert len(processor.copies) == 2
    gone = np.arange(ROWS) % 7 == 0
    gone[3000:] = False
    delete(str(tmp_path), [name for name, is_gone in zip(names(ROWS), gone, strict=True) if is_gone])
    after = open_index(str(tmp_path))
    assert len(processor.copies) == 3
    (answer,) = after.search([aims(SPACE, VECTORS[0])], Wish(k=30), asked=BINDINGS)
    expected = plain_nearest(plain_distances(SPACE, VECTORS, VECTORS[0], {}), names(ROWS), 30, ~gone)
    assert [hit.id for hit in answer.hits] == expected
    assert answer.certified


def test_more_lists_than_faiss_can_look_at_are_left_to_the_product(
    plain: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, processor = plain.shards()[0].spaces[NAME], Processor()
    make: Callable[..., Any] = first_scan
    assert isinstance(make(stored, CPU, processor), FaissScan)
    assert isinstance(make(stored, CPU, None), ScanMatrix)
    monkeypatch.setattr(gpu_scan, "MOST", len(stored.list_sizes) - 1)
    assert isinstance(make(stored, CPU, processor), ScanMatrix)
    assert len(processor.copies) == 1


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_faiss_never_works_on_more_than_fits_its_memory(
    plain: Index, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    stored = plain.shards()[0].spaces[NAME]
    a_query = len(stored.list_sizes) * (12 * 50 + 4 * stored.columns)
    probes = np.random.default_rng(5).standard_normal((7, stored.columns)).astype(np.float32)
    scan, lists = scan_of(stored)
    whole = scan.propose(probes, 50, None)
    monkeypatch.setattr(gpu_scan, "TEMPORARY_BYTES", at_once * a_query)
    parts = scan.propose(probes, 50, None)
    assert lists.searches == 1 + -(-7 // at_once)
    assert whole is not None
    assert parts is not None
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_a_scan_that_loses_rows_is_not_taken_for_all_there_are(plain: Index) -> None:
    """Of so long a query Faiss finds no nearest list, and gives no rows."""
    stored = plain.shards()[0].spaces[NAME]
    probes = np.full((2, stored.columns), 1e25, np.float32)
    scan, lists = scan_of(stored)
    assert scan.propose(probes, 5, None) is None
    assert lists.searches == 1


def test_several_threads_never_meet_in_faiss(plain: Index, opened: Index, processor: Processor) -> None:
    many = some_queries(12, 1.0)
    wish = Wish(k=150)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda query: opened.search([query], wish, asked=BINDINGS, threads=2)[0], many * 3))
    alone = plain.search(many, wish, asked=BINDINGS)
    assert [answer.hits for answer in answers] == [answer.hits for answer in alone] * 3
    assert sum(copy.searches for copy in processor.copies) > 0


def test_without_a_gpu_faiss_is_asked_for_none() -> None:
    assert faiss_gpu(CPU) is None
    if not torch.cuda.is_available():
        assert faiss.get_num_gpus() == 0
        assert faiss_gpu(torch.device("cuda", 0)) is None
