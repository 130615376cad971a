"""The command that makes a shipped L2M-GAN of a trained one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raypipe.backbones.attributes import attribute_part, load_attributes
from raypipe.cli import main as raypipe
from raypipe.errors import WrongUsage
from raypipe.pipeline.small_model.translators import main, measure
from raypipe.weights import open_bundle, save_bundle
from tests.l2m_models import tiny_judge

TINY = (
    "steps=3",
    "discriminator_steps=1",
    "batch=2",
    "first_width=4",
    "max_width=8",
    "style_dim=4",
    "data.held_out=20",
)


def test_networks_are_halved_beside_the_small_models_parts_and_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [word for setting in TINY for word in ("--set", setting)]
    words = ("--data", "synthfaces", "--size", "64", "--attributes", "Smiling", "--model", "small", "--local")
    monkeypatch.setattr("sys.argv", ["raypipe", "train", "l2m_gan", *words, "--out", str(tmp_path / "run"), *sets])
    with pytest.raises(SystemExit) as ended:
        raypipe()
    assert not ended.value.code
    main([str(tmp_path / "run"), "--judge", "small", "--out", str(tmp_path / "l2m_tiny"), "--faces", "12"])
    bundle, small = open_bundle(str(tmp_path / "l2m_tiny")), open_bundle("small")
    assert set(bundle.parts) == {*small.parts, "l2m_gan"}
    assert {path.name for path in (tmp_path / "l2m_tiny").iterdir()} == {
        "README.md",
        "l2m_gan.safetensors",
        "model.json",
        "run.json",
    }
    assert {name: bundle.parts[name].sha256 for name in small.parts} == {
        name: part.sha256 for name, part in small.parts.items()
    }
    assert {str(tensor.dtype) for tensor in bundle.read("l2m_gan").tensors.values()} == {"torch.float16"}
    measured = json.loads((tmp_path / "l2m_tiny" / "run.json").read_text())["measured"]
    text = (tmp_path / "l2m_tiny" / "README.md").read_text()
    assert measured["faces"] == 12
    assert set(measured["edits"]) == {"Smiling"}
    assert f"by {measured['reconstruction']} of 2" in " ".join(text.split())
    assert "| Smiling | 2 | 1 | 2 | 1 x cpu |" in text
    blind = tiny_judge(("Male",))
    save_bundle(str(tmp_path / "blind"), "blind", {"attributes": attribute_part(blind)}, {})
    with pytest.raises(WrongUsage, match="the judge must see Smiling; it knows: Hat, Male"):
        main([str(tmp_path / "run"), "--judge", str(tmp_path / "blind"), "--out", str(tmp_path / "l2m_tiny")])


def test_edits_that_are_seen_are_counted() -> None:
    """A model that draws glasses, and a network that knows glasses; of those taken off it still sees traces."""
    bundle = open_bundle("l2m_eyeglasses")
    judge = load_attributes(bundle.read("attributes"), "cpu")
    edits = measure(bundle, judge, faces=60)["edits"]["Eyeglasses"]
    assert edits["judge"] > 0.95
    assert edits["added"] > 0.5 > edits["removed"] > 0
    assert 0 < edits["others_changed"] < 0.3
