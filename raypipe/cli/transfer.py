"""``raypipe transfer``."""

from __future__ import annotations

from typing import Annotated

import typer

from raypipe import storage
from raypipe.config import read_config
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.face_model import pick_device
from raypipe.pipeline.transfer import TransferConfig, transfer


def transfer_command(
    source: Annotated[str, typer.Argument(help="A picture, or an encoded dataset with --id.")],
    out: Annotated[str, typer.Option(help="The picture: FILE.png.")],
    like: Annotated[
        list[str], typer.Option(help="FEATURE=FILE, or FEATURE=id:ID for a row of the dataset; several times.")
    ],
    strength: Annotated[
        list[str] | None,
        typer.Option(help="FEATURE=NUMBER: 1 is the other face's, 0 its own; above 1 exaggerates."),
    ] = None,
    image_id: Annotated[str, typer.Option("--id", help="The row of the dataset.")] = "",
    model: Annotated[str, typer.Option(help="A model with a method that transfers features.")] = "small",
    method: Annotated[str, typer.Option(help="The method; may be left out where the model has only one.")] = "",
    strip: Annotated[
        int, typer.Option(min=0, max=64, help="Draw so many strengths from 0, between the face and the other one.")
    ] = 0,
    align: Annotated[str, typer.Option(help="none, center, celeba or ffhq: how faces are cut out.")] = "center",
) -> None:
    """Give a face the eyes, nose, mouth, hair or pose of other faces; what is not named stays."""
    if not out.endswith(".png"):
        raise WrongUsage(f"--out {out!r} must end in .png")
    tree = {
        "source": source,
        "like": like,
        "strengths": strength or [],
        "image_id": image_id,
        "model": model,
        "method": method,
        "strip": strip,
        "face": {"align": align},
    }
    storage.write_bytes(out, transfer(read_config(TransferConfig, tree), pick_device(False)))
    typer.echo(f"{out}: {', '.join(like)}")
