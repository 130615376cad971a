"""What a method is evaluated on, gathered from pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raypipe.backbones.psp import load_encoder
from raypipe.contract import Faces
from raypipe.errors import BadWeights, WrongUsage
from raypipe.faces import to_signed
from raypipe.pipeline.evaluate.config import EvaluateConfig
from raypipe.pipeline.evaluate.faces import gather_faces
from raypipe.pipeline.train.config import DataConfig
from raypipe.weights import Bundle, open_bundle
from tests.pipeline.evaluate.models import tiny_identity

ALL = ("w_plus", "labels", "embedding", "identity", "image")


def bundles_of(*models: str) -> dict[str, Bundle]:
    return {name: bundle for bundle in map(open_bundle, models) for name in bundle.parts}


def gather(needs: tuple[str, ...], *models: str, size: int = 32, data: str = "synthfaces") -> Faces:
    config = EvaluateConfig(
        method="any", data=DataConfig(uri=data, size=size), models=models, train=60, validation=30, test=40
    )
    seen: list[tuple[int, int]] = []
    found = gather_faces(
        config,
        needs,
        bundles_of(*models),
        device=torch.device("cpu"),
        watch=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1][0] == seen[-1][1]
    return found


def test_every_column_is_of_the_same_faces(model: Path, tmp_path: Path) -> None:
    found = gather(ALL, str(model), tiny_identity(tmp_path / "who"))
    encoder = load_encoder(open_bundle(str(model)).read("encoder"), "cpu")
    for part in (found.train, found.validation, found.test):
        assert set(part) == set(ALL)
        with torch.no_grad():
            again = encoder(to_signed(part["image"]))
        torch.testing.assert_close(part["w_plus"], again, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(part["embedding"].norm(dim=1), torch.ones(len(again)))
        assert part["labels"].shape == (len(again), len(found.attributes))
        assert set(part["labels"].unique().tolist()) == {0.0, 1.0}
    people = [set(part["identity"].tolist()) for part in (found.train, found.validation, found.test)]
    assert not people[0] & people[1]
    assert not people[0] & people[2]
    assert not people[1] & people[2]


def test_larger_pictures_come_to_the_encoder_in_its_size(model: Path) -> None:
    small, large = (gather(("w_plus", "image"), str(model), size=size) for size in (32, 64))
    assert large.test["image"].shape[1:] == (64, 64, 3)
    assert large.test["w_plus"].shape == small.test["w_plus"].shape


def test_without_an_identity_network_it_says_how_to_get_one(model: Path) -> None:
    with pytest.raises(BadWeights, match="raypipe train identity"):
        gather(("embedding",), str(model))


def test_an_encoded_dataset_has_no_pictures(model: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(WrongUsage, match="give the images"):
        gather(("w_plus",), str(model), data=str(tmp_path))
