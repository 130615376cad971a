"""What the small model is and is not, for people who find its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def model_card(record: Mapping[str, Any]) -> str:
    """The bundle's README, from its ``run.json``."""
    measured = record["measured"]
    return "\n".join(
        [
            "# The small model",
            "",
            "A StyleGAN2 generator (64 px), an inversion encoder, an attribute network, an identity network and sparse",
            "orthogonal attribute directions, small enough for a laptop without a GPU. They are here so that every",
            "command works out of the box. All were trained on nothing but the made-up faces of `raypipe.synthfaces`;",
            "no photograph was used. Photographs of faces come back as the drawn face that is nearest. Do not judge",
            "the methods by it.",
            "",
            *_beginning(record),
            f"On {measured['faces']:,} made-up faces that it was not trained with:",
            "",
            f"- generator: Fréchet distance {measured['fid_attributes']} by the features of its own attribute network",
            "  (not comparable with FID by Inception features)",
            f"- reconstruction: PSNR {measured['psnr_db']} dB, mean absolute error {measured['l1']} of the value range",
            f"- attribute network: mean balanced accuracy {measured['attribute_accuracy']}",
            f"- identity network: area under the ROC curve of same and different persons {measured['identity_auc']}",
            "",
            "| recipe | steps | batch | device |",
            "|---|---|---|---|",
            *(
                _run(name, run)
                for each in _chain(record)
                for name, run in each["runs"].items()
                if _counts(name, each, record)
            ),
            "",
            "Edits of strength 1, judged by the attribute network: of the faces without the attribute, the share that",
            "has it afterwards, and the share of the other attributes that changed.",
            "",
            "| attribute | reached | others changed |",
            "|---|---|---|",
            *(f"| {name} | {e['reached']:.0%} | {e['others_changed']:.0%} |" for name, e in measured["edits"].items()),
            "",
            "Settings, seeds and versions are in `run.json`. `make weights` trains another one.",
            "",
        ]
    )


def _chain(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The records of the models that this one went further from, oldest first, and its own."""
    before = record.get("before")
    return [*(_chain(before) if before else []), record]


def _counts(name: str, each: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Directions are fitted anew each time: only the last ones are in the model."""
    return name != "sparse_directions" or each is record


def _beginning(record: Mapping[str, Any]) -> list[str]:
    if "stylegan2" in _chain(record)[0]["runs"]:
        return []
    return [
        "Its generator and encoder did not begin from nothing: they were an autoencoder at first, trained on a CPU for",
        "25 minutes (`python -m raypipe.pipeline.train_standin`). Then they went further by the recipes below, in this",
        "order, with a discriminator that began anew: what a CPU allows in hours, far less than such networks want.",
        "",
    ]


def _run(name: str, run: Mapping[str, Any]) -> str:
    recipe, device = run["recipe"], run["device"]
    batch = recipe["batch"] or "all rows"
    return f"| {name} | {run['step']:,} | {batch} | {run['workers']} x {device} |"
