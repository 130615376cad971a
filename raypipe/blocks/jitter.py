"""Small changes of training pictures that keep what they show."""

from __future__ import annotations

import torch
from torch import Tensor

from raypipe.blocks.randomness import Draws


def jitter(images: Tensor, draws: Draws, *, mirror: bool, shift: float) -> Tensor:
    """Each picture moved by up to ``shift`` of its sides either way, whole pixels, half of them mirrored.

    Args:
        images: [n,3,h,w].
        draws: of this step; the same are drawn whatever the settings.
        mirror: whether pictures are mirrored at all.
        shift: in [0,1); what comes in from beyond the border repeats it.

    Returns:
        [n,3,h,w] in memory as channels last, which convolutions prefer.
    """
    count, _, height, width = images.shape
    is_mirrored = (draws.uniform(count) < 0.5) & mirror
    moves = draws.uniform(count, 2) * 2 - 1
    rows = _moved(moves[:, 0], height, shift)
    columns = _moved(moves[:, 1], width, shift)
    columns = torch.where(is_mirrored[:, None], width - 1 - columns, columns)
    face = torch.arange(count, device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[face, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _moved(moves: Tensor, length: int, shift: float) -> Tensor:
    """Moves in [-1,1] -> which of ``length`` pixels comes where, [n, length]."""
    pixels = (moves * shift * length).round().long()
    return (torch.arange(length, device=moves.device) + pixels[:, None]).clamp(0, length - 1)
