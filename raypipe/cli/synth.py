"""``raypipe synth``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from raypipe.cli.console import ProgressLine, say
from raypipe.config import as_dict
from raypipe.pipeline.synth import SynthConfig, in_words, make_faces, plan_faces


def synth_command(
    count: Annotated[int, typer.Option(help="How many faces.")],
    out: Annotated[str, typer.Option(help="A new or empty folder, or any fsspec URI.")],
    size: Annotated[int, typer.Option(help="Pixels along each side, 32 to 1024.")] = 64,
    seed: Annotated[int, typer.Option(help="Same seed, same faces.")] = 0,
    start: Annotated[int, typer.Option(help="Index of the first face: makes another part of the same set.")] = 0,
    layout: Annotated[str, typer.Option(help="folder, celeba or webdataset.")] = "folder",
    format_: Annotated[str, typer.Option("--format", help="jpg or png.")] = "jpg",
    images_per_identity: Annotated[int, typer.Option(help="Pictures of each person.")] = 4,
    correlated: Annotated[
        bool, typer.Option("--correlated", help="Attributes go together as in photographs (beards on men, ...).")
    ] = False,
    masks: Annotated[bool, typer.Option("--masks", help="Also the part maps: eyes, nose, mouth, hair, ...")] = False,
    shard_mib: Annotated[int, typer.Option(help="webdataset: size at which the next shard begins.")] = 256,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print settings and cost; write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")] = False,
) -> None:
    """Made-up faces with exact ground truth: factors, CelebA-style attributes, identities, landmarks, part maps."""
    config = SynthConfig(
        out=out,
        count=count,
        size=size,
        seed=seed,
        start=start,
        layout=layout,
        format=format_,
        images_per_identity=images_per_identity,
        correlated=correlated,
        masks=masks,
        shard_mib=shard_mib,
    )
    if dry_run:
        plan = plan_faces(config)
        settings = json.dumps({"config": as_dict(config), "plan": vars(plan)}, indent=2)
        typer.echo(settings if as_json else f"{settings}\n{plan.in_words()}")
        return
    line = ProgressLine("synth")
    try:
        with line:
            record = make_faces(config, line.update)
    except KeyboardInterrupt:
        say(f"stopped: {out} is not complete (it has no run.json); delete it and run the same command again")
        raise typer.Exit(1) from None
    typer.echo(json.dumps(record, indent=2) if as_json else in_words(record))
