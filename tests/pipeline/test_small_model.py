"""The command that makes the shipped model, from end to end, with hardly any training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raypipe.pipeline.small_model.__main__ import main
from raypipe.pipeline.small_model.stages import SmallModelConfig, stages
from raypipe.weights import open_bundle


@pytest.mark.slow
def test_a_model_with_all_parts_comes_out_and_is_described(tmp_path: Path) -> None:
    out = tmp_path / "small"
    main(["--work", str(tmp_path / "work"), "--out", str(out), "--keep", "small", "--scale", "0.0008"])
    bundle = open_bundle(str(out))
    assert set(bundle.parts) == {"generator", "encoder", "identity", "attributes", "sparse_directions"}
    kept = open_bundle("small")
    assert all(bundle.describe(name).sha256 == kept.describe(name).sha256 for name in ("generator", "encoder"))
    record = json.loads((out / "run.json").read_text())
    assert set(record["runs"]) == {"attributes", "identity", "sparse_directions"}
    assert 20 < record["measured"]["psnr_db"] < 35
    card = (out / "README.md").read_text()
    assert f"PSNR {record['measured']['psnr_db']} dB" in card
    assert "stand-in" in card


def test_without_a_model_to_keep_everything_is_trained_in_an_order_that_works() -> None:
    done: set[str] = set()
    for stage in stages(SmallModelConfig(work="work")):
        assert set(stage.builds_on) <= done
        done.add(stage.recipe)
    assert done == {"attributes", "identity", "stylegan2", "e4e"}
