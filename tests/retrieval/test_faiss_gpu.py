from __future__ import annotations

import subprocess
from typing import Any

import faiss
import numpy as np
import pytest

from raypipe.errors import RaypipeError
from raypipe.retrieval import faiss_gpu
from raypipe.retrieval.faiss_gpu import FaissGpu, agrees, works
from raypipe.retrieval.scan_lists import empty_lists
from tests.retrieval.searching import Array


class Spoilt:
    """Lists that are searched as a GPU might: ``probe`` and ``found`` change what goes in and what comes out."""

    def __init__(self, lists: Any) -> None:
        self._lists, self.nlist = lists, lists.nlist

    def search(self, probes: Array, count: int, *, params: Any) -> tuple[Array, Array]:
        scores, rows = self._lists.search(self.probe(probes), count, params=params)
        return self.found(scores, rows)

    def probe(self, probes: Array) -> Array:
        return probes

    def found(self, scores: Array, rows: Array) -> tuple[Array, Array]:
        return scores, rows


class RoundsQueries(Spoilt):
    def probe(self, probes: Array) -> Array:
        return probes.astype(np.float16).astype(np.float32)


class MisnamesRows(Spoilt):
    def found(self, scores: Array, rows: Array) -> tuple[Array, Array]:
        return scores, np.roll(rows, 1, axis=1)


class LosesTheHighest(Spoilt):
    def search(self, probes: Array, count: int, *, params: Any) -> tuple[Array, Array]:
        scores, rows = self._lists.search(probes, count + 1, params=params)
        return scores[:, 1:], rows[:, 1:]


class LosesRows(Spoilt):
    def found(self, scores: Array, rows: Array) -> tuple[Array, Array]:
        return scores, np.where(np.arange(rows.shape[1]) == 1500, -1, rows)


class FindsNoNumbers(Spoilt):
    def found(self, scores: Array, rows: Array) -> tuple[Array, Array]:
        return np.full_like(scores, np.nan), rows


def test_what_finds_as_the_processor_does_passes() -> None:
    assert agrees(faiss.clone_index)
    assert agrees(Spoilt)


@pytest.mark.parametrize("spoilt", [RoundsQueries, MisnamesRows, LosesTheHighest, LosesRows, FindsNoNumbers])
def test_what_finds_something_else_does_not(spoilt: type[Spoilt]) -> None:
    assert not agrees(spoilt)


def test_a_trial_that_ends_badly_is_told_and_ends_nothing_else() -> None:
    """There is no such GPU, whatever the machine."""
    with pytest.warns(RuntimeWarning, match="Faiss does not search on GPU 99, torch does instead: .+"):
        assert not works(99)


def test_a_trial_that_never_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_gpu, "_TRIAL_S", 1e-3)
    with pytest.warns(RuntimeWarning, match="it took more than 0.001 s"):
        assert not works(98)


def test_a_trial_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = {97: 0, 96: -6, 95: 1}
    done = lambda command, **_: subprocess.CompletedProcess(command, ended[int(command[-1])], "", "")  # noqa: E731
    monkeypatch.setattr(subprocess, "run", done)
    assert works(97)
    for number in (96, 95):
        with pytest.warns(RuntimeWarning, match=f"it ended with {ended[number]}"):
            assert not works(number)


@pytest.mark.skipif(not hasattr(faiss, "StandardGpuResources"), reason="this Faiss was built without GPUs")
def test_a_gpu_that_is_not_there_is_named() -> None:
    number = faiss.get_num_gpus()
    with pytest.raises(RaypipeError, match=f"GPU {number} cannot hold the scan rows"):
        FaissGpu(number).copy(empty_lists(4, 8))
