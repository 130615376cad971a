"""The command line: parse, call, print. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 too many rows rejected."""

from __future__ import annotations

import sys

from raypipe import storage
from raypipe.cli.interrupts import repeating_ignored_interrupts
from raypipe.cli.lazy import LazyCommand, LazyGroup
from raypipe.errors import RaypipeError, WrongUsage

app = LazyGroup(
    name="raypipe",
    help="Search and edit face-image collections by attribute, at dataset scale, on Ray.",
    no_args_is_help=True,
    commands=[
        LazyCommand("submit", "raypipe.cli.submit:app", "Run a raypipe command as a job on a Ray cluster."),
        LazyCommand("demo", "raypipe.cli.demo:demo_command", "Draw made-up faces, encode them, show the result."),
        LazyCommand("encode", "raypipe.cli.encode:encode_command", "Images to latent codes in Parquet."),
        LazyCommand("train", "raypipe.cli.train:train_command", "Train a network, or fit attribute directions."),
        LazyCommand("index", "raypipe.cli.index:app", "Codes to an index that answers searches, and its upkeep."),
        LazyCommand("search", "raypipe.cli.search:search_command", "Faces like one, but: exact for any preference."),
        LazyCommand("serve", "raypipe.cli.serve:serve_command", "Search and edits over HTTP, with a web page."),
        LazyCommand("edit", "raypipe.cli.edit:edit_command", "Change attributes of a face."),
        LazyCommand("transfer", "raypipe.cli.transfer:transfer_command", "Eyes, hair or pose of another face."),
        LazyCommand("translate", "raypipe.cli.translate:translate_command", "A face as a member of another domain."),
        LazyCommand(
            "evaluate", "raypipe.cli.evaluate:evaluate_command", "A paper's tables on your faces, and what holds."
        ),
        LazyCommand("synth", "raypipe.cli.synth:synth_command", "Made-up faces with exact ground truth."),
        LazyCommand("generate", "raypipe.cli.generate:generate_command", "Pictures from a model's generator."),
        LazyCommand("info", "raypipe.cli.info:info_command", "What a file, dataset or model is."),
        LazyCommand("methods", "raypipe.cli.info:methods_command", "The installed methods."),
        LazyCommand("reconstruct", "raypipe.cli.reconstruct:reconstruct_command", "Originals over reconstructions."),
        LazyCommand("weights", "raypipe.cli.weights:app", "Weights of other projects."),
    ],
)


def main() -> None:
    """Run the command line; the package's own errors and the storage's become one message and an exit code."""
    try:
        with repeating_ignored_interrupts():
            app()
    except RaypipeError as error:
        print(f"raypipe: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, WrongUsage) else 1)
    except storage.errors() as error:  # no permission, no space, no credentials, a file where a folder should be
        print(f"raypipe: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
