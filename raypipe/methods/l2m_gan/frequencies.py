"""How frequent each domain is among the training faces. K domains."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from raypipe.backbones.stargan2 import Domains
from raypipe.contract import Share
from raypipe.errors import WrongUsage

RAREST_SHARE = 0.02
"""A domain rarer than this weighs as much as one of this share, or single faces would shake the weights."""

MEMORY = 0.01
"""How much of the shares each batch replaces, once there were many."""

ENOUGH_FACES = 2_000
"""Among so many every domain should have shown up."""


class Frequencies:
    """``shares`` [K]: of all faces so far, then with a short memory; those of all workers."""

    def __init__(self, domains: Domains, device: torch.device) -> None:
        self._domains = domains
        self.shares = torch.zeros(len(domains), device=device)

    def count(self, domains_N: Tensor, share: Share, *, step: int, batch: int) -> None:
        """Of a step, counted from 0, with ``batch`` faces in all.

        Raises:
            WrongUsage: many faces have come, and none of some domain.
        """
        now = torch.nn.functional.one_hot(domains_N, len(self._domains)).to(self.shares).mean(0)
        share.average([now])
        self.shares.lerp_(now, max(1 / (step + 1), MEMORY))
        if step + 1 == math.ceil(ENOUGH_FACES / batch) and not bool(self.shares.all()):
            absent = [name for name, x in zip(self._domains.names, self.shares.tolist(), strict=True) if not x]
            raise WrongUsage(
                f"not one of {(step + 1) * batch:,} faces is {' or '.join(map(repr, absent))}: what is never seen "
                "cannot be learned; choose other attributes"
            )

    def weights(self, domains_N: Tensor) -> Tensor:
        """[n]: what makes all domains weigh the same, however rare they are; their mean is about 1."""
        return (1 / len(self._domains) / self.shares.clamp_min(RAREST_SHARE))[domains_N]
