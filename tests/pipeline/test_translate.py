from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from raypipe.cli import app
from raypipe.errors import BadWeights, WrongUsage
from raypipe.faces import to_pixels, to_signed
from raypipe.methods.l2m_gan import PARTS, load
from raypipe.pipeline.encode.face_decoder import FaceConfig, FaceDecoder
from raypipe.pipeline.translate import TranslateConfig, translate
from raypipe.weights import open_bundle
from tests.l2m_models import SIZE, tiny_l2m
from tests.models import tiny_model
from tests.pictures import fill_folder
from tests.pipeline.encode.test_job import config_for, encode_locally
from tests.pipeline.test_edit import tile
from tests.stargan2_models import tiny_stargan2

# The networks are not trained: they take no face for a member of any domain.
pytestmark = pytest.mark.filterwarnings("ignore:a reference for")

DOMAINS = "domains: not Smiling, not Male; not Smiling, Male; Smiling, not Male; Smiling, Male"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translating") / "model"
    tiny_l2m(folder)
    return folder


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return sorted(fill_folder(tmp_path / "pictures", 3).iterdir())


def translated(model: Path, source: Path, domain: str = "Smiling, Male", **settings: Any) -> np.ndarray[Any, Any]:
    config = TranslateConfig(**{"source": str(source), "domain": domain, "model": str(model)} | settings)
    return tile(np.asarray(Image.open(io.BytesIO(translate(config, "cpu")))), 0, 0)


def by_hand(model: Path, file: Path, domain: str, reference: Path | None = None) -> np.ndarray[Any, Any]:
    """What the method makes of the pictures' pixels."""

    def cut_out(path: Path) -> torch.Tensor:
        pixels = FaceDecoder(FaceConfig(), SIZE)(path.read_bytes(), None).pixels
        assert pixels is not None
        return to_signed(torch.from_numpy(pixels[None]))

    bundle = open_bundle(str(model))
    method, face = load({part: bundle.read(part) for part in PARTS}, "cpu"), cut_out(file)
    with torch.no_grad():
        other = method.represent({"image": cut_out(reference)}) if reference else None
        codes = method.translate(method.represent({"image": face}), domain, reference=other)
        return to_pixels(method.render(codes, face))[0]


def test_a_translation_is_the_method_s(model: Path, files: list[Path]) -> None:
    by_label = {name: translated(model, files[0], name) for name in ("Smiling, Male", "not Smiling, Male")}
    for name, made in by_label.items():
        assert (made == by_hand(model, files[0], name)).all()
    assert (by_label["Smiling, Male"] != by_label["not Smiling, Male"]).any()
    like = translated(model, files[0], reference=str(files[1]))
    assert (like == by_hand(model, files[0], "Smiling, Male", files[1])).all()
    assert (like != by_label["Smiling, Male"]).any()


def test_rows_of_a_dataset_are_translated_like_their_pictures(model: Path, files: list[Path], tmp_path: Path) -> None:
    codes = tmp_path / "codes"
    encode_locally(config_for(files[0].parent, codes, model, methods=("l2m_gan",)))
    by_id = translated(model, codes, image_id=files[0].name, reference=f"id:{files[1].name}")
    assert (by_id == translated(model, files[0], reference=str(files[1]))).all()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"domain": "smiling"}, f"'smiling' is not a domain of this model; {DOMAINS}"),
        ({"seed": 1}, "draws no styles: translate by the label alone, or give a reference"),
        ({"seed": 1, "reference": "00001.jpg"}, "draws no styles"),
        ({"reference": "nowhere.png"}, "no picture at 'nowhere.png'"),
        ({"method": "no_method"}, "'no_method' is not a method"),
    ],
)
def test_what_cannot_be_translated_is_named(
    model: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], told: str
) -> None:
    monkeypatch.chdir(files[0].parent)
    with pytest.raises(WrongUsage, match=told):
        translated(model, files[0], **settings)


def test_models_without_the_method_say_so(tmp_path: Path, files: list[Path], model: Path) -> None:
    tiny_model(tmp_path / "plain")
    with pytest.raises(WrongUsage, match="has no method for this"):
        translated(tmp_path / "plain", files[0])
    with pytest.raises(BadWeights, match="has no 'l2m_gan' part"):
        translated(tmp_path / "plain", files[0], method="l2m_gan")


def test_the_command_writes_the_picture(model: Path, files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    arguments = ["translate", str(files[0]), "--to", "Smiling, Male", "--model", str(model)]
    assert not app([*arguments, "--reference", str(files[1]), "--out", str(out)], standalone_mode=False)
    made = tile(np.asarray(Image.open(out)), 0, 0)
    assert (made == translated(model, files[0], reference=str(files[1]))).all()
    with pytest.raises(WrongUsage, match="draws no styles"):
        app([*arguments, "--seed", "3", "--out", str(out)], standalone_mode=False)
    with pytest.raises(WrongUsage, match=r"must end in \.png"):
        app([*arguments, "--out", "out.jpg"], standalone_mode=False)


def test_styles_are_drawn_by_a_seed(files: list[Path], tmp_path: Path) -> None:
    """Seed 0 where only the label is given, another one with every seed, and the same picture with the same."""
    tiny_stargan2(tmp_path / "model")

    def made(*options: str) -> bytes:
        out = tmp_path / "out.png"
        arguments = ["translate", str(files[0]), "--to", "Smiling, Male", "--model", str(tmp_path / "model")]
        assert not app([*arguments, *options, "--out", str(out)], standalone_mode=False)
        return out.read_bytes()

    by_seed = made("--seed", "3")
    assert made("--seed", "3") == by_seed != made("--seed", "0") == made()
    with pytest.raises(WrongUsage, match="a style comes from one of them"):
        made("--seed", "3", "--reference", str(files[1]))


def test_the_command_says_if_a_reference_seems_to_be_of_another_domain(
    model: Path, files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["translate", str(files[0]), "--model", str(model), "--out", str(tmp_path / "out.png")]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        for domain in ("not Smiling, not Male", "Smiling, Male"):  # it is not of both
            app([*arguments, "--to", domain, "--reference", str(files[1])], standalone_mode=False)
    assert "raypipe: a reference for" in capsys.readouterr().err
