from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from raypipe.pipeline.search.conditions import parse_condition
from raypipe.pipeline.search.query import FromIndex, Like, SearchQuery
from raypipe.pipeline.search.result import as_json
from raypipe.pipeline.search.searcher import Searcher
from tests.pictures import picture_bytes
from tests.pipeline.search.small_collection import ATTRIBUTES, NAMES, W_PLUS, SmallCollection
from tests.serve.api_server import ApiServer

FACE = 7


def ask(api: ApiServer, **question: Any) -> dict[str, Any]:
    answer = api.client.post("/v1/search", json=question)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def hits_of(answer: dict[str, Any]) -> list[tuple[str, float]]:
    return [(hit["id"], hit["distance"]) for hit in answer["hits"]]


def test_the_answer_is_the_engines(api: ApiServer, collection: SmallCollection, searcher: Searcher) -> None:
    query = SearchQuery(
        face=FromIndex(collection.id(FACE)),
        space="w_plus",
        adjust={NAMES[0]: 1.0},
        move={NAMES[1]: -0.5},
        prefer={NAMES[0]: 10.0, NAMES[2]: 0.0},
        like=(Like(ATTRIBUTES, FromIndex(collection.id(3)), 2.0),),
        where=parse_condition("Male = 1 and age >= 12"),
        k=5,
    )
    told = ask(
        api,
        face={"id": collection.id(FACE)},
        space="w_plus",
        adjust={NAMES[0]: 1},
        move={NAMES[1]: -0.5},
        prefer={NAMES[0]: 10, NAMES[2]: 0},
        like=[{"space": ATTRIBUTES, "face": {"id": collection.id(3)}, "weight": 2}],
        where="Male = 1 and age >= 12",
        k=5,
        explain=True,
    )
    direct = as_json(searcher.search(query), labels=["Male", "age", "hair", "identity"], explain=True)
    assert told.pop("index_version") == 1
    for hit in told["hits"]:
        assert hit.pop("image") == f"/v1/images/{hit['id']}"
    for answer in (told, direct):
        answer["ask_ms"] = answer["search_ms"] = 0
        for shard in answer["shards"]:
            shard["ms"] = 0
    assert told == json.loads(json.dumps(direct))


def test_a_face_asks_the_same_by_id_by_codes_and_by_its_picture(api: ApiServer, collection: SmallCollection) -> None:
    codes = api.client.post("/v1/encode", json={"face": {"id": collection.id(FACE)}}).json()["codes"]
    by_id = ask(api, face={"id": collection.id(FACE)}, exclude_own=False)
    by_codes = ask(api, face={"codes": codes})
    form = {"query": (None, json.dumps({"face": {"upload": "mine"}}), "application/json")}
    picture = {"mine": ("x.png", picture_bytes(FACE, "PNG"), "image/png")}
    by_picture = api.client.post("/v1/search", files={**form, **picture}).json()
    assert hits_of(by_id) == hits_of(by_codes) == hits_of(by_picture)
    assert hits_of(by_id)[0] == (collection.id(FACE), pytest.approx(0.0, abs=1e-9))


def test_one_upload_can_be_several_faces(api: ApiServer, collection: SmallCollection) -> None:
    question = {"like": [{"space": space, "face": {"upload": "a"}} for space in (W_PLUS, ATTRIBUTES)]}
    told = api.client.post("/v1/search", data={"query": json.dumps(question)}, files={"a": picture_bytes(FACE, "PNG")})
    assert hits_of(told.json())[0] == (collection.id(FACE), pytest.approx(0.0, abs=1e-9))


def test_a_filter_is_the_same_as_text_and_as_a_tree(api: ApiServer, collection: SmallCollection) -> None:
    face = {"id": collection.id(FACE)}
    tree = {"or": [{"column": "hair", "in": ["black"]}, {"not": {"column": "age", "<": 30}}]}
    as_tree = ask(api, face=face, where=tree, k=40)
    as_text = ask(api, face=face, where="hair in (black) or not age < 30", k=40)
    assert hits_of(as_tree) == hits_of(as_text)
    assert 0 < len(as_tree["hits"]) < 39


def test_pages_put_together_are_one_long_page(api: ApiServer, collection: SmallCollection) -> None:
    face = {"id": collection.id(FACE)}
    pages = [ask(api, face=face, k=13, page=page) for page in (1, 2, 3)]
    assert [page["more"] for page in pages] == [True, True, False]
    assert [hit for page in pages for hit in hits_of(page)] == hits_of(ask(api, face=face, k=39))


def test_hits_never_say_where_their_files_are(api: ApiServer, collection: SmallCollection) -> None:
    told = ask(api, face={"id": collection.id(FACE)})
    assert set(told["hits"][0]["labels"]) == {"Male", "age", "hair", "identity"}
    assert ask(api, face={"id": collection.id(FACE)}, labels=["hair"])["hits"][0]["labels"].keys() == {"hair"}
    for question in ({"labels": ["uri"]}, {"where": "uri = x"}, {"where": "_part = 0"}):
        answer = api.client.post("/v1/search", json={"face": {"id": collection.id(FACE)}, **question})
        assert answer.status_code == 422
        assert str(collection.codes) not in answer.text


def test_an_unused_picture_is_told(api: ApiServer, collection: SmallCollection) -> None:
    question = json.dumps({"face": {"id": collection.id(FACE)}})
    answer = api.client.post("/v1/search", data={"query": question}, files={"fase": picture_bytes(1)})
    assert answer.status_code == 422
    assert "fase" in answer.json()["detail"]


def test_intensities_are_those_that_a_search_tells(api: ApiServer, collection: SmallCollection) -> None:
    face = {"id": collection.id(FACE)}
    encoded = api.client.post("/v1/encode", json={"face": face}).json()["intensities"]["sparse_directions"]
    hit = ask(api, face=face, exclude_own=False, prefer=dict.fromkeys(NAMES, 1), k=1)["hits"][0]
    assert encoded == pytest.approx(hit["intensities"], abs=1e-6)


def test_what_is_served_is_what_the_contract_says(api: ApiServer, collection: SmallCollection) -> None:
    methods, spaces, attributes, index = (
        api.client.get(f"/v1/{name}").json() for name in ("methods", "spaces", "attributes", "index")
    )
    (method,) = methods["methods"]
    assert method["verbs"] == ["search", "edit", "encode"]
    assert tuple(method["attributes"]) == NAMES
    assert [space["name"] for space in spaces["spaces"]] == method["spaces"] == [W_PLUS, ATTRIBUTES]
    assert [attribute["name"] for attribute in attributes["attributes"]] == list(NAMES)
    assert all(
        attribute["adjust"] == {"least": 0, "most": 1, "neutral": None} for attribute in attributes["attributes"]
    )
    assert (index["rows"], index["index_version"]) == (40, 1)
    assert set(index["examples"]) <= {collection.id(row) for row in range(40)}
    assert len(set(index["examples"])) == 40


@pytest.mark.parametrize(
    ("path", "model", "question"),
    [
        ("methods", "Methods", None),
        ("spaces", "Spaces", None),
        ("attributes", "Attributes", None),
        ("index", "IndexTold", None),
        ("search", "Found", {"face": {"id": "face-01"}, "prefer": {NAMES[0]: 3}, "explain": True}),
        ("encode", "EncodedTold", {"face": {"id": "face-01"}}),
    ],
)
def test_answers_are_as_documented(api: ApiServer, path: str, model: str, question: dict[str, Any] | None) -> None:
    answer = api.client.post(f"/v1/{path}", json=question) if question else api.client.get(f"/v1/{path}")
    document = api.client.get("/openapi.json").json()
    schema = {"$ref": f"#/components/schemas/{model}", "components": document["components"]}
    assert document["paths"][f"/v1/{path}"]["post" if question else "get"]["responses"]["200"]["content"]
    jsonschema.validate(answer.json(), schema)
    assert answer.headers["index-version"] == str(answer.json()["index_version"])
