"""The last part of ``raypipe demo``: its faces are served, and asked for over HTTP."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from PIL import Image

from raypipe import storage
from raypipe.cli.serve import require_free, server_for, shared_machine
from raypipe.config import read_config
from raypipe.errors import WrongUsage
from raypipe.pipeline.search.sheet import Tile, draw_sheet
from raypipe.pipeline.search.words import label_text, number

if TYPE_CHECKING:
    from raypipe.client import Client, Hit
    from serve.settings import ServeSettings

NEEDED = ("fastapi", "uvicorn", "httpx", "prometheus_client", "python_multipart")
HOST, USUAL_PORT = "127.0.0.1", 8000


@dataclass(frozen=True, kw_only=True)
class Question:
    """Faces like ``face``, but with ``wanted``, which matters ``weight`` times; and ``face`` with ``edits``."""

    face: str
    wanted: str
    weight: float
    hits: int
    edits: Mapping[str, float]

    def page(self, url: str) -> str:
        """Where the web page shows this search."""
        name = quote(self.wanted)
        return f"{url}/?face={quote(self.face)}&adjust={name}:1&prefer={name}:{self.weight:g}"


def check_can_serve(port: int | None) -> None:
    """Raises:
    WrongUsage: a package is not installed, or somebody listens at that port already.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise WrongUsage(
            f"not installed: {', '.join(missing)}; pip install 'raypipe[serve,client]', or leave it out: --no-serve"
        )
    if port is not None:
        require_free(HOST, port)


def settings_for(index: str, model: str) -> ServeSettings:
    """Both need not be there yet."""
    from serve.settings import ServeSettings

    places = {"index": storage.absolute(index), "model": storage.absolute(model)}
    return read_config(ServeSettings, {**places, "api": {"host": HOST}, **shared_machine()})


def prepare_ray(settings: ServeSettings) -> None:
    """Before Ray is started, for whatever it is at first: what serves takes its settings from there."""
    from serve.ray_server import environment

    os.environ.update(environment(settings))


@contextmanager
def serving(settings: ServeSettings, port: int | None, *, local: bool) -> Iterator[str]:
    """The address of a server, which answers from the beginning to the end of this block.

    Args:
        port: None: the usual one, or any other if somebody listens there.

    Raises:
        RaypipeError: it cannot be started.
    """
    chosen = port or free_port()
    with server_for(settings, port=chosen, local=local):
        yield f"http://{HOST}:{chosen}"


def found_sheet(client: Client, asked: Question) -> bytes:
    """The PNG: the face, what was looked for, and what was found."""
    from raypipe.client import Search

    wanted = {asked.wanted: 1.0}
    found = client.search(Search(face=asked.face, adjust=wanted, prefer={asked.wanted: asked.weight}, k=asked.hits))
    looked_for = client.edit(asked.face, {}, adjust=wanted)
    sure = "exact" if found.exact else "not certified"
    title = (
        f"like {asked.face}, but with {asked.wanted}, which matters {asked.weight:g} times",
        f"POST /v1/search: {sure}, {found.told['rows']:,} faces in {found.told['search_ms']:.1f} ms",
    )
    faces = [
        Tile(_pixels(client.image(asked.face)), ("the face", asked.face)),
        Tile(_pixels(looked_for), ("looked for", f"{asked.wanted} 1.00")),
    ]
    return draw_sheet(title, faces, [_hit_tile(client, hit, asked.wanted) for hit in found.hits])


def edited_sheet(client: Client, asked: Question, shares: Sequence[float] = (0.5, 1.0)) -> bytes:
    """The PNG: the face before, and with more and more of the edits."""
    tiles = [
        Tile(_pixels(client.image(asked.face)), ("before", asked.face)),
        Tile(_pixels(client.edit(asked.face, {})), ("as the generator makes it",)),
    ]
    for share in shares:
        edits = {name: share * strength for name, strength in asked.edits.items()}
        told = [f"{name} {strength:+g}" for name, strength in edits.items()]
        tiles.append(Tile(_pixels(client.edit(asked.face, edits)), ("after", *told)))
    return draw_sheet((f"{asked.face} with {' and '.join(asked.edits)}", "POST /v1/edit"), tiles, [])


def _hit_tile(client: Client, hit: Hit, wanted: str) -> Tile:
    lines = [f"{hit.rank}  {hit.id}", f"distance {number(hit.distance)}"]
    if wanted in hit.told["intensities"]:
        lines.append(f"{wanted} {hit.told['intensities'][wanted]:.2f}")
    if wanted in hit.labels:
        lines.append(f"{wanted} = {label_text(hit.labels[wanted])}")
    return Tile(_pixels(client.image(hit.id)), tuple(lines))


def _pixels(content: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def free_port() -> int:
    """The usual one, or any other if somebody listens there."""
    try:
        require_free(HOST, USUAL_PORT)
    except WrongUsage:
        with socket.create_server((HOST, 0)) as free:
            return int(free.getsockname()[1])
    return USUAL_PORT
