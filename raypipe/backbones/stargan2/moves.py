"""What several attributes are to become at once, and how much of it: mixtures of the combinations of their values.

Source: Yang et al., L2M-GAN (CVPR 2021), equation 8, for one attribute. Of several a mixture is multilinear: with all
strengths 1 it is the combination that was asked for, and the order does not matter. This is a continuation of ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from torch import Tensor

from raypipe.attributes import Edit
from raypipe.backbones.stargan2.domains import Domains
from raypipe.errors import WrongUsage

Values = Mapping[int, float]
"""Of some attributes, by place: 1 to have it, 0 not to."""


@dataclass(frozen=True)
class Mixture:
    """``corners``: what attributes become, and the weight of that; the weights' sum is 1. ``reached``: what the mixture
    is nearest to, of the attributes that are not nearer to what they were."""

    corners: tuple[tuple[Values, float], ...]
    reached: Values

    def of(self, at: Callable[[Values], Tensor]) -> Tensor:
        """The mixture of what ``at`` gives for corners, [n, ...]."""
        (first, weight), *others = self.corners
        mixed = weight * at(first)
        for values, weight in others:
            mixed = mixed + weight * at(values)
        return mixed


def strengths_of(edits: Sequence[Edit], domains: Domains) -> dict[int, float]:
    """By the attribute's place, whatever the order of edits; strengths of the same attribute add up, and those that are
    0 in all are left out.

    Raises:
        UnknownAttribute: a name that the domains are not of.
        WrongUsage: a strength that is not finite.
    """
    by_place: dict[int, list[float]] = {}
    for asked in edits:
        if not math.isfinite(asked.strength):
            raise WrongUsage(f"strength {asked.strength!r} of {asked.attribute!r} must be a finite number")
        by_place.setdefault(domains.place(asked.attribute), []).append(asked.strength)
    return {place: total for place in sorted(by_place) if (total := math.fsum(by_place[place]))}


def edited(strengths: Mapping[int, float]) -> Mixture:
    """From what faces are, the corner without values, towards having an attribute where its strength is above 0, not
    having it where it is below; 1 and -1 are the whole way, and from half of it on the target counts as reached."""
    targets = {place: float(strength > 0) for place, strength in strengths.items()}
    shares = {place: abs(strength) for place, strength in strengths.items()}
    corners = []
    for chosen in product((False, True), repeat=len(targets)):
        corner = {place: targets[place] for place, is_chosen in zip(targets, chosen, strict=True) if is_chosen}
        weight = math.prod(shares[place] if place in corner else 1 - shares[place] for place in targets)
        corners.append((corner, weight))
    reached = {place: value for place, value in targets.items() if shares[place] >= 0.5}
    return Mixture(_with_weight(corners), reached)


def adjusted(wanted: Mapping[int, float]) -> Mixture:
    """Each attribute at a place between not having it (0) and having it (1), wherever a face itself is."""
    corners = []
    for values in product((0.0, 1.0), repeat=len(wanted)):
        corner = dict(zip(wanted, values, strict=True))
        weight = math.prod(wanted[place] if value else 1 - wanted[place] for place, value in corner.items())
        corners.append((corner, weight))
    return Mixture(_with_weight(corners), {place: float(value >= 0.5) for place, value in wanted.items()})


def with_values(values_NA: Tensor, changed: Values) -> Tensor:
    """The same but for some attributes, all faces alike."""
    values = values_NA.clone()
    for place, value in changed.items():
        values[:, place] = value
    return values


def _with_weight(corners: Sequence[tuple[Values, float]]) -> tuple[tuple[Values, float], ...]:
    return tuple((values, weight) for values, weight in corners if weight)
