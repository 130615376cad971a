"""A weights file becomes a bundle that draws the same pictures and says what it came from."""

from __future__ import annotations

import hashlib
import pickle
import posix
from pathlib import Path

import pytest
import torch

from raypipe.backbones.perceptual import load_lpips
from raypipe.backbones.stylegan2 import load_discriminator, load_generator
from raypipe.errors import BadWeights, WrongUsage
from raypipe.pipeline.import_weights import import_weights
from raypipe.weights import open_bundle
from tests.backbones.perceptual_networks import random_heads_state, random_trunk_state
from tests.backbones.stylegan2_foreign_files import rosinality_checkpoint, saved, tensorflow_pickle
from tests.backbones.stylegan2_oracle import DISCRIMINATOR_FILE, GENERATOR_FILE, case
from tests.shared_files import data, oracle


def test_cluster_centres_become_a_bundle(tmp_path: Path) -> None:
    imported = import_weights(str(data("ris_ffhq_catalogue.npz")), str(tmp_path / "bundle"))
    centres = open_bundle(imported.bundle.uri).read("cluster_centres").tensors["centres"]
    assert centres.shape == (18, 512)
    torch.testing.assert_close(centres.norm(dim=1), torch.ones(18))


def test_a_checkpoint_becomes_a_bundle(tmp_path: Path) -> None:
    content = saved(rosinality_checkpoint())
    (tmp_path / "faces.pt").write_bytes(content)
    imported = import_weights(str(tmp_path / "faces.pt"), str(tmp_path / "bundle"))
    bundle = open_bundle(str(tmp_path / "bundle"))
    assert bundle == imported.bundle
    assert bundle.name == "faces"
    assert bundle.provenance == {
        "imported_from": "faces.pt",
        "sha256": hashlib.sha256(content).hexdigest(),
        "format": "rosinality stylegan2-pytorch checkpoint",
        "remarks": [],
    }
    stored = case(GENERATOR_FILE)
    with torch.no_grad():
        image = load_generator(bundle.read("generator"), "cpu")(stored["z"])
        logits = load_discriminator(bundle.read("discriminator"), "cpu")(case(DISCRIMINATOR_FILE)["x"])
    torch.testing.assert_close(image, stored["image"], rtol=0, atol=3e-5)
    torch.testing.assert_close(logits, case(DISCRIMINATOR_FILE)["out"], rtol=0, atol=3e-5)


def test_pickles_become_bundles(tmp_path: Path) -> None:
    (tmp_path / "tf.pkl").write_bytes(tensorflow_pickle())
    for file in (tmp_path / "tf.pkl", oracle("nvlabs/native_persistence.pkl")):
        imported = import_weights(str(file), str(tmp_path / file.stem))
        assert set(imported.bundle.parts) == {"generator", "discriminator"}
        load_generator(open_bundle(str(tmp_path / file.stem)).read("generator"), "cpu")


def test_a_file_that_wants_to_run_code_leaves_no_bundle(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> object:
            return posix.system, (f"touch {tmp_path / 'ran'}",)

    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"G_ema": Attack()}))
    (tmp_path / "bad.pt").write_bytes(saved({"g_ema": Attack()}))
    for name in ("bad.pkl", "bad.pt"):
        with pytest.raises(BadWeights, match=rf"{name}: .*posix\.system"):
            import_weights(str(tmp_path / name), str(tmp_path / "bundle"))
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "bundle").exists()


def test_what_is_no_known_format_says_what_is(tmp_path: Path) -> None:
    (tmp_path / "other.pt").write_bytes(saved({"weight": torch.zeros(3)}))
    with pytest.raises(BadWeights, match="no known format; known: StyleGAN2 checkpoints of rosinality"):
        import_weights(str(tmp_path / "other.pt"), str(tmp_path / "bundle"))
    with pytest.raises(WrongUsage, match="no weights file"):
        import_weights(str(tmp_path / "none.pt"), str(tmp_path / "bundle"))
    with pytest.raises(WrongUsage, match="no weights file"):
        import_weights(str(tmp_path), str(tmp_path / "bundle"))


def test_a_trunk_and_its_heads_become_one_part(tmp_path: Path) -> None:
    trunk, heads = tmp_path / "alexnet.pth", tmp_path / "alex.pth"
    trunk.write_bytes(saved(random_trunk_state("alexnet")))
    heads.write_bytes(saved(random_heads_state("alexnet")))
    imported = import_weights(str(trunk), str(tmp_path / "bundle"), heads=str(heads))
    bundle = open_bundle(str(tmp_path / "bundle"))
    assert bundle == imported.bundle
    assert bundle.provenance["heads"] == "alex.pth"
    assert bundle.provenance["heads_sha256"] == hashlib.sha256(heads.read_bytes()).hexdigest()
    assert load_lpips(bundle.read("perceptual"), "cpu").config.trunk == "alexnet"


def test_a_trunk_needs_its_heads_and_heads_their_trunk(tmp_path: Path) -> None:
    trunk, heads = tmp_path / "alexnet.pth", tmp_path / "vgg.pth"
    trunk.write_bytes(saved(random_trunk_state("alexnet")))
    heads.write_bytes(saved(random_heads_state("vgg16")))
    with pytest.raises(BadWeights, match=r"alexnet\.pth: .*--heads"):
        import_weights(str(trunk), str(tmp_path / "bundle"))
    with pytest.raises(BadWeights, match=r"alexnet\.pth with .*vgg\.pth: the heads of alexnet"):
        import_weights(str(trunk), str(tmp_path / "bundle"), heads=str(heads))
    with pytest.raises(WrongUsage, match="no weights file"):
        import_weights(str(trunk), str(tmp_path / "bundle"), heads=str(tmp_path / "none.pth"))
    assert not (tmp_path / "bundle").exists()
