"""``POST /v1/transfer``, and searches by single features, where the model has a method for them."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from httpx import Response
from PIL import Image

from raypipe.pipeline.search.query import FromIndex
from raypipe.pipeline.search.scales import in_first_unit
from raypipe.pipeline.search.searcher import Searcher
from serve import drawing
from serve.backend import Transfer
from tests.pictures import picture_bytes
from tests.serve.api_server import ApiServer
from tests.serve.featured import FEATURES, METHOD, USUAL
from tests.serve.test_api_pictures import MADE_BY_A_MODEL, RECORD, description_in, pixels

FACE, OTHER, THIRD = ({"id": f"face-{i:02d}"} for i in (3, 8, 9))
NOBODY = {"codes": {"w_plus": [[3e38] * 16] * 8}}
"""Numbers too large for a generator, in whose feature maps nothing is seen."""

CODE_NOISE = 8
"""Codes of the collection are stored in half precision."""


def ask(api: ApiServer, **question: Any) -> Response:
    return api.client.post("/v1/transfer", json=question)


def drawn(answer: Response) -> np.ndarray[Any, Any]:
    assert answer.status_code == 200, answer.text
    return pixels(answer.content)


def as_it_is(api: ApiServer) -> np.ndarray[Any, Any]:
    return drawn(api.client.post("/v1/edit", json={"face": FACE, "method": METHOD}))


def problem(answer: Response) -> tuple[int, str, str]:
    told = answer.json()
    return answer.status_code, told["type"].removeprefix("urn:raypipe:problem:"), told["detail"]


def test_what_is_offered_is_told(featured_api: ApiServer, api: ApiServer) -> None:
    by_name = {method["name"]: method for method in featured_api.client.get("/v1/methods").json()["methods"]}
    assert by_name[METHOD]["verbs"] == ["search", "transfer", "encode"]
    assert by_name[METHOD]["features"] == list(FEATURES)
    assert by_name[METHOD]["strength"] == {"least": -100, "most": 100, "neutral": 0, "usual": USUAL}
    assert (by_name["sparse_directions"]["features"], by_name["sparse_directions"]["strength"]) == ([], None)
    (only,) = api.client.get("/v1/methods").json()["methods"]
    assert "transfer" not in only["verbs"]


def test_a_transfer_is_the_methods_to_the_pixel(featured_api: ApiServer, featured_searcher: Searcher) -> None:
    references = {"hair": FromIndex("face-08"), "pose": FromIndex("face-09")}
    wanted = Transfer(references=references, strengths={"hair": 0.5, "pose": USUAL})
    direct = drawing.transfer(featured_searcher, FromIndex("face-03"), wanted, METHOD)
    answer = ask(featured_api, face=FACE, references={"hair": OTHER, "pose": THIRD}, strengths={"hair": 0.5})
    assert (answer.headers["content-type"], answer.headers["index-version"]) == ("image/png", "1")
    assert np.array_equal(drawn(answer), direct)
    assert np.abs(direct.astype(int) - as_it_is(featured_api)).max() > CODE_NOISE


def test_strength_0_and_the_face_s_own_features_change_nothing(featured_api: ApiServer) -> None:
    own = as_it_is(featured_api)
    none = ask(featured_api, face=FACE, references={"hair": OTHER}, strengths={"hair": 0})
    assert np.array_equal(drawn(none), own)
    itself = drawn(ask(featured_api, face=FACE, references=dict.fromkeys(FEATURES, FACE)))
    assert np.abs(itself.astype(int) - own).max() <= 1


def test_faces_come_as_ids_pictures_and_codes(featured_api: ApiServer) -> None:
    """All of them the same faces."""
    by_id = drawn(ask(featured_api, face=FACE, references={"hair": OTHER, "pose": OTHER}))
    question = {"face": {"upload": "mine"}, "references": {"hair": {"upload": "hers"}, "pose": {"upload": "hers"}}}
    files = {"mine": picture_bytes(3, "PNG"), "hers": picture_bytes(8, "PNG")}
    by_picture = featured_api.client.post("/v1/transfer", data={"query": json.dumps(question)}, files=files)
    codes = [
        {"codes": featured_api.client.post("/v1/encode", json={"face": face}).json()["codes"]} for face in (FACE, OTHER)
    ]
    by_codes = ask(featured_api, face=codes[0], references={"hair": codes[1], "pose": codes[1]})
    assert np.array_equal(drawn(by_codes), by_id)
    assert np.abs(drawn(by_picture).astype(int) - by_id).max() <= CODE_NOISE


@pytest.mark.parametrize(("kind", "format"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_the_picture_tells_what_was_taken_over(featured_api: ApiServer, kind: str, format: str) -> None:
    question = {"face": FACE, "references": {"hair": OTHER, "eyes": {"upload": "hers"}}, "strengths": {"eyes": 0.8}}
    form = {"query": json.dumps({**question, "format": kind})}
    answer = featured_api.client.post("/v1/transfer", data=form, files={"hers": ("secret.png", picture_bytes(8))})
    assert Image.open(io.BytesIO(answer.content)).format == format
    assert b"secret" not in answer.content
    record = json.loads(description_in(answer.content)[RECORD])
    assert record["transferred"] == {
        "hair": {"source": "index:face-08", "strength": USUAL},
        "eyes": {"source": "upload", "strength": 0.8},
    }
    assert (record["method"], record["source"]) == (METHOD, "index:face-03")
    assert record["digital_source_type"] == MADE_BY_A_MODEL
    assert "edits" not in record


def test_an_edit_is_still_the_other_method_s(featured_api: ApiServer) -> None:
    answer = featured_api.client.post("/v1/edit", json={"face": FACE, "edits": {"Smiling": 1}})
    assert json.loads(description_in(answer.content)[RECORD])["method"] == "sparse_directions"


@pytest.mark.parametrize(
    ("question", "kind", "told"),
    [
        ({"references": {"hiar": OTHER}}, "unknown-attribute", "'hiar' (did you mean hair?); this method transfers: "),
        ({"references": {"hair": OTHER}, "strengths": {"eyes": 1}}, "wrong-question", "eyes, but no reference"),
        ({"references": {"hair": OTHER}, "strengths": {"hair": 101}}, "wrong-fields", "strengths.hair"),
        ({"references": {"hair": OTHER}, "method": "sparse_directions"}, "wrong-question", "by retrieve_in_style"),
        ({"references": {"hair": OTHER}, "method": "x"}, "wrong-question", "by retrieve_in_style"),
        ({"references": {"hair": {"upload": "x"}}}, "wrong-question", "no file part 'x'"),
        ({"references": {"hair": {"id": "x"}}}, "wrong-question", "x"),
        ({"references": {"hair": {"codes": {"w_plus": [1.0]}}}}, "wrong-question", "w_plus"),
        ({"references": {"eyes": NOBODY}}, "wrong-question", "is there a face in it?"),
        ({"references": {}}, "wrong-fields", "references"),
    ],
)
def test_what_cannot_be_transferred_is_named(
    featured_api: ApiServer, question: dict[str, Any], kind: str, told: str
) -> None:
    status, named, detail = problem(ask(featured_api, face=FACE, **question))
    assert (status, named) == (422, kind)
    assert told in detail


def test_all_that_there_is_is_told_to_who_misses(featured_api: ApiServer) -> None:
    _, _, detail = problem(ask(featured_api, face=FACE, references={"ears": OTHER}))
    assert detail.endswith(", ".join(FEATURES))


def test_where_no_method_offers_it_that_is_told(api: ApiServer) -> None:
    status, named, _ = problem(ask(api, face=FACE, references={"hair": OTHER}))
    assert (status, named) == (501, "not-offered")


def test_features_are_searched_beside_attributes(featured_api: ApiServer, featured_searcher: Searcher) -> None:
    """A face like one, with the hair of another, that smiles: the distance is the sum of what each alone has, in one
    unit."""

    def found(**question: Any) -> dict[str, float]:
        answer = featured_api.client.post("/v1/search", json={"k": 40, "exclude_own": False, **question})
        assert answer.status_code == 200, answer.text
        return {hit["id"]: hit["distance"] for hit in answer.json()["hits"]}

    whole = found(face=FACE, adjust={"Smiling": 1}, prefer={"Smiling": 3})
    hair = found(like=[{"space": "hair", "face": OTHER}])
    eyes = found(like=[{"space": f"{METHOD}.eyes", "face": THIRD}])
    assert next(iter(hair)) == "face-08"
    both = found(
        face=FACE,
        adjust={"Smiling": 1},
        prefer={"Smiling": 3},
        like=[{"space": "hair", "face": OTHER, "weight": 2}, {"space": f"{METHOD}.eyes", "face": THIRD, "weight": 0.5}],
    )
    spaces = ["sparse_directions.w_plus", f"{METHOD}.hair", f"{METHOD}.eyes"]
    _, of_hair, of_eyes = in_first_unit(featured_searcher.index, spaces)
    expected = {id: whole[id] + 2 * of_hair * hair[id] + 0.5 * of_eyes * eyes[id] for id in whole}
    assert len(both) == 40
    assert both == pytest.approx(expected, rel=1e-4)


def test_a_feature_of_an_uploaded_picture_finds_that_face(featured_api: ApiServer) -> None:
    question = {"like": [{"space": "pose", "face": {"upload": "mine"}}], "k": 1}
    form = {"query": json.dumps(question)}
    answer = featured_api.client.post("/v1/search", data=form, files={"mine": picture_bytes(8, "PNG")}).json()
    assert [hit["id"] for hit in answer["hits"]] == ["face-08"]


def test_a_search_that_names_no_space_means_whole_faces(featured_api: ApiServer) -> None:
    assert featured_api.client.get("/v1/spaces").json()["spaces"][0]["name"] == "sparse_directions.w_plus"
    adjusted = featured_api.client.post("/v1/search", json={"face": FACE, "adjust": {"Smiling": 1}})
    assert adjusted.status_code == 200
