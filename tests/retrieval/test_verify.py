from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raypipe.retrieval import answer
from raypipe.retrieval.build import IndexSettings
from raypipe.retrieval.manifest import read_manifest
from raypipe.retrieval.shard_writer import BY_ID, LABELS
from raypipe.retrieval.space_writer import FILES
from raypipe.retrieval.verify import Verified, verify
from tests.retrieval.searching import NAME, built, tiny_settings, weighted_space

SPACE = weighted_space(1, 5)
VECTORS = np.random.default_rng(0).standard_normal((30, 6)).astype(np.float32)


def test_a_whole_index_has_no_problems(tmp_path: Path) -> None:
    built(tmp_path, SPACE, VECTORS, settings=tiny_settings(SPACE, rows_per_shard=12))
    assert verify(str(tmp_path)).problems == []


@pytest.mark.parametrize("name", [LABELS, BY_ID, *(f"{NAME}/{name}" for name in FILES)])
def test_one_changed_byte_of_any_file_is_found(tmp_path: Path, name: str) -> None:
    built(tmp_path, SPACE, VECTORS)
    (entry,) = read_manifest(str(tmp_path)).shards
    path = tmp_path / "shards" / entry.name / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert verify(str(tmp_path)).problems == [
        f"shards/{entry.name}/{name} is damaged: its sha256 is not the one in the manifest"
    ]


def test_a_missing_shard_is_found(tmp_path: Path) -> None:
    built(tmp_path, SPACE, VECTORS)
    (entry,) = read_manifest(str(tmp_path)).shards
    (tmp_path / "shards" / entry.name / NAME / "rows.faiss").unlink()
    (problem,) = verify(str(tmp_path)).problems
    assert "rows.faiss is missing" in problem


MANY = np.random.default_rng(0).standard_normal((2500, 16)).astype(np.float32)
LOSSY = "IVF8,PQ4x4"


@pytest.fixture
def _few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the usual number all rows of so small a shard would be compared."""
    monkeypatch.setattr(answer, "_FIRST_BOUNDS", 60)


def by_factory(folder: Path, factory: str, recall: float = 1.0) -> Verified:
    space = weighted_space(2, 14)
    settings = IndexSettings(factory=factory, axes=14, recall=recall, rows_per_shard=2000)
    built(folder, space, MANY, settings=settings)
    return verify(str(folder))


@pytest.mark.usefixtures("_few_candidates")
def test_what_a_factory_finds_of_the_plain_answer_is_told(tmp_path: Path) -> None:
    good = by_factory(tmp_path / "good", "SQfp16")
    assert good.problems == []
    assert good.recalls[NAME] > 0.95
    lossy = by_factory(tmp_path / "lossy", LOSSY)
    assert 0.0 < lossy.recalls[NAME] < 0.7
    (problem,) = lossy.problems
    assert problem.startswith(f"{NAME}: factory {LOSSY!r} finds {lossy.recalls[NAME]:.0%} of 180 true hits")


@pytest.mark.usefixtures("_few_candidates")
def test_less_than_all_hits_is_no_problem_where_no_more_was_promised(tmp_path: Path) -> None:
    lossy = by_factory(tmp_path, LOSSY, recall=0.1)
    assert lossy.recalls[NAME] < 0.7
    assert lossy.problems == []


def test_an_exact_index_has_no_recall_to_tell(tmp_path: Path) -> None:
    built(tmp_path, SPACE, VECTORS)
    assert verify(str(tmp_path)).recalls == {}
