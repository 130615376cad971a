from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raypipe.retrieval.manifest import read_manifest
from raypipe.retrieval.shard_writer import LABELS
from raypipe.retrieval.space_writer import FILES
from raypipe.retrieval.verify import problems
from tests.retrieval.searching import NAME, built, tiny_settings, weighted_space

SPACE = weighted_space(1, 5)
VECTORS = np.random.default_rng(0).standard_normal((30, 6)).astype(np.float32)


def test_a_whole_index_has_no_problems(tmp_path: Path) -> None:
    built(tmp_path, SPACE, VECTORS, settings=tiny_settings(SPACE, rows_per_shard=12))
    assert problems(str(tmp_path)) == []


@pytest.mark.parametrize("name", [LABELS, *(f"{NAME}/{name}" for name in FILES)])
def test_one_changed_byte_of_any_file_is_found(tmp_path: Path, name: str) -> None:
    built(tmp_path, SPACE, VECTORS)
    (entry,) = read_manifest(str(tmp_path)).shards
    path = tmp_path / "shards" / entry.name / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert problems(str(tmp_path)) == [
        f"shards/{entry.name}/{name} is damaged: its sha256 is not the one in the manifest"
    ]


def test_a_missing_shard_is_found(tmp_path: Path) -> None:
    built(tmp_path, SPACE, VECTORS)
    (entry,) = read_manifest(str(tmp_path)).shards
    (tmp_path / "shards" / entry.name / NAME / "rows.faiss").unlink()
    (problem,) = problems(str(tmp_path))
    assert "rows.faiss is missing" in problem
