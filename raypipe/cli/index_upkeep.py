"""``raypipe index delete``, ``compact``, ``verify`` and ``info``."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from raypipe import storage
from raypipe.cli.console import say
from raypipe.errors import WrongUsage
from raypipe.pipeline.index.changes import compact, delete
from raypipe.pipeline.index.config import ROWS_PER_SHARD
from raypipe.pipeline.index.info import index_info
from raypipe.retrieval.verify import verify

Index = Annotated[str, typer.Argument(metavar="INDEX", help="The index: a folder or any fsspec URI.")]
AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")]


def add_to(app: typer.Typer) -> None:
    """The commands become part of the group."""
    app.command("delete")(delete_command)
    app.command("compact")(compact_command)
    app.command("verify")(verify_command)
    app.command("info")(info_command)


def delete_command(
    index: Index,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which faces.")] = None,
    ids_file: Annotated[str, typer.Option("--ids", help="A file or URI of ids, one a line.")] = "",
    as_json: AsJson = False,
) -> None:
    """No answer has these faces from now on. What is stored of them goes with: raypipe index compact --codes."""
    if bool(ids) == bool(ids_file):
        raise WrongUsage("give ids, or a file of them with --ids")
    result = delete(index, ids or _lines(ids_file), say)
    typer.echo(json.dumps(result.to_json(), indent=2) if as_json else result.in_words())


def compact_command(
    index: Index,
    codes: Annotated[
        bool, typer.Option("--codes", help="Also wipe deleted faces from the Parquet codes that the index is made of.")
    ] = False,
    rows_per_shard: Annotated[int, typer.Option(min=1, help="At most.")] = ROWS_PER_SHARD,
    as_json: AsJson = False,
) -> None:
    """Write what is left into full shards; deleted faces and older versions are physically gone afterwards.

    Run the same command again after a crash: it finishes what was begun.
    """
    result = compact(index, rows_per_shard=rows_per_shard, with_codes=codes, say=say)
    typer.echo(json.dumps(result.to_json(), indent=2) if as_json else result.in_words())


def verify_command(
    index: Index,
    queries: Annotated[int, typer.Option(min=0, help="Of each shard, rows to search for and compare in full.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Check every file's hash, every count, and some answers against the plain computation. Exit code 1: problems."""
    found = verify(index, queries=queries)
    info = index_info(index)
    if as_json:
        typer.echo(json.dumps({"index": index, "version": info.version, **dataclasses.asdict(found)}, indent=2))
    else:
        whole = f"{index}: version {info.version} is whole, {info.checked_words(queries)}"
        told = [
            f"{space}: a factory's index finds {recall:.1%} of the true hits" for space, recall in found.recalls.items()
        ]
        typer.echo("\n".join([*(found.problems or [whole]), *told]))
    raise typer.Exit(1 if found.problems else 0)


def info_command(index: Index, as_json: AsJson = False) -> None:
    """Say what an index holds: faces, shards, spaces and what they are bound to, bytes, memory, versions, sources."""
    info = index_info(index)
    typer.echo(json.dumps(info.to_json(), indent=2) if as_json else info.in_words())


def _lines(uri: str) -> list[str]:
    try:
        text = storage.read_bytes(uri).decode()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise WrongUsage(f"no file of ids at {uri!r}") from error
    except UnicodeDecodeError as error:
        raise WrongUsage(f"{uri!r} is not a text file of ids, one a line: {error}") from error
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise WrongUsage(f"{uri!r} has no ids")
    return found
