"""The small collection with a translator in its model, beside a method that edits and one that transfers features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from raypipe.contract import Columns
from raypipe.methods.l2m_gan.method import L2M, RELATED
from raypipe.pipeline.index.config import IndexConfig
from raypipe.pipeline.index.job import run_job
from raypipe.pipeline.index.local import RunLocally
from raypipe.pipeline.index.plan import build_job
from raypipe.weights import open_bundle, save_bundle
from tests.l2m_models import tiny_l2m
from tests.pipeline.encode.test_job import config_for, encode_locally
from tests.pipeline.search.small_collection import SmallCollection
from tests.serve.featured import METHOD as TRANSFERRING
from tests.serve.featured import Featured

METHOD = "l2m_gan"
METHODS = ("sparse_directions", TRANSFERRING, METHOD)
UNJUDGED = pytest.mark.filterwarnings("ignore:a reference for")
"""The networks are not trained: what they take a face for says nothing."""

DOMAINS = ["not Smiling, not Male", "not Smiling, Male", "Smiling, not Male", "Smiling, Male"]


def make_translating(folder: Path, featured: Featured, collection: SmallCollection) -> Featured:
    """As ``featured``, with styles."""
    made, bundle = Featured(folder / "model", folder / "index"), open_bundle(str(featured.model))
    parts = {name: whose.read(name) for whose in (tiny_l2m(folder / "styles"), bundle) for name in whose.parts}
    save_bundle(str(made.model), "translating", parts, {})
    pictures = collection.model.parent / "faces.parquet"
    encode_locally(config_for(pictures, folder / "codes", made.model, commit_rows=8, methods=METHODS))
    config = IndexConfig(codes=(str(folder / "codes"),), out=str(made.index), model=str(made.model))
    run_job(build_job(config), RunLocally(), say=lambda _: None, watch=lambda _: None)
    return made


class Sampling(L2M):
    """As if the method drew styles: half the label's, half of a seed."""

    samples_styles = True

    def translate(
        self, columns: Columns, domain: str, *, reference: Columns | None = None, seed: int | None = None
    ) -> Columns:
        given = super().translate(columns, domain, reference=reference)
        if seed is None:
            return given
        drawn: Any = torch.randn(given[RELATED].shape, generator=torch.Generator().manual_seed(seed))
        return {**given, RELATED: (given[RELATED] + drawn) / 2}
