from __future__ import annotations

import pytest

from raypipe.pipeline.search.searcher import Searcher, open_searcher
from tests.pipeline.search.small_collection import SmallCollection, make_collection


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> SmallCollection:
    return make_collection(tmp_path_factory.mktemp("collection"))


@pytest.fixture(scope="session")
def searcher(collection: SmallCollection) -> Searcher:
    return open_searcher(str(collection.index), str(collection.model))
