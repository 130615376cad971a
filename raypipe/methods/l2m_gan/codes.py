"""Styles of faces, taken apart and moved. N faces, A attributes, K domains, D the width of styles.

Source: Yang et al. 2021 (L2M-GAN), section 3.4. With several attributes the paper has one s_re for their combination;
what each attribute has of it, and edits of unequal strengths, are continuations of ours that are the paper's for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from raypipe.backbones.stargan2 import moves
from raypipe.backbones.stargan2.domains import Domains
from raypipe.backbones.stargan2.moves import Mixture, Values, with_values
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
        target's value. Of several, see ``moves``: with all lambdas 1 it is DT(s_re, all targets).
        """
        return self._moved(codes, moves.edited(strengths)) if strengths else codes

    def adjusted(self, codes: Codes, wanted: Mapping[int, float]) -> Codes:
        """Each attribute at a place between not having it (0) and having it (1), wherever the face itself is: s_re is
        multilinear between the DT(s_re, y) of all combinations of what is asked for."""
        return self._moved(codes, moves.adjusted(wanted)) if wanted else codes

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

    def _moved(self, codes: Codes, mixture: Mixture) -> Codes:
        related = mixture.of(lambda values: self._with(codes, values) if values else codes.related)
        return replace(codes, related=related, values=with_values(codes.values, mixture.reached))

    def _with(self, codes: Codes, values: Values) -> Tensor:
        """DT(s_re, y) where y is the faces' domain but for some attributes."""
        return self.transformer.transform(codes.related, self.domains.of_values(with_values(codes.values, values)))
