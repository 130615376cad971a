"""Random numbers of a training step that do not depend on how many workers share the batch."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from raypipe.contract import Share


class Draws:
    """One step's random numbers, one row for each row of this worker's share.

    Each call draws for the whole global batch and keeps this worker's rows, so every worker must make the same calls in
    the same order with the same number of local rows. A device has its own sequence: equal on equal devices.
    """

    def __init__(self, seed: int, step: int, share: Share, device: torch.device) -> None:
        digest = hashlib.sha256(f"{seed}:{step}".encode()).digest()
        self._generator = torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "little"))
        self._share = share
        self._device = device

    def normal(self, rows: int, *shape: int) -> Tensor:
        """[rows, *shape] float32 of N(0, 1)."""
        whole = torch.randn(rows * self._share.count, *shape, generator=self._generator, device=self._device)
        return self._share.of(whole)

    def uniform(self, rows: int, *shape: int) -> Tensor:
        """[rows, *shape] float32 of U[0, 1)."""
        whole = torch.rand(rows * self._share.count, *shape, generator=self._generator, device=self._device)
        return self._share.of(whole)

    def integers(self, low: int, high: int, rows: int, *shape: int) -> Tensor:
        """[rows, *shape] int64 in [low, high)."""
        whole = torch.randint(
            low, high, (rows * self._share.count, *shape), generator=self._generator, device=self._device
        )
        return self._share.of(whole)
