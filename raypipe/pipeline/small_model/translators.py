"""A trained L2M-GAN as a shipped model: its networks in half precision beside the small model's parts, with a card.

    raypipe train attributes --data synthfaces --size 64 --attributes Smiling,Male,Eyeglasses,Mouth_Slightly_Open \
        --set run.seed=1 --set batch=16 --set steps=8000 --set "widths=[16,32,64,64]" --out JUDGE
    python -m raypipe.pipeline.small_model.translators RUN [RUN ...] --judge JUDGE --out raypipe/models/l2m_smiling

``RUN``: outputs of ``raypipe train l2m_gan``, oldest first, each begun with the networks of the one before. The small
model's own attribute network is no judge: the L2M-GAN was trained to keep what that one sees, and it sees few smiles.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raypipe import storage
from raypipe.backbones.attributes import AttributeNet, load_attributes
from raypipe.blocks.accuracy import balanced_accuracy
from raypipe.contract import Rival
from raypipe.errors import WrongUsage
from raypipe.faces import to_signed
from raypipe.pipeline.evaluate.rivals import open_rivals
from raypipe.pipeline.loading import load_method, represent
from raypipe.pipeline.small_model.__main__ import half, told_of
from raypipe.pipeline.train.output_state import RUN
from raypipe.synthfaces import attributes, render, sample_factors
from raypipe.weights import Bundle, open_bundle, save_bundle

METHOD, BESIDE = "l2m_gan", "small"
FACES, NEVER_TRAINED_WITH, BATCH = 1_000, 88_888, 100


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m raypipe.pipeline.small_model.translators", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--judge", required=True, help="a model with an attribute network that was trained apart")
    parser.add_argument("--out", required=True, help="folder of the bundle; its name is the model's")
    parser.add_argument("--faces", type=int, default=FACES, help="made-up faces that it is measured on")
    options = parser.parse_args(arguments)
    trained, name = open_bundle(options.runs[-1]), options.out.rstrip("/").rpartition("/")[2]
    provenance = {"data": "raypipe.synthfaces", "run": RUN}
    parts = {METHOD: half(trained.read(METHOD))}
    bundle = save_bundle(options.out, name, parts, provenance, shipped=BESIDE)
    judge = load_attributes(open_bundle(options.judge).read("attributes"), "cpu")
    record = {
        "measured": measure(bundle, judge, faces=options.faces),
        "runs": [_record_of(run) for run in options.runs],
    }
    storage.write_bytes(storage.join(bundle.uri, RUN), json.dumps(record, indent=2).encode())
    storage.write_bytes(storage.join(bundle.uri, "README.md"), card(name, record).encode())
    print(f"{options.out}: {bundle.size((METHOD,)) / 2**20:.1f} MiB beside {BESIDE}'s")


def _record_of(run: str) -> dict[str, Any]:
    config = json.loads(storage.read_bytes(storage.join(run, RUN)))["config"]
    return {"attributes": config["data"]["attributes"], **told_of(run)}


@torch.no_grad()
def measure(bundle: Bundle, network: AttributeNet, *, faces: int) -> dict[str, Any]:
    """Numbers for the card, by fresh made-up faces that ``network`` judges.

    Raises:
        WrongUsage: it does not know what the model edits.
    """
    method = load_method(METHOD, bundle, "cpu")
    if unknown := [name for name in method.attributes if name not in network.names]:
        raise WrongUsage(f"the judge must see {', '.join(unknown)}; it knows: {', '.join(network.names)}")
    factors = sample_factors(faces, NEVER_TRAINED_WITH, images_per_identity=1)
    size = int(bundle.describe(METHOD).config["size"])
    images = to_signed(torch.from_numpy(render(factors, size).images))
    truth = np.stack([attributes(factors)[name] for name in network.names], 1).astype(np.float32)
    labels = torch.from_numpy(truth)
    again = torch.cat([method.render(represent(method, {"image": some}), some) for some in _batches(images)])
    before = torch.cat([network(some) for some in _batches(images)])
    seen = balanced_accuracy(before, labels)
    (rival,) = open_rivals([f"{bundle.name}={bundle.uri}:{METHOD}"], torch.device("cpu")).values()
    edits = {}
    for name in rival.attributes:
        place = network.names.index(name)
        after = _edited(rival, images, labels[:, place], name, network)
        others = torch.arange(len(network.names)) != place
        reached = (after[:, place] > 0) != labels[:, place].bool()
        edits[name] = {
            "added": round(float(reached[labels[:, place] < 0.5].float().mean()), 3),
            "removed": round(float(reached[labels[:, place] > 0.5].float().mean()), 3),
            "others_changed": round(float(((after > 0) != (before > 0))[:, others].float().mean()), 3),
            "judge": round(float(seen[place]), 3),
        }
    return {
        "faces": faces,
        "judged": network.names,
        "reconstruction": round(float((again - images).abs().mean()), 4),
        "edits": edits,
    }


def _edited(rival: Rival, images: Tensor, has_it_N: Tensor, name: str, network: AttributeNet) -> Tensor:
    """Logits of all faces, each edited to what it is not."""
    without, with_it = (
        torch.cat([network(rival.edited(some, name, sign)) for some in _batches(images)]) for sign in (-1.0, 1.0)
    )
    return torch.where(has_it_N[:, None] > 0.5, without, with_it)


def card(name: str, record: Mapping[str, Any]) -> str:
    """The bundle's README, from its ``run.json``."""
    measured = record["measured"]
    return "\n".join(
        [
            f"# {name}",
            "",
            *_paragraph(
                f"An L2M-GAN (64 px) that changes {', '.join(measured['edits'])} of made-up faces, beside the parts of "
                f"the model `{BESIDE}`, whose files it shares. Trained on nothing but `raypipe.synthfaces`: "
                "photographs come back as drawings. This is what a CPU allows in an hour, far less than the paper's "
                "100,000 steps of wider networks."
            ),
            *_paragraph(
                f"On {measured['faces']:,} made-up faces that it was not trained with: a face drawn in its own style "
                f"differs by {measured['reconstruction']} of 2 in the mean. Every face was edited to what it is not. "
                "An attribute network judges that was trained apart; how well it sees the attribute of unedited faces "
                f"is told beside. It sees {', '.join(measured['judged'])}."
            ),
            "| attribute | added | removed | other attributes changed | accuracy of the judge |",
            "|---|---|---|---|---|",
            *(_edits(attribute, edits) for attribute, edits in measured["edits"].items()),
            "",
            "Trained by, in this order, each with the networks of the one before:",
            "",
            "| attributes | steps | of the discriminator alone | batch | device |",
            "|---|---|---|---|---|",
            *(_run(run) for run in record["runs"]),
            "",
            "Settings, seeds and versions are in `run.json`.",
            "",
        ]
    )


def _paragraph(text: str) -> list[str]:
    return [*textwrap.wrap(text, 118), ""]


def _edits(attribute: str, e: Mapping[str, float]) -> str:
    return f"| {attribute} | {e['added']:.0%} | {e['removed']:.0%} | {e['others_changed']:.1%} | {e['judge']:.0%} |"


def _run(run: Mapping[str, Any]) -> str:
    recipe = run["recipe"]
    alone = recipe.get("discriminator_steps", 0)
    of, device = ", ".join(run["attributes"]), f"{run['workers']} x {run['device']}"
    return f"| {of} | {run['step'] - alone:,} | {alone:,} | {recipe['batch']} | {device} |"


def _batches(rows: Tensor) -> tuple[Tensor, ...]:
    return torch.split(rows, BATCH)


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    main()
