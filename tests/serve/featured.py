"""The small collection with a catalogue in its model: edited by one method, and features transferred by another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from raypipe.contract import DataFacts, Site
from raypipe.methods.retrieve_in_style import Config, build_recipe
from raypipe.pipeline.index.config import IndexConfig
from raypipe.pipeline.index.job import run_job
from raypipe.pipeline.index.local import RunLocally
from raypipe.pipeline.index.plan import build_job
from raypipe.weights import open_bundle, save_bundle
from tests.pipeline.encode.test_job import config_for, encode_locally
from tests.pipeline.search.small_collection import SmallCollection

METHOD, USUAL = "retrieve_in_style", 1.3
CLUSTERS = {"hair": (0,), "eyes": (3,), "background": (1, 2)}
FEATURES = ("hair", "eyes", "background", "pose")


@dataclass(frozen=True)
class Featured:
    """Folders of a model and an index of the same forty pictures, both of two methods."""

    model: Path
    index: Path


def make_featured(folder: Path, collection: SmallCollection) -> Featured:
    made = Featured(folder / "model", folder / "index")
    _make_model(made.model, collection.model)
    pictures = collection.model.parent / "faces.parquet"
    methods = ("sparse_directions", METHOD)
    encode_locally(config_for(pictures, folder / "codes", made.model, commit_rows=8, methods=methods))
    config = IndexConfig(codes=(str(folder / "codes"),), out=str(made.index), model=str(made.model))
    run_job(build_job(config), RunLocally(), say=lambda _: None, watch=lambda _: None)
    return made


def _make_model(folder: Path, without: Path) -> None:
    bundle = open_bundle(str(without))
    parts = {name: bundle.read(name) for name in bundle.parts}
    config = Config(steps=2, batch=4, pictures=8, clusters=4, features=CLUSTERS, assignment_faces=4, width=4)
    recipe = build_recipe(config, Site(data=DataFacts(rows=8, code_shape=(8, 16)), parts=parts))
    codes = torch.randn(8, 8, 16, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        recipe.step({"w_plus": codes[:4]})
    recipe.finish([{"w_plus": codes}])
    save_bundle(str(folder), "featured", parts | recipe.export(), {})
