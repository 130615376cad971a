"""``raypipe demo``: the whole way on made-up faces, with the shipped model."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from raypipe import storage
from raypipe.cli.console import ProgressLine, say
from raypipe.cli.encode import EncodeJob, run
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.reconstruct import reconstruct
from raypipe.pipeline.synth import SynthConfig, in_words, make_faces

MODEL = "small"


def demo_command(
    out: Annotated[str, typer.Option(help="Where everything goes; an earlier demo there is replaced.")] = "demo-out",
    count: Annotated[int, typer.Option(min=24, help="Made-up faces.")] = 600,
    local: Annotated[bool, typer.Option("--local", help="In this process, without Ray.")] = False,
) -> None:
    """Draw made-up faces, encode them on Ray, and show originals over reconstructions."""
    started = time.monotonic()
    faces, codes, sheet = (storage.join(out, name) for name in ("faces", "codes", "reconstructions.png"))
    _replace_earlier(out)
    synth = SynthConfig(out=faces, count=count, size=64, correlated=True)
    with (line := ProgressLine("synth")):
        say(in_words(make_faces(synth, line.update)))
    code = run(EncodeJob(encode=EncodeConfig(source=faces, out=codes, model=MODEL, commit_rows=128), local=local))
    if code:
        raise typer.Exit(code)
    storage.write_bytes(sheet, reconstruct(codes, MODEL, count=36, columns=12))
    typer.echo(
        f"\n{sheet}: originals, each row over its reconstructions\n"
        f"{codes}: the codes; try: raypipe info {codes}\n"
        f"done in {time.monotonic() - started:,.0f} s"
    )


def _replace_earlier(out: str) -> None:
    """Raise WrongUsage where ``out`` holds anything that a demo does not make."""
    made = {"faces", "codes", "reconstructions.png"}
    fs, path = storage.filesystem(out)
    there = (
        {str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False)} if fs.isdir(path) else set()
    )
    if there - made:
        raise WrongUsage(f"{out!r} holds other things than a demo: {', '.join(sorted(there - made)[:3])}")
    for name in there:
        storage.remove(storage.join(out, name), recursive=True)
