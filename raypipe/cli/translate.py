"""``raypipe translate``."""

from __future__ import annotations

import warnings
from typing import Annotated

import typer

from raypipe import storage
from raypipe.config import read_config
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.face_model import pick_device
from raypipe.pipeline.translate import TranslateConfig, translate


def translate_command(
    source: Annotated[str, typer.Argument(help="A picture, or an encoded dataset with --id.")],
    out: Annotated[str, typer.Option(help="The picture: FILE.png.")],
    domain: Annotated[
        str, typer.Option("--to", help="What the face is to become; a wrong name is told what there is.")
    ],
    reference: Annotated[
        str, typer.Option(help="In the style of another face: FILE, or id:ID for a row of the dataset.")
    ] = "",
    seed: Annotated[
        int | None, typer.Option(min=0, help="In a style drawn by this number, where the method draws styles.")
    ] = None,
    image_id: Annotated[str, typer.Option("--id", help="The row of the dataset.")] = "",
    model: Annotated[str, typer.Option(help="A model with a method that translates.")] = "small",
    method: Annotated[str, typer.Option(help="The method; may be left out where the model has only one.")] = "",
    align: Annotated[str, typer.Option(help="none, center, celeba or ffhq: how faces are cut out.")] = "center",
) -> None:
    """Draw a face anew as a member of a domain: smiling, not smiling; by the label alone, or like another face."""
    if not out.endswith(".png"):
        raise WrongUsage(f"--out {out!r} must end in .png")
    tree = {
        "source": source,
        "domain": domain,
        "reference": reference,
        "seed": seed,
        "image_id": image_id,
        "model": model,
        "method": method,
        "face": {"align": align},
    }
    with warnings.catch_warnings(record=True) as noted:  # that a reference seems to be of another domain
        content = translate(read_config(TranslateConfig, tree), pick_device(False))
    for warning in noted:
        typer.echo(f"raypipe: {warning.message}", err=True)
    storage.write_bytes(out, content)
    typer.echo(f"{out}: {domain}")
