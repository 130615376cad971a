"""What the evaluation found as tables, claims and choices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from raypipe.methods.l2m_gan.evaluation_edits import Edits
from raypipe.methods.l2m_gan.evaluation_made_up import MadeUp, Moved
from raypipe.report import Cell, Claim, Report, Sheet, Table

OURS, UNEDITED, EXACT = "L2M-GAN", "as they are", "exact edits"

PAPER: Mapping[str, tuple[float, float, float]] = {
    "StarGAN v2": (19.8, 30.8, 77.2),
    "with the perceptual loss": (19.8, 25.1, 78.7),
    "and orthogonality, single": (18.9, 24.4, 88.3),
    "and orthogonality, inner": (18.3, 23.8, 92.0),
    "orthogonality L1 alone": (18.3, 23.9, 91.8),
    "L2M-GAN: both": (17.9, 23.3, 93.1),
    "InterFaceGAN, in-domain inversion": (22.8, 23.9, 92.1),
}
"""Tables 1 and 3, of Smiling: FID of adding and of removing by Inception features at 256 px, accuracy of both."""

SIMILAR = 1.1
"""FID at most so many times another's is similar."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Results:
    """Outer keys are attributes, inner ones systems.

    Attributes:
        made_up: without those that no single factor of made-up faces is the cause of.
        reconstruction: mean absolute difference, of 2, of faces and the same faces in their own style.
        sheets, strips: to look at.
    """

    edits: Mapping[str, Mapping[str, Edits]]
    made_up: Mapping[str, MadeUp]
    reconstruction: float
    sheets: Mapping[str, Sheet]
    strips: Tensor


def report_of(results: Results) -> Report:
    """Everything for the reader."""
    return Report(
        tables=[
            *(_edits(name, some) for name, some in results.edits.items()),
            *(_made_up(name, some) for name, some in results.made_up.items()),
        ],
        claims=[
            *(claim for name, some in results.edits.items() for claim in _edit_claims(name, some)),
            *(claim for name, some in results.made_up.items() for claim in _made_up_claims(name, some)),
        ],
        pictures={"strips": results.strips},
        sheets=results.sheets,
        choices=_choices(results),
    )


def _edits(attribute: str, systems: Mapping[str, Edits]) -> Table:
    rows: list[list[Cell]] = [
        [
            name,
            *(round(value, 2) for value in (*edits.fid, _mean(edits.fid))),
            *(round(100 * value, 1) for value in (*edits.accuracy, _mean(edits.accuracy))),
            _known(_mean(edits.identity)),
            round(100 * _mean(edits.others), 2),
        ]
        for name, edits in systems.items()
    ]
    return Table(
        title=f"{attribute} (tables 1 and 3)",
        columns=["", "FID +", "FID -", "FID", "accuracy + %", "accuracy - %", "accuracy %", "identity", "others %"],
        rows=rows,
        paper=[
            [name, adding, removing, round((adding + removing) / 2, 1), None, None, accuracy, None, None]
            for name, (adding, removing, accuracy) in PAPER.items()
            if attribute == "Smiling"
        ],
        note="FID by the features of the attribute network that judges: not comparable with the paper's. identity: "
        "cosine of before and after; others: of the other attributes, the share that the judge sees changed.",
    )


def _made_up(attribute: str, found: MadeUp) -> Table:
    rows = [_moved(name, moved) for name, moved in [*found.by_system.items(), (EXACT, found.exact)]]
    return Table(
        title=f"{attribute} on made-up faces: what moved",
        columns=["", "pixels inside", "pixels outside", "own factor", "other factors", "most moved", "by"],
        rows=rows,
        note=f"Pixels: absolute change, of 2, where the exact edit changes some and elsewhere. Factors: in standard "
        f"deviations, as read from the judge's features; {found.read} can be read.",
    )


def _moved(name: str, moved: Moved) -> list[Cell]:
    factor, far = moved.most
    return [
        name,
        round(moved.inside, 4),
        round(moved.outside, 4),
        _known(moved.own),
        _known(moved.others),
        factor,
        _known(far),
    ]


def _edit_claims(attribute: str, systems: Mapping[str, Edits]) -> list[Claim]:
    """Table 3's: at least the accuracy of each rival, at similar FID."""
    ours = systems[OURS]
    return [
        Claim(
            statement=f"{attribute}: L2M-GAN's edits are seen at least as often as those of {name}, at similar FID",
            holds=_mean(ours.accuracy) >= _mean(theirs.accuracy) and _mean(ours.fid) <= SIMILAR * _mean(theirs.fid),
            evidence=f"accuracy {100 * _mean(ours.accuracy):.1f} % and {100 * _mean(theirs.accuracy):.1f} %, "
            f"FID {_mean(ours.fid):.1f} and {_mean(theirs.fid):.1f}",
        )
        for name, theirs in systems.items()
        if name not in (OURS, UNEDITED)
    ]


def _made_up_claims(attribute: str, found: MadeUp) -> list[Claim]:
    ours = found.by_system[OURS]
    return [
        Claim(
            statement=f"{attribute}: what has nothing to do with it moves less than with {name}",
            holds=ours.others < theirs.others,
            evidence=f"other factors {ours.others:.3f} and {theirs.others:.3f} standard deviations, pixels outside "
            f"{ours.outside:.4f} and {theirs.outside:.4f}; own factor {ours.own:.2f} and {theirs.own:.2f}",
        )
        for name, theirs in found.by_system.items()
        if name not in (OURS, UNEDITED) and not math.isnan(ours.others)
    ]


def _choices(results: Results) -> list[str]:
    return [
        "Every test face is edited to what its label says it is not; for ours the judge tells which domain it is of.",
        f"A face drawn in its own style differs from itself by {results.reconstruction:.4f} of 2 in the mean.",
        "Rivals are other models and methods as their users have them, with edits of the strength that was asked.",
    ]


def _mean(pair: tuple[float, float]) -> float:
    return sum(pair) / 2


def _known(value: float) -> Cell:
    return None if math.isnan(value) else round(value, 3)
