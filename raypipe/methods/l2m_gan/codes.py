"""Styles of faces, taken apart and moved. N faces, A attributes, K domains, D the width of styles.

Source: Yang et al. 2021 (L2M-GAN), section 3.4. With several attributes the paper has one s_re for their combination;
what each attribute has of it, and edits of unequal strengths, are continuations of ours that are the paper's for one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from raypipe.backbones.stargan2.domains import Domains
from raypipe.methods.l2m_gan.networks import StyleTransformer


@dataclass(frozen=True)
class Codes:
    """``unrelated`` s_un and ``related`` s_re, [n, D] each; ``values`` [n, A]: 1 where a face has the attribute."""

    unrelated: Tensor
    related: Tensor
    values: Tensor

    @property
    def style(self) -> Tensor:
        """What the generator takes, [n, D]."""
        return self.unrelated + self.related


@dataclass(frozen=True)
class StyleSpace:
    """What can be done with styles, by a trained transformer."""

    domains: Domains
    transformer: StyleTransformer

    def edited(self, codes: Codes, strengths: Mapping[int, float]) -> Codes:
        """Equation 8: s_m = s_re + lambda (s~_re - s_re), by attribute: lambda = |strength|, and the target is to have
        it where the strength is above 0, not to have it where it is below. Beyond the half of the way a face has the
        target's value.

        Of several, s_m is multilinear in the lambdas between the combinations of what is changed and what is not: with
        all of them 1 it is DT(s_re, all targets), and their order does not matter.
        """
        targets = {place: float(strength > 0) for place, strength in strengths.items() if strength}
        if not targets:
            return codes
        shares = {place: abs(strengths[place]) for place in targets}
        moved = torch.zeros_like(codes.related)
        for chosen in product((False, True), repeat=len(targets)):
            corner = [place for place, is_chosen in zip(targets, chosen, strict=True) if is_chosen]
            weight = math.prod(shares[place] if place in corner else 1 - shares[place] for place in targets)
            at_corner = {place: targets[place] for place in corner}
            moved = moved + weight * (self._with(codes, at_corner) if corner else codes.related)
        reached = {place: value for place, value in targets.items() if shares[place] >= 0.5}
        return replace(codes, related=moved, values=with_values(codes.values, reached))

    def adjusted(self, codes: Codes, wanted: Mapping[int, float]) -> Codes:
        """Each attribute at a place between not having it (0) and having it (1), wherever the face itself is: s_re is
        multilinear between the DT(s_re, y) of all combinations of what is asked for."""
        if not wanted:
            return codes
        moved = torch.zeros_like(codes.related)
        for corner in product((0.0, 1.0), repeat=len(wanted)):
            at_corner = dict(zip(wanted, corner, strict=True))
            weight = math.prod(wanted[place] if value else 1 - wanted[place] for place, value in at_corner.items())
            moved = moved + weight * self._with(codes, at_corner)
        reached = {place: float(value >= 0.5) for place, value in wanted.items()}
        return replace(codes, related=moved, values=with_values(codes.values, reached))

    def translated(self, codes: Codes, domain: int) -> Codes:
        """Equation 1: s~ = DT(s_re, y~) + s_un."""
        values = codes.values.new_tensor(self.domains.values(domain)).expand_as(codes.values)
        numbers = torch.full((len(values),), domain, dtype=torch.int64, device=values.device)
        return replace(codes, related=self.transformer.transform(codes.related, numbers), values=values)

    def apart(self, codes: Codes, place: int) -> tuple[Tensor, Tensor]:
        """A style as what one attribute has nothing to do with, and what is this attribute's; their sum is the style.

        With a single attribute s_un and s_re. With several, what s_re would be if nothing were known of this one, the
        mean of DT(s_re, y) over its two values, is the others' part of it, and goes with s_un.
        """
        if len(self.domains.attributes) == 1:
            return codes.unrelated, codes.related
        others = (self._with(codes, {place: 0.0}) + self._with(codes, {place: 1.0})) / 2
        return codes.unrelated + others, codes.related - others

    def _with(self, codes: Codes, values: Mapping[int, float]) -> Tensor:
        """DT(s_re, y) where y is the faces' domain but for some attributes."""
        return self.transformer.transform(codes.related, self.domains.of_values(with_values(codes.values, values)))


def with_values(values_NA: Tensor, changed: Mapping[int, float]) -> Tensor:
    """The same but for some attributes, all faces alike."""
    values = values_NA.clone()
    for place, value in changed.items():
        values[:, place] = value
    return values
