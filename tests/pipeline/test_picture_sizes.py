"""Models whose methods take pictures alone, without an inversion encoder or with one of another size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raypipe.backbones.attributes import attribute_part
from raypipe.backbones.psp import load_encoder
from raypipe.backbones.psp.refine import RefineConfig
from raypipe.blocks.sizes import of_size
from raypipe.cli import app
from raypipe.errors import BadWeights, ModelMismatch, WrongUsage
from raypipe.faces import to_signed
from raypipe.methods.l2m_gan.networks import l2m_part
from raypipe.pipeline.edit import EditConfig, edit
from raypipe.pipeline.encode.face_decoder import FaceConfig, FaceDecoder
from raypipe.pipeline.index.config import IndexConfig
from raypipe.pipeline.index.plan import build_job
from raypipe.pipeline.loading import load_method, picture_size, picture_size_of
from raypipe.pipeline.reconstruct import reconstruct
from raypipe.weights import Bundle, open_bundle, save_bundle
from tests.backbones.stylegan2_foreign_files import saved
from tests.l2m_models import SIZE, tiny_encoder_part, tiny_judge, tiny_l2m, tiny_network
from tests.methods.test_l2m_gan_foreign import tiny_checkpoint
from tests.models import tiny_model
from tests.pictures import fill_folder
from tests.pipeline.encode.test_job import config_for, encode_locally, rows_of
from tests.pipeline.train.made_up import celeba_folder
from tests.stargan2_models import tiny_stargan2

METHOD = "l2m_gan"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_l2m(tmp_path_factory.mktemp("without") / "model")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return fill_folder(tmp_path / "pictures", 3)


def with_encoder(folder: Path, bundle: Bundle, size: int = SIZE, *, seed: int = 0) -> Bundle:
    parts = {name: bundle.read(name) for name in bundle.parts} | {"encoder": tiny_encoder_part(size, seed=seed)}
    return save_bundle(str(folder), "with", parts, {})


def test_pictures_are_as_large_as_the_largest_network_wants_them(model: Bundle, tmp_path: Path) -> None:
    assert picture_size(model) == picture_size(tiny_stargan2(tmp_path / "drawing")) == SIZE
    for size, wanted in ((SIZE // 2, SIZE), (2 * SIZE, 2 * SIZE)):
        configs = {name: info.config for name, info in model.parts.items()}
        assert picture_size_of({**configs, "encoder": {"input_size": size}}) == wanted
    with pytest.raises(BadWeights, match="the model has no encoder, and no method that looks at pictures"):
        picture_size_of({"generator": {"size": SIZE}})


@pytest.mark.parametrize("size", [SIZE, 2 * SIZE])
def test_each_network_sees_pictures_in_its_own_size(model: Bundle, pictures: Path, tmp_path: Path, size: int) -> None:
    both = with_encoder(tmp_path / "both", model, size)
    encode_locally(config_for(pictures, tmp_path / "codes", Path(both.uri), methods=(METHOD,)))
    encoder, method = load_encoder(both.read("encoder"), "cpu"), load_method(METHOD, both, "cpu")
    for file, row in zip(sorted(pictures.iterdir()), rows_of(tmp_path / "codes"), strict=True):
        pixels = FaceDecoder(FaceConfig(), size)(file.read_bytes(), None).pixels
        assert pixels is not None
        image = to_signed(torch.from_numpy(pixels[None]))
        with torch.no_grad():
            wanted = {"w_plus": encoder(image), **method.represent({"image": of_size(image, SIZE)})}
        for name, values in wanted.items():
            assert row[name] == pytest.approx(values[0].flatten().tolist(), rel=1e-2, abs=1e-2)


def test_codes_are_refined_in_the_encoder_s_size(pictures: Path, tmp_path: Path) -> None:
    """Its generator draws no larger pictures."""
    plain = tiny_model(tmp_path / "plain")
    larger = {"l2m_gan": l2m_part(tiny_network(size=2 * SIZE)), "attributes": attribute_part(tiny_judge())}
    both = save_bundle(str(tmp_path / "both"), "both", {n: plain.read(n) for n in plain.parts} | larger, {})
    assert picture_size(both) == 2 * SIZE
    config = config_for(pictures, tmp_path / "refined", Path(both.uri), refine=RefineConfig(steps=3))
    encode_locally(config)
    encode_locally(config_for(pictures, tmp_path / "unrefined", Path(both.uri)))
    refined, unrefined = (rows_of(tmp_path / name)[0]["w_plus"] for name in ("refined", "unrefined"))
    assert refined != unrefined
    assert np.isfinite(refined).all()
    assert config.parts_of(both) == ("encoder", "generator")


def test_rows_have_the_methods_columns_alone(model: Bundle, pictures: Path, tmp_path: Path) -> None:
    config = config_for(pictures, tmp_path / "without", Path(model.uri), methods=(METHOD,))
    encode_locally(config)
    encode_locally(
        config_for(pictures, tmp_path / "with", Path(with_encoder(tmp_path / "m", model).uri), methods=(METHOD,))
    )
    without, beside = rows_of(tmp_path / "without"), rows_of(tmp_path / "with")
    for one, other in zip(without, beside, strict=True):
        assert one == {name: value for name, value in other.items() if name != "w_plus"}
        assert one["l2m_un"] is not None
    assert config.parts_of(model) == (METHOD, "attributes")


def test_what_needs_an_encoder_is_refused_and_nothing_is_written(model: Bundle, pictures: Path, tmp_path: Path) -> None:
    config = config_for(pictures, tmp_path / "codes", Path(model.uri))
    with pytest.raises(BadWeights, match=r"has no encoder: say with --methods what .* of the faces; it has: l2m_gan"):
        encode_locally(config)
    with pytest.raises(BadWeights, match="has no 'encoder' part"):
        encode_locally(replace(config, methods=(METHOD,), refine=RefineConfig()))
    small = open_bundle("small")
    parts = {name: small.read(name) for name in small.parts if name != "encoder"}
    save_bundle(str(tmp_path / "small"), "small", parts, {})
    with pytest.raises(BadWeights, match="has no 'encoder' part"):
        encode_locally(replace(config, model=str(tmp_path / "small"), methods=("sparse_directions",)))
    assert not list((tmp_path / "codes").rglob("*.parquet"))


def test_codes_of_one_kind_do_not_do_for_the_other(model: Bundle, pictures: Path, tmp_path: Path) -> None:
    both = with_encoder(tmp_path / "both", model)
    for name, bundle in (("styles", model), ("all", both)):
        encode_locally(config_for(pictures, tmp_path / name, Path(bundle.uri), methods=(METHOD,)))
    tiny_model(tmp_path / "plain")
    with pytest.raises(WrongUsage, match=r"has no codes in W\+: the model that encoded it has no encoder"):
        reconstruct(str(tmp_path / "styles"), str(tmp_path / "plain"), count=1, columns=1)
    with pytest.raises(BadWeights, match="has no 'encoder' part"):
        build_job(IndexConfig(codes=(str(tmp_path / "all"),), out=str(tmp_path / "index"), model=model.uri))
    other = with_encoder(tmp_path / "other", model, seed=1)
    with pytest.raises(ModelMismatch, match="was encoded by encoder"):
        build_job(IndexConfig(codes=(str(tmp_path / "all"),), out=str(tmp_path / "index"), model=other.uri))


def test_a_row_s_picture_is_enough_whatever_model_encoded_it(model: Bundle, pictures: Path, tmp_path: Path) -> None:
    encoded = tiny_model(tmp_path / "plain")
    encode_locally(config_for(pictures, tmp_path / "codes", Path(encoded.uri)))
    asked = {"edits": ("Smiling=1",), "model": model.uri}
    by_file = edit(EditConfig(source=str(pictures / "00001.jpg"), **asked), "cpu")
    by_id = edit(EditConfig(source=str(tmp_path / "codes"), image_id="00001.jpg", **asked), "cpu")
    assert by_id == by_file


def test_a_published_checkpoint_translates_once_it_has_an_attribute_network(pictures: Path, tmp_path: Path) -> None:
    """By the commands of the method's page."""
    (tmp_path / "nets_ema.ckpt").write_bytes(saved(tiny_checkpoint()))
    faces, imported, out = celeba_folder(tmp_path / "faces", 24), tmp_path / "imported", tmp_path / "model"
    few = [word for setting in ("steps=2", "batch=4", "widths=[8]", "feature_dim=4") for word in ("--set", setting)]
    data = ("--data", str(faces), "--attributes", "Smiling", "--size", str(SIZE), "--local")
    for words in (
        ("weights", "import", str(tmp_path / "nets_ema.ckpt"), "--out", str(imported)),
        ("train", "attributes", *data, "--model", str(imported), "--out", str(out), *few),
        (
            "translate",
            str(pictures / "00000.jpg"),
            "--to",
            "Smiling",
            "--model",
            str(out),
            "--out",
            f"{tmp_path}/out.png",
        ),
    ):
        assert not app([*words], standalone_mode=False)
    assert np.asarray(Image.open(tmp_path / "out.png")).std() > 0
