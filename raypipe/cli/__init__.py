"""The command line: parse, call, print. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 too many rows rejected."""

from __future__ import annotations

import sys

import typer

from raypipe import storage
from raypipe.cli import demo, encode, generate, info, reconstruct, submit, synth, weights
from raypipe.errors import RaypipeError, WrongUsage

app = typer.Typer(
    name="raypipe",
    help="Search and edit face-image collections by attribute, at dataset scale, on Ray.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _root() -> None:
    pass


app.command(context_settings={"allow_interspersed_args": False})(submit.submit)
app.command("demo")(demo.demo_command)
app.command("encode")(encode.encode_command)
app.command("synth")(synth.synth_command)
app.command("generate")(generate.generate_command)
app.command("info")(info.info_command)
app.command("methods")(info.methods_command)
app.command("reconstruct")(reconstruct.reconstruct_command)
app.add_typer(weights.app, name="weights")


def main() -> None:
    """Run the command line; the package's own errors and the storage's become one message and an exit code."""
    try:
        app()
    except RaypipeError as error:
        print(f"raypipe: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, WrongUsage) else 1)
    except storage.errors() as error:  # no permission, no space, no credentials, a file where a folder should be
        print(f"raypipe: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
