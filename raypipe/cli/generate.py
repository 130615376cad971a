"""``raypipe generate``."""

from __future__ import annotations

from typing import Annotated

import typer

from raypipe.cli.console import ProgressLine
from raypipe.pipeline.generate import GenerateConfig, generate


def generate_command(
    model: Annotated[str, typer.Argument(help="A model: a bundle's folder or URI, or the name of a shipped one.")],
    out: Annotated[
        str, typer.Option(help="FILE.png (a grid), or FILE.npy (float32, n x 3 x h x w, exact, about -1 to 1).")
    ],
    seeds: Annotated[str | None, typer.Option(help="0-31 or 1,5,9: z = RandomState(seed).randn(1, z_dim).")] = None,
    latents: Annotated[
        str | None,
        typer.Option(help="FILE.npy of numbers: n x layers x width is w+; n x width is z, or w with --space w."),
    ] = None,
    space: Annotated[str, typer.Option(help="z or w: what --latents of n x width are.")] = "z",
    label: Annotated[int | None, typer.Option("--class", help="For a conditional model: the class's number.")] = None,
    noise: Annotated[
        str, typer.Option(help="const (the model's own maps), none, or random (of each picture's seed or row number).")
    ] = "const",
    truncation: Annotated[float, typer.Option(help="1 = none, 0 = the mean face; 0.7 is usual.")] = 1.0,
    truncation_cutoff: Annotated[
        int | None, typer.Option(help="Truncate only so many layers, from the coarsest. Default: all.")
    ] = None,
    columns: Annotated[int, typer.Option(help="Of the grid; 0 = as square as possible.")] = 0,
) -> None:
    """Pictures from a model's generator, of seeds or of latent codes."""
    config = GenerateConfig(
        model=model,
        out=out,
        seeds=seeds,
        latents=latents,
        space=space,
        label=label,
        noise=noise,
        truncation=truncation,
        truncation_cutoff=truncation_cutoff,
        columns=columns,
    )
    with ProgressLine("generate") as line:
        count = generate(config, line.update)
    typer.echo(f"{count} pictures: {out}")
