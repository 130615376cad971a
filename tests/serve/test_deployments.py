"""The real thing: ``raypipe serve`` on Ray Serve, under load, while its processes are killed and its index changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from raypipe.pipeline.search.query import FromIndex, SearchQuery
from raypipe.pipeline.search.result import as_json
from raypipe.pipeline.search.searcher import Searcher
from tests.pipeline.search.small_collection import FACES, SmallCollection
from tests.serve.more_codes import IDS, MORE, changeable
from tests.serve.ray_server import Load, RayServer, ray_server

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

PATIENT = ("groups=2", "shard_s=100", "lease_wait_s=100", "api.limits.answer_s=110")
"""Whoever is killed comes back sooner than that, on the slowest machine: no question has to fail."""

QUESTION = {"face": {"id": "face-01"}, "exclude_own": False, "k": FACES + MORE}


@pytest.fixture(scope="module")
def served(collection: SmallCollection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayServer]:
    """Over a copy of the index, to be changed; each test leaves it at a version of its own."""
    folder = tmp_path_factory.mktemp("on-ray")
    index, codes = changeable(folder, collection)
    with ray_server(index, collection.model, folder, *PATIENT, f"api.codes={codes}") as server:
        yield server


def post(server: RayServer, path: str, question: dict[str, Any]) -> dict[str, Any]:
    answer = server.client.post(f"/v1/{path}", json=question)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def found(server: RayServer) -> tuple[int, frozenset[str]]:
    """The version of an answer, and its ids: of all faces."""
    told = post(server, "search", QUESTION)
    assert told["covered"] == 1
    return told["index_version"], frozenset(hit["id"] for hit in told["hits"])


def test_answers_are_the_engine_s(served: RayServer, searcher: Searcher) -> None:
    asked = {"face": {"id": "face-03"}, "adjust": {"Smiling": 1.0}, "prefer": {"Smiling": 20.0}, "k": 9}
    told = post(served, "search", asked)
    query = SearchQuery(face=FromIndex("face-03"), adjust={"Smiling": 1.0}, prefer={"Smiling": 20.0}, k=9)
    expected = json.loads(json.dumps(as_json(searcher.search(query), labels=None)))
    for hit, plain in zip(told["hits"], expected["hits"], strict=True):
        assert {name: hit[name] for name in ("rank", "id", "distance", "parts", "intensities")} == {
            name: plain[name] for name in ("rank", "id", "distance", "parts", "intensities")
        }
    assert {name: told[name] for name in ("exact", "covered", "rows", "more", "compared")} == {
        name: expected[name] for name in ("exact", "covered", "rows", "more", "compared")
    }


def test_whoever_is_killed_comes_back_and_no_question_is_lost(served: RayServer) -> None:
    """But for those that the ingress itself was at: nobody else knows of them."""
    picture = served.client.get("/v1/images/face-05").content

    def ask() -> None:
        found(served)
        query = json.dumps({"face": {"upload": "mine"}, "k": 1, "exclude_own": False})
        answer = served.client.post("/v1/search", data={"query": query}, files={"mine": picture})
        assert answer.status_code == 200, answer.text

    with Load(ask, askers=3) as load:
        load.wait_for(3)
        served.kill("ShardGroup-1")
        served.kill("Encoder")
        load.wait_for(6)
        served.kill("Decider")
        load.wait_for(6)
        assert load.failures == []
        served.kill("Ingress")
        load.wait_for(6)
    assert len(load.failures) <= 3, load.failures


def test_no_answer_mixes_versions_and_none_fails_while_they_change(served: RayServer) -> None:
    everybody = found(served)[1] | IDS
    expected = {1: everybody - IDS, 2: everybody, 3: everybody - {"face-07"}}
    seen: list[int] = []

    def ask() -> None:
        version, ids = found(served)
        assert ids == expected[version]
        seen.append(version)

    with Load(ask) as load:
        load.wait_for(2)
        for verb, question, version in (
            ("append", {"codes": "new"}, 2),
            ("activate", {"version": 1}, 1),
            ("activate", {"version": None}, 2),
            ("delete", {"ids": ["face-07"]}, 3),
        ):
            assert post(served, f"admin/{verb}", question)["index_version"] == version
            assert found(served)[0] == version
            load.wait_for(2)
    assert load.failures == []
    assert set(seen) == {1, 2, 3}
    assert served.client.get("/v1/images/face-07").status_code == 404
    refused = served.client.post("/v1/admin/activate", json={"version": 9})
    assert (refused.status_code, "Traceback" in refused.text) == (404, False)


def test_ctrl_c_ends_it_cleanly(served: RayServer) -> None:
    """The last test: nothing is there afterwards."""
    everybody = [replica for name in ("Ingress", "ShardGroup-0", "Encoder") for replica in served.replicas(name)]
    assert len(everybody) == 3
    assert served.interrupt() == 0
    assert psutil.wait_procs(everybody, timeout=30)[1] == []
