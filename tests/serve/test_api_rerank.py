"""Searches whose first hits a network looks at again: what they answer, what they may cost, and who waits for them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from raypipe.client import Client, Like, Search
from raypipe.errors import WrongUsage
from raypipe.pipeline.search import query as engine
from raypipe.pipeline.search import whole
from raypipe.pipeline.search.conditions import parse_condition
from raypipe.pipeline.search.model import OpenedModel
from raypipe.pipeline.search.searcher import Searcher
from raypipe.retrieval.answer import Hit
from serve.http import make_app
from serve.local_backend import LocalBackend
from serve.settings import ApiSettings, Limits
from tests.pipeline.search.small_collection import ATTRIBUTES, FACES
from tests.serve.api_server import ApiServer, until
from tests.serve.featured import Featured
from tests.serve.test_api_limits import counted, head

FACE = {"id": "face-05"}
RERANK = {"face": FACE, "space": "hair", "rerank": 20}
PLAIN = {"face": FACE, "space": "hair"}


class Network:
    """Compares hits only while it is open; ``began`` counts how often it was asked to."""

    def __init__(self) -> None:
        self.is_open, self.began = threading.Event(), 0

    def compared(self, model: OpenedModel, comparison: whole.Comparison) -> list[Hit]:
        self.began += 1
        assert self.is_open.wait(60)
        return whole.compared(model, comparison)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    network = Network()
    monkeypatch.setattr("serve.local_backend.compared", network.compared)
    yield network
    network.is_open.set()


Start = Callable[..., ApiServer]


@pytest.fixture
def start(featured: Featured) -> Iterator[Start]:
    """Servers with limits of the test's own."""
    started: list[ApiServer] = []

    def begin(**limits: float) -> ApiServer:
        settings = ApiSettings(limits=Limits(**limits))  # type: ignore[arg-type]
        backend = LocalBackend(str(featured.index), str(featured.model), limits=settings.limits)
        started.append(ApiServer(make_app(backend, settings)).__enter__())
        return started[-1]

    yield begin
    for server in started:
        server.__exit__(None, None, None)


def ask(api: ApiServer, **question: Any) -> dict[str, Any]:
    answer = api.client.post("/v1/search", json=question)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def refused(api: ApiServer, **question: Any) -> str:
    answer = api.client.post("/v1/search", json=question)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:raypipe:problem:wrong-question")
    return str(answer.json()["detail"])


def hits_of(answers: Sequence[dict[str, Any]]) -> list[tuple[str, float]]:
    return [(hit["id"], hit["distance"]) for answer in answers for hit in answer["hits"]]


def test_the_answer_is_the_engines(featured_api: ApiServer, featured_searcher: Searcher) -> None:
    """Over pages, with a filter, and in several spaces, one of which stores all there is."""
    query = engine.SearchQuery(
        face=engine.FromIndex("face-05"),
        space="hair",
        like=(engine.Like(ATTRIBUTES, engine.FromIndex("face-02"), 0.5),),
        where=parse_condition("age >= 12"),
        k=FACES,
        rerank=20,
    )
    direct = featured_searcher.search(query)
    like = [{"space": ATTRIBUTES, "face": {"id": "face-02"}, "weight": 0.5}]
    question = {**RERANK, "like": like, "where": "age >= 12", "k": 7}
    pages = [ask(featured_api, **question, page=page, explain=True) for page in (1, 2, 3, 4)]
    told = hits_of(pages)
    assert [id for id, _ in told] == [hit.id for hit in direct.hits][: len(told)]
    assert [distance for _, distance in told] == pytest.approx([hit.distance for hit in direct.hits][: len(told)])
    assert told != hits_of([ask(featured_api, **{**question, "rerank": 0, "k": len(told)})])
    assert [(page["exact"], page["query"]["rerank"]) for page in pages] == [(False, 20)] * 4
    assert [shard["certified"] for page in pages for shard in page["shards"]].count(False) == 0


def test_the_client_asks_the_same(featured_api: ApiServer) -> None:
    with Client(featured_api.url) as client:
        found = client.search(Search(face="face-05", space="hair", like=[Like("eyes", "face-02")], rerank=20))
    like = [{"space": "eyes", "face": {"id": "face-02"}}]
    assert [(hit.id, hit.distance) for hit in found.hits] == hits_of([ask(featured_api, **RERANK, like=like)])


def test_what_can_be_reranked_is_told(featured_api: ApiServer, start: Start) -> None:
    told = {space["name"]: space["reranks"] for space in featured_api.client.get("/v1/spaces").json()["spaces"]}
    assert {name.split(".")[0] for name, reranks in told.items() if reranks} == {"retrieve_in_style"}
    assert {name.split(".")[0] for name, reranks in told.items() if not reranks} == {"sparse_directions"}
    assert featured_api.client.get("/v1/index").json()["limits"]["rerank"] == 100
    assert start(rerank=0).client.get("/v1/index").json()["limits"]["rerank"] == 0


def test_a_space_of_which_all_is_stored_cannot(featured_api: ApiServer) -> None:
    detail = refused(featured_api, face=FACE, space="w_plus", rerank=5)
    assert detail == "nothing to rerank by: of sparse_directions.w_plus all is stored"


def test_it_has_a_limit_by_what_it_costs(start: Start) -> None:
    """Hits times faces that are asked with."""
    server = start(rerank=20)
    like = [{"space": "eyes", "face": {"id": "face-02"}}]
    assert len(ask(server, **RERANK)["hits"]) == 20
    assert refused(server, **{**RERANK, "rerank": 21}).startswith("rerank=21, of a search with 1 face: at most 20 ")
    assert len(ask(server, **{**RERANK, "rerank": 10}, like=like)["hits"]) == 20
    assert refused(server, **{**RERANK, "rerank": 11}, like=like).startswith(
        "rerank=11, of a search with 2 faces: at most 10 "
    )


def test_it_can_be_off(start: Start) -> None:
    server = start(rerank=0)
    assert "at most 0 hits" in refused(server, **{**RERANK, "rerank": 1})
    assert len(ask(server, **PLAIN)["hits"]) == 20


def test_a_limit_that_cannot_be_meant_is_refused() -> None:
    for wrong in (-1, 1001):
        with pytest.raises(WrongUsage, match=f"rerank={wrong} must be from 0, for none, to 1000"):
            Limits(rerank=wrong)
    with pytest.raises(WrongUsage, match="reranks_waiting=0 must be above 0"):
        Limits(reranks_waiting=0)


def test_no_other_question_waits_for_them(start: Start, network: Network) -> None:
    """One is being reranked, one waits, a third is told to come back; all else is answered."""
    server = start(at_once=1, waiting=1, reranks_at_once=1, reranks_waiting=1)

    def rerank(_: int) -> int:
        return server.client.post("/v1/search", json=RERANK).status_code

    with ThreadPoolExecutor(3) as threads:
        answers = [threads.submit(rerank, i) for i in range(3)]
        until(lambda: network.began == 1 and sum(answer.done() for answer in answers) == 1)
        until(lambda: counted(server, 'raypipe_serve_waiting{gate="reranks"}') == 1)
        plain = ask(server, **PLAIN)
        assert plain["exact"]
        assert server.client.post("/v1/edit", json={"face": FACE}).status_code == 200
        assert server.client.post("/v1/encode", json={"face": FACE}).status_code == 200
        assert network.began == 1
        network.is_open.set()
        assert sorted(answer.result() for answer in answers) == [200, 200, 429]
    until(lambda: counted(server, 'raypipe_serve_in_flight{gate="reranks"}') == 0)


def test_who_goes_away_is_not_worked_for(start: Start, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.reranking.FACES_AT_ONCE", 5)
    server = start()
    question = json.dumps(RERANK).encode()
    with server.raw(head("/v1/search", Content_Length=str(len(question))) + b"\r\n\r\n" + question):
        until(lambda: network.began == 1)
    until(lambda: counted(server, 'raypipe_serve_errors_total{kind="client-gone"}') == 1)
    network.is_open.set()
    assert len(ask(server, **RERANK)["hits"]) == 20
    assert network.began == 1 + 20 // 5


def test_one_that_takes_too_long_is_given_up(start: Start, network: Network) -> None:
    server = start(answer_s=0.5)
    answer = server.client.post("/v1/search", json=RERANK)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    network.is_open.set()
