"""``LocalBackend`` without HTTP: what is not opened yet, or cannot be; and what the server writes about its callers."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest

from raypipe.errors import BadWeights, WrongUsage
from raypipe.pipeline.search.query import FromIndex
from serve.errors import Unavailable
from serve.local_backend import LocalBackend
from serve.settings import Limits
from tests.models import tiny_model
from tests.pictures import picture_bytes
from tests.pipeline.search.small_collection import SmallCollection
from tests.serve.api_server import ApiServer, until
from tests.serve.test_api_tokens import lines


def test_an_index_that_cannot_be_opened_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def ask() -> None:
        backend = LocalBackend(str(tmp_path), "small", limits=Limits())
        with pytest.raises(WrongUsage, match="no index"):
            await backend.opened()
        assert not await backend.ready()
        with pytest.raises(Unavailable, match="could not be opened"):
            await backend.encode(FromIndex("x"))
        await backend.close()

    asyncio.run(ask())
    assert "index and model could not be opened" in caplog.text


def test_a_model_without_the_indexs_method_is_refused_at_the_start(collection: SmallCollection, tmp_path: Path) -> None:
    tiny_model(tmp_path / "other", seed=1)

    async def ask() -> None:
        backend = LocalBackend(str(collection.index), str(tmp_path / "other"), limits=Limits())
        with pytest.raises(BadWeights, match="sparse_directions"):
            await backend.opened()
        await backend.close()

    asyncio.run(ask())


def test_questions_before_it_is_open_are_told_to_come_back(collection: SmallCollection) -> None:
    async def ask() -> None:
        backend = LocalBackend(str(collection.index), str(collection.model), limits=Limits())
        if not await backend.ready():
            with pytest.raises(Unavailable, match="still being opened"):
                await backend.describe()
        await backend.opened()
        assert (await backend.describe()).rows == 40
        await backend.close()

    asyncio.run(ask())


def test_the_log_has_nobodys_face_id_or_name(api: ApiServer, caplog: pytest.LogCaptureFixture) -> None:
    question = json.dumps({"face": {"upload": "part-name"}, "where": "hair = 'dark blond'"})
    with caplog.at_level(logging.DEBUG):
        api.client.post("/v1/search", data={"query": question}, files={"part-name": ("my-name.png", picture_bytes(1))})
        api.client.post("/v1/search", data={"query": question}, files={"part-name": ("my-name.png", b"no picture")})
        api.client.get("/v1/images/face-03")
        api.client.post("/v1/encode", json={"face": {"id": "face-03"}})
        until(lambda: any("/v1/encode" in line for line in lines(caplog)))
    for secret in ("face-03", "part-name", "my-name", "dark blond", "no picture", "\\xff\\xd8", "PNG"):
        assert not any(secret in line for line in lines(caplog)), secret
