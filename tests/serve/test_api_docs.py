"""``docs/api.md`` as it is printed: every block is run against a real server."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from serve.auth import SHORTEST
from serve.http import make_app
from serve.local_backend import LocalBackend
from serve.problems import KINDS
from serve.settings import ApiSettings, Limits
from tests.pictures import picture_bytes
from tests.serve.api_server import ApiServer
from tests.serve.featured import Featured
from tests.serve.more_codes import make_more_codes
from tests.serve.translated import METHODS, UNJUDGED

pytestmark = UNJUDGED

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"
TEXT = DOCUMENT.read_text()
TOKEN = "admin-token-0123456789"

OWN_PICTURES = ("me.jpg", "her.png")

SHELL_BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def server(translating: Featured, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    folder = tmp_path_factory.mktemp("documented")
    shutil.copytree(translating.index, folder / "index")
    make_more_codes(folder / "more", translating.model, METHODS)
    (folder / "tokens").write_text(f"admin {TOKEN}\n")
    settings = ApiSettings(tokens=str(folder / "tokens"), codes=str(folder))
    backend = LocalBackend(str(folder / "index"), str(translating.model), limits=settings.limits)
    with ApiServer(make_app(backend, settings), token=TOKEN) as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    (folder / "me.jpg").write_bytes(picture_bytes(1))
    (folder / "her.png").write_bytes(picture_bytes(2, "PNG"))
    return folder


def run(block: str, server: ApiServer, folder: Path) -> str:
    environment = {**os.environ, "API": server.url, "TOKEN": TOKEN}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("block", SHELL_BLOCKS, ids=range(len(SHELL_BLOCKS)))
def test_every_command_works(server: ApiServer, folder: Path, block: str) -> None:
    run(block, server, folder)


def test_the_pictures_that_were_written_are_pictures(server: ApiServer, folder: Path) -> None:
    for block in SHELL_BLOCKS:
        if "-o " in block:
            run(block, server, folder)
    written = {
        path.name: Image.open(path).format for path in folder.iterdir() if path.name not in ("me.jpg", "her.png")
    }
    assert written == {
        "smiling.png": "PNG",
        "edited.webp": "WEBP",
        "hair.png": "PNG",
        "both.webp": "WEBP",
        "not-smiling.png": "PNG",
        "like-her.webp": "WEBP",
        "face-01.jpg": "JPEG",
    }


def test_the_printed_problem_is_the_real_one(server: ApiServer, folder: Path) -> None:
    (printed,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    (block,) = [block for block in SHELL_BLOCKS if "Smilng" in block]

    def without_id(text: str) -> dict[str, Any]:
        told = json.loads(text)
        assert len(told.pop("request_id")) == 16
        return dict(told)

    assert without_id(printed) == without_id(run(block, server, folder))


def test_the_python_block_works(server: ApiServer) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {"API": server.url, "TOKEN": TOKEN}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(block, str(DOCUMENT), "exec"), names)
    assert printed.getvalue().rstrip().endswith("True")
    assert all(names[name].startswith(b"\x89PNG") for name in ("smiling", "mixed", "serious"))


def test_every_status_and_every_address_is_told(server: ApiServer) -> None:
    table = "".join(line.split("|")[1] for line in TEXT.splitlines() if re.match(r"\| \d", line))
    assert {str(kind.status) for _, kind in KINDS} == set(re.findall(r"\d{3}", table))
    for path in server.client.get("/openapi.json").json()["paths"]:
        assert path.split("/{")[0] in TEXT, path


def test_the_printed_limits_are_the_defaults() -> None:
    limits = Limits()
    for told in (
        f"({limits.body_s:g} s)",
        f"({limits.body_bytes // 2**20} MiB)",
        f"({limits.pixels // 10**6} million,",
        f"as are answered ({limits.at_once}) and may wait ({limits.waiting})",
        f"of those that rerank ({limits.reranks_at_once}, {limits.reranks_waiting})",
        f"the most that hits times faces may be ({limits.rerank})",
        f"no answer within {limits.answer_s:g} s",
        f"at least {SHORTEST}",
    ):
        assert told in " ".join(TEXT.split()), told


def test_the_page_of_documentation_needs_nothing_from_elsewhere(server: ApiServer) -> None:
    page = server.client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script" not in page.text
    assert "//" not in page.text.replace("http://127.0.0.1", "")
    for path in server.client.get("/openapi.json").json()["paths"]:
        assert path in page.text
    for address in re.findall(r'href="([^"]*)"', page.text):
        assert server.client.get(f"/{address.lstrip('/')}").status_code == 200
