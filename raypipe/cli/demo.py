"""``raypipe demo``: the whole way on made-up faces, with the shipped model."""

from __future__ import annotations

import time
from typing import Annotated

import torch
import typer

from raypipe import catalog, storage
from raypipe.cli.console import ProgressLine, say
from raypipe.cli.encode import EncodeJob, run
from raypipe.config import read_config
from raypipe.errors import WrongUsage
from raypipe.pipeline.edit import EditConfig, edit
from raypipe.pipeline.encode.config import EncodeConfig
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

MODEL = "small"
METHOD = "sparse_directions"
STEPS = 400
EDITS = ("Blond_Hair=3", "Pale_Skin=-2")
STRENGTHS = 7
MADE = ("faces", "codes", "model", "reconstructions.png", "edits.png", "index", "found.png")
EDITED, ASKED_WITH = "000003", "000011"
WANTED = "Eyeglasses"
"""Which the face that is asked with does not have."""


def demo_command(
    out: Annotated[str, typer.Option(help="Where everything goes; an earlier demo there is replaced.")] = "demo-out",
    count: Annotated[int, typer.Option(min=24, help="Made-up faces.")] = 1000,
    local: Annotated[bool, typer.Option("--local", help="In this process, without Ray.")] = False,
) -> None:
    """Draw made-up faces, encode them on Ray, fit attribute directions to the codes; edit a face, and search by one."""
    started = time.monotonic()
    faces, codes, model, sheet, strip, index, found = (storage.join(out, name) for name in MADE)
    _replace_earlier(out)
    synth = SynthConfig(out=faces, count=count, size=64)
    with (line := ProgressLine("synth")):
        say(in_words(make_faces(synth, line.update)))
    code = run(EncodeJob(encode=EncodeConfig(source=faces, out=codes, model=MODEL, commit_rows=128), local=local))
    if code:
        raise typer.Exit(code)
    storage.write_bytes(sheet, reconstruct(codes, MODEL, count=36, columns=12))
    _fit_directions(codes, model)
    wanted = EditConfig(source=codes, image_id=EDITED, edits=EDITS, model=model, method=METHOD, strip=STRENGTHS)
    storage.write_bytes(strip, edit(wanted, "cpu"))
    _build_index(codes, index, model)
    storage.write_bytes(found, _search(index, model))
    typer.echo(
        f"\n{sheet}: originals, each row over its reconstructions\n"
        f"{strip}: a face, what is made of its code, and growing edits; the last row: all at once\n"
        f"{codes}: the codes; try: raypipe info {codes}\n"
        f"{model}: the model with the directions; try: raypipe edit {codes} --id {EDITED} --model {model} "
        f"--set Male=1 --out edited.png\n"
        f"{found}: faces like {ASKED_WITH}, but with {WANTED}, which matters 100 times; try:\n"
        f"  raypipe search {index} --id {ASKED_WITH} --model {model} --adjust {WANTED}=1 --prefer {WANTED}=100\n"
        f"done in {time.monotonic() - started:,.0f} s"
    )


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

    if not outcome.is_done:
        raise typer.Exit(1)


def _build_index(codes: str, index: str, model: str) -> None:
    job = build_job(IndexConfig(codes=(codes,), out=index, model=model))
    with (line := ProgressLine("index")):
        run_job(job, RunLocally(), say=say, watch=lambda record: line.update(record.done, record.rows))


def _search(index: str, model: str) -> bytes:
    """The sheet of faces like one, but."""
    searcher = open_searcher(index, model)
    query = SearchQuery(face=FromIndex(ASKED_WITH), adjust={WANTED: 1.0}, prefer={WANTED: 100.0}, k=12)
    return result_sheet(searcher, searcher.search(query), [WANTED])


def _replace_earlier(out: str) -> None:
    """Raise WrongUsage where ``out`` holds anything that a demo does not make."""
    made = set(MADE)
    fs, path = storage.filesystem(out)
    there = (
        {str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False)} if fs.isdir(path) else set()
    )
    if there - made:
        raise WrongUsage(f"{out!r} holds other things than a demo: {', '.join(sorted(there - made)[:3])}")
    for name in there:
        storage.remove(storage.join(out, name), recursive=True)
