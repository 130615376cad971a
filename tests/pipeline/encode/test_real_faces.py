"""Real photographs through the whole job, with a tiny model: what is around the model."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from raypipe.pipeline.encode.face_decoder import FaceConfig
from tests.pipeline.encode.test_job import config_for, encode_locally, rows_of
from tests.shared_files import data


def test_celeba_rows_carry_their_labels(tmp_path: Path, model: Path) -> None:
    celeba = data("celeba10k")
    summary = encode_locally(config_for(celeba, tmp_path / "out", model, limit=64, commit_rows=50))
    assert summary.statuses == {"ok": 64}
    lines = (celeba / "list_attr_celeba.txt").read_text().splitlines()
    names, expected = lines[1].split(), {line.split()[0]: line.split()[1:] for line in lines[2:]}
    for row in rows_of(tmp_path / "out"):
        assert [1 if value == "1" else 0 for value in expected[str(row["image_id"])]] == [row[name] for name in names]
        assert (row["width"], row["height"]) == (89, 109)


def test_faces_are_found_and_aligned_where_the_source_has_no_landmarks(tmp_path: Path, model: Path) -> None:
    detector = data("weights/mtcnn_facenet-pytorch")
    face = FaceConfig(align="ffhq", detector=str(detector))
    config = config_for(data("omi/images_256"), tmp_path / "out", model, face=face, limit=24, commit_rows=24)
    summary = encode_locally(config)
    assert summary.rows == 24
    assert summary.statuses["ok"] >= 23
    assert set(summary.statuses) <= {"ok", "no_face"}


def test_without_landmarks_ffhq_alignment_is_a_status(tmp_path: Path, model: Path) -> None:
    config = config_for(data("omi/images_256"), tmp_path / "out", model, face=FaceConfig(align="ffhq"), limit=2)
    assert encode_locally(config).statuses == {"no_landmarks": 2}
    assert pq.read_table(tmp_path / "out" / "part-000000.parquet").column("w_plus").null_count == 2
