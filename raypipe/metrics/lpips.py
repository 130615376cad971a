"""How different pictures are that should differ: the mean perceptual distance of all pairs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor

from raypipe.errors import WrongUsage


def diversity(images: Tensor, distance: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """For each source, the mean distance of all pairs of what was made of it.

    Choi et al., StarGAN v2 (CVPR 2020), report its mean over sources, of ten pictures each.

    Args:
        images: [n,k,3,h,w] in [-1,1]: k >= 2 pictures made of each of n sources.
        distance: two times [n,3,h,w] -> [n], LPIPS for instance.

    Returns:
        [n].

    Raises:
        WrongUsage: fewer than two pictures.
    """
    count = images.shape[1]
    if count < 2:
        raise WrongUsage(f"pairs take at least 2 pictures of each source, got {count}")
    with torch.no_grad():
        return torch.stack([distance(images[:, a], images[:, b]) for a, b in combinations(range(count), 2)]).mean(0)
