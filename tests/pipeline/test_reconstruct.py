from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raypipe import faces
from raypipe.backbones.psp.refine import RefineConfig
from raypipe.backbones.stylegan2 import load_generator
from raypipe.errors import ModelMismatch, WrongUsage
from raypipe.pipeline.reconstruct import GAP, reconstruct
from raypipe.weights import open_bundle
from tests.models import tiny_model
from tests.pictures import fill_folder, picture_bytes
from tests.pipeline.encode.test_job import config_for, encode_locally, rows_of


def test_the_sheet_shows_originals_over_their_reconstructions(tmp_path: Path, model: Path) -> None:
    folder = fill_folder(tmp_path / "in", 3)
    (folder / "00001.jpg").write_bytes(b"broken")
    encode_locally(config_for(folder, tmp_path / "out", model))
    sheet = read(reconstruct(str(tmp_path / "out"), str(model), count=8, columns=2))
    assert sheet.shape == (2 * 32 + GAP, 2 * 32 + GAP, 3)
    original = Image.open(io.BytesIO(picture_bytes(2))).crop((4, 0, 44, 40)).resize((32, 32), Image.Resampling.LANCZOS)
    np.testing.assert_allclose(sheet[:32, 32 + GAP :].astype(int), np.asarray(original).astype(int), atol=40)
    generator = load_generator(open_bundle(str(model)).read("generator"), "cpu")
    code = torch.tensor(rows_of(tmp_path / "out")[2]["w_plus"]).reshape(1, 8, 16)
    with torch.no_grad():
        made = faces.to_pixels(generator.synthesis(code))[0]
    np.testing.assert_array_equal(sheet[32 + GAP :, 32 + GAP :], made)


def test_another_models_codes_are_refused(tmp_path: Path, model: Path) -> None:
    encode_locally(config_for(fill_folder(tmp_path / "in", 1), tmp_path / "out", model))
    tiny_model(tmp_path / "other", seed=1)
    with pytest.raises(ModelMismatch, match="was encoded by"):
        reconstruct(str(tmp_path / "out"), str(tmp_path / "other"), count=1, columns=1)
    with pytest.raises(WrongUsage, match="not an encoded dataset"):
        reconstruct(str(tmp_path / "in"), str(model), count=1, columns=1)


def test_refined_codes_reconstruct_better(tmp_path: Path, model: Path) -> None:
    folder = fill_folder(tmp_path / "in", 4)

    def error(name: str, steps: int) -> float:
        refine = RefineConfig(steps=steps, learning_rate=0.1)
        encode_locally(config_for(folder, tmp_path / name, model, refine=refine))
        sheet = read(reconstruct(str(tmp_path / name), str(model), count=4, columns=4)).astype(float)
        return float(np.abs(sheet[:32] - sheet[32 + GAP :]).mean())

    assert error("refined", 30) < 0.8 * error("plain", 0)


def read(png: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(png)))
