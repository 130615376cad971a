"""The command that makes the shipped model, from end to end, with hardly any training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raypipe import storage
from raypipe.pipeline.small_model.__main__ import main
from raypipe.pipeline.small_model.stages import SmallModelConfig, stages
from raypipe.weights import open_bundle


def open_card(model: str) -> str:
    return storage.read_bytes(storage.join(open_bundle(model).uri, "README.md")).decode()


@pytest.mark.slow
def test_a_model_with_all_parts_comes_out_and_is_described(tmp_path: Path) -> None:
    out = tmp_path / "small"
    main(["--work", str(tmp_path / "work"), "--out", str(out), "--further", "small", "--scale", "0.0008"])
    bundle = open_bundle(str(out))
    assert set(bundle.parts) == {"generator", "encoder", "identity", "attributes", "sparse_directions"}
    before = open_bundle("small")
    same = [name for name in bundle.parts if bundle.describe(name).sha256 == before.describe(name).sha256]
    assert sorted(same) == ["attributes", "identity"]
    record = json.loads((out / "run.json").read_text())
    assert set(record["runs"]) == {"stylegan2", "e4e", "autoencoder", "sparse_directions"}
    assert record["before"] == json.loads(storage.read_bytes(storage.join(before.uri, "run.json")))
    assert 20 < record["measured"]["psnr_db"] < 35
    card = (out / "README.md").read_text()
    assert f"PSNR {record['measured']['psnr_db']} dB" in card
    assert [card.count(f"| {name} |") for name in ("attributes", "identity", "sparse_directions")] == [1] * 3
    for name in ("stylegan2", "e4e", "autoencoder"):
        assert card.count(f"| {name} |") == 1 + open_card("small").count(f"| {name} |"), "this one's and those before"


@pytest.mark.parametrize("further", ["", "small"])
def test_every_stage_comes_after_those_that_it_builds_on(further: str) -> None:
    done: set[str] = set()
    for stage in stages(SmallModelConfig(work="work", further=further)):
        assert set(stage.builds_on) <= done
        done.add(stage.recipe)
    assert done == {"stylegan2", "e4e"} | ({"autoencoder"} if further else {"attributes", "identity"})
