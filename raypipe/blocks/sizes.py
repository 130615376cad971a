"""Pictures in the size that a network takes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def of_size(images: Tensor, size: int) -> Tensor:
    """[n,3,h,w] -> [n,3,size,size], bilinear, antialiased where it shrinks."""
    if images.shape[2:] == (size, size):
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
