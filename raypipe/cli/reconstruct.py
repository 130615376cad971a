"""``raypipe reconstruct``."""

from __future__ import annotations

from typing import Annotated

import typer

from raypipe import storage
from raypipe.errors import WrongUsage
from raypipe.pipeline.reconstruct import reconstruct


def reconstruct_command(
    dataset: Annotated[str, typer.Argument(help="An encoded dataset.")],
    out: Annotated[str, typer.Option(help="The picture: FILE.png.")],
    model: Annotated[str, typer.Option(help="The model that encoded it.")] = "small",
    count: Annotated[int, typer.Option(min=1, max=1024, help="How many faces.")] = 24,
    columns: Annotated[int, typer.Option(min=1, max=64, help="Faces a row.")] = 12,
) -> None:
    """Draw originals over what the generator makes of their codes."""
    if not out.endswith(".png"):
        raise WrongUsage(f"--out {out!r} must end in .png")
    storage.write_bytes(out, reconstruct(dataset, model, count=count, columns=columns))
    typer.echo(f"{out}: rows of originals, each over its reconstructions")
