"""``raypipe info`` and ``raypipe methods``."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Annotated

import typer

from raypipe.catalog import method_module, method_names, recipe_module, recipe_names
from raypipe.pipeline.info import describe


def info_command(
    uri: Annotated[
        str, typer.Argument(help="A dataset, an index, a model (also a shipped one's name) or a source of images.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what a file, dataset or model is: rows by status with examples, parts, hashes."""
    words, tree = describe(uri)
    typer.echo(json.dumps(tree, indent=2) if as_json else words)


def methods_command(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the installed methods, and the recipes that raypipe train knows."""
    methods = {name: _first_line(method_module(name)) for name in method_names()}
    recipes = {name: _first_line(recipe_module(name)) for name in recipe_names()}
    if as_json:
        typer.echo(json.dumps({"methods": methods, "recipes": recipes}, indent=2))
        return
    for title, about in (("methods", methods), ("recipes", recipes)):
        typer.echo(f"{title}:")
        typer.echo("\n".join(f"  {name}: {line}" for name, line in about.items()) or "  none")


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().split("\n")[0]
