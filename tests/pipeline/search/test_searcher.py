from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raypipe import storage
from raypipe.errors import ModelMismatch, UnknownAttribute, WrongUsage
from raypipe.pipeline.encode.dataset import Dataset
from raypipe.pipeline.search.conditions import parse_condition
from raypipe.pipeline.search.query import FromCodes, FromIndex, FromPixels, Like, SearchQuery
from raypipe.pipeline.search.result import SearchResult, as_json
from raypipe.pipeline.search.scales import in_first_unit
from raypipe.pipeline.search.searcher import Searcher, open_searcher
from raypipe.retrieval.changes import delete
from raypipe.weights import open_bundle, save_bundle
from tests.models import tiny_model
from tests.pictures import picture_bytes
from tests.pipeline.search.small_collection import ATTRIBUTES, FACES, NAMES, W_PLUS, SmallCollection


def found(result: SearchResult) -> list[str]:
    return [hit.id for hit in result.hits]


def by_id(collection: SmallCollection, row: int, **values: Any) -> SearchQuery:
    return SearchQuery(face=FromIndex(collection.id(row)), **values)


def others(*rows: int) -> list[int]:
    return [row for row in range(FACES) if row not in rows]


def test_the_nearest_faces_are_those_of_the_plain_computation(collection: SmallCollection, searcher: Searcher) -> None:
    result = searcher.search(by_id(collection, 7, k=12))
    distances = collection.distances(W_PLUS, collection.vectors[W_PLUS][7])
    assert found(result) == collection.nearest(distances, others(7))[:12]
    np.testing.assert_allclose([hit.distance for hit in result.hits], sorted(distances)[1:13], rtol=1e-4)
    assert result.exact
    assert result.covered == 1.0
    assert [hit.rank for hit in result.hits] == list(range(1, 13))


def test_adjusted_moved_and_preferred(collection: SmallCollection, searcher: Searcher) -> None:
    query = by_id(
        collection, 3, k=9, adjust={"Smiling": 0.25}, move={"Eyeglasses": 0.5}, prefer={"Smiling": 50, "Black_Hair": 0}
    )
    wanted = collection.vectors[W_PLUS][3].copy()
    wanted[0], wanted[1] = -1.0, wanted[1] + 0.5  # a quarter of the way from -3 to 5
    distances = collection.distances(W_PLUS, wanted, query.prefer)
    result = searcher.search(query)
    assert found(result) == collection.nearest(distances, others(3))[:9]
    for hit in result.hits:
        part = hit.parts[0]
        row = int(hit.id.removeprefix("face-"))
        assert part.attributes["Black_Hair"] == 0.0
        assert part.attributes["Smiling"] == pytest.approx(50 * (collection.vectors[W_PLUS][row, 0] + 1) ** 2, rel=1e-4)
        assert sum(part.attributes.values()) + part.rest == pytest.approx(hit.distance, rel=1e-9)


def test_several_faces_in_several_spaces(collection: SmallCollection, searcher: Searcher) -> None:
    like = (Like("attributes", FromIndex(collection.id(5)), 20.0), Like(W_PLUS, FromIndex(collection.id(6)), 0.5))
    query = by_id(collection, 4, k=10, weight=2.0, like=like, prefer={"Smiling": 3})
    vectors = collection.vectors
    variances = {name: collection.vectors[name].var(0).sum() for name in (W_PLUS, ATTRIBUTES)}
    total = (
        2.0 * collection.distances(W_PLUS, vectors[W_PLUS][4], {"Smiling": 3})
        + 20.0 * variances[W_PLUS] / variances[ATTRIBUTES] * collection.distances(ATTRIBUTES, vectors[ATTRIBUTES][5])
        + 0.5 * collection.distances(W_PLUS, vectors[W_PLUS][6])
    )
    result = searcher.search(query)
    assert found(result) == collection.nearest(total, others(4, 5, 6))[:10]
    assert [aim.space for aim in result.aims] == [W_PLUS, ATTRIBUTES, W_PLUS]
    for hit in result.hits:
        assert sum(part.weight * part.distance for part in hit.parts) == pytest.approx(hit.distance)


def test_no_space_drowns_another_whatever_its_numbers_are(searcher: Searcher, collection: SmallCollection) -> None:
    """The mean distance of all pairs is the same in every space, and one space alone keeps its own."""
    means = []
    for name in (W_PLUS, ATTRIBUTES):
        vectors = collection.vectors[name]
        means.append(float(np.mean([((vectors - one) ** 2).sum(1).mean() for one in vectors])))
    assert means[0] > 5 * means[1]
    factors = in_first_unit(searcher.index, [W_PLUS, ATTRIBUTES, W_PLUS])
    np.testing.assert_allclose(factors, [1.0, means[0] / means[1], 1.0], rtol=1e-5)


def test_only_what_others_are_like(collection: SmallCollection, searcher: Searcher) -> None:
    result = searcher.search(SearchQuery(like=(Like(ATTRIBUTES, FromIndex(collection.id(8))),), k=5))
    distances = collection.distances(ATTRIBUTES, collection.vectors[ATTRIBUTES][8])
    assert found(result) == collection.nearest(distances, others(8))[:5]


def test_a_face_asks_the_same_by_its_id_its_picture_and_its_codes(
    collection: SmallCollection, searcher: Searcher
) -> None:
    query = by_id(collection, 11, k=6, exclude_own=False)
    picture = searcher.cut_out(picture_bytes(11, "PNG"))
    part = Dataset(str(collection.codes)).read_part(1)
    code = np.array(part.column("w_plus")[3].as_py(), np.float32).reshape(8, 16)
    asked = [searcher.search(replace(query, face=face)) for face in (picture, FromCodes({"w_plus": code}))]
    expected = searcher.search(query)
    assert found(expected)[0] == collection.id(11)
    for result in asked:
        assert found(result) == found(expected)
        np.testing.assert_allclose(
            [hit.distance for hit in result.hits], [hit.distance for hit in expected.hits], atol=1e-3
        )


def test_filters_leave_out_rows_and_the_own_face_is_left_out(collection: SmallCollection, searcher: Searcher) -> None:
    where = parse_condition("Male=1 and (age>=30 or hair in (black, 'dark blond'))")
    result = searcher.search(by_id(collection, 7, k=FACES, where=where))
    allowed = [
        i
        for i, row in enumerate(collection.rows)
        if row["Male"] and i != 7 and ((row["age"] or 0) >= 30 or row["hair"] != "brown")
    ]
    distances = collection.distances(W_PLUS, collection.vectors[W_PLUS][7])
    assert found(result) == collection.nearest(distances, allowed)
    assert not result.more


def test_other_pictures_of_the_same_person_are_left_out(collection: SmallCollection, searcher: Searcher) -> None:
    distances = collection.distances(W_PLUS, collection.vectors[W_PLUS][12])
    result = searcher.search(by_id(collection, 12, k=FACES, exclude_identity=True))
    allowed = [i for i in others(12) if collection.rows[i]["identity"] != collection.rows[12]["identity"]]
    assert found(result) == collection.nearest(distances, allowed)
    of_nobody = searcher.search(by_id(collection, 19, k=FACES, exclude_identity=True))
    assert set(found(of_nobody)) == {collection.id(i) for i in others(19)}, "who has no identity is nobody else's twin"


def test_at_most_so_many_faces_of_a_person(collection: SmallCollection, searcher: Searcher) -> None:
    distances = collection.distances(W_PLUS, collection.vectors[W_PLUS][2])
    expected: list[str] = []
    counts: dict[int, int] = {}
    for name in collection.nearest(distances, others(2)):
        person = collection.rows[int(name.removeprefix("face-"))]["identity"]
        counts[person] = counts.get(person, 0) + 1
        if person is None or counts[person] <= 2:
            expected.append(name)
    assert found(searcher.search(by_id(collection, 2, k=15, most_per_identity=2))) == expected[:15]


def test_pages_follow_each_other_and_end(collection: SmallCollection, searcher: Searcher) -> None:
    query = by_id(collection, 7, k=16)
    pages = [searcher.search(replace(query, page=page)) for page in (1, 2, 3)]
    whole = searcher.search(replace(query, k=FACES))
    assert [name for page in pages for name in found(page)] == found(whole)
    assert [hit.rank for hit in pages[1].hits] == list(range(17, 33))
    assert [page.more for page in pages] == [True, True, False]
    with pytest.raises(WrongUsage, match="page 4 is beyond the end: 39 hits are 3 pages of 16"):
        searcher.search(replace(query, page=4))
    nothing = searcher.search(replace(query, where=parse_condition("age > 1000")))
    assert found(nothing) == []
    assert not nothing.more


def test_a_batch_gives_what_each_query_gives(collection: SmallCollection, searcher: Searcher) -> None:
    queries = [by_id(collection, row, k=5) for row in range(FACES)]
    together = searcher.search_all(queries)
    assert [found(result) for result in together] == [found(searcher.search(query)) for query in queries]


def test_queries_that_wish_for_the_same_are_one_call_of_the_engine(
    collection: SmallCollection, searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    search = searcher.index.search
    monkeypatch.setattr(searcher.index, "search", lambda q, *a, **k: calls.append(len(q)) or search(q, *a, **k))
    searcher.search_all([by_id(collection, row, k=5) for row in range(10)])
    assert calls == [10]


def test_several_threads_get_the_same_answers(collection: SmallCollection) -> None:
    fresh = open_searcher(str(collection.index), str(collection.model), threads=2)
    pictures = [fresh.cut_out(picture_bytes(row, "PNG")) for row in range(12)]
    queries = [SearchQuery(face=face, k=4) for face in pictures]
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(fresh.search, queries))
    assert [found(result) for result in results] == [found(fresh.search(query)) for query in queries]


def test_the_result_is_json_and_stays_so(collection: SmallCollection, searcher: Searcher) -> None:
    query = by_id(collection, 7, k=2, adjust={"Smiling": 0.9}, where=parse_condition("Male=1"))
    first, again = (as_json(searcher.search(query), explain=True) for _ in range(2))
    text = json.dumps(first, allow_nan=False)
    told = json.loads(text)
    assert list(told) == [
        "query", "hits", "page", "more", "exact", "recall", "rows", "covered", "plans", "compared", "ask_ms",
        "search_ms", "shards",
    ]  # fmt: skip
    assert told["hits"] == json.loads(json.dumps(again["hits"]))
    assert told["query"]["where"] == {"column": "Male", "=": 1}
    hit = told["hits"][0]
    assert list(hit) == ["rank", "id", "distance", "parts", "intensities", "labels"]
    assert list(hit["parts"][0]) == ["space", "weight", "distance", "attributes", "rest"]
    assert list(hit["parts"][0]["attributes"]) == list(NAMES)
    assert list(hit["labels"]) == ["uri", "Male", "age", "hair", "identity"], "internal columns are not shown"
    row = int(hit["id"].removeprefix("face-"))
    assert hit["intensities"] == {"Smiling": pytest.approx((collection.vectors[W_PLUS][row, 0] + 3) / 8, abs=1e-6)}
    assert told["query"]["wanted"] == {"Smiling": pytest.approx(0.9)}
    assert sum(shard["rows"] for shard in told["shards"]) == told["rows"] == FACES // 2


@pytest.mark.parametrize(
    ("values", "error", "told"),
    [
        ({"adjust": {"Smilling": 1}}, UnknownAttribute, r"'Smilling' \(did you mean Smiling\?\); this method has: Smi"),
        ({"move": {"smiling": 1}}, UnknownAttribute, r"'smiling' \(did you mean Smiling\?\)"),
        ({"prefer": {"Hat": 1}}, UnknownAttribute, "'Hat'.*this space can prefer: Smiling"),
        ({"space": "w_pluss"}, WrongUsage, r"'w_pluss' is not a space of the index; spaces: sparse_directions.w_plus"),
        (
            {"where": parse_condition("hairs=1")},
            WrongUsage,
            r"no label column 'hairs' \(did you mean hair\?\); there are: image_id",
        ),
        ({"where": parse_condition("_row=1")}, WrongUsage, "no label column '_row'; there are"),
        ({"where": parse_condition("ident=1")}, WrongUsage, r"'ident' \(did you mean identity\?\)"),
        ({"where": parse_condition("hair>3")}, WrongUsage, "column 'hair' holds string"),
        ({"rerank": 5}, WrongUsage, "nothing to rerank by: of sparse_directions.w_plus all is stored"),
        ({"face": FromIndex("nobody")}, WrongUsage, "1 of 1 ids are not in the index: nobody"),
        (
            {"face": FromPixels(np.zeros((8, 8, 3), np.uint8))},
            WrongUsage,
            r"uint8 \[32, 32, 3\], got uint8 \[8, 8, 3\]",
        ),
        ({"face": FromCodes({})}, WrongUsage, "no column 'w_plus'"),
        ({"face": FromPixels(np.zeros((32, 32, 3), np.uint8)), "exclude_identity": True}, WrongUsage, "whose identity"),
    ],
)
def test_what_cannot_be_asked_of_this_index(
    collection: SmallCollection, searcher: Searcher, values: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        searcher.search(SearchQuery(**{"face": FromIndex(collection.id(1)), **values}))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"face": None}, "a search needs a face"),
        ({"face": None, "like": (Like("", FromIndex("a")),), "prefer": {"a": 1}}, "belong to a face"),
        ({"adjust": {"a": 1.1}}, "adjustment 1.1 of 'a' must be a number from 0 to 1"),
        ({"adjust": {"a": float("nan")}}, "adjustment nan"),
        ({"move": {"a": float("inf")}}, "displacement inf"),
        ({"prefer": {"a": -1}}, "preference -1 of 'a' must be a number from 0 to 1000"),
        ({"adjust": {"a": 1}, "move": {"a": 1}}, "a: adjusted and moved"),
        ({"weight": 0}, "weight 0 of 'the face' must be a number above 0 and at most 1000"),
        ({"k": 0}, "page 1 of 0 hits"),
        ({"k": 1000, "page": 11}, "page 11 of 1000 hits: .* at most 9,968"),
        ({"page": 0}, "page 0 of 20 hits"),
        ({"recall": 1.5}, "recall must be above 0"),
        ({"most_per_identity": -1}, "hits of one person"),
        ({"rerank": 1001}, "from 0 to 1,000 hits can be reranked, got 1001"),
        ({"like": (Like("a", FromIndex("b")),) * 17}, "at most 16 other faces, got 17"),
    ],
)
def test_what_nobody_can_ask(values: dict[str, Any], told: str) -> None:
    with pytest.raises(WrongUsage, match=told):
        SearchQuery(**{"face": FromIndex("a"), **values})


def test_an_index_of_another_model_is_refused(collection: SmallCollection, tmp_path: Path) -> None:
    stranger = tiny_model(tmp_path, seed=1)
    own = open_bundle(str(collection.model))
    parts = {name: stranger.read(name) for name in stranger.parts}
    save_bundle(str(tmp_path), "stranger", {**parts, "sparse_directions": own.read("sparse_directions")}, {})
    with pytest.raises(ModelMismatch, match=r"the query has model .*, but the index"):
        open_searcher(str(collection.index), str(tmp_path)).search(by_id(collection, 1))


def test_codes_that_moved_are_found_where_they_are_said_to_be(
    collection: SmallCollection, searcher: Searcher, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(collection.codes, moved)
    there = open_searcher(str(collection.index), str(collection.model), codes=[str(moved)])
    assert found(there.search(by_id(collection, 3))) == found(searcher.search(by_id(collection, 3)))
    (moved / "manifest.json").write_text("{}")
    with pytest.raises(ModelMismatch, match="the index was made of"):
        open_searcher(str(collection.index), str(collection.model), codes=[str(moved)])
    with pytest.raises(WrongUsage, match="is no finished output of raypipe encode"):
        open_searcher(str(collection.index), str(collection.model), codes=[str(tmp_path)])


def test_no_picture_no_face(searcher: Searcher) -> None:
    with pytest.raises(WrongUsage, match="decode_not_an_image"):
        searcher.cut_out(b"not a picture")


def test_codes_that_are_not_the_index_s_are_never_asked_with(collection: SmallCollection, searcher: Searcher) -> None:
    place = searcher.place(collection.id(3))
    assert (place.part, place.row) == (0, 3)
    columns = searcher.collection.columns([place])[0]
    part = Dataset(str(collection.codes)).read_part(0)
    assert columns["w_plus"].ravel().tolist() == part.column("w_plus")[3].as_py()
    with pytest.raises(ModelMismatch, match="row 4 of part 0 is not 'face-03': these are other codes"):
        searcher.collection.columns([replace(place, row=4)])
    with pytest.raises(ModelMismatch, match="row 99 of part 0"):
        searcher.collection.columns([replace(place, row=99)])
    with pytest.raises(WrongUsage, match=r"part 77 of the codes at .* cannot be read"):
        searcher.collection.columns([replace(place, part=77)])
    with pytest.raises(WrongUsage, match="does not say where the codes elsewhere are: give them with --codes"):
        searcher.collection.columns([replace(place, codes="elsewhere")])


def test_a_deleted_face_is_neither_found_nor_asked_with(collection: SmallCollection, tmp_path: Path) -> None:
    shutil.copytree(collection.index, tmp_path / "index")
    before = found(open_searcher(str(tmp_path / "index"), str(collection.model)).search(by_id(collection, 7, k=3)))
    delete(str(tmp_path / "index"), [before[0]])
    fresh = open_searcher(str(tmp_path / "index"), str(collection.model))
    assert found(fresh.search(by_id(collection, 7, k=2))) == before[1:]
    with pytest.raises(WrongUsage, match=f"1 of 1 ids are not in the index: {before[0]}"):
        fresh.search(SearchQuery(face=FromIndex(before[0])))


def test_recall_is_the_index_s_unless_it_is_asked_for(collection: SmallCollection, searcher: Searcher) -> None:
    assert searcher.search(by_id(collection, 1)).recall == 1.0
    assert searcher.search(by_id(collection, 1, recall=0.9)).recall == 0.9


def test_index_and_codes_in_a_bucket(collection: SmallCollection, searcher: Searcher, bucket: str) -> None:
    for folder, name in ((collection.index, "index"), (collection.codes, "codes")):
        for file in folder.rglob("*"):
            if file.is_file():
                storage.write_bytes(f"s3://{bucket}/{name}/{file.relative_to(folder)}", file.read_bytes())
    there = open_searcher(f"s3://{bucket}/index", str(collection.model), codes=[f"s3://{bucket}/codes"])
    query = by_id(collection, 7, k=3, adjust={"Smiling": 0.5})
    result = there.search(query)
    assert found(result) == found(searcher.search(query))
    read = there.collection.pictures([hit.place for hit in result.hits])
    for here, expected in zip(read, searcher.collection.pictures([hit.place for hit in result.hits]), strict=True):
        assert not isinstance(here, str)
        np.testing.assert_array_equal(here, expected)
