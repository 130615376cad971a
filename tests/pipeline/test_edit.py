from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from raypipe.backbones.psp import load_encoder
from raypipe.backbones.stylegan2 import load_generator
from raypipe.cli import app
from raypipe.errors import ModelMismatch, UnknownAttribute, WrongUsage
from raypipe.faces import to_pixels, to_signed
from raypipe.pipeline.edit import EditConfig, edit
from raypipe.pipeline.encode.face_decoder import FaceConfig, FaceDecoder
from raypipe.weights import Part, open_bundle, save_bundle
from tests.models import tiny_model
from tests.pictures import fill_folder
from tests.pipeline.encode.test_job import config_for, encode_locally

SIZE, GAP = 32, 2


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with two directions: rows 0 and 1 of the code's first numbers."""
    folder = tmp_path_factory.mktemp("editable") / "model"
    bundle = tiny_model(folder)
    vectors = torch.eye(2, 8 * 16)
    numbers = {
        "biases": torch.zeros(2),
        "lowest": -torch.ones(2),
        "highest": torch.ones(2),
        "units": torch.full((2,), 5.0),
    }
    config = {"attributes": ["smiling", "male"], "num_layers": 8, "style_dim": 16}
    parts = {name: bundle.read(name) for name in bundle.parts}
    parts["sparse_directions"] = Part("sparse_directions", config, {"vectors": vectors, **numbers})
    save_bundle(str(folder), "editable", parts, {})
    return folder


def edited(model: Path, source: Path, **settings: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The picture as pixels."""
    content = edit(
        EditConfig(**{"source": str(source), "edits": ("smiling=1",), "model": str(model)} | settings), "cpu"
    )
    return np.asarray(Image.open(io.BytesIO(content)))


def tile(sheet: np.ndarray[Any, Any], row: int, column: int) -> np.ndarray[Any, Any]:
    top, left = row * (SIZE + GAP), column * (SIZE + GAP)
    return sheet[top : top + SIZE, left : left + SIZE]


def rendered(model: Path, file: Path, **moved: float) -> np.ndarray[Any, Any]:
    """What the generator makes of the picture's code, with numbers of it moved: by hand."""
    bundle = open_bundle(str(model))
    pixels = FaceDecoder(FaceConfig(), SIZE)(file.read_bytes(), None).pixels
    assert pixels is not None
    with torch.no_grad():
        code = load_encoder(bundle.read("encoder"), "cpu")(to_signed(torch.from_numpy(pixels[None])))
        code[0, 0, 0] += moved.get("smiling", 0.0)
        code[0, 0, 1] += moved.get("male", 0.0)
        return to_pixels(load_generator(bundle.read("generator"), "cpu").synthesis(code))[0]


def test_an_edit_moves_the_code_by_its_strength_in_units_along_the_direction(editable: Path, tmp_path: Path) -> None:
    file = fill_folder(tmp_path, 1) / "00000.jpg"
    sheet = edited(editable, file, edits=("smiling=0.6", "male=-1"))
    assert sheet.shape == (SIZE, SIZE, 3)
    expected = rendered(editable, file, smiling=3.0, male=-5.0)
    assert np.abs(tile(sheet, 0, 0).astype(int) - expected).max() <= 1
    assert np.abs(expected.astype(int) - rendered(editable, file)).max() > 5, "else the test says nothing"
    assert (sheet == edited(editable, file, edits=("male=-1", "smiling=0.6"))).all()


def test_a_strip_begins_with_the_picture_and_its_reconstruction_and_ends_with_the_whole_edit(
    editable: Path, tmp_path: Path
) -> None:
    file = fill_folder(tmp_path, 1) / "00000.jpg"
    sheet = edited(editable, file, edits=("smiling=2", "male=1"), strip=3)
    assert sheet.shape == (3 * SIZE + 2 * GAP, 4 * SIZE + 3 * GAP, 3)
    original = FaceDecoder(FaceConfig(), SIZE)(file.read_bytes(), None).pixels
    for row, whole in enumerate([{"smiling": 10.0}, {"male": 5.0}, {"smiling": 10.0, "male": 5.0}]):
        assert np.abs(tile(sheet, row, 0).astype(int) - original).max() <= 1
        for column, share in ((1, 0.0), (2, 0.5), (3, 1.0)):
            expected = rendered(editable, file, **{name: share * value for name, value in whole.items()})
            assert np.abs(tile(sheet, row, column).astype(int) - expected).max() <= 1


def test_a_row_of_a_dataset_is_edited_from_its_stored_code(editable: Path, tmp_path: Path) -> None:
    folder = fill_folder(tmp_path / "in", 5)
    (folder / "00002.jpg").write_bytes(b"nothing")
    encode_locally(config_for(folder, tmp_path / "codes", editable, commit_rows=2))
    sheet = edited(editable, tmp_path / "codes", image_id="00003.jpg")
    expected = rendered(editable, folder / "00003.jpg", smiling=5.0)
    assert np.abs(tile(sheet, 0, 0).astype(int) - expected).mean() < 1, "codes are stored in half precision"
    with pytest.raises(WrongUsage, match="no row 'nobody'"):
        edited(editable, tmp_path / "codes", image_id="nobody")
    with pytest.raises(WrongUsage, match=r"'00002.jpg' has no code: decode_not_an_image"):
        edited(editable, tmp_path / "codes", image_id="00002.jpg")
    tiny_model(tmp_path / "other", seed=1)
    other = {name: open_bundle(str(tmp_path / "other")).read(name) for name in ("encoder", "generator")}
    directions = open_bundle(str(editable)).read("sparse_directions")
    save_bundle(str(tmp_path / "other"), "other", {**other, "sparse_directions": directions}, {})
    with pytest.raises(ModelMismatch, match="was encoded by encoder"):
        edited(tmp_path / "other", tmp_path / "codes", image_id="00003.jpg")


def test_wrong_edits_are_named(editable: Path, model: Path, tmp_path: Path) -> None:
    file = fill_folder(tmp_path, 1) / "00000.jpg"
    with pytest.raises(UnknownAttribute, match=r"'hat' is not an attribute of this method; allowed: smiling, male"):
        edited(editable, file, edits=("hat=1",))
    with pytest.raises(WrongUsage, match="strength nan"):
        edited(editable, file, edits=("male=nan",))
    with pytest.raises(WrongUsage, match="no picture at"):
        edited(editable, tmp_path / "nowhere.jpg")
    with pytest.raises(WrongUsage, match="has no method"):
        edited(model, file)
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(WrongUsage, match="decode_not_an_image"):
        edited(editable, tmp_path / "text.jpg")


def test_the_command_writes_the_picture(editable: Path, tmp_path: Path) -> None:
    file = fill_folder(tmp_path, 1) / "00000.jpg"
    arguments = ["edit", str(file), "--model", str(editable), "--set", "male=1", "--strip", "2"]
    app([*arguments, "--out", str(tmp_path / "strip.png")], standalone_mode=False)
    assert Image.open(tmp_path / "strip.png").size == (3 * SIZE + 2 * GAP, SIZE)
