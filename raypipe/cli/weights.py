"""``raypipe weights``."""

from __future__ import annotations

import json
import math
from typing import Annotated

import typer

from raypipe.errors import WrongUsage
from raypipe.pipeline.directions import export_directions, import_directions
from raypipe.pipeline.import_weights import import_weights

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _group() -> None:
    """Weights of other projects."""


@app.command("import")
def import_command(
    file: Annotated[str, typer.Argument(help="A weights file (.pt, .pth, .pkl), path or URI.")],
    out: Annotated[str, typer.Option(help="The bundle to write: a folder, or any fsspec URI.")],
    heads: Annotated[
        str | None, typer.Option(help="The linear heads of LPIPS (alex.pth, vgg.pth), where FILE is the trunk.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")] = False,
) -> None:
    """Make a bundle of foreign weights. Nothing in the file is executed; one that asks for it is refused.

    Reads StyleGAN2 of rosinality (.pt) and of NVlabs (.pkl, PyTorch and TensorFlow), pSp and e4e checkpoints,
    identity networks (model_ir_se50.pth, MobileFaceNet, FaceNet's 20180402-114759-vggface2.pt), and LPIPS:
    torchvision's AlexNet or VGG-16 with --heads.
    """
    imported = import_weights(file, out, heads=heads)
    bundle, found = imported.bundle, imported.found
    if as_json:
        parts = {name: {"kind": info.kind, **info.config} for name, info in bundle.parts.items()}
        told = {"out": out, "fingerprint": bundle.fingerprint, **bundle.provenance, "parts": parts}
        typer.echo(json.dumps(told, indent=2))
        return
    typer.echo(f"{file}: {found.format}, sha256 {imported.sha256[:12]}")
    for name, part in found.parts.items():
        count = sum(math.prod(tensor.shape) for tensor in part.tensors.values())
        typer.echo(f"  {name}: {part.kind}, {len(part.tensors)} tensors, {count:,} numbers")
    for remark in found.remarks:
        typer.echo(f"  note: {remark}")
    typer.echo(f"written to {out}")


@app.command("import-directions")
def import_directions_command(
    files: Annotated[list[str], typer.Argument(metavar="ATTRIBUTE=FILE...", help="smile=smile.npy pose=pose.pt ...")],
    model: Annotated[str, typer.Option(help="The model whose codes they are directions of.")],
    out: Annotated[str, typer.Option(help="The bundle to write: the model and the directions.")],
) -> None:
    """Add attribute directions of other projects to a model: InterFaceGAN's .npy, e4e's .pt.

    Several of them are replaced by the nearest orthogonal set, as in training.
    """
    pairs = [text.partition("=") for text in files]
    if wrong := [text for text, (name, _, file) in zip(files, pairs, strict=True) if not (name and file)]:
        raise WrongUsage(f"{wrong[0]!r} is not of the form attribute=file")
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise WrongUsage("an attribute is given twice")
    import_directions({name: file for name, _, file in pairs}, model, out)
    typer.echo(f"{out}: directions of {', '.join(name for name, _, _ in pairs)}")


@app.command("export-directions")
def export_directions_command(
    model: Annotated[str, typer.Argument(help="A model with directions.")],
    out: Annotated[str, typer.Option(help="The folder or URI for a file an attribute.")],
    form: Annotated[str, typer.Option("--format", help="npy or pt.")] = "npy",
) -> None:
    """Write a model's directions as files that other projects read: what an edit of strength 1 adds to a code."""
    typer.echo("\n".join(export_directions(model, out, form)))
