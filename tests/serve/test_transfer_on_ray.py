"""What takes the generator, by ``raypipe serve`` on Ray Serve, several at once: transfers, translations, reranking."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from httpx import Response

from raypipe.pipeline.search.query import FromIndex, SearchQuery
from raypipe.pipeline.search.searcher import Searcher
from serve import drawing
from serve.backend import Transfer, Translation
from tests.pictures import picture_bytes
from tests.serve.featured import METHOD, Featured
from tests.serve.ray_server import RayServer, ray_server
from tests.serve.test_api_pictures import pixels
from tests.serve.test_api_transfer import CODE_NOISE, NOBODY
from tests.serve.translated import DOMAINS, UNJUDGED
from tests.serve.translated import METHOD as TRANSLATING

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600), UNJUDGED]

FACE = {"id": "face-05"}


@pytest.fixture(scope="module")
def server(translating: Featured, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayServer]:
    folder, settings = tmp_path_factory.mktemp("log"), ("shard_s=100", "api.limits.answer_s=110")
    with ray_server(translating.index, translating.model, folder, *settings) as server:
        yield server


def test_transfers_are_the_engine_s(server: RayServer, translating_searcher: Searcher) -> None:
    """Those that are drawn together do not mix, and one that cannot be made spoils no other."""

    def ask(row: int) -> Response:
        given = NOBODY if row == 2 else {"id": f"face-{row:02d}"}
        question = {"face": FACE, "references": {"hair": given}, "strengths": {"hair": 1}}
        return server.client.post("/v1/transfer", json=question)

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(ask, range(4)))
    assert [answer.status_code for answer in answers] == [200, 200, 422, 200]
    for row in (0, 1, 3):
        wanted = Transfer(references={"hair": FromIndex(f"face-{row:02d}")}, strengths={"hair": 1.0})
        direct = drawing.transfer(translating_searcher, FromIndex("face-05"), wanted, METHOD)
        assert np.abs(pixels(answers[row].content).astype(int) - direct).max() <= 1

    question = json.dumps(
        {"face": {"upload": "me"}, "references": {"hair": {"id": "face-00"}}, "strengths": {"hair": 1}}
    )
    mine = server.client.post("/v1/transfer", data={"query": question}, files={"me": picture_bytes(5, "PNG")})
    assert np.abs(pixels(mine.content).astype(int) - pixels(answers[0].content)).max() <= CODE_NOISE
    unknown = {"face": FACE, "references": {"ears": {"id": "face-00"}}}
    assert server.client.post("/v1/transfer", json=unknown).status_code == 422


def test_translations_are_the_engine_s(server: RayServer, translating_searcher: Searcher) -> None:
    """Drawn together, too; and edits by the same method with them."""

    def ask(domain: str) -> Response:
        return server.client.post("/v1/translate", json={"face": FACE, "domain": domain})

    with ThreadPoolExecutor(5) as threads:
        answers = list(threads.map(ask, [*DOMAINS, "smiling"]))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 422]
    for domain, answer in zip(DOMAINS, answers, strict=False):
        direct = drawing.translate(translating_searcher, FromIndex("face-05"), Translation(domain=domain), TRANSLATING)
        assert np.abs(pixels(answer.content).astype(int) - direct).max() <= 1

    question = {"face": {"upload": "me"}, "domain": DOMAINS[3], "reference": {"upload": "hers"}}
    files = {"me": picture_bytes(5, "PNG"), "hers": picture_bytes(8, "PNG")}
    mine = server.client.post("/v1/translate", data={"query": json.dumps(question)}, files=files)
    wanted = Translation(domain=DOMAINS[3], reference=FromIndex("face-08"))
    direct = drawing.translate(translating_searcher, FromIndex("face-05"), wanted, TRANSLATING)
    assert np.abs(pixels(mine.content).astype(int) - direct).max() <= CODE_NOISE

    edit = server.client.post("/v1/edit", json={"face": FACE, "edits": {"Male": 1}, "method": TRANSLATING})
    assert edit.status_code == 200


def test_hits_are_reranked_as_by_the_engine(server: RayServer, translating_searcher: Searcher) -> None:
    """Several at once, and plain searches beside them; who is told to come back does."""

    def ask(rerank: int) -> list[tuple[str, float]]:
        question = {"face": FACE, "space": "hair", "k": 12, "rerank": rerank}
        while (answer := server.client.post("/v1/search", json=question)).status_code == 429:
            time.sleep(0.1)
        assert answer.status_code == 200, answer.text
        assert answer.json()["exact"] == (rerank == 0)
        return [(hit["id"], hit["distance"]) for hit in answer.json()["hits"]]

    asked = [20, 0, 39, 0, 20, 39, 20, 0]
    with ThreadPoolExecutor(len(asked)) as threads:
        answers = list(threads.map(ask, asked))
    for rerank, found in zip(asked, answers, strict=True):
        direct = translating_searcher.search(SearchQuery(face=FromIndex("face-05"), space="hair", k=12, rerank=rerank))
        assert [id for id, _ in found] == [hit.id for hit in direct.hits]
        assert [distance for _, distance in found] == pytest.approx([hit.distance for hit in direct.hits], abs=1e-5)
    assert answers[0] != answers[1]
    beyond = server.client.post("/v1/search", json={"face": FACE, "space": "hair", "rerank": 101})
    assert (beyond.status_code, "at most 100 hits" in beyond.json()["detail"]) == (422, True)
