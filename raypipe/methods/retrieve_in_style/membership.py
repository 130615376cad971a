"""Which style channels are whose: interpolation vectors q. Chong, Chu and Kumar, ICCV 2021, equations 3 to 5.

N faces or pairs of them, F features, C style channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from raypipe.methods.retrieve_in_style.config import Variant
from raypipe.methods.retrieve_in_style.styles import StyleLayout

HAIR, POSE = "hair", "pose"


def soft_membership(contributions_NFC: Tensor, temperature: float) -> Tensor:
    """Equation 4: every channel is divided among the features."""
    return torch.softmax(contributions_NFC / temperature, dim=-2)


def membership(contributions_NFC: Tensor, layout: StyleLayout, variant: Variant) -> Tensor:
    """q of single faces, [N,F,C] in [0,1], before the rule for pose."""
    q_NFC = soft_membership(contributions_NFC, variant.temperature)
    if variant.threshold is not None:
        q_NFC = (q_NFC > variant.threshold).to(q_NFC)
    return q_NFC if variant.rgb_channels else q_NFC.masked_fill(layout.of_rgb(q_NFC.device), 0.0)


def pair_membership(source_NFC: Tensor, reference_NFC: Tensor, layout: StyleLayout, variant: Variant) -> Tensor:
    """q of a source and a reference, from both their contributions: channels that matter to either of them."""
    if variant.maximum_first:
        return membership(torch.maximum(source_NFC, reference_NFC), layout, variant)
    return torch.maximum(membership(source_NFC, layout, variant), membership(reference_NFC, layout, variant))


def with_pose(q_NFC: Tensor, features: Sequence[str], layout: StyleLayout) -> Tensor:
    """Equation 5, [N,F+1,C]: the first layers hold nothing but hair and pose, whose q comes last.

    Where hair is not among the features there is no pose either, and the first layers are nobody's.
    """
    coarse = layout.coarse_channels
    ruled_NFC = q_NFC.clone()
    ruled_NFC[:, :, :coarse] = 0
    if HAIR not in features:
        return ruled_NFC
    hair_NC = q_NFC[:, features.index(HAIR), :coarse]
    ruled_NFC[:, features.index(HAIR), :coarse] = hair_NC
    pose_NC = torch.zeros_like(q_NFC[:, 0])
    pose_NC[:, :coarse] = 1 - hair_NC
    return torch.cat([ruled_NFC, pose_NC[:, None]], dim=1)


def greedy_membership(
    contributions_FC: Tensor, layout: StyleLayout, *, least: float, budget: float, coarse_budget: float
) -> Tensor:
    """The q of Editing in Style (Collins et al., CVPR 2020), [F,C] of 0 and 1, from contributions over many faces.

    Each feature takes channels in the order of what they contribute to it, if that is over ``least``, as long as what
    the channels taken contribute to anything else, the sum of 1 - M, stays below a budget. The first layers have a
    budget of their own.
    """
    coarse = layout.coarse_channels
    parts = ((contributions_FC[:, :coarse], coarse_budget), (contributions_FC[:, coarse:], budget))
    return torch.cat([_greedy(part_FC, least, most) for part_FC, most in parts], dim=1)


def _greedy(contributions_FC: Tensor, least: float, budget: float) -> Tensor:
    ordered = contributions_FC.sort(dim=1, descending=True, stable=True)
    is_taken = ((1 - ordered.values).cumsum(1) < budget) & (ordered.values > least)
    return torch.zeros_like(contributions_FC).scatter_(1, ordered.indices, is_taken.to(contributions_FC))
