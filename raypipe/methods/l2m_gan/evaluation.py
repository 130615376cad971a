"""The evaluation of paper 4: tables 1 and 3 for this model and for others beside it, and on made-up faces what moved
that should not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from raypipe.backbones.attributes import load_attributes
from raypipe.backbones.identity import load_identity
from raypipe.config import Range, check_ranges
from raypipe.contract import Faces, Rival
from raypipe.errors import WrongUsage
from raypipe.methods.l2m_gan.evaluation_edits import Judges, measure_edits, reconstruction_of, system_of, unedited
from raypipe.methods.l2m_gan.evaluation_made_up import measure_on_made_up
from raypipe.methods.l2m_gan.evaluation_report import OURS, UNEDITED, Results, report_of
from raypipe.methods.l2m_gan.evaluation_sheets import sheets, strips
from raypipe.methods.l2m_gan.method import OPTIONAL_PARTS, PARTS, load
from raypipe.report import Report
from raypipe.weights import Part

EVALUATION_NEEDS = ("image", "labels")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How much is looked at.

    Attributes:
        least_faces: an attribute is edited if so many training faces and so many test faces have it, and lack it.
        made_up: faces whose exact edits are known; 0: none.
        readout: made-up faces that a linear readout of factors is fitted to, half of them to try it on.
        shown: faces of the sheets.
    """

    least_faces: int = 100
    made_up: int = 500
    readout: int = 6_000
    shown: int = 8

    def __post_init__(self) -> None:
        ranges = {"least_faces": Range(least=2), "made_up": Range(least=0), "readout": Range(least=100)}
        check_ranges(self, ranges | {"shown": Range(least=1)})


def evaluate_beside(
    config: EvaluationConfig,
    faces: Faces,
    parts: Mapping[str, Part],
    rivals: Mapping[str, Rival],
    device: torch.device,
) -> Report:
    """Edit ``faces.test``, each to what it is not, and compare with ``faces.train``.

    Args:
        parts: the judges are the attribute network, which also tells our method which domain a face is of, and, where
            there is one, the identity network of the models.

    Raises:
        WrongUsage: no L2M-GAN or attribute network among the models, no attribute with enough faces, or a rival of one
            of our names.
    """
    if missing := [name for name in PARTS if name not in parts]:
        raise WrongUsage(f"no {', '.join(missing)} among the models: train one first, raypipe train l2m_gan")
    if taken := sorted({OURS, UNEDITED} & set(rivals)):
        raise WrongUsage(f"a rival cannot be named {taken[0]!r}")
    with torch.no_grad():
        return report_of(measure(config, faces, parts, rivals, device))


def measure(
    config: EvaluationConfig,
    faces: Faces,
    parts: Mapping[str, Part],
    rivals: Mapping[str, Rival],
    device: torch.device,
) -> Results:
    """Everything that the report is made of."""
    method = load({name: part for name, part in parts.items() if name in (*PARTS, *OPTIONAL_PARTS)}, device)
    judge = load_attributes(parts["attributes"], device)
    identity = load_identity(parts["identity"], device) if "identity" in parts else None
    judges = Judges(judge, identity, device)
    systems = {UNEDITED: unedited(method.attributes), OURS: system_of(method, device), **rivals}
    edited = [name for name in method.attributes if name in faces.attributes]
    edits = {
        name: measure_edits(name, systems, faces, judges)
        for name in edited
        if faces_of_both_kinds(faces, name) >= config.least_faces
    }
    if not edits:
        raise WrongUsage(
            f"of {', '.join(method.attributes)} the data has none with {config.least_faces} training and test faces "
            f"that have it, and as many that lack it"
        )
    made_up = {
        name: found
        for name in edits
        if config.made_up
        and (found := measure_on_made_up(name, systems, judge, config.made_up, config.readout, method.size)) is not None
    }
    return Results(
        edits=edits,
        made_up=made_up,
        reconstruction=reconstruction_of(method, faces, device),
        sheets=sheets(tuple(edits), systems, faces, judges, count=config.shown),
        strips=strips(method, tuple(edits), faces, device),
    )


def faces_of_both_kinds(faces: Faces, name: str) -> int:
    """The fewest faces that have an attribute or lack it, of training and test faces."""
    place = faces.attributes.index(name)
    counts = []
    for rows in (faces.train, faces.test):
        having = int(rows["labels"][:, place].sum())
        counts += [having, len(rows["labels"]) - having]
    return min(counts)
