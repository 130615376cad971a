from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raypipe.cli import app
from raypipe.errors import BadWeights, UnknownAttribute, WrongUsage
from raypipe.pipeline.edit import EditConfig, edit
from raypipe.pipeline.transfer import TransferConfig, transfer
from tests.methods.retrieve_in_style_data import with_catalogue
from tests.models import tiny_model
from tests.pictures import fill_folder
from tests.pipeline.encode.test_job import config_for, encode_locally
from tests.pipeline.test_edit import SIZE, tile

FEATURES = {"hair": (0, 3), "background": (1, 2)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a catalogue: hair, what is not hair, and therefore pose."""
    folder = tmp_path_factory.mktemp("transferring") / "model"
    with_catalogue(tiny_model(folder), folder, FEATURES)
    return folder


def sheet(model: Path, source: Path, **settings: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    config = TransferConfig(**{"source": str(source), "model": str(model)} | settings)
    return np.asarray(Image.open(io.BytesIO(transfer(config, "cpu"))))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return sorted(fill_folder(tmp_path / "pictures", 3).iterdir())


def test_strips_go_from_the_face_itself_to_the_whole_transfer(model: Path, files: list[Path]) -> None:
    like = (f"hair={files[1]}", f"pose={files[2]}")
    strips = sheet(model, files[0], like=like, strip=3, strengths=("pose=1",))
    assert strips.shape == (3 * (SIZE + 2) - 2, 5 * (SIZE + 2) - 2, 3)
    own = sheet(model, files[0], like=(f"hair={files[1]}",), strengths=("hair=0",))
    for row in range(3):
        assert (tile(strips, row, 1) == tile(own, 0, 0)).all(), "strength 0 is the face's own picture"
    assert (tile(strips, 2, 3) == tile(sheet(model, files[0], like=like, strengths=("pose=1",)), 0, 0)).all()
    assert np.abs(tile(strips, 2, 3).astype(int) - tile(own, 0, 0)).max() > 5
    other = sheet(model, files[1], like=(f"hair={files[0]}",), strip=1)
    assert (tile(strips, 0, 4) == tile(other, 0, 0)).all(), "the reference comes last"


def test_a_face_with_its_own_features_is_itself(model: Path, files: list[Path]) -> None:
    everything = tuple(f"{name}={files[0]}" for name in ("hair", "background", "pose"))
    same, own = sheet(model, files[0], like=everything), sheet(model, files[0], like=everything[:1])
    assert np.abs(same.astype(int) - own).max() <= 1


def test_rows_of_a_dataset_give_and_take(model: Path, files: list[Path], tmp_path: Path) -> None:
    codes = tmp_path / "codes"
    encode_locally(config_for(files[0].parent, codes, model=str(model)))
    by_id = sheet(model, codes, image_id=files[0].name, like=(f"hair=id:{files[1].name}",))
    by_file = sheet(model, files[0], like=(f"hair={files[1]}",))
    assert np.abs(by_id.astype(int) - by_file).max() <= 8, "codes are stored in half precision"


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"like": ("ears=x.png",)}, UnknownAttribute, "'ears' cannot be transferred; .* hair, background, pose"),
        ({"like": ("hair",)}, WrongUsage, "not of the form FEATURE=FILE"),
        ({"like": ()}, WrongUsage, "nothing to transfer"),
        ({"like": ("hair=a.png", "hair=b.png")}, WrongUsage, "'hair' twice"),
        ({"like": ("hair=a.png",), "strengths": ("pose=1",)}, WrongUsage, "there is no --like for it"),
        ({"like": ("hair=a.png",), "strengths": ("hair=much",)}, WrongUsage, "FEATURE=NUMBER"),
        ({"like": ("hair=a.png",), "strengths": ("hair=inf",)}, WrongUsage, "must be finite"),
        ({"like": ("hair=nowhere.png",)}, WrongUsage, "no picture at 'nowhere.png'"),
    ],
)
def test_what_cannot_be_transferred_is_named(
    model: Path, files: list[Path], settings: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        sheet(model, files[0], **settings)


def test_models_without_the_method_say_so(tmp_path: Path, files: list[Path]) -> None:
    tiny_model(tmp_path / "plain")
    with pytest.raises(WrongUsage, match="has no method for this"):
        sheet(tmp_path / "plain", files[0], like=("hair=x.png",))
    with pytest.raises(BadWeights, match="has no 'retrieve_in_style' part"):
        sheet(tmp_path / "plain", files[0], like=("hair=x.png",), method="retrieve_in_style")


def test_edits_are_not_taken_for_something_that_this_method_does(model: Path, files: list[Path]) -> None:
    with pytest.raises(WrongUsage, match="no method for this"):
        edit(EditConfig(source=str(files[0]), edits=("smiling=1",), model=str(model)), "cpu")


def test_the_command_writes_the_picture(model: Path, files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    arguments = ["transfer", str(files[0]), "--like", f"hair={files[1]}", "--strength", "hair=0.5"]
    assert not app([*arguments, "--model", str(model), "--out", str(out)], standalone_mode=False)
    assert np.asarray(Image.open(out)).shape == (SIZE, SIZE, 3)
    with pytest.raises(WrongUsage, match=r"must end in \.png"):
        app([*arguments, "--model", str(model), "--out", "out.jpg"], standalone_mode=False)
