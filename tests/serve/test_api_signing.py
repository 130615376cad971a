from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from PIL import Image

from raypipe.errors import WrongUsage
from serve.http import make_app
from serve.local_backend import LocalBackend
from serve.provenance import MADE_BY_A_MODEL, RECORD_NAMESPACE
from serve.settings import ApiSettings
from serve.signing import RECORD_LABEL, open_signer
from tests.pipeline.search.small_collection import NAMES, SmallCollection
from tests.serve.api_server import ApiServer
from tests.serve.certificates import make_certificate


@pytest.fixture(scope="module")
def signing(collection: SmallCollection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    certificate, key = make_certificate(tmp_path_factory.mktemp("certificate"))
    settings = ApiSettings(certificate=str(certificate), private_key=str(key))
    backend = LocalBackend(str(collection.index), str(collection.model), limits=settings.limits)
    with ApiServer(make_app(backend, settings)) as server:
        yield server


def manifest_in(content: bytes, media_type: str) -> dict[str, Any]:
    """As another program that knows C2PA reads and checks it."""
    with c2pa.Reader(media_type, io.BytesIO(content)) as reader:
        return dict(json.loads(reader.json()))


def pixels(content: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_made_pictures_are_signed(api: ApiServer, signing: ApiServer, kind: str) -> None:
    question = {"face": {"id": "face-04"}, "edits": {NAMES[0]: 1.5}, "format": kind}
    signed = signing.client.post("/v1/edit", json=question)
    unsigned = api.client.post("/v1/edit", json=question)
    assert (signed.status_code, signed.headers["content-type"]) == (200, f"image/{kind}")
    assert np.array_equal(pixels(signed.content), pixels(unsigned.content))
    assert RECORD_NAMESPACE.encode() in signed.content

    told = manifest_in(signed.content, f"image/{kind}")
    assert told["validation_state"] == "Valid"
    assert [status["code"] for status in told["validation_status"]] == ["signingCredential.untrusted"]
    assertions = {each["label"]: each["data"] for each in told["manifests"][told["active_manifest"]]["assertions"]}
    (action,) = assertions["c2pa.actions.v2"]["actions"]
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", MADE_BY_A_MODEL)
    assert assertions[RECORD_LABEL]["edits"] == {NAMES[0]: 1.5}
    assert assertions[RECORD_LABEL]["source"] == "index:face-04"


def test_a_forged_record_is_found_out(signing: ApiServer) -> None:
    question = {"face": {"id": "face-04"}, "edits": {NAMES[0]: 1.5}, "format": "png"}
    content = signing.client.post("/v1/edit", json=question).content
    forged = content.replace(b"index:face-04", b"index:face-05", 1)
    assert forged != content
    assert manifest_in(forged, "image/png")["validation_state"] == "Invalid"


def test_pictures_of_the_collection_are_not_called_made(signing: ApiServer) -> None:
    content = signing.client.get("/v1/images/face-04").content
    assert RECORD_NAMESPACE.encode() not in content
    with pytest.raises(c2pa.C2paError):
        manifest_in(content, "image/jpeg")


def test_certificates_that_cannot_sign_are_told_at_the_start(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    stranger, _ = make_certificate(tmp_path / "other")
    (tmp_path / "nonsense.pem").write_text("nonsense")
    nonsense, nothing = str(tmp_path / "nonsense.pem"), str(tmp_path / "nothing.pem")
    assert open_signer(ApiSettings()) is None
    for files in (
        (str(certificate), ""),
        ("", str(key)),
        (str(certificate), nothing),
        (nonsense, str(key)),
        (str(stranger), str(key)),
        (str(certificate), nonsense),
    ):
        with pytest.raises(WrongUsage):
            open_signer(ApiSettings(certificate=files[0], private_key=files[1]))
    with pytest.raises(WrongUsage, match="provenance must be on"):
        ApiSettings(provenance=False, certificate=str(certificate), private_key=str(key))
