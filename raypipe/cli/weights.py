"""``raypipe weights``."""

from __future__ import annotations

import json
import math
from typing import Annotated

import typer

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
