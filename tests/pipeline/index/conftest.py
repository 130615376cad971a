from __future__ import annotations

import pytest

from tests.pipeline.search.small_collection import SmallCollection, make_collection


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallCollection:
    return make_collection(tmp_path_factory.mktemp("small"))
