"""The small collection with a catalogue in its model: edited by one method, and features transferred by another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raypipe.pipeline.index.config import IndexConfig
from raypipe.pipeline.index.job import run_job
from raypipe.pipeline.index.local import RunLocally
from raypipe.pipeline.index.plan import build_job
from raypipe.weights import open_bundle
from tests.methods.retrieve_in_style_data import with_catalogue
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
    with_catalogue(open_bundle(str(collection.model)), made.model, CLUSTERS)
    pictures = collection.model.parent / "faces.parquet"
    methods = ("sparse_directions", METHOD)
    encode_locally(config_for(pictures, folder / "codes", made.model, commit_rows=8, methods=methods))
    config = IndexConfig(codes=(str(folder / "codes"),), out=str(made.index), model=str(made.model))
    run_job(build_job(config), RunLocally(), say=lambda _: None, watch=lambda _: None)
    return made
