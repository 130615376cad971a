"""``raypipe info`` and ``raypipe methods``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from raypipe.catalog import method_module, method_names
from raypipe.pipeline.info import describe


def info_command(
    uri: Annotated[str, typer.Argument(help="A dataset, a model (also a shipped one's name) or a source of images.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what a file, dataset or model is: rows by status with examples, parts, hashes."""
    words, tree = describe(uri)
    typer.echo(json.dumps(tree, indent=2) if as_json else words)


def methods_command(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the installed methods."""
    about = {name: (method_module(name).__doc__ or "").strip().split("\n")[0] for name in method_names()}
    if as_json:
        typer.echo(json.dumps(about, indent=2))
    else:
        typer.echo("\n".join(f"{name}: {line}" for name, line in about.items()) or "no methods are installed")
