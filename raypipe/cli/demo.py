"""``raypipe demo``: the whole way on made-up faces, with the shipped model."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
import typer

from raypipe import catalog, storage
from raypipe.cli import demo_serve
from raypipe.cli.console import ProgressLine, say, waiting
from raypipe.cli.encode import EncodeJob, runner_for
from raypipe.cli.serve import until_told_to_end
from raypipe.config import read_config
from raypipe.errors import WrongUsage
from raypipe.pipeline.edit import EditConfig, edit
from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.encode.job import encode
from raypipe.pipeline.index.config import IndexConfig
from raypipe.pipeline.index.job import run_job
from raypipe.pipeline.index.local import RunLocally
from raypipe.pipeline.index.plan import build_job
from raypipe.pipeline.reconstruct import reconstruct
from raypipe.pipeline.search.query import FromIndex, SearchQuery
from raypipe.pipeline.search.result_sheet import result_sheet
from raypipe.pipeline.search.searcher import open_searcher
from raypipe.pipeline.synth import SynthConfig, in_words, make_faces
from raypipe.pipeline.train.config import DataConfig, TrainConfig, TrainJob
from raypipe.pipeline.train.job import train_locally

if TYPE_CHECKING:
    from serve.settings import ServeSettings

MODEL = "small"
METHOD = "sparse_directions"
STEPS = 400
EDITED, EDITS, STRENGTHS = "000002", ("Black_Hair=2", "Pale_Skin=2"), 7
ASKED = demo_serve.Question(face="000035", wanted="Eyeglasses", weight=30.0, hits=12, edits={"Black_Hair": 2.0})
"""Of the first 40 faces without glasses, the one whose hits most often have them and are like it otherwise (sex, hair
and its colour, skin, hat), with the least weight for which that is so of most faces. The edits: by eye."""
MADE = ("faces", "codes", "model", "index", "reconstructions.png", "edits.png", "found.png", "edited.png")


def demo_command(
    out: Annotated[str, typer.Option(help="Where everything goes; an earlier demo there is replaced.")] = "demo-out",
    count: Annotated[int, typer.Option(min=100, help="Made-up faces.")] = 2000,
    local: Annotated[bool, typer.Option("--local", help="In this process, without Ray.")] = False,
    serve: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Ask over HTTP; on a terminal, show the page until Ctrl-C.")
    ] = True,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port to listen at; else 8000, or another one if that is taken."),
    ] = None,
) -> None:
    """Draw made-up faces, encode them, fit attribute directions, edit and index them; serve them, and ask."""
    if serve:
        demo_serve.check_can_serve(port)
    # Others' clusters neither have these files nor should serve them.
    os.environ.pop("RAY_ADDRESS", None)
    try:
        _replace_earlier(out)
        _run(out, count, local=local, serve=serve, port=port)
    except KeyboardInterrupt:
        say("stopped; the next demo begins anew")
        raise typer.Exit(1) from None


def _run(out: str, count: int, *, local: bool, serve: bool, port: int | None) -> None:
    at, clock = partial(storage.join, out), _Clock()
    settings = demo_serve.settings_for(at("index"), at("model")) if serve else None
    if settings and not local:
        demo_serve.prepare_ray(settings)
    with clock.part("faces"):
        _draw_faces(at("faces"), count)
    with clock.part("codes"):
        _encode(at("faces"), at("codes"), local=local)
    with clock.part("directions"):
        _fit_directions(at("codes"), at("model"))
    with clock.part("pictures"):
        storage.write_bytes(at("reconstructions.png"), reconstruct(at("codes"), MODEL, count=36, columns=12))
        storage.write_bytes(at("edits.png"), _strips(at("codes"), at("model")))
    with clock.part("index"):
        _build_index(at("codes"), at("index"), at("model"))
    if settings is None:
        with clock.part("search"):
            storage.write_bytes(at("found.png"), _search(at("index"), at("model")))
        typer.echo(_told(out, clock, serve=False))
    else:
        _serve(settings, out, clock, local=local, port=port)


def _serve(settings: ServeSettings, out: str, clock: _Clock, *, local: bool, port: int | None) -> None:
    from raypipe.client import Client

    with ExitStack() as server:
        with clock.part("server"), waiting("the server starts"):
            url = server.enter_context(demo_serve.serving(settings, port, local=local))
        with clock.part("questions"), Client(url) as client:
            storage.write_bytes(storage.join(out, "found.png"), demo_serve.found_sheet(client, ASKED))
            storage.write_bytes(storage.join(out, "edited.png"), demo_serve.edited_sheet(client, ASKED))
        typer.echo(_told(out, clock, serve=True))
        if sys.stdin.isatty() and sys.stdout.isatty():
            with suppress(KeyboardInterrupt):
                typer.echo(f"\nthe web page: {url}/\nthis search in it: {ASKED.page(url)}\nCtrl-C ends it")
                until_told_to_end()
        with waiting("the server ends"):
            server.close()


def _draw_faces(faces: str, count: int) -> None:
    with (line := ProgressLine("faces")):
        say(in_words(make_faces(SynthConfig(out=faces, count=count, size=64), line.update)))


def _encode(faces: str, codes: str, *, local: bool) -> None:
    config = EncodeConfig(source=faces, out=codes, model=MODEL, commit_rows=128)
    if not local:
        say("Ray starts")
    with _in_one_piece():
        runner = runner_for(EncodeJob(encode=config, local=local))
    with (line := ProgressLine("codes")):
        summary = encode(
            config,
            runner,
            restart=False,
            retry=frozenset(),
            say=say,
            watch=lambda record: line.update(record.done, record.rows),
        )
    say(summary.in_words())


def _fit_directions(codes: str, model: str) -> None:
    config = TrainConfig(recipe=METHOD, out=model, data=DataConfig(uri=codes), models=(MODEL,), evaluate_every=100)
    recipe = read_config(catalog.recipe_module(METHOD).Config, {"steps": STEPS})
    job = TrainJob(config=config, recipe=recipe)
    with (line := ProgressLine("directions")):
        outcome = train_locally(
            job,
            device=torch.device("cpu"),
            restart=False,
            say=say,
            watch=lambda seen: line.update(seen.step, seen.steps),
        )
    if outcome.is_told:
        raise KeyboardInterrupt


def _strips(codes: str, model: str) -> bytes:
    wanted = EditConfig(source=codes, image_id=EDITED, edits=EDITS, model=model, method=METHOD, strip=STRENGTHS)
    return edit(wanted, "cpu")


def _build_index(codes: str, index: str, model: str) -> None:
    job = build_job(IndexConfig(codes=(codes,), out=index, model=model))
    with (line := ProgressLine("index")):
        run_job(job, RunLocally(), say=say, watch=lambda record: line.update(record.done, record.rows))


def _search(index: str, model: str) -> bytes:
    """The sheet of ``ASKED``, without a server."""
    searcher = open_searcher(index, model)
    wanted = ASKED.wanted
    query = SearchQuery(face=FromIndex(ASKED.face), adjust={wanted: 1.0}, prefer={wanted: ASKED.weight}, k=ASKED.hits)
    return result_sheet(searcher, searcher.search(query), [wanted])


@contextmanager
def _in_one_piece() -> Iterator[None]:
    """Ctrl-C waits until the end of this block: a Ray that has half begun ends with a segmentation fault."""
    told: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: told.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if told:
        raise KeyboardInterrupt


class _Clock:
    """How long each part took."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._seconds[name] = time.monotonic() - started

    def in_words(self) -> str:
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self._seconds.items())
        return f"done in {sum(self._seconds.values()):.0f} s: {parts}"


def _told(out: str, clock: _Clock, *, serve: bool) -> str:
    """What is there now, and what can be done with it."""
    served = " (over HTTP)" if serve else ""
    pictures = {
        "reconstructions.png": "originals, each row over its reconstructions",
        "edits.png": "a face, what is made of its code, and growing edits; the last row: all at once",
        "found.png": f"faces like {ASKED.face}, but with {ASKED.wanted}, which matters {ASKED.weight:g} times{served}",
    }
    if serve:
        pictures["edited.png"] = f"{ASKED.face} with {' and '.join(ASKED.edits)}{served}"
    width = max(len(storage.join(out, name)) for name in pictures)
    shown = [f"  {storage.join(out, name):{width}}  {what}" for name, what in pictures.items()]
    codes, model, index = (storage.join(out, name) for name in ("codes", "model", "index"))
    changed = ASKED.wanted
    tries = [
        f"info {codes}",
        f"edit {codes} --id {EDITED} --model {model} --set Male=1 --out edited.png",
        f"search {index} --model {model} --id {ASKED.face} --adjust {changed}=1 --prefer {changed}={ASKED.weight:g}",
        f"serve {index} --model {model}",
    ]
    commands = [f"  {_program()} {command}" for command in tries]
    return "\n".join(["", "pictures:", *shown, "try:", *commands, clock.in_words()])


def _program() -> str:
    """As it can be typed here."""
    beside = Path(sys.executable).with_name("raypipe")
    return os.path.relpath(beside) if beside.exists() and shutil.which("raypipe") is None else "raypipe"


def _replace_earlier(out: str) -> None:
    """Raise WrongUsage where ``out`` holds anything that a demo does not make."""
    fs, path = storage.filesystem(out)
    there = (
        {str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False)} if fs.isdir(path) else set()
    )
    if others := sorted(there - set(MADE)):
        raise WrongUsage(f"{out!r} holds other things than a demo: {', '.join(others[:3])}")
    for name in there:
        storage.remove(storage.join(out, name), recursive=True)
