"""``POST /v1/translate``, and all else that a server does with a method that works on pictures."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from httpx import Response
from PIL import Image

from raypipe.attributes import Edit
from raypipe.errors import WrongUsage
from raypipe.pipeline.search.query import FromIndex, SearchQuery
from raypipe.pipeline.search.searcher import Searcher, open_searcher
from serve import drawing
from serve.asking import method_for
from serve.backend import Change, Translation
from serve.errors import NotOffered
from serve.work import described
from tests.pictures import picture_bytes
from tests.serve.api_server import ApiServer
from tests.serve.featured import METHOD as TRANSFERRING
from tests.serve.featured import Featured
from tests.serve.test_api_pictures import MADE_BY_A_MODEL, RECORD, description_in
from tests.serve.test_api_transfer import drawn, problem
from tests.serve.translated import DOMAINS, METHOD, SAMPLING, UNJUDGED

pytestmark = UNJUDGED

FACE, OTHER = {"id": "face-03"}, {"id": "face-08"}
DOMAIN = "Smiling, not Male"


def ask(api: ApiServer, **question: Any) -> Response:
    return api.client.post("/v1/translate", json={"face": FACE, "domain": DOMAIN, **question})


def upload(api: ApiServer, question: dict[str, Any], **rows: int) -> Response:
    """Of the collection's own pictures, by their rows."""
    files = {name: ("secret.png", picture_bytes(row, "PNG")) for name, row in rows.items()}
    form = {"query": json.dumps({"domain": DOMAIN, **question})}
    return api.client.post("/v1/translate", data=form, files=files)


def test_what_is_offered_is_told(translating_api: ApiServer, sampling_api: ApiServer) -> None:
    by_name = {method["name"]: method for method in translating_api.client.get("/v1/methods").json()["methods"]}
    assert by_name[METHOD]["verbs"] == ["search", "edit", "translate", "encode"]
    assert (by_name[METHOD]["domains"], by_name[METHOD]["samples_styles"]) == (DOMAINS, False)
    assert (by_name[TRANSFERRING]["domains"], by_name[TRANSFERRING]["samples_styles"]) == ([], False)
    told = sampling_api.client.get("/v1/methods").json()["methods"]
    assert [method["name"] for method in told if method["samples_styles"]] == [SAMPLING]


def test_a_translation_is_the_method_s_to_the_pixel(translating_api: ApiServer, translating_searcher: Searcher) -> None:
    made = {}
    for domain in DOMAINS:
        direct = drawing.translate(translating_searcher, FromIndex("face-03"), Translation(domain=domain), METHOD)
        answer = ask(translating_api, domain=domain)
        assert (answer.headers["content-type"], answer.headers["index-version"]) == ("image/png", "1")
        assert np.array_equal(drawn(answer), direct)
        made[domain] = direct
    assert len({pixels.tobytes() for pixels in made.values()}) == len(DOMAINS)


def test_styles_come_from_ids_pictures_and_codes(translating_api: ApiServer) -> None:
    """All of them the same faces."""
    by_id = drawn(ask(translating_api, reference=OTHER))
    codes = translating_api.client.post("/v1/encode", json={"face": OTHER}).json()["codes"]
    assert np.array_equal(drawn(ask(translating_api, reference={"codes": codes})), by_id)
    question = {"face": {"upload": "mine"}, "reference": {"upload": "hers"}}
    by_picture = drawn(upload(translating_api, question, mine=3, hers=8))
    assert np.abs(by_picture.astype(int) - by_id).max() <= 1, "codes are stored in half precision"
    assert not np.array_equal(drawn(ask(translating_api)), by_id)


def test_styles_are_drawn_by_a_seed_where_the_method_draws_them(sampling_api: ApiServer) -> None:
    first, again, other, none = (
        drawn(ask(sampling_api, **seed)) for seed in ({"seed": 1}, {"seed": 1}, {"seed": 2}, {})
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, none)
    assert np.array_equal(none, drawn(ask(sampling_api, seed=0)))


def test_the_picture_tells_the_seed(sampling_api: ApiServer) -> None:
    record = json.loads(description_in(ask(sampling_api, seed=2**40).content)[RECORD])
    assert record["translated"] == {"domain": DOMAIN, "reference": None, "seed": 2**40}
    assert record["method"] == SAMPLING


@pytest.mark.parametrize(("kind", "format"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_the_picture_tells_what_it_became(translating_api: ApiServer, kind: str, format: str) -> None:
    answer = upload(translating_api, {"face": FACE, "reference": {"upload": "hers"}, "format": kind}, hers=8)
    assert Image.open(io.BytesIO(answer.content)).format == format
    assert b"secret" not in answer.content
    record = json.loads(description_in(answer.content)[RECORD])
    assert record["translated"] == {"domain": DOMAIN, "reference": "upload", "seed": None}
    assert (record["method"], record["source"]) == (METHOD, "index:face-03")
    assert record["digital_source_type"] == MADE_BY_A_MODEL
    assert not {"edits", "transferred"} & set(record)


@pytest.mark.parametrize(
    ("question", "kind", "told"),
    [
        ({"domain": "smiling"}, "wrong-question", f"'smiling' is not a domain of this model; domains: {DOMAINS[0]}; "),
        ({"seed": 1}, "wrong-question", "draws no styles: translate by the label alone, or give a reference"),
        ({"seed": 1, "reference": OTHER}, "wrong-fields", "give a reference or a seed, or neither"),
        ({"seed": -1}, "wrong-fields", "seed"),
        ({"method": TRANSFERRING}, "wrong-question", "'translate' is offered by l2m_gan"),
        ({"method": "x"}, "wrong-question", "'translate' is offered by l2m_gan"),
        ({"reference": {"id": "x"}}, "wrong-question", "x"),
        ({"reference": {"upload": "x"}}, "wrong-question", "no file part 'x'"),
        ({"reference": {"codes": {"w_plus": [1.0]}}}, "wrong-question", "there is no column 'l2m_"),
    ],
)
def test_what_cannot_be_translated_is_named(
    translating_api: ApiServer, question: dict[str, Any], kind: str, told: str
) -> None:
    status, named, detail = problem(ask(translating_api, **question))
    assert (status, named) == (422, kind)
    assert told in detail


def test_codes_alone_are_no_face_to_translate(translating_api: ApiServer) -> None:
    codes = translating_api.client.post("/v1/encode", json={"face": FACE}).json()["codes"]
    status, named, detail = problem(ask(translating_api, face={"codes": codes}))
    assert (status, named, detail) == (
        422,
        "wrong-question",
        "this method works on pictures: give one, or an id, not codes",
    )


def test_where_no_method_offers_it_that_is_told(featured_api: ApiServer) -> None:
    status, named, _ = problem(ask(featured_api))
    assert (status, named) == (501, "not-offered")


def test_its_time_is_measured(translating_api: ApiServer) -> None:
    ask(translating_api)
    assert 'raypipe_serve_stage_seconds_count{stage="translate"}' in translating_api.client.get("/metrics").text


def test_its_spaces_are_searched_like_any_others(translating_api: ApiServer) -> None:
    """By id, by codes and by picture the same; beside other spaces the distance is the sum."""

    def found(**question: Any) -> dict[str, float]:
        answer = translating_api.client.post("/v1/search", json={"k": 40, "exclude_own": False, **question})
        assert answer.status_code == 200, answer.text
        assert answer.json()["exact"]
        return {hit["id"]: hit["distance"] for hit in answer.json()["hits"]}

    by_id = found(face=FACE, space="all_but_Smiling")
    assert next(iter(by_id)) == "face-03"
    codes = translating_api.client.post("/v1/encode", json={"face": FACE}).json()["codes"]
    assert found(face={"codes": codes}, space=f"{METHOD}.all_but_Smiling") == by_id
    question = json.dumps({"face": {"upload": "me"}, "space": "all_but_Smiling", "k": 1})
    files = {"me": picture_bytes(3, "PNG")}
    by_picture = translating_api.client.post("/v1/search", data={"query": question}, files=files).json()["hits"]
    assert [hit["id"] for hit in by_picture] == ["face-03"]
    adjusted = found(face=FACE, space=f"{METHOD}.Smiling", adjust={"Smiling": 1})
    assert adjusted != found(face=FACE, space=f"{METHOD}.Smiling")
    whole, smile = found(face=FACE), found(like=[{"space": f"{METHOD}.Smiling", "face": OTHER}])
    both = found(face=FACE, like=[{"space": f"{METHOD}.Smiling", "face": OTHER, "weight": 2}])
    ratio = {id: (both[id] - whole[id]) / smile[id] for id in both if smile[id] > 1e-6}
    assert max(ratio.values()) == pytest.approx(min(ratio.values()), rel=1e-3)


def test_a_search_that_names_no_space_means_whole_faces(translating_api: ApiServer) -> None:
    assert translating_api.client.get("/v1/spaces").json()["spaces"][0]["name"] == "sparse_directions.w_plus"


def test_an_edit_that_names_no_method_is_the_search_s(translating_api: ApiServer) -> None:
    """Two can edit."""

    def method_of(**question: Any) -> str:
        answer = translating_api.client.post("/v1/edit", json={"face": FACE, "edits": {"Smiling": 1}, **question})
        return str(json.loads(description_in(answer.content)[RECORD])["method"])

    assert method_of() == "sparse_directions"
    assert method_of(method=METHOD) == METHOD


def test_of_several_methods_the_search_s_is_meant(translating_searcher: Searcher) -> None:
    told = described(translating_searcher)
    others = [method for method in told.methods if method.name != METHOD]
    all_can = replace(told, methods=tuple(replace(method, verbs=("translate",)) for method in told.methods))
    assert method_for("translate", "", told).name == METHOD
    assert method_for("translate", "", all_can).name == "sparse_directions"
    assert method_for("translate", METHOD, all_can).name == METHOD
    elsewhere = replace(all_can, spaces=tuple(replace(space, method="another") for space in told.spaces))
    with pytest.raises(WrongUsage, match="offered by l2m_gan, retrieve_in_style, sparse_directions; name one of them"):
        method_for("translate", "", elsewhere)
    with pytest.raises(NotOffered):
        method_for("translate", "", replace(told, methods=tuple(others)))


def test_an_index_without_its_columns_is_enough_to_edit_by_id(
    featured: Featured, translating: Featured, translating_searcher: Searcher
) -> None:
    """The picture of the face is looked at."""
    older = open_searcher(str(featured.index), str(translating.model))
    face, change = FromIndex("face-03"), Change(edits=(Edit("Smiling", 0.5),))
    edited = [drawing.edit(searcher, face, change, METHOD) for searcher in (older, translating_searcher)]
    domain = Translation(domain="Smiling, Male", reference=FromIndex("face-08"))
    became = [drawing.translate(searcher, face, domain, METHOD) for searcher in (older, translating_searcher)]
    for older_s, newer_s in (edited, became):
        assert np.abs(older_s.astype(int) - newer_s).max() <= 1, "codes are stored in half precision"
    assert np.abs(edited[0].astype(int) - became[0]).max() > 1


def test_pictures_are_looked_at_only_where_codes_lack_its_columns(
    featured: Featured, translating: Featured, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = (open_searcher(str(each.index), str(translating.model)) for each in (featured, translating))
    for searcher in (older, newer):
        monkeypatch.setattr(searcher.collection, "pictures", lambda places: ["gone"] * len(places))
    query = SearchQuery(face=FromIndex("face-03"), space="all_but_Smiling", exclude_own=False, k=1)
    assert [hit.id for hit in newer.search(query).hits] == ["face-03"]
    assert older.search(replace(query, space="")).hits
    with pytest.raises(WrongUsage, match="picture of 'face-03' cannot be read any more"):
        older.columns_of(FromIndex("face-03"), f"{METHOD}.Smiling")
