"""Transfers by ``raypipe serve`` on Ray Serve, several at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from httpx import Response

from raypipe.pipeline.search.query import FromIndex
from raypipe.pipeline.search.searcher import Searcher
from serve import work
from serve.backend import Transfer
from tests.pictures import picture_bytes
from tests.serve.featured import METHOD, Featured
from tests.serve.ray_server import ray_server
from tests.serve.test_api_pictures import pixels
from tests.serve.test_api_transfer import CODE_NOISE, NOBODY

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


def test_transfers_are_the_engine_s(featured: Featured, featured_searcher: Searcher, tmp_path: Path) -> None:
    """Those that are drawn together do not mix, and one that cannot be made spoils no other."""
    with ray_server(featured.index, featured.model, tmp_path, "shard_s=100", "api.limits.answer_s=110") as server:

        def ask(row: int) -> Response:
            given = NOBODY if row == 2 else {"id": f"face-{row:02d}"}
            question = {"face": {"id": "face-05"}, "references": {"hair": given}, "strengths": {"hair": 1}}
            return server.client.post("/v1/transfer", json=question)

        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(ask, range(4)))
        assert [answer.status_code for answer in answers] == [200, 200, 422, 200]
        for row in (0, 1, 3):
            wanted = Transfer(references={"hair": FromIndex(f"face-{row:02d}")}, strengths={"hair": 1.0})
            direct = work.transfer(featured_searcher, FromIndex("face-05"), wanted, METHOD)
            assert np.abs(pixels(answers[row].content).astype(int) - direct).max() <= 1

        question = json.dumps(
            {"face": {"upload": "me"}, "references": {"hair": {"id": "face-00"}}, "strengths": {"hair": 1}}
        )
        mine = server.client.post("/v1/transfer", data={"query": question}, files={"me": picture_bytes(5, "PNG")})
        assert np.abs(pixels(mine.content).astype(int) - pixels(answers[0].content)).max() <= CODE_NOISE
        unknown = {"face": {"id": "face-05"}, "references": {"ears": {"id": "face-00"}}}
        assert server.client.post("/v1/transfer", json=unknown).status_code == 422
