"""From pictures to searches by styles of two methods, which are made of the pictures themselves, by every command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from raypipe.contract import Query
from raypipe.errors import ModelMismatch, WrongUsage
from raypipe.pipeline.index.config import IndexConfig
from raypipe.pipeline.index.job import run_job
from raypipe.pipeline.index.local import RunLocally
from raypipe.pipeline.index.plan import build_job
from raypipe.pipeline.loading import load_method
from raypipe.pipeline.search.query import FromIndex, SearchQuery
from raypipe.pipeline.search.searcher import open_searcher
from raypipe.weights import open_bundle, save_bundle
from tests.l2m_models import tiny_l2m
from tests.pictures import fill_folder
from tests.pipeline.encode.test_job import config_for, encode_locally
from tests.stargan2_models import tiny_stargan2

FACES = 12
METHODS = ("l2m_gan", "stargan_v2")


@dataclass(frozen=True)
class World:
    """Folders of what each command left; ``plain``: codes without the first method's columns."""

    model: Path
    codes: Path
    plain: Path
    index: Path


def index(model: Path, codes: Path, out: Path) -> None:
    config = IndexConfig(codes=(str(codes),), out=str(out), model=str(model))
    run_job(build_job(config), RunLocally(), say=print, watch=lambda _: None)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("styles")
    made = World(*(folder / name for name in ("model", "codes", "plain", "index")))
    pictures = fill_folder(folder / "pictures", FACES)
    bundles = tiny_stargan2(folder / "drawing"), tiny_l2m(folder / "transforming")
    save_bundle(str(made.model), "both", {name: each.read(name) for each in bundles for name in each.parts}, {})
    encode_locally(config_for(pictures, made.codes, made.model, commit_rows=4, methods=METHODS))
    encode_locally(config_for(pictures, made.plain, made.model, commit_rows=4, methods=METHODS[1:]))
    index(made.model, made.codes, made.index)
    return made


@pytest.mark.parametrize("space", ["l2m_gan.Male", "l2m_gan.all_but_Male", "stargan_v2.style"])
@pytest.mark.parametrize("adjust", [{}, {"Male": 1.0}])
def test_distances_are_those_of_the_stored_codes(world: World, space: str, adjust: dict[str, float]) -> None:
    searcher = open_searcher(str(world.index), str(world.model))
    query = SearchQuery(face=FromIndex("00000.jpg"), space=space, adjust=adjust, k=FACES, exclude_own=False)
    found = {hit.id: hit.distance for hit in searcher.search(query).hits}
    name, _, own = space.partition(".")
    method = load_method(name, open_bundle(str(world.model)), "cpu")
    faces = [searcher.columns_of(FromIndex(f"{row:05d}.jpg"), space) for row in range(FACES)]
    vectors = torch.cat([method.search_vectors(own, columns) for columns in faces])
    with torch.no_grad():
        asked = method.adjusted(faces[0], Query(adjust=adjust, prefer={}, references={}))
        wanted = method.search_vectors(own, asked)
    for row, distance in enumerate((vectors - wanted).square().sum(1).tolist()):
        assert found[f"{row:05d}.jpg"] == pytest.approx(distance, rel=1e-3, abs=1e-4)


def test_codes_without_the_styles_cannot_be_indexed(world: World, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="there is no column 'l2m_values'; there are: stargan2_style"):
        index(world.model, world.plain, tmp_path / "index")


def test_an_index_of_another_model_s_styles_is_refused(world: World, tmp_path: Path) -> None:
    """The method has no part of its own name: its vectors are bound to the networks that it takes."""
    bundle, name = open_bundle(str(world.model)), "stargan2_style_encoder"
    other = {part: bundle.read(part) for part in bundle.parts} | {name: tiny_stargan2(tmp_path, seed=1).read(name)}
    save_bundle(str(tmp_path / "model"), "other", other, {})
    searcher = open_searcher(str(world.index), str(tmp_path / "model"))
    query = SearchQuery(face=FromIndex("00000.jpg"), space="stargan_v2.style")
    with pytest.raises(ModelMismatch, match=r"the query has model '.*', but the index"):
        searcher.search(query)
