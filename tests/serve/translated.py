"""The small collection with a translator in its model, beside a method that edits and one that transfers features."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.pipeline.index.config import IndexConfig
from raypipe.pipeline.index.job import run_job
from raypipe.pipeline.index.local import RunLocally
from raypipe.pipeline.index.plan import build_job
from raypipe.weights import Bundle, open_bundle, save_bundle
from tests.l2m_models import tiny_l2m
from tests.pipeline.encode.test_job import config_for, encode_locally
from tests.pipeline.search.small_collection import SmallCollection
from tests.serve.featured import METHOD as TRANSFERRING
from tests.serve.featured import Featured
from tests.stargan2_models import tiny_stargan2

METHOD = "l2m_gan"
SAMPLING = "stargan_v2"
METHODS = ("sparse_directions", TRANSFERRING, METHOD)
UNJUDGED = pytest.mark.filterwarnings("ignore:a reference for")
"""The networks are not trained: what they take a face for says nothing."""

DOMAINS = ["not Smiling, not Male", "not Smiling, Male", "Smiling, not Male", "Smiling, Male"]


def make_translating(folder: Path, featured: Featured, collection: SmallCollection) -> Featured:
    """As ``featured``, with styles."""
    made = Featured(folder / "model", folder / "index")
    _join(made.model, tiny_l2m(folder / "styles"), open_bundle(str(featured.model)))
    pictures = collection.model.parent / "faces.parquet"
    encode_locally(config_for(pictures, folder / "codes", made.model, commit_rows=8, methods=METHODS))
    config = IndexConfig(codes=(str(folder / "codes"),), out=str(made.index), model=str(made.model))
    run_job(build_job(config), RunLocally(), say=lambda _: None, watch=lambda _: None)
    return made


def make_sampling(folder: Path, featured: Featured) -> Featured:
    """As ``featured``, with a translator that draws styles, which the index was made without."""
    made = Featured(folder / "model", featured.index)
    _join(made.model, tiny_stargan2(folder / "styles"), open_bundle(str(featured.model)))
    return made


def _join(out: Path, *bundles: Bundle) -> None:
    """The parts of all of them, of the same name the last one's."""
    save_bundle(str(out), "translating", {name: each.read(name) for each in bundles for name in each.parts}, {})
