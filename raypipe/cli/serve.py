"""``raypipe serve``."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from raypipe import storage
from raypipe.cli.console import say
from raypipe.config import read_config
from raypipe.errors import WrongUsage
from raypipe.retrieval.manifest import read_manifest
from raypipe.weights import open_bundle, shipped_models

if TYPE_CHECKING:
    from serve.settings import ServeSettings

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve_command(
    index: Annotated[str, typer.Argument(help="What raypipe index build made.")],
    model: Annotated[str, typer.Option(help="The model whose codes were indexed.")] = "small",
    host: Annotated[
        str, typer.Option(help="Address to listen at; beyond this machine's own, tokens are needed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen at.")] = 8000,
    local: Annotated[bool, typer.Option("--local", help="In this process, without Ray.")] = False,
    token_file: Annotated[str, typer.Option(help="Lines 'query TOKEN' and 'admin TOKEN': who may ask.")] = "",
    append_from: Annotated[
        str, typer.Option(help="The folder whose encoded datasets may be appended by administrators; empty: none.")
    ] = "",
    codes: Annotated[
        list[str] | None, typer.Option(help="Where the encoded dataset is now, if it was moved; several times.")
    ] = None,
    address: Annotated[str, typer.Option(help="Ray cluster; empty: RAY_ADDRESS, or Ray on this machine.")] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: groups=2, shards.most=4, api.limits.at_once=8.")
    ] = None,
) -> None:
    """Search and edits over HTTP, with a web page, until Ctrl-C."""
    from serve.settings import ServeSettings

    api = {"host": host, "tokens": _whole(token_file), "codes": _whole(append_from)}
    named = model if model in shipped_models() else _whole(model)
    there = {"index": _whole(index), "model": named, "moved": [_whole(each) for each in codes or ()]}
    resolved = read_config(ServeSettings, {**there, "api": api, **shared_machine()}, settings or ())
    _check(resolved, port)
    try:
        with server_for(resolved, port=port, address=address, local=local):
            say(f"ready at {_url(resolved, port)}; Ctrl-C ends it")
            until_told_to_end()
    except KeyboardInterrupt:
        say("ended")


def shared_machine() -> dict[str, Any]:
    """Everything on one machine: what a replica takes of it is not counted, the system divides its time."""
    computing = {"cpus": 0.0, "threads": os.cpu_count() or 1}
    return {"ingress": {"cpus": 0.0, "ongoing": 64}, **dict.fromkeys(("shards", "encoder", "editor"), computing)}


def server_for(
    settings: ServeSettings, *, port: int, address: str = "", local: bool = False
) -> AbstractContextManager[None]:
    """It answers within ``with``: in this process, or on Ray.

    Raises:
        RaypipeError: it cannot be started.
    """
    if local:
        from serve import local_server

        return local_server.running(settings, port=port)
    from serve import ray_server

    return ray_server.running(settings, port=port, address=address)


def until_told_to_end() -> NoReturn:
    """Raises:
    KeyboardInterrupt: by Ctrl-C, by SIGTERM, or because the terminal was closed.
    """
    for number in ENDING:  # Ray has its own ideas about these
        signal.signal(number, _interrupt)
    while True:
        time.sleep(3600)


def _interrupt(number: int, frame: object) -> NoReturn:
    """Once: what is ending is gone in seconds, and told again it would leave processes behind."""
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _url(settings: ServeSettings, port: int) -> str:
    host = settings.api.host if settings.api.host not in ("0.0.0.0", "::") else socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _whole(place: str) -> str:
    """Other processes are in other folders. What is not there is a name, or for others to complain about."""
    return storage.absolute(place) if place and storage.exists(place) else place


def _check(settings: ServeSettings, port: int) -> None:
    """What would else go wrong in some other process, again and again.

    Raises:
        WrongUsage: no index or model, no tokens where others can connect, or somebody listens at that port already.
    """
    from serve.auth import open_tokens

    read_manifest(settings.index)
    open_bundle(settings.model)
    open_tokens(settings.api, os.environ)
    require_free(settings.api.host, port)


def require_free(host: str, port: int) -> None:
    """Raises:
    WrongUsage: nobody can listen there, or somebody does already.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.create_server((host, port), family=family):
            pass
    except OSError as error:
        raise WrongUsage(f"cannot listen at {host} port {port}: {error.strerror}; another one: --port") from error
