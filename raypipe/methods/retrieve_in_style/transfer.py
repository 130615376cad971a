"""Features of references onto a source. Chong, Chu and Kumar, ICCV 2021, equation 6.

N faces, C style channels, T transfers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_EPSILON = 1e-8


@dataclass(frozen=True, eq=False)
class Step:
    """What one feature takes over: ``q`` [N,C] or [1,C], the reference's ``styles`` likewise, and alpha."""

    q: Tensor
    styles: Tensor
    strength: float


def transferred(source_NC: Tensor, steps: Sequence[Step], *, keep_length: bool) -> Tensor:
    """Styles [N,C] of the source with features of references; their order does not matter.

    One feature is equation 6, s + alpha q (r - s): 0 leaves the source, bit for bit, 1 takes the reference's, more or
    less than that goes on beyond either. Where several features claim a channel, more than the whole of it together,
    they share it by their claims.

    ``keep_length``: as the authors' code, q r is first brought to the length of q s.
    """
    claims_TNC = _shared([step.q.expand_as(source_NC) for step in steps])
    result_NC = source_NC
    for q_NC, step in zip(claims_TNC, steps, strict=True):
        own_NC, taken_NC = q_NC * source_NC, q_NC * step.styles
        if keep_length:
            taken_NC = taken_NC * ((_length(own_NC) + _EPSILON) / (_length(taken_NC) + _EPSILON))
        result_NC = result_NC + step.strength * (taken_NC - own_NC)
    return result_NC


def _shared(claims: Sequence[Tensor]) -> Sequence[Tensor]:
    """Claims on the same channel, divided by their sum where that is over 1."""
    if len(claims) < 2:
        return claims
    excess_NC = torch.stack(list(claims)).sum(0).clamp_min(1.0)
    return [claim / excess_NC for claim in claims]


def _length(vectors_NC: Tensor) -> Tensor:
    lengths_N1: Tensor = vectors_NC.norm(dim=1, keepdim=True)
    return lengths_N1
