from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from raypipe.errors import BadWeights, WrongUsage
from raypipe.weights import Part, open_bundle, save_bundle


def test_a_bundle_is_read_back_as_it_was(tmp_path: Path) -> None:
    part = Part("kind", {"size": 3}, {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(2, dtype=torch.float16)})
    saved = save_bundle(str(tmp_path), "m", {"generator": part}, {"seed": 1})
    opened = open_bundle(str(tmp_path))
    assert opened == saved
    read = opened.read("generator")
    assert (read.kind, read.config) == ("kind", {"size": 3})
    assert all(torch.equal(read.tensors[key], tensor) for key, tensor in part.tensors.items())


def test_the_fingerprint_is_of_weights_and_configs(tmp_path: Path) -> None:
    def fingerprint(name: str, value: float, size: int) -> str:
        part = Part("kind", {"size": size}, {"a": torch.full((2,), value)})
        return save_bundle(str(tmp_path / name), name, {"encoder": part}, {}).fingerprint

    assert fingerprint("one", 1.0, 3) == fingerprint("same", 1.0, 3)
    assert len({fingerprint(n, v, s) for n, v, s in [("a", 1.0, 3), ("b", 2.0, 3), ("c", 1.0, 4)]}) == 3


def test_damage_is_found(tmp_path: Path) -> None:
    save_bundle(str(tmp_path), "m", {"encoder": Part("kind", {}, {"a": torch.zeros(4)})}, {})
    path = tmp_path / "encoder.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BadWeights, match="damaged"):
        open_bundle(str(tmp_path)).read("encoder")
    path.unlink()
    with pytest.raises(BadWeights, match="missing"):
        open_bundle(str(tmp_path)).read("encoder")


def test_a_part_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    save_bundle(str(tmp_path), "m", {"encoder": Part("kind", {}, {"a": torch.zeros(1)})}, {})
    with pytest.raises(BadWeights, match="no 'generator' part; it has: encoder"):
        open_bundle(str(tmp_path)).read("generator")


def test_no_bundle_and_other_formats_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="no model at"):
        open_bundle(str(tmp_path / "none"))
    (tmp_path / "model.json").write_text(json.dumps({"format": 99, "name": "m", "parts": {}}))
    with pytest.raises(BadWeights, match="format 99"):
        open_bundle(str(tmp_path))
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(BadWeights, match="not a bundle"):
        open_bundle(str(tmp_path))


def test_a_bundle_has_a_shipped_models_parts_without_their_files(tmp_path: Path) -> None:
    small = open_bundle("small")
    own = {"mine": Part("toy", {}, {"x": torch.ones(3)})}
    saved = save_bundle(str(tmp_path / "mine"), "mine", own, {}, shipped="small")
    bundle = open_bundle(str(tmp_path / "mine"))
    assert bundle.parts == saved.parts
    assert not (tmp_path / "mine" / "encoder.safetensors").exists()
    for name, tensor in small.read("attributes").tensors.items():
        assert torch.equal(bundle.read("attributes").tensors[name], tensor)
    assert bundle.size(("attributes",)) == small.size(("attributes",))
    assert bundle.fingerprint_of(("encoder",)) == small.fingerprint_of(("encoder",))


@pytest.mark.parametrize(("shipped", "told"), [("../small", "not a shipped model"), ("huge", "not a shipped model")])
def test_parts_of_anything_but_a_shipped_model_are_refused(tmp_path: Path, shipped: str, told: str) -> None:
    save_bundle(str(tmp_path), "mine", {}, {}, shipped="small")
    text = (tmp_path / "model.json").read_text().replace('"shipped": "small"', f'"shipped": "{shipped}"')
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(BadWeights, match=told):
        open_bundle(str(tmp_path)).read("encoder")


def test_a_shipped_part_that_is_another_by_now_is_found(tmp_path: Path) -> None:
    save_bundle(str(tmp_path), "mine", {}, {}, shipped="small")
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace(open_bundle("small").parts["encoder"].sha256, "0" * 64))
    with pytest.raises(BadWeights, match=r"encoder.safetensors of the shipped model 'small' is damaged"):
        open_bundle(str(tmp_path)).read("encoder")
