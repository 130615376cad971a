"""Cutting the face out of FFHQ-aligned pictures where a network's own alignment would have it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Box:
    """A rectangle in shares of the picture's sides."""

    left: float
    top: float
    width: float
    height: float


def crop(images: Tensor, box: Box, *, height: int, width: int) -> Tensor:
    """The box of each picture [n,c,h,w], stretched to [n,c,height,width]: averaged down, then bilinear."""
    n, _, rows, columns = images.shape
    shrink_y = max(1, int(rows * box.height) // height)
    shrink_x = max(1, int(columns * box.width) // width)
    x = 2 * (box.left + box.width * (torch.arange(width, device=images.device) + 0.5) / width) - 1
    y = 2 * (box.top + box.height * (torch.arange(height, device=images.device) + 0.5) / height) - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).expand(n, -1, -1, -1)
    smaller = F.adaptive_avg_pool2d(images, (rows // shrink_y, columns // shrink_x))
    return F.grid_sample(smaller, grid, align_corners=False, padding_mode="border")
