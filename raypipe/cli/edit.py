"""``raypipe edit``."""

from __future__ import annotations

from typing import Annotated

import typer

from raypipe import storage
from raypipe.config import read_config
from raypipe.errors import WrongUsage
from raypipe.pipeline.edit import EditConfig, edit
from raypipe.pipeline.encode.face_model import pick_device


def edit_command(
    source: Annotated[str, typer.Argument(help="A picture, or an encoded dataset with --id.")],
    out: Annotated[str, typer.Option(help="The picture: FILE.png.")],
    edits: Annotated[
        list[str],
        typer.Option("--set", help="ATTRIBUTE=STRENGTH, several times; 1 is half of the range of all faces."),
    ],
    image_id: Annotated[str, typer.Option("--id", help="The row of the dataset.")] = "",
    model: Annotated[str, typer.Option(help="A model with directions or another method that edits.")] = "small",
    method: Annotated[str, typer.Option(help="The method; may be left out where the model has only one.")] = "",
    strip: Annotated[
        int, typer.Option(min=0, max=64, help="Draw so many strengths from 0 to the whole edit beside the original.")
    ] = 0,
    align: Annotated[str, typer.Option(help="none, center, celeba or ffhq: how the face is cut out.")] = "center",
) -> None:
    """Change attributes of a face; the order of the edits does not matter."""
    if not out.endswith(".png"):
        raise WrongUsage(f"--out {out!r} must end in .png")
    tree = {
        "source": source,
        "edits": edits,
        "image_id": image_id,
        "model": model,
        "method": method,
        "strip": strip,
        "face": {"align": align},
    }
    storage.write_bytes(out, edit(read_config(EditConfig, tree), pick_device(False)))
    typer.echo(f"{out}: {', '.join(edits)}")
