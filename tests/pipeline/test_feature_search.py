"""From pictures to searches by single features of faces, through every command that takes part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raypipe.errors import ModelMismatch
from raypipe.methods.retrieve_in_style import Config
from raypipe.pipeline.index.config import IndexConfig
from raypipe.pipeline.index.job import run_job
from raypipe.pipeline.index.local import RunLocally
from raypipe.pipeline.index.plan import build_job
from raypipe.pipeline.loading import load_method, methods_of
from raypipe.pipeline.search.query import FromIndex, Like, SearchQuery
from raypipe.pipeline.search.searcher import Searcher, open_searcher
from raypipe.pipeline.train.config import DataConfig, TrainConfig, TrainJob
from raypipe.pipeline.train.job import train_locally
from raypipe.weights import open_bundle
from tests.models import tiny_model
from tests.pictures import fill_folder
from tests.pipeline.encode.test_job import config_for, encode_locally

FACES = 24
HAIR, MOUTH = "retrieve_in_style.hair", "retrieve_in_style.mouth"
FEATURES = {"hair": (0, 3), "mouth": (1,), "background": (2,)}
SETTINGS: dict[str, Any] = {"batch": 4, "pictures": 8, "clusters": 4, "assignment_faces": 4, "width": 6}


@dataclass(frozen=True)
class World:
    """Folders of what each command left."""

    model: Path
    plain_codes: Path
    codes: Path
    index: Path


def train(model: Path, codes: Path, out: Path, **settings: Any) -> None:
    data = DataConfig(uri=str(codes), held_out=4)
    config = TrainConfig(recipe="retrieve_in_style", out=str(out), data=data, models=(str(model),))
    job = TrainJob(config=config, recipe=Config(**SETTINGS, **settings))
    outcome = train_locally(job, device=torch.device("cpu"), restart=False, say=lambda _: None, watch=lambda _: None)
    assert outcome.is_done


def index(model: Path, codes: Path, out: Path) -> None:
    config = IndexConfig(codes=(str(codes),), out=str(out), model=str(model))
    run_job(build_job(config), RunLocally(), say=print, watch=lambda _: None)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("features")
    pictures, plain = fill_folder(folder / "pictures", FACES), folder / "plain"
    tiny_model(plain)
    made = World(folder / "model", folder / "plain-codes", folder / "codes", folder / "index")
    encode_locally(config_for(pictures, made.plain_codes, plain, commit_rows=8))
    train(plain, made.plain_codes, made.model, steps=4, features=FEATURES)
    encode_locally(config_for(pictures, made.codes, made.model, commit_rows=8, methods=("retrieve_in_style",)))
    index(made.model, made.codes, made.index)
    return made


@pytest.fixture(scope="module")
def searcher(world: World) -> Searcher:
    return open_searcher(str(world.index), str(world.model))


def name(row: int) -> str:
    return f"{row:05d}.jpg"


def distances(searcher: Searcher, query: SearchQuery) -> dict[str, float]:
    return {hit.id: hit.distance for hit in searcher.search(query).hits}


def by_hand(searcher: Searcher, world: World, space: str) -> np.ndarray[Any, Any]:
    """1 - cos of all faces with all, from the columns of the dataset."""
    method = load_method("retrieve_in_style", open_bundle(str(world.model)), "cpu")
    faces = [searcher.columns_of(FromIndex(name(row)), space) for row in range(FACES)]
    vectors = torch.cat([method.search_vectors(space.split(".")[1], columns) for columns in faces]).double()
    return (1 - vectors @ vectors.T).numpy()


def test_the_model_offers_the_method_and_its_spaces(world: World, searcher: Searcher) -> None:
    assert methods_of(open_bundle(str(world.model))) == ("retrieve_in_style",)
    assert set(searcher.index.manifest.spaces) == {HAIR, MOUTH, "retrieve_in_style.pose"}
    assert list((world.model / "samples").glob("*.png")), "a picture of the clusters"


def test_a_face_is_nearest_to_itself_and_the_rest_is_as_computed_by_hand(world: World, searcher: Searcher) -> None:
    query = SearchQuery(face=FromIndex(name(0)), space=HAIR, k=FACES, exclude_own=False)
    found = distances(searcher, query)
    expected = by_hand(searcher, world, HAIR)[0]
    assert next(iter(found)) == name(0)
    for row in range(FACES):
        assert found[name(row)] == pytest.approx(expected[row], abs=1e-5)


def test_hair_of_one_and_mouth_of_another_in_one_question(world: World, searcher: Searcher) -> None:
    like = (Like(HAIR, FromIndex(name(0))), Like(MOUTH, FromIndex(name(0)), 3.0))
    found = distances(searcher, SearchQuery(like=like, k=FACES, exclude_own=False))
    hair, mouth = by_hand(searcher, world, HAIR), by_hand(searcher, world, MOUTH)
    expected = hair[0] + 3 * mouth[0] * hair.mean() / mouth.mean()  # one counts as much as the other
    for row in range(FACES):
        assert found[name(row)] == pytest.approx(expected[row], abs=1e-4)


def test_codes_from_before_the_catalogue_give_the_same_index(world: World, tmp_path: Path, searcher: Searcher) -> None:
    index(world.model, world.plain_codes, tmp_path / "index")
    other = open_searcher(str(tmp_path / "index"), str(world.model))
    query = SearchQuery(face=FromIndex(name(3)), space=MOUTH, k=FACES, exclude_own=False)
    ours, theirs = distances(searcher, query), distances(other, query)
    assert max(abs(ours[id] - theirs[id]) for id in ours) < 0.01, "codes are stored in half precision"


def test_an_index_of_other_features_is_refused(world: World, tmp_path: Path) -> None:
    edited = {"hair": (0,), "mouth": (1,), "background": (2, 3)}
    train(world.model, world.plain_codes, tmp_path / "edited", steps=0, features=edited)
    searcher = open_searcher(str(world.index), str(tmp_path / "edited"))
    with pytest.raises(ModelMismatch):
        searcher.search(SearchQuery(face=FromIndex(name(0)), space=HAIR))
