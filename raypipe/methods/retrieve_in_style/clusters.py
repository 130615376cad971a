"""Spherical k-means over more vectors than fit in memory.

Dhillon and Modha, 2001; the first centres as in k-means++, Arthur and Vassilvitskii, 2007.

A pass over all vectors, some at a time, gives the next centres, so the mean similarity never falls from pass to pass.
V vectors of length 1, K centres of length 1, c their width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.contract import Share


def first_centres(vectors_Vc: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Some of the vectors, [count,c]: one after the other, each with a chance in proportion to how far (1 - cosine) it
    is from the nearest of those before. ``random`` is the CPU's."""
    chosen = int(torch.randint(len(vectors_Vc), (), generator=random))
    centres, distances_V = [vectors_Vc[chosen]], torch.ones(len(vectors_Vc), dtype=torch.float64)
    while len(centres) < count:
        away_V = (1 - vectors_Vc @ centres[-1]).double().cpu().clamp_min(0)
        distances_V = away_V if len(centres) == 1 else torch.minimum(distances_V, away_V)
        # Where all vectors are among the centres already, any of them will do.
        chances_V = distances_V if distances_V.sum() > 0 else torch.ones_like(distances_V)
        # torch.multinomial takes no more than 2^24 of them.
        place = torch.searchsorted(chances_V.cumsum(0), chances_V.sum() * torch.rand((), generator=random).double())
        centres.append(vectors_Vc[min(int(place), len(vectors_Vc) - 1)])
    return torch.stack(centres)


class PassOverVectors:
    """One pass: the centres that vectors are counted to, and sums of vectors for the next centres, in float64."""

    def __init__(self, centres_Kc: Tensor) -> None:
        self.centres = centres_Kc
        self.sums = torch.zeros_like(centres_Kc, dtype=torch.float64)

    def add(self, vectors_Vc: Tensor) -> Tensor:
        """Returns the mean cosine with the nearest centre, 0-d."""
        similarity_V, labels_V = (vectors_Vc @ self.centres.T).max(1)
        members_VK = F.one_hot(labels_V, len(self.centres)).double()
        self.sums += members_VK.T @ vectors_Vc.double()
        return similarity_V.mean()

    def next_centres(self, share: Share) -> Tensor:
        """[K,c], from all workers' vectors. A centre that is nobody's nearest stays."""
        share.average([self.sums])
        lengths_K1 = self.sums.norm(dim=1, keepdim=True)
        moved_Kc = (self.sums / lengths_K1.clamp_min(1e-30)).to(self.centres)
        return torch.where(lengths_K1 > 0, moved_Kc, self.centres)
