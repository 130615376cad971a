from __future__ import annotations

import socket
from pathlib import Path

import pytest

from raypipe.cli.serve import serve_command
from raypipe.errors import WrongUsage
from tests.pipeline.search.small_collection import SmallCollection, make_collection
from tests.serve.ray_server import ray_server


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> SmallCollection:
    return make_collection(tmp_path_factory.mktemp("served"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"index": "nowhere"}, "no index"),
        ({"model": "nobody"}, "nobody"),
        ({"host": "0.0.0.0"}, "token"),
        ({"settings": ["groups=0"]}, "groups"),
    ],
)
def test_what_cannot_be_served_is_told_at_once(collection: SmallCollection, changes: dict[str, str], told: str) -> None:
    asked = {"index": str(collection.index), "model": str(collection.model), "port": 8000, **changes}
    with pytest.raises(WrongUsage, match=told):
        serve_command(**asked)


def test_a_port_that_is_taken_is_told(collection: SmallCollection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(WrongUsage, match="another one: --port"):
        serve_command(str(collection.index), model=str(collection.model), port=taken.getsockname()[1])


def test_in_one_process_it_answers_until_ctrl_c(collection: SmallCollection, tmp_path: Path) -> None:
    with ray_server(collection.index, collection.model, tmp_path, options=["--local"]) as server:
        assert server.client.post("/v1/search", json={"face": {"id": "face-01"}}).status_code == 200
        assert server.interrupt() == 0
