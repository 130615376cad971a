"""Hits reranked by whole vectors, of a method that stores four numbers of a feature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from raypipe.contract import WholeVectors
from raypipe.pipeline.search.conditions import parse_condition
from raypipe.pipeline.search.query import FromCodes, FromIndex, Like, SearchQuery
from raypipe.pipeline.search.result import SearchResult
from raypipe.pipeline.search.searcher import Searcher, open_searcher
from raypipe.pipeline.search.whole import Comparison, compared, reordered
from raypipe.pipeline.search.words import answer_in_words
from tests.pipeline.search.small_collection import ATTRIBUTES, FACES, SmallCollection
from tests.serve.featured import METHOD, make_featured

HAIR = f"{METHOD}.hair"
ASKED = 3


@pytest.fixture(scope="module")
def featured(collection: SmallCollection, tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    made = make_featured(tmp_path_factory.mktemp("featured"), collection)
    return open_searcher(str(made.index), str(made.model))


@pytest.fixture(scope="module")
def whole(featured: Searcher) -> dict[str, float]:
    """1 - the cosine of whole vectors to the face that is asked with, by id."""
    method = featured.model.method(METHOD)
    assert isinstance(method, WholeVectors)
    places = [featured.place(f"face-{i:02d}") for i in range(FACES)]
    codes = torch.tensor(np.stack([columns["w_plus"] for columns in featured.collection.columns(places)]))
    vectors = method.whole_vectors("hair", {"w_plus": codes}).double()
    distances = (1 - vectors @ vectors[ASKED]).tolist()
    return {place.id: distances[i] for i, place in enumerate(places) if i != ASKED}


def query(**values: object) -> SearchQuery:
    return replace(SearchQuery(face=FromIndex(f"face-{ASKED:02d}"), space=HAIR, k=FACES), **values)  # type: ignore[arg-type]


def ids(result: SearchResult) -> list[str]:
    return [hit.id for hit in result.hits]


def test_all_hits_reranked_are_in_the_order_of_whole_vectors(featured: Searcher, whole: dict[str, float]) -> None:
    stored, reranked = featured.search(query()), featured.search(query(rerank=FACES))
    expected = sorted(whole, key=lambda id: whole[id])
    assert ids(reranked) == expected
    assert ids(stored) != expected, "four numbers lose something"
    np.testing.assert_allclose([hit.distance for hit in reranked.hits], [whole[id] for id in expected], atol=1e-6)
    assert stored.exact
    assert not reranked.exact
    assert "the first 40 by what is stored, in the order of whole vectors" in answer_in_words(reranked)


def test_only_the_first_are_reranked_on_whatever_page_they_are(featured: Searcher, whole: dict[str, float]) -> None:
    stored = ids(featured.search(query()))
    pages = [featured.search(query(k=4, page=page, rerank=10)) for page in (1, 2, 3)]
    expected = [*sorted(stored[:10], key=lambda id: whole[id]), *stored[10:]]
    assert [id for page in pages for id in ids(page)] == expected[:12]
    assert all(page.more for page in pages)


def test_a_page_beyond_the_reranked_takes_no_network(featured: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raypipe.pipeline.search.searcher.compared", pytest.fail)
    beyond = featured.search(query(k=5, page=3, rerank=10))
    assert ids(beyond) == ids(featured.search(query()))[10:15]
    assert not beyond.exact


def test_compared_some_at_a_time_the_order_is_the_same(featured: Searcher) -> None:
    prepared = featured.prepare(query(rerank=FACES))
    (answer,) = featured.answers([prepared])
    files = featured.to_rerank(prepared, answer)
    assert len(files) == len({featured.place(some[0].id).part for some in files}) > 1
    told = [
        compared(featured.model, Comparison(prepared.aims, tuple(some), tuple(featured.codes_of(some))))
        for some in files
    ]
    pieced = featured.result(prepared, reordered(answer, [hit for some in told for hit in some]), (0.0, 0.0))
    whole = featured.search(query(rerank=FACES))
    assert ids(pieced) == ids(whole)
    np.testing.assert_allclose(
        [hit.distance for hit in pieced.hits], [hit.distance for hit in whole.hits], rtol=0, atol=1e-6
    )


def test_of_several_aims_those_are_reranked_by_that_have_whole_vectors(
    featured: Searcher, whole: dict[str, float]
) -> None:
    both = query(like=(Like(ATTRIBUTES, FromIndex("face-07")),))
    stored, reranked = featured.search(both), featured.search(replace(both, rerank=FACES))
    attributes = {hit.id: hit.parts[1] for hit in stored.hits}
    assert ids(stored) != ids(reranked)
    for hit in reranked.hits:
        assert hit.parts[0].distance == pytest.approx(whole[hit.id], abs=1e-6)
        assert hit.parts[1] == attributes[hit.id]
        assert hit.distance == pytest.approx(sum(part.weight * part.distance for part in hit.parts))
    assert [hit.distance for hit in reranked.hits] == sorted(hit.distance for hit in reranked.hits)


def test_a_picture_s_codes_rerank_as_its_id_does(featured: Searcher) -> None:
    columns = featured.collection.columns([featured.place(f"face-{ASKED:02d}")])[0]
    by_codes = featured.search(query(face=FromCodes({"w_plus": columns["w_plus"]}), rerank=FACES))
    assert ids(by_codes)[1:] == ids(featured.search(query(rerank=FACES)))


def test_nothing_found_is_nothing_to_rerank(featured: Searcher) -> None:
    assert featured.search(query(where=parse_condition("age > 1000"), rerank=5)).hits == ()
