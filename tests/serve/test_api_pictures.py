from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raypipe import __version__
from raypipe.attributes import Edit
from raypipe.pipeline.search.query import FromIndex
from raypipe.pipeline.search.searcher import Searcher
from serve import drawing, work
from serve.backend import Change
from serve.http import make_app
from serve.local_backend import LocalBackend
from serve.settings import ApiSettings
from tests.pictures import picture_bytes
from tests.pipeline.search.small_collection import NAMES, SmallCollection
from tests.serve.api_server import ApiServer

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC_SOURCE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
RECORD = "{urn:raypipe:provenance:1}Record"
MADE_BY_A_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@pytest.fixture(scope="module")
def silent(collection: SmallCollection) -> Iterator[ApiServer]:
    """A server whose pictures say nothing of themselves."""
    settings = ApiSettings(provenance=False)
    backend = LocalBackend(str(collection.index), str(collection.model), limits=settings.limits)
    with ApiServer(make_app(backend, settings)) as server:
        yield server


def pixels(content: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def description_in(content: bytes) -> dict[str, str]:
    """The XMP properties of a picture file, read as another program would."""
    image = Image.open(io.BytesIO(content))
    image.load()
    packet = image.info.get("xmp")
    if packet is None:
        return {}
    found = ET.fromstring(packet.decode().strip("\ufeff")).find(f"{RDF}RDF/{RDF}Description")
    assert found is not None
    return {element.tag: element.text or "" for element in found}


def test_an_edit_is_the_engines_to_the_pixel(api: ApiServer, collection: SmallCollection, searcher: Searcher) -> None:
    answer = api.client.post("/v1/edit", json={"face": {"id": collection.id(4)}, "edits": {NAMES[0]: 2, NAMES[1]: -1}})
    change = Change(edits=(Edit(NAMES[0], 2.0), Edit(NAMES[1], -1.0)))
    direct = drawing.edit(searcher, FromIndex(collection.id(4)), change, "sparse_directions")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["index-version"] == "1"
    assert np.array_equal(pixels(answer.content), direct)


def test_adjusting_is_what_a_search_looks_for(api: ApiServer, collection: SmallCollection) -> None:
    """A face that was adjusted to where it is already is the same; to somewhere else it is not."""
    face = {"id": collection.id(4)}
    here = api.client.post("/v1/encode", json={"face": face}).json()["intensities"]["sparse_directions"][NAMES[0]]
    as_it_is, kept, changed = (
        pixels(api.client.post("/v1/edit", json={"face": face, "adjust": adjust}).content).astype(int)
        for adjust in ({}, {NAMES[0]: here}, {NAMES[0]: 1 - round(here)})
    )
    assert np.abs(kept - as_it_is).max() <= 1
    assert np.abs(changed - as_it_is).max() > 1


@pytest.mark.parametrize(("kind", "format"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_made_pictures_say_so(api: ApiServer, collection: SmallCollection, kind: str, format: str) -> None:
    question = {"face": {"id": collection.id(4)}, "edits": {NAMES[0]: 1.5}, "adjust": {NAMES[1]: 1}, "format": kind}
    answer = api.client.post("/v1/edit", json=question)
    told = description_in(answer.content)
    assert Image.open(io.BytesIO(answer.content)).format == format
    assert answer.headers["content-type"] == f"image/{kind}"
    assert told[IPTC_SOURCE] == MADE_BY_A_MODEL
    model = api.client.get("/v1/methods").json()
    assert json.loads(told[RECORD]) == {
        "tool": "raypipe",
        "version": __version__,
        "model": model["model"],
        "model_fingerprint": model["fingerprint"],
        "method": "sparse_directions",
        "index_version": 1,
        "source": f"index:{collection.id(4)}",
        "edits": {NAMES[0]: 1.5},
        "adjusted": {NAMES[1]: 1.0},
        "moved": {},
        "digital_source_type": MADE_BY_A_MODEL,
    }


def test_the_record_changes_no_pixel_and_can_be_left_out(
    api: ApiServer, silent: ApiServer, collection: SmallCollection
) -> None:
    for kind in ("png", "jpeg", "webp"):
        question = {"face": {"id": collection.id(4)}, "edits": {NAMES[0]: 1}, "format": kind}
        told, untold = (server.client.post("/v1/edit", json=question).content for server in (api, silent))
        assert np.array_equal(pixels(told), pixels(untold))
        assert description_in(told) != {}
        assert description_in(untold) == {}


def test_an_uploaded_face_is_edited_and_not_named(api: ApiServer) -> None:
    question = json.dumps({"face": {"upload": "me"}, "edits": {NAMES[0]: 1}})
    answer = api.client.post("/v1/edit", data={"query": question}, files={"me": ("secret name.png", picture_bytes(3))})
    assert json.loads(description_in(answer.content)[RECORD])["source"] == "upload"
    assert b"secret" not in answer.content


def test_a_picture_of_the_collection_is_the_face_that_was_encoded(
    api: ApiServer, collection: SmallCollection, searcher: Searcher
) -> None:
    answer = api.client.get(f"/v1/images/{collection.id(4)}")
    assert answer.headers["content-type"] == "image/jpeg"
    direct = work.picture(searcher, searcher.place(collection.id(4)))
    assert pixels(answer.content).shape == direct.shape
    assert np.abs(pixels(answer.content).astype(int) - direct).mean() < 4


def test_a_picture_that_the_client_has_is_not_sent_again(api: ApiServer, collection: SmallCollection) -> None:
    url = f"/v1/images/{collection.id(4)}"
    tag = api.client.get(url).headers["etag"]
    again = api.client.get(url, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert api.client.get(f"/v1/images/{collection.id(5)}", headers={"If-None-Match": tag}).status_code == 200


def test_what_no_method_offers_is_told_apart_from_what_is_mistyped(api: ApiServer) -> None:
    face = {"id": "face-01"}
    answer = api.client.post("/v1/translate", json={"face": face, "domain": "x"})
    assert (answer.status_code, answer.json()["type"]) == (501, "urn:raypipe:problem:not-offered")
    assert api.client.post("/v1/translate", json={"face": face}).status_code == 422
