from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from raypipe.pipeline.search.searcher import Searcher, open_searcher
from serve.http import make_app
from serve.local_backend import LocalBackend
from serve.settings import ApiSettings
from tests.pipeline.search.small_collection import SmallCollection, make_collection
from tests.serve.api_server import ApiServer
from tests.serve.browser import chromium
from tests.serve.featured import Featured, make_featured
from tests.serve.translated import make_sampling, make_translating


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> SmallCollection:
    return make_collection(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def searcher(collection: SmallCollection) -> Searcher:
    """The engine that the server asks, asked directly."""
    return open_searcher(str(collection.index), str(collection.model))


@pytest.fixture(scope="session")
def api(collection: SmallCollection) -> Iterator[ApiServer]:
    """A server over the collection, which no test changes."""
    yield from _served(collection.index, collection.model)


@pytest.fixture(scope="session")
def featured(collection: SmallCollection, tmp_path_factory: pytest.TempPathFactory) -> Featured:
    return make_featured(tmp_path_factory.mktemp("featured"), collection)


@pytest.fixture(scope="session")
def featured_searcher(featured: Featured) -> Searcher:
    return open_searcher(str(featured.index), str(featured.model))


@pytest.fixture(scope="session")
def featured_api(featured: Featured) -> Iterator[ApiServer]:
    """A server whose model transfers features, which no test changes."""
    yield from _served(featured.index, featured.model)


@pytest.fixture(scope="session")
def translating(collection: SmallCollection, featured: Featured, tmp_path_factory: pytest.TempPathFactory) -> Featured:
    return make_translating(tmp_path_factory.mktemp("translating"), featured, collection)


@pytest.fixture(scope="session")
def translating_searcher(translating: Featured) -> Searcher:
    return open_searcher(str(translating.index), str(translating.model))


@pytest.fixture(scope="session")
def translating_api(translating: Featured) -> Iterator[ApiServer]:
    """A server whose model edits, transfers features and translates, which no test changes."""
    yield from _served(translating.index, translating.model)


@pytest.fixture(scope="session")
def sampling_api(featured: Featured, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """As ``translating_api``, but its translator draws styles."""
    sampling = make_sampling(tmp_path_factory.mktemp("sampling"), featured)
    yield from _served(sampling.index, sampling.model)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For one module: as long as it is there, nobody else can run an event loop in this thread."""
    with chromium() as browser:
        yield browser


def _served(index: Path, model: Path) -> Iterator[ApiServer]:
    settings = ApiSettings()
    backend = LocalBackend(str(index), str(model), limits=settings.limits)
    with ApiServer(make_app(backend, settings)) as server:
        yield server
