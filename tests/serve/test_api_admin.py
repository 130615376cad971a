from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serve.http import make_app
from serve.local_backend import LocalBackend
from serve.settings import ApiSettings
from tests.pipeline.search.small_collection import FACES, SmallCollection
from tests.serve.api_server import ApiServer
from tests.serve.more_codes import IDS, MORE, make_more_codes


@pytest.fixture(scope="module")
def more_codes(collection: SmallCollection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another dataset of the same model, in a folder of such."""
    folder = tmp_path_factory.mktemp("codes")
    make_more_codes(folder / "new", collection.model)
    return folder


@pytest.fixture
def own(collection: SmallCollection, more_codes: Path, tmp_path: Path) -> Iterator[ApiServer]:
    """A server over a copy of the index, to be changed."""
    index = tmp_path / "index"
    shutil.copytree(collection.index, index)
    settings = ApiSettings(codes=str(more_codes))
    with ApiServer(make_app(LocalBackend(str(index), str(collection.model), limits=settings.limits), settings)) as api:
        yield api


def change(api: ApiServer, verb: str, **question: Any) -> int:
    answer = api.client.post(f"/v1/admin/{verb}", json=question)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["index_version"])


def found(api: ApiServer) -> tuple[int, set[str]]:
    """The version of an answer, and its ids: of all faces."""
    answer = api.client.post("/v1/search", json={"face": {"id": "face-01"}, "exclude_own": False, "k": 60}).json()
    return answer["index_version"], {hit["id"] for hit in answer["hits"]}


def test_a_deleted_face_is_gone_before_the_answer(own: ApiServer) -> None:
    assert own.client.get("/v1/images/face-07").status_code == 200
    assert change(own, "delete", ids=["face-07", "nobody"]) == 2
    version, ids = found(own)
    assert version == 2
    assert "face-07" not in ids
    assert len(ids) == FACES - 1
    assert own.client.get("/v1/images/face-07").status_code == 404
    assert own.client.post("/v1/edit", json={"face": {"id": "face-07"}}).status_code == 422
    assert "face-07" not in own.client.get("/v1/index").json()["examples"]


def test_no_version_with_deleted_faces_can_be_activated(own: ApiServer) -> None:
    change(own, "append", codes="new")
    change(own, "delete", ids=["face-07"])
    for version in (1, 2):
        answer = own.client.post("/v1/admin/activate", json={"version": version})
        assert answer.status_code == 422
        assert "deleted" in answer.json()["detail"]
    assert own.client.post("/v1/admin/activate", json={"version": 9}).status_code == 404
    assert change(own, "activate", version=None) == 3
    assert found(own)[0] == 3


def test_appended_faces_are_found_and_can_be_taken_back(own: ApiServer) -> None:
    assert change(own, "append", codes="new") == 2
    version, ids = found(own)
    assert (version, len(ids)) == (2, FACES + MORE)
    assert own.client.get("/v1/images/new-3").status_code == 200
    assert change(own, "activate", version=1) == 1
    assert found(own) == (1, ids - IDS)
    assert own.client.get("/v1/images/new-3").status_code == 404
    assert own.client.get("/v1/index").json()["rows"] == FACES


@pytest.mark.parametrize(
    "name", ["../new", "/etc", "a/b", "..", ".", "", "s3://bucket/codes", "file:///etc", "new\n", "new%2f..", "C:new"]
)
def test_codes_are_named_and_not_addressed(own: ApiServer, name: str) -> None:
    answer = own.client.post("/v1/admin/append", json={"codes": name})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:raypipe:problem:wrong-fields")


def test_codes_that_are_not_there_are_not_told_as_paths(own: ApiServer, more_codes: Path) -> None:
    answer = own.client.post("/v1/admin/append", json={"codes": "nothing"})
    assert answer.status_code == 404
    assert str(more_codes) not in answer.text


def test_a_server_without_codes_appends_none(api: ApiServer) -> None:
    answer = api.client.post("/v1/admin/append", json={"codes": "new"})
    assert (answer.status_code, answer.json()["type"]) == (501, "urn:raypipe:problem:not-offered")


def test_too_many_ids_are_refused(api: ApiServer) -> None:
    answer = api.client.post("/v1/admin/delete", json={"ids": ["x"] * 10_001})
    assert answer.status_code == 422
    assert "10,000" in answer.json()["detail"]


def test_under_load_no_answer_fails_or_mixes_versions(own: ApiServer) -> None:
    """Versions 1 and 2 hold different rows: whoever asks sees all of one, and it says which."""
    change(own, "append", codes="new")
    everybody = found(own)[1]
    expected = {1: everybody - IDS, 2: everybody}
    answers: list[tuple[int, set[str]]] = []
    ending = threading.Event()

    def ask() -> None:
        while not ending.is_set():
            answers.append(found(own))

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    for version in (1, 2) * 6:
        change(own, "activate", version=version)
    ending.set()
    for asker in askers:
        asker.join()
    assert len(answers) >= 12
    assert all(ids == expected[version] for version, ids in answers)
    assert {version for version, _ in answers} == {1, 2}


def test_codes_that_were_lost_are_told_without_their_place(collection: SmallCollection, tmp_path: Path) -> None:
    codes = tmp_path / "moved codes"
    shutil.copytree(collection.codes, codes)
    settings = ApiSettings()
    backend = LocalBackend(str(collection.index), str(collection.model), limits=settings.limits, codes=[str(codes)])
    with ApiServer(make_app(backend, settings)) as api:
        question = {"face": {"id": "face-01"}}
        assert api.client.post("/v1/search", json=question).status_code == 200
        shutil.rmtree(codes)
        for path in ("search", "encode", "edit"):
            answer = api.client.post(f"/v1/{path}", json=question)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert "moved" not in answer.text
        assert api.client.get("/v1/images/face-01").status_code == 404
